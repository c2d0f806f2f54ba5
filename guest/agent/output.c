#include "output.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "frame.h"

/*
 * Nearly every reply fits the small buffer, of which only the pages in use are
 * ever touched: a page costs a fault, and is part of every later snapshot. What
 * is larger is allocated for as long as it is needed.
 */
static uint8_t small[32u << 10];
static uint8_t *buffer = small;
static size_t capacity = sizeof small;
static size_t head; /* first byte not yet written */
static size_t tail; /* first free byte */

static void reset(void)
{
	if (buffer != small) {
		free(buffer);
		buffer = small;
		capacity = sizeof small;
	}
	head = tail = 0;
}

static bool reserve(size_t room)
{
	size_t wanted;
	uint8_t *larger;

	if (capacity - tail >= room)
		return true;
	if (head != 0) {
		memmove(buffer, buffer + head, tail - head);
		tail -= head;
		head = 0;
		if (capacity - tail >= room)
			return true;
	}
	wanted = (tail + room + 0xffff) & ~(size_t)0xffff;
	larger = malloc(wanted);
	if (larger == NULL)
		return false;
	memcpy(larger, buffer, tail);
	if (buffer != small)
		free(buffer);
	buffer = larger;
	capacity = wanted;
	return true;
}

struct reply reply_begin(uint32_t room)
{
	struct reply r = { NULL, NULL };

	if (reserve((size_t)room + FRAME_HEADER)) {
		r.at = buffer + tail + FRAME_HEADER;
		r.end = r.at + room;
	}
	return r;
}

void reply_bytes(struct reply *r, const void *data, uint32_t length)
{
	if (r->at == NULL || (size_t)(r->end - r->at) < length) {
		r->at = NULL;
		return;
	}
	memcpy(r->at, data, length);
	r->at += length;
}

void reply_u32(struct reply *r, uint32_t v)
{
	reply_bytes(r, &v, sizeof v);
}

void reply_u64(struct reply *r, uint64_t v)
{
	reply_bytes(r, &v, sizeof v);
}

bool reply_end(struct reply *r, uint32_t id, uint16_t op, uint16_t status)
{
	uint8_t *start = buffer + tail;

	if (r->at == NULL) {
		if (reserve(FRAME_HEADER)) {
			frame_header(buffer + tail, id, op, ENOMEM, 0);
			tail += FRAME_HEADER;
		}
		return false;
	}
	frame_header(start, id, op, status,
		     (uint32_t)(r->at - start) - FRAME_HEADER);
	tail = (size_t)(r->at - buffer);
	return true;
}

void reply_status(uint32_t id, uint16_t op, int status)
{
	struct reply r = reply_begin(0);

	reply_end(&r, id, op, (uint16_t)status);
}

size_t output_queued(void)
{
	return tail - head;
}

bool output_full(void)
{
	return tail - head > OUTPUT_HIGH;
}

bool output_flush(int fd)
{
	while (head != tail) {
		ssize_t n = write(fd, buffer + head, tail - head);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		if (n == 0)
			return true;
		head += (size_t)n;
	}
	reset();
	return true;
}

void output_drop(void)
{
	reset();
}
