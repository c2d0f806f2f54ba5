/* RESEED: entropy of the host for the kernel's random number generator. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Those of linux/random.h, a header that musl does not come with. */
#define RNDADDENTROPY _IOW('R', 0x03, int[2])
#define RNDRESEEDCRNG _IO('R', 0x07)

struct rand_pool_info {
	int entropy_count; /* in bits */
	int buf_size;      /* in bytes */
	uint8_t buf[ENTROPY_BYTES_MAX];
};

/*
 * Adding entropy only mixes it into the input pool, which the generator looks
 * at once a minute. The second call makes a new key of the pool at once and
 * begins a new generation, whereupon the generator of every CPU takes it, and
 * drops what it had drawn ahead.
 */
static int reseed(const struct rand_pool_info *entropy)
{
	int fd = open("/dev/random", O_RDONLY | O_CLOEXEC);
	int error = 0;

	if (fd < 0)
		return errno;
	if (ioctl(fd, RNDADDENTROPY, entropy) < 0 ||
	    ioctl(fd, RNDRESEEDCRNG) < 0)
		error = errno;
	close(fd);
	return error;
}

int entropy_reseed(struct request *request)
{
	struct bytes bytes = cursor_bytes(&request->at);
	struct rand_pool_info entropy;
	int error;

	if (!cursor_done(&request->at) || bytes.length < ENTROPY_BYTES_MIN ||
	    bytes.length > ENTROPY_BYTES_MAX)
		return EINVAL;
	entropy.entropy_count = (int)bytes.length * 8;
	entropy.buf_size = (int)bytes.length;
	memcpy(entropy.buf, bytes.data, bytes.length);
	error = reseed(&entropy);
	if (error == 0)
		reply_status(request->id, request->op, 0);
	return error;
}
