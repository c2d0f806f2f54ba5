#include "agent.h"

#include <errno.h>

typedef int handler(struct request *request);

static handler *const handlers[] = {
	[OP_HELLO] = system_hello,
	[OP_EXEC] = exec_start,
	[OP_KILL] = exec_kill,
	[OP_FILLMEM] = worker_fill,
	[OP_RELEASE] = worker_release,
	[OP_READMEM] = worker_read,
	[OP_MEMINFO] = system_meminfo,
	[OP_DROP_CACHES] = worker_drop_caches,
	[OP_WRITE_FILE] = file_write,
	[OP_READ_FILE] = file_read,
	[OP_TIME] = system_time,
	[OP_SLEEP] = system_sleep,
	[OP_COUNTER] = system_counter,
	[OP_COUNTER_START] = system_counter_start,
	[OP_POWEROFF] = system_poweroff,
	[OP_READ_PHYS] = worker_read_phys,
	[OP_RESEED] = entropy_reseed,
};

void dispatch(uint32_t id, uint16_t op, uint8_t *payload, uint32_t length)
{
	struct request request = { id, op, { payload, payload + length, false } };
	int error = ENOSYS;

	if (op < sizeof handlers / sizeof *handlers && handlers[op] != NULL)
		error = handlers[op](&request);
	if (error != 0)
		reply_status(id, op, error);
}
