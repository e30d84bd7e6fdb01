/* SPDX-License-Identifier: MIT */
#include "resident.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct scan {
	uint64_t ram_start, ram_end;
	bool in_ram; /* the lines that follow describe guest RAM */
	uint64_t kib;
};

/* A line of smaps: either the head of a mapping or one of its figures. */
static void scan_line(struct scan *s, const char *line)
{
	unsigned long long start, end, kib;

	if (sscanf(line, "Rss: %llu kB", &kib) == 1)
		s->kib += s->in_ram ? 0 : kib;
	else if (sscanf(line, "%llx-%llx ", &start, &end) == 2)
		s->in_ram = start >= s->ram_start && end <= s->ram_end && s->ram_end;
}

uint64_t resident_without(const void *ram, size_t size)
{
	struct scan s = {.ram_start = (uintptr_t)ram, .ram_end = size ? (uintptr_t)ram + size : 0};
	char buffer[4096];
	size_t used = 0;
	ssize_t n;
	int fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	while ((n = read(fd, buffer + used, sizeof(buffer) - 1 - used)) > 0) {
		char *line = buffer, *end;

		used += (size_t)n;
		buffer[used] = '\0';
		while ((end = strchr(line, '\n'))) {
			*end = '\0';
			scan_line(&s, line);
			line = end + 1;
		}
		used -= (size_t)(line - buffer);
		if (used == sizeof(buffer) - 1)
			used = 0; /* no line of interest is this long */
		memmove(buffer, line, used);
	}
	(void)close(fd);
	return s.kib << 10;
}
