/*
 * WRITE_FILE and READ_FILE. They run in the loop itself: a fork would cost more
 * than the file. O_NONBLOCK keeps a FIFO or a terminal from stopping the agent;
 * for regular files it means nothing.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { APPEND = 1 };

#define COMMON (O_CLOEXEC | O_NOCTTY | O_NONBLOCK)

int file_write(struct request *request)
{
	struct cursor *c = &request->at;
	struct bytes path = cursor_text(c);
	uint32_t mode = cursor_u32(c);
	uint32_t flags = cursor_u32(c);
	struct bytes data = cursor_bytes(c);
	int fd, error = 0;

	if (!cursor_done(c) || path.length == 0 || flags > APPEND ||
	    mode > 07777)
		return EINVAL;
	fd = open(bytes_to_text(path),
		  COMMON | O_WRONLY | O_CREAT |
			  (flags & APPEND ? O_APPEND : O_TRUNC),
		  (mode_t)mode);
	if (fd < 0)
		return errno;
	while (data.length != 0) {
		ssize_t n = write(fd, data.data, data.length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			error = n < 0 ? errno : EIO;
			break;
		}
		data.data += n;
		data.length -= (uint32_t)n;
	}
	if (close(fd) < 0 && error == 0)
		error = errno;
	if (error == 0)
		reply_status(request->id, request->op, 0);
	return error;
}

int file_read(struct request *request)
{
	struct cursor *c = &request->at;
	struct bytes path = cursor_text(c);
	uint64_t offset = cursor_u64(c);
	uint32_t wanted = cursor_u32(c), got = 0;
	struct stat info;
	struct reply r;
	uint8_t *data;
	int fd, error = 0;

	if (!cursor_done(c) || path.length == 0 || wanted > FILE_BYTES_MAX ||
	    offset > INT64_MAX - FILE_BYTES_MAX)
		return EINVAL;
	fd = open(bytes_to_text(path), COMMON | O_RDONLY);
	if (fd < 0)
		return errno;
	if (fstat(fd, &info) < 0) {
		error = errno;
		close(fd);
		return error;
	}
	/* files of /proc and /sys have no size worth trusting: read and see */
	r = reply_begin(wanted + 12);
	if (r.at == NULL) {
		close(fd);
		return ENOMEM;
	}
	data = r.at + 4;
	while (got < wanted) {
		ssize_t n = pread(fd, data + got, wanted - got,
				  (off_t)(offset + got));

		if (n < 0 && errno == ESPIPE && offset == 0)
			n = read(fd, data + got, wanted - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && got == 0)
			error = errno;
		if (n <= 0)
			break;
		got += (uint32_t)n;
	}
	close(fd);
	if (error != 0)
		return error;
	reply_u32(&r, got);
	r.at += got;
	reply_u64(&r, (uint64_t)info.st_size);
	reply_end(&r, request->id, request->op, 0);
	return 0;
}
