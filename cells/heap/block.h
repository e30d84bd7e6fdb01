/* SPDX-License-Identifier: MIT */
/* What a block is: its header, its size class, and what the build checks of it. */
#ifndef HEAP_BLOCK_H
#define HEAP_BLOCK_H

#include "internal.h"

#if HEAP_CHECKS == CHECKS_SAFE
#define CANARY_BYTES 8u
#else
#define CANARY_BYTES 0u
#endif
#define CANARY 0xc5c5c5c5c5c5c5c5ull
#define POISON 0xdbdbdbdbdbdbdbdbull

typedef uint64_t unaligned64 __attribute__((aligned(1), may_alias));

/* They differ by a header that no block in a slab has, so a free block is no live one. */
#define MARK_LIVE 0x11fe0a5du
#define MARK_FREE (MARK_LIVE - 1)

/* ---- headers ---- */

static inline struct block_header *header_of(const void *p)
{
	return (struct block_header *)((uintptr_t)p - BLOCK_HEADER);
}

/* Of a large one it says no more than that: BLOCK_LARGE + 1. */
static inline size_t block_bytes(const void *p)
{
	return (header_of(p)->what & BLOCK_LARGE) + (size_t)1;
}

static inline uint32_t block_owner(const void *p)
{
	return header_of(p)->what / (BLOCK_LARGE + 1);
}

/*
 * Sums that are 0: a live block's mark covers the rest of its header and its address, a free one's
 * its address alone.
 */
static inline uint32_t live_sum(const void *p)
{
	return header_of(p)->mark + (header_of(p)->what + (uint32_t)(uintptr_t)p + MARK_LIVE);
}

static inline uint32_t free_sum(const void *p)
{
	return header_of(p)->mark + ((uint32_t)(uintptr_t)p + MARK_FREE);
}

/* ---- classes ---- */

/* What a block of @bytes takes up, without its place in a class. */
static inline size_t need_of(size_t bytes)
{
	return bytes + BLOCK_HEADER + CANARY_BYTES;
}

static inline unsigned class_of(size_t need)
{
	unsigned log;

	if (need <= 128)
		return (unsigned)(need + 15) / 16 - 1;
	log = 63 - (unsigned)__builtin_clzll(need - 1);
	return 8 + (log - 7) * 4 + ((need - 1) >> (log - 2) & 3);
}

/* The class of a block of @bytes; CLASSES: none, it is large. */
static inline unsigned class_for(size_t bytes)
{
	size_t need = need_of(bytes);

	return need > CLASS_STRIDE_MAX ? CLASSES : class_of(need);
}

static inline unsigned stride_of(unsigned cls)
{
	if (cls < 8)
		return (cls + 1) * 16;
	return (5 + (cls - 8) % 4) << ((cls - 8) / 4 + 5);
}

/* Where a free block keeps a link: its first word. */
static inline void **link_of(void *p)
{
	return (void **)p;
}

/* ---- checks ---- */

/* The canary follows the block at once: the byte behind the last one is the likeliest hit. */
static inline void set_live(void *p, size_t bytes, uint32_t owner)
{
	uint32_t what = owner * (BLOCK_LARGE + 1) |
			(bytes <= CLASS_STRIDE_MAX ? (uint32_t)(bytes - 1) : BLOCK_LARGE);

	header_of(p)->what = what;
	if (HEAP_CHECKS >= CHECKS_PARTIAL)
		header_of(p)->mark = -(what + (uint32_t)(uintptr_t)p + MARK_LIVE);
	if (HEAP_CHECKS == CHECKS_SAFE)
		*(unaligned64 *)(void *)((uint8_t *)p + bytes) = CANARY;
}

static inline void check_live(const void *p)
{
	if (HEAP_CHECKS < CHECKS_PARTIAL || __builtin_expect(live_sum(p) == 0, 1))
		return;
	if (free_sum(p) == 0)
		TRAP("heap_free: freed twice");
	TRAP("heap_free: not a block, or its header was overwritten");
}

static inline void check_canary(const void *p, size_t bytes)
{
	if (HEAP_CHECKS == CHECKS_SAFE &&
	    *(const unaligned64 *)(const void *)((const uint8_t *)p + bytes) != CANARY)
		TRAP("heap_free: written past the end of the block");
}

/* A free block is poisoned in the two words behind its link, which every one has room for. */
static inline void set_free(void *p)
{
	uint64_t *words = p;

	if (HEAP_CHECKS >= CHECKS_PARTIAL)
		header_of(p)->mark = -((uint32_t)(uintptr_t)p + MARK_FREE);
	if (HEAP_CHECKS == CHECKS_SAFE) {
		words[1] = POISON;
		words[2] = POISON;
	}
}

/* Traps if a block that was freed was written to since, where it is poisoned. */
static inline void check_free(const void *p)
{
	const uint64_t *words = p;

	if (HEAP_CHECKS < CHECKS_SAFE)
		return;
	if (words[1] != POISON || words[2] != POISON || free_sum(p) != 0)
		TRAP("heap: a block was written to after it was freed");
}

#endif
