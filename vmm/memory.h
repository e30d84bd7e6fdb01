/* SPDX-License-Identifier: MIT */
/*
 * Guest RAM. The guest is hostile: its addresses are reached through guest_memory_at() only,
 * and what lies there may change at any moment, so data is copied out once, checked, and only
 * the copy is used.
 *
 * RAM stays where it is from init to deinit; all functions may be called from any thread
 * between the two.
 */
#ifndef VMM_MEMORY_H
#define VMM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"

/* A guest-physical address: not a number to compute with, and no host pointer. */
typedef struct {
	uint64_t v;
} gpa_t;

#define GPA(x) ((gpa_t){(x)})

#define MEMORY_PAGE 4096u
#define MEMORY_LOW_MAX (3ull << 30)    /* RAM below the hole for devices: [0, LOW_MAX) */
#define MEMORY_HIGH_START (4ull << 30) /* the rest of RAM */
#define MEMORY_BYTES_MIN (32ull << 20)

struct memory_region {
	gpa_t start;
	uint64_t size; /* bytes */
	uint8_t *host; /* the guest's bytes: never read twice for one decision */
};

struct guest_memory {
	struct memory_region regions[2];
	unsigned int n_regions;
	uint64_t size; /* of all regions, bytes */
	uint8_t *base; /* one host mapping, regions back to back; a guard page on both sides */
};

/*
 * Maps @bytes (page-aligned) of zeroed RAM; nothing is resident until it is touched.
 *
 * Result: 0; -EINVAL below MEMORY_BYTES_MIN, over @bytes_max or not page-aligned, -ENOMEM;
 * @f says why.
 */
int guest_memory_init(struct guest_memory *m, uint64_t bytes, uint64_t bytes_max, struct failure *f)
	__attribute__((warn_unused_result));

/* Unmaps. Also after a failed init, and twice. No pointer into RAM may be used afterwards. */
void guest_memory_deinit(struct guest_memory *m);

/*
 * The one gate from a guest address to a host pointer.
 *
 * Result: @len bytes of RAM that lie wholly in one region, borrowed; NULL if they do not, or
 * if @len is 0.
 */
void *guest_memory_at(const struct guest_memory *m, gpa_t gpa, uint64_t len)
	__attribute__((warn_unused_result));

/* Copies out or in, whole or not at all. Result: 0 or -EFAULT. */
int guest_memory_read(const struct guest_memory *m, gpa_t gpa, void *dst, size_t len)
	__attribute__((warn_unused_result));
int guest_memory_write(const struct guest_memory *m, gpa_t gpa, const void *src, size_t len)
	__attribute__((warn_unused_result));

#endif
