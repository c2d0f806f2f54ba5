/* What the forked children of FILLMEM, READMEM and READ_PHYS do. */
#ifndef MEMORY_H
#define MEMORY_H

#include "wire.h"

#define PAGE 4096u

struct memory {
	uint8_t *start;
	uint64_t size;
};

/* What a child reports: an errno, or the fields of its op's reply. */
struct report {
	int32_t error;
	uint64_t value[3];
};

/* Maps `mib` MiB, 2 MiB-aligned and marked for huge pages when asked. */
int memory_map(struct memory *memory, uint32_t mib, bool huge);
void memory_fill(const struct memory *memory, uint8_t pattern,
		 struct report *report);
/* Bytes of AnonHugePages of this process. */
uint64_t memory_huge_bytes(void);
/* Gives every page a frame of its own by writing the zero it already holds. */
void memory_touch(const struct memory *memory);
/* value[]: pages, pages not wholly `pattern`, pages not wholly zero. */
void memory_count(const struct memory *memory, uint8_t pattern,
		  struct report *report);
/* value[0]: pages not wholly zero, of raw physical memory. */
void memory_count_physical(uint64_t first_frame, uint32_t count,
			   struct report *report);

#endif
