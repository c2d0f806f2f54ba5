/* HELLO, MEMINFO, TIME, SLEEP, COUNTER, COUNTER_START, POWEROFF. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static uint64_t boot_nonce;
static uint64_t counter;
static uint64_t tick_ns;
static uint64_t next_tick = NO_DEADLINE;
volatile sig_atomic_t poweroff_wanted;

static uint64_t clock_of(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void system_init(void)
{
	/*
	 * Never wait for entropy: a guest without a source would not come up.
	 * The clocks are no secret, but a nonce only has to differ.
	 */
	if (getrandom(&boot_nonce, sizeof boot_nonce, GRND_NONBLOCK) !=
	    sizeof boot_nonce)
		boot_nonce = (clock_of(CLOCK_REALTIME) ^
			      clock_of(CLOCK_MONOTONIC) << 20) *
			     UINT64_C(0x9E3779B97F4A7C15);
}

int system_hello(struct request *request)
{
	struct utsname name;
	struct reply r;
	uint32_t length;

	if (!cursor_done(&request->at))
		return EINVAL;
	uname(&name);
	length = (uint32_t)strlen(name.release);
	r = reply_begin(128);
	reply_u32(&r, PROTOCOL_VERSION);
	reply_u64(&r, boot_nonce);
	reply_u32(&r, length);
	reply_bytes(&r, name.release, length);
	reply_u32(&r, sizeof AGENT_VERSION - 1);
	reply_bytes(&r, AGENT_VERSION, sizeof AGENT_VERSION - 1);
	reply_end(&r, request->id, request->op, 0);
	return 0;
}

/* Appends a whole small file of /proc as a string; an absent one is empty. */
static void reply_file(struct reply *r, const char *path)
{
	uint8_t *length_at = r->at, *start = r->at + 4;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint32_t length;

	r->at = start;
	while (fd >= 0 && r->at < r->end - 4) {
		ssize_t n = read(fd, r->at, (size_t)(r->end - 4 - r->at));

		if (n <= 0)
			break;
		r->at += n;
	}
	if (fd >= 0)
		close(fd);
	length = (uint32_t)(r->at - start);
	memcpy(length_at, &length, sizeof length);
}

int system_meminfo(struct request *request)
{
	struct reply r;

	if (!cursor_done(&request->at))
		return EINVAL;
	r = reply_begin(16u << 10);
	if (r.at == NULL)
		return ENOMEM;
	reply_file(&r, "/proc/meminfo");
	reply_file(&r, "/proc/vmstat");
	reply_end(&r, request->id, request->op, 0);
	return 0;
}

int system_time(struct request *request)
{
	struct reply r;

	if (!cursor_done(&request->at))
		return EINVAL;
	r = reply_begin(24);
	reply_u64(&r, clock_of(CLOCK_MONOTONIC));
	reply_u64(&r, clock_of(CLOCK_BOOTTIME));
	reply_u64(&r, clock_of(CLOCK_REALTIME));
	reply_end(&r, request->id, request->op, 0);
	return 0;
}

int system_sleep(struct request *request)
{
	uint32_t ms = cursor_u32(&request->at);
	struct job *job;

	if (!cursor_done(&request->at))
		return EINVAL;
	job = job_new(JOB_SLEEP, request);
	if (job == NULL)
		return EAGAIN;
	job->deadline = now_ns() + ms * UINT64_C(1000000);
	return 0;
}

int system_counter(struct request *request)
{
	struct reply r;

	if (!cursor_done(&request->at))
		return EINVAL;
	r = reply_begin(24);
	reply_u64(&r, ++counter);
	reply_u64(&r, boot_nonce);
	reply_u64(&r, now_ns());
	reply_end(&r, request->id, request->op, 0);
	return 0;
}

int system_counter_start(struct request *request)
{
	uint32_t ms = cursor_u32(&request->at);

	if (!cursor_done(&request->at))
		return EINVAL;
	tick_ns = ms * UINT64_C(1000000);
	next_tick = ms == 0 ? NO_DEADLINE : now_ns() + tick_ns;
	reply_status(request->id, request->op, 0);
	return 0;
}

/* Late ticks are not made up for: one at a time, from now on. */
uint64_t system_tick(uint64_t now)
{
	if (now >= next_tick) {
		counter++;
		next_tick = now + tick_ns;
	}
	return next_tick;
}

int system_poweroff(struct request *request)
{
	uint32_t how = cursor_u32(&request->at);

	if (!cursor_done(&request->at) || how > 1)
		return EINVAL;
	poweroff_wanted = (int)how + 1;
	reply_status(request->id, request->op, 0);
	return 0;
}
