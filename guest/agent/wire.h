/*
 * The byte layout of the protocol: constants, and a reader that cannot run
 * past the end of a payload. See PROTOCOL.md.
 *
 * The agent only ever runs on x86-64, so little endian is the native order;
 * memcpy keeps unaligned fields legal.
 */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define AGENT_VERSION "1.1.0"
#define PROTOCOL_VERSION 2u

#define FRAME_MAGIC 0x4F595243u /* "CRYO" */
#define FRAME_SALT 0x5A5A5A5Au
#define FRAME_HEADER 20u
#define FRAME_PAYLOAD_MAX ((1u << 20) + 64u)
#define FILE_BYTES_MAX (1u << 20)
#define OUTPUT_BYTES_MAX (16u << 10)
#define ENTROPY_BYTES_MIN 16u
#define ENTROPY_BYTES_MAX 512u

enum op {
	OP_HELLO = 1,
	OP_EXEC = 2,
	OP_EXEC_OUTPUT = 3,
	OP_KILL = 4,
	OP_FILLMEM = 5,
	OP_RELEASE = 6,
	OP_READMEM = 7,
	OP_MEMINFO = 8,
	OP_DROP_CACHES = 9,
	OP_WRITE_FILE = 10,
	OP_READ_FILE = 11,
	OP_TIME = 12,
	OP_SLEEP = 13,
	OP_COUNTER = 14,
	OP_COUNTER_START = 15,
	OP_POWEROFF = 16,
	OP_READ_PHYS = 17,
	OP_RESEED = 18,
};

/* A string of a payload. It points into the frame and has no terminator. */
struct bytes {
	uint8_t *data;
	uint32_t length;
};

/*
 * Reads a payload from the front. The first field that does not fit sets
 * `bad`, and every later one reads as zero, so that a handler may read all its
 * fields and ask once.
 */
struct cursor {
	uint8_t *at;
	uint8_t *end;
	bool bad;
};

static inline bool cursor_take(struct cursor *c, size_t n)
{
	if (c->bad || (size_t)(c->end - c->at) < n) {
		c->bad = true;
		return false;
	}
	return true;
}

static inline uint32_t cursor_u32(struct cursor *c)
{
	uint32_t v = 0;

	if (cursor_take(c, sizeof v)) {
		memcpy(&v, c->at, sizeof v);
		c->at += sizeof v;
	}
	return v;
}

static inline uint64_t cursor_u64(struct cursor *c)
{
	uint64_t v = 0;

	if (cursor_take(c, sizeof v)) {
		memcpy(&v, c->at, sizeof v);
		c->at += sizeof v;
	}
	return v;
}

static inline struct bytes cursor_bytes(struct cursor *c)
{
	struct bytes b = { c->at, cursor_u32(c) };

	b.data = c->at;
	if (!cursor_take(c, b.length)) {
		b.length = 0;
		return b;
	}
	c->at += b.length;
	return b;
}

/* Bytes that shall become a C string: none of them may be a zero. */
static inline struct bytes cursor_text(struct cursor *c)
{
	struct bytes b = cursor_bytes(c);

	if (b.length != 0 && memchr(b.data, 0, b.length) != NULL)
		c->bad = true;
	return b;
}

/* True when every field fitted and nothing is left over. */
static inline bool cursor_done(const struct cursor *c)
{
	return !c->bad && c->at == c->end;
}

/*
 * Makes a C string of `b` where it lies: the text moves one byte down, over
 * the length field in front of it, which leaves room for the terminator. The
 * frame is spent after that, but nothing is allocated.
 */
static inline char *bytes_to_text(struct bytes b)
{
	uint8_t *to = b.data - 1;

	memmove(to, b.data, b.length);
	to[b.length] = 0;
	return (char *)to;
}

#endif
