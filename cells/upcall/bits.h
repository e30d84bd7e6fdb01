/* SPDX-License-Identifier: MIT */
/* Vectors as bits: which are given out, which are pending. Pure. */
#ifndef UPCALL_BITS_H
#define UPCALL_BITS_H

#include <theseus/errno.h>
#include <theseus/gate.h>

/* The lowest vector in FIRST..LAST that is clear in @used; it is set. -ENOSPC: all are taken. */
static inline int bits_take_vector(uint64_t used[4])
{
	for (unsigned v = GATE_VECTOR_IRQ_FIRST; v <= GATE_VECTOR_IRQ_LAST; v++) {
		if (!(used[v / 64] >> (v % 64) & 1)) {
			used[v / 64] |= 1ull << (v % 64);
			return (int)v;
		}
	}
	return -ENOSPC;
}

/*
 * Takes the lowest pending vector out of @pending, -ENOENT when there is none. The gate may
 * set bits of the same words between any two instructions on this CPU, so a bit is cleared
 * by one instruction (no lock: it is the same CPU).
 */
static inline int bits_take_pending(uint64_t pending[4])
{
	for (unsigned i = 0; i < 4; i++) {
		uint64_t word = ((volatile uint64_t *)pending)[i], bit;

		if (!word)
			continue;
		bit = (uint64_t)__builtin_ctzll(word);
		__asm__ volatile("btrq %1, %0" : "+m"(pending[i]) : "r"(bit) : "cc");
		return (int)(i * 64 + bit);
	}
	return -ENOENT;
}

#endif
