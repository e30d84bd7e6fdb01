/* SPDX-License-Identifier: MIT */
/*
 * Deliberate faults: how code that found itself wrong stops, so that the fault record can
 * say why. Nothing is stored: the reason travels in the registers of the faulting task, so
 * it works on any CPU, in any context, and takes no lock.
 *
 * A fault upcall with vector 6 whose rax is TRAP_MAGIC is one of these: rdi = reason,
 * rsi = file, rdx = line. Both texts lie in the rodata of the cell that trapped (or in its
 * stack), NUL-terminated; whoever reads them bounds the length.
 */
#ifndef THESEUS_TRAP_H
#define THESEUS_TRAP_H

#include <stdint.h>

#define TRAP_MAGIC 0x5448545241500001ull

#if __STDC_HOSTED__
/* Code built for the host: its unit tests decide what a trap does. */
void trap_at(const char *reason, const char *file, unsigned line) __attribute__((noreturn));
#else
static inline __attribute__((noreturn)) void trap_at(const char *reason, const char *file,
						     unsigned line)
{
	__asm__ volatile("ud2"
			 :
			 : "a"(TRAP_MAGIC), "D"(reason), "S"(file), "d"((uint64_t)line)
			 : "memory");
	__builtin_unreachable();
}
#endif

#define TRAP(reason) trap_at((reason), __FILE__, __LINE__)

#endif
