/* SPDX-License-Identifier: MIT */
/* The guest's image: whatever the file is, what is loaded lies in RAM, and the entry in it. */
#define _GNU_SOURCE /* memfd_create */
#include <sys/mman.h>
#include <unistd.h>

#include "boot.h"
#include "fuzz.h"

#define RAM (32ull << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest_memory m;
	struct boot_image image;
	struct failure f;
	int fd = memfd_create("image", MFD_CLOEXEC);

	if (fd < 0)
		return 0;
	FUZZ_CHECK(guest_memory_init(&m, RAM, RAM, &f) == 0);
	if (write(fd, data, size) == (ssize_t)size &&
	    boot_load_guest(&m, fd, "image", &image, &f) == 0) {
		FUZZ_CHECK(image.start.v < image.end.v && image.end.v <= RAM);
		FUZZ_CHECK(image.entry.v >= image.start.v && image.entry.v < image.end.v);
	}
	guest_memory_deinit(&m);
	(void)close(fd);
	return 0;
}
