/* SPDX-License-Identifier: MIT */
/*
 * Loading: the guest's PVH ELF, the boot bundle, and the records that tell the guest about
 * them (Xen's x86/HVM direct boot ABI, start info version 1). RAM must be fresh: what no
 * segment fills is relied upon to be zero.
 *
 * Files are read through descriptors; nothing in them is believed before it was checked.
 */
#ifndef VMM_BOOT_H
#define VMM_BOOT_H

#include "failure.h"
#include "memory.h"

#define BOOT_CMDLINE_MAX 1023u /* bytes, without the NUL */

struct boot_image {
	gpa_t entry;      /* 32-bit, protected mode, paging off */
	gpa_t start, end; /* of everything that was loaded */
};

struct boot_range {
	gpa_t start;
	uint64_t size; /* bytes; 0 = there is none */
};

/*
 * Loads the ELF behind @fd. @name is for messages.
 * Result: 0 and *@ret_image; -ENOEXEC if it is not the guest (and @f says what is wrong with
 * it), -EFBIG if it does not fit in RAM, else what reading gave.
 */
int boot_load_guest(const struct guest_memory *m, int fd, const char *name,
		    struct boot_image *ret_image, struct failure *f)
	__attribute__((warn_unused_result));

/*
 * Loads the file behind @fd to the top of RAM below 4 GiB, page-aligned, above @image.
 * Result: 0 and *@ret_range; -EFBIG if there is no room, -ENODATA if the file is empty, else
 * what reading gave.
 */
int boot_load_bundle(const struct guest_memory *m, int fd, const char *name,
		     const struct boot_image *image, struct boot_range *ret_range,
		     struct failure *f) __attribute__((warn_unused_result));

/*
 * Writes start info, memory map, module list and @cmdline below 1 MiB.
 * Result: 0 and *@ret_start_info, for EBX; -E2BIG if the command line is too long.
 */
int boot_write_records(const struct guest_memory *m, const struct boot_range *bundle,
		       const char *cmdline, gpa_t *ret_start_info, struct failure *f)
	__attribute__((warn_unused_result));

#endif
