/* SPDX-License-Identifier: MIT */
/*
 * Names by their hashes: open addressing, filled once and half at most. Memory is the caller's.
 */
#ifndef THESEUS_LOADER_INDEX_H
#define THESEUS_LOADER_INDEX_H

#include "slice.h"

#define INDEX_NONE UINT32_MAX

/* FNV-1a: names are short, and whoever makes many of one hash gains slow look-ups. */
#define INDEX_HASH_START 2166136261u
#define INDEX_HASH_TIMES 16777619u

static inline uint32_t index_hash_on(uint32_t hash, struct slice name)
{
	for (size_t i = 0; i < name.n; i++)
		hash = (hash ^ name.p[i]) * INDEX_HASH_TIMES;
	return hash;
}

static inline uint32_t index_hash(struct slice name)
{
	return index_hash_on(INDEX_HASH_START, name);
}

/* Of two names, the first of which has the hash @first. */
static inline uint32_t index_hash_pair(uint32_t first, struct slice second)
{
	return index_hash_on(first * INDEX_HASH_TIMES, second);
}

/* Of a number: those that follow one another come apart. */
static inline uint32_t index_hash_number(uint32_t number)
{
	return number * INDEX_HASH_TIMES;
}

struct index {
	uint32_t n; /* a power of two */
	uint32_t *numbers;
};

/* How many numbers @index.numbers has room for, when at most @n are added. */
static inline uint32_t index_room(uint32_t n)
{
	uint32_t room = 8;

	while (room < 2 * n)
		room *= 2;
	return room;
}

static inline void index_init(struct index *x)
{
	memset(x->numbers, 0xff, x->n * sizeof(*x->numbers));
}

static inline void index_add(struct index *x, uint32_t hash, uint32_t number)
{
	while (x->numbers[hash & (x->n - 1)] != INDEX_NONE)
		hash++;
	x->numbers[hash & (x->n - 1)] = number;
}

/* The next number that may be meant, starting with *@at = the hash; INDEX_NONE: there is none. */
static inline uint32_t index_next(const struct index *x, uint32_t *at)
{
	return x->numbers[(*at)++ & (x->n - 1)];
}

#endif
