/* Frames: finding them in a stream that may begin with rubbish. */
#ifndef FRAME_H
#define FRAME_H

#include "wire.h"

struct frame {
	uint32_t id;
	uint16_t op;
	uint16_t status;
	uint32_t length;
	uint8_t *payload;
};

enum frame_state {
	FRAME_NONE,    /* no header yet; what is kept may be the start of one */
	FRAME_PARTIAL, /* a good header, its payload still on the way */
	FRAME_READY,
};

/*
 * Looks at the `used` bytes of `buffer`. `*skip` receives how many bytes in
 * front are rubbish and can go; a frame that is READY begins right there.
 */
enum frame_state frame_find(uint8_t *buffer, size_t used, size_t *skip,
			    struct frame *frame);

void frame_header(uint8_t *to, uint32_t id, uint16_t op, uint16_t status,
		  uint32_t length);

#endif
