#include "frame.h"

static uint32_t checksum(uint32_t id, uint32_t op_status, uint32_t length)
{
	return FRAME_MAGIC ^ id ^ op_status ^ length ^ FRAME_SALT;
}

void frame_header(uint8_t *to, uint32_t id, uint16_t op, uint16_t status,
		  uint32_t length)
{
	uint32_t op_status = op | (uint32_t)status << 16;
	uint32_t word[5] = { FRAME_MAGIC, id, op_status, length,
			     checksum(id, op_status, length) };

	memcpy(to, word, sizeof word);
}

/*
 * A header with a wrong check or an impossible length is one byte of rubbish,
 * not twenty: the real header may begin inside it.
 */
enum frame_state frame_find(uint8_t *buffer, size_t used, size_t *skip,
			    struct frame *frame)
{
	static const uint8_t magic[4] = { 'C', 'R', 'Y', 'O' };
	size_t at = 0;

	for (;;) {
		uint8_t *first = memchr(buffer + at, magic[0], used - at);
		uint32_t word[5];
		size_t left;

		if (first == NULL) {
			*skip = used;
			return FRAME_NONE;
		}
		at = (size_t)(first - buffer);
		left = used - at;
		if (memcmp(first, magic, left < 4 ? left : 4) != 0) {
			at++;
			continue;
		}
		if (left < FRAME_HEADER) {
			*skip = at;
			return FRAME_NONE;
		}
		memcpy(word, first, sizeof word);
		if (word[3] > FRAME_PAYLOAD_MAX ||
		    word[4] != checksum(word[1], word[2], word[3])) {
			at++;
			continue;
		}
		*skip = at;
		if (left - FRAME_HEADER < word[3])
			return FRAME_PARTIAL;
		frame->id = word[1];
		frame->op = (uint16_t)word[2];
		frame->status = (uint16_t)(word[2] >> 16);
		frame->length = word[3];
		frame->payload = first + FRAME_HEADER;
		return FRAME_READY;
	}
}
