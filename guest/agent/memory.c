#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent.h"

#define HUGE_PAGE ((uint64_t)2 << 20)

int memory_map(struct memory *memory, uint32_t mib, bool huge)
{
	uint64_t size = (uint64_t)mib << 20;
	uint64_t room = size;
	uintptr_t start;
	void *map;

	/* a whole huge page for an odd last MiB, and room to align the first */
	if (huge)
		room = ((size + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1)) + HUGE_PAGE;
	/*
	 * MAP_NORESERVE: more than the guest has must reach the OOM killer, not
	 * be refused here.
	 */
	map = mmap(NULL, room, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return errno;
	start = (uintptr_t)map;
	if (huge) {
		start = (start + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
		if (madvise((void *)start, room - HUGE_PAGE, MADV_HUGEPAGE) < 0)
			return errno;
	}
	memory->start = (uint8_t *)start;
	memory->size = size;
	return 0;
}

void memory_fill(const struct memory *memory, uint8_t pattern,
		 struct report *report)
{
	uint64_t before = now_ns();

	memset(memory->start, pattern, memory->size);
	report->value[0] = now_ns() - before;
}

uint64_t memory_huge_bytes(void)
{
	char text[1024];
	int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	const char *field;

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return 0;
	text[n] = 0;
	field = strstr(text, "AnonHugePages:");
	if (field == NULL)
		return 0;
	return strtoull(field + strlen("AnonHugePages:"), NULL, 10) << 10;
}

/*
 * A read alone would map the kernel's one zero page everywhere and prove
 * nothing about the frames the allocator hands out.
 */
void memory_touch(const struct memory *memory)
{
	for (uint64_t at = 0; at < memory->size; at += PAGE)
		*(volatile uint8_t *)(memory->start + at) = 0;
}

static bool page_is(const uint8_t *page, uint64_t word)
{
	const uint64_t *at = (const uint64_t *)(const void *)page;

	for (unsigned i = 0; i < PAGE / sizeof *at; i++)
		if (at[i] != word)
			return false;
	return true;
}

void memory_count(const struct memory *memory, uint8_t pattern,
		  struct report *report)
{
	uint64_t word = pattern * UINT64_C(0x0101010101010101);

	report->value[0] = memory->size / PAGE;
	report->value[1] = report->value[2] = 0;
	for (uint64_t at = 0; at < memory->size; at += PAGE) {
		const uint8_t *page = memory->start + at;

		report->value[1] += !page_is(page, word);
		report->value[2] += !page_is(page, 0);
	}
}

/*
 * Mapped and not read(): read() copies inside the kernel, and loops in user
 * space are what is fast everywhere.
 */
void memory_count_physical(uint64_t first_frame, uint32_t count,
			   struct report *report)
{
	const uint32_t step = 4096; /* 16 MiB a mapping */
	int fd = open("/dev/mem", O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		report->error = errno;
		return;
	}
	while (count != 0) {
		uint32_t pages = count < step ? count : step;
		const uint8_t *map = mmap(NULL, (size_t)pages * PAGE, PROT_READ,
					  MAP_SHARED, fd,
					  (off_t)(first_frame * PAGE));

		if (map == MAP_FAILED) {
			report->error = errno;
			return;
		}
		for (uint32_t i = 0; i < pages; i++)
			report->value[0] += !page_is(map + (size_t)i * PAGE, 0);
		munmap((void *)(uintptr_t)map, (size_t)pages * PAGE);
		first_frame += pages;
		count -= pages;
	}
}
