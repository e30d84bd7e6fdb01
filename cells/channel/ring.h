/* SPDX-License-Identifier: MIT */
/* Messages of one size in a ring of any length. Pure; the caller locks. */
#ifndef CHANNEL_RING_H
#define CHANNEL_RING_H

#include <stdint.h>
#include <string.h>

struct ring {
	uint8_t *slots;
	uint32_t bytes;  /* of a slot */
	uint32_t length; /* slots; not 0 */
	uint32_t first, count;
};

static inline uint8_t *ring_slot(const struct ring *ring, uint32_t i)
{
	uint32_t at = ring->first + i;

	if (at >= ring->length)
		at -= ring->length;
	return ring->slots + (uint64_t)at * ring->bytes;
}

/* Not on a full one. */
static inline void ring_push(struct ring *ring, const void *message)
{
	memcpy(ring_slot(ring, ring->count), message, ring->bytes);
	ring->count++;
}

/* In front of all: it comes back. Not on a full one. */
static inline void ring_push_front(struct ring *ring, const void *message)
{
	uint32_t first = ring->first ? ring->first - 1 : ring->length - 1;

	memcpy(ring->slots + (uint64_t)first * ring->bytes, message, ring->bytes);
	ring->first = first;
	ring->count++;
}

/* Not on an empty one. If writing to @ret_message faults, nothing was taken. */
static inline void ring_pop(struct ring *ring, void *ret_message)
{
	memcpy(ret_message, ring_slot(ring, 0), ring->bytes);
	ring->first = ring->first + 1 == ring->length ? 0 : ring->first + 1;
	ring->count--;
}

#endif
