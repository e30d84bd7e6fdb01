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

#define MARK_LIVE 0x11fe0a5du
#define MARK_FREE 0xdead0f2eu

/* ---- headers ---- */

static inline struct block_header *header_of(const void *p)
{
	return (struct block_header *)((uintptr_t)p - BLOCK_HEADER);
}

static inline size_t block_bytes(const void *p)
{
	return (header_of(p)->what & (BLOCK_MAX - 1)) + (size_t)1;
}

static inline uint32_t block_owner(const void *p)
{
	return header_of(p)->what / BLOCK_MAX;
}

/* Covers the rest of the header while the block is live. */
static inline uint32_t live_mark(const void *p)
{
	return MARK_LIVE ^ header_of(p)->what ^ (uint32_t)((uintptr_t)p >> 4);
}

static inline uint32_t free_mark(const void *p)
{
	return MARK_FREE ^ (uint32_t)((uintptr_t)p >> 4);
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
	header_of(p)->what = owner * BLOCK_MAX | (uint32_t)(bytes - 1);
	if (HEAP_CHECKS >= CHECKS_PARTIAL)
		header_of(p)->mark = live_mark(p);
	if (HEAP_CHECKS == CHECKS_SAFE)
		*(unaligned64 *)(void *)((uint8_t *)p + bytes) = CANARY;
}

static inline void check_live(const void *p)
{
	if (HEAP_CHECKS < CHECKS_PARTIAL)
		return;
	if (header_of(p)->mark == free_mark(p))
		TRAP("heap_free: freed twice");
	if (header_of(p)->mark != live_mark(p))
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
		header_of(p)->mark = free_mark(p);
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
	if (words[1] != POISON || words[2] != POISON || header_of(p)->mark != free_mark(p))
		TRAP("heap: a block was written to after it was freed");
}

#endif
