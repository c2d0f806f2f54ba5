/*
 * The queue of bytes to the host. A frame is built where it will be sent from:
 * begin, add fields, end.
 */
#ifndef OUTPUT_H
#define OUTPUT_H

#include "wire.h"

/* Above this nothing that makes more output is read any more. */
#define OUTPUT_HIGH (256u << 10)

struct reply {
	uint8_t *at;   /* where the next field goes; NULL when out of memory */
	uint8_t *end;  /* end of the room that was asked for */
};

/* Opens a frame whose payload will have at most `room` bytes. */
struct reply reply_begin(uint32_t room);
void reply_u32(struct reply *r, uint32_t v);
void reply_u64(struct reply *r, uint64_t v);
void reply_bytes(struct reply *r, const void *data, uint32_t length);
/* Closes the frame; false when there was no memory for it. */
bool reply_end(struct reply *r, uint32_t id, uint16_t op, uint16_t status);

/* A frame without payload. */
void reply_status(uint32_t id, uint16_t op, int status);

size_t output_queued(void);
bool output_full(void);
/* Writes what `fd` takes now; false when the line is gone. */
bool output_flush(int fd);
/* Forgets everything: the line was closed. */
void output_drop(void);

#endif
