/* SPDX-License-Identifier: MIT */
/* What a test guest has: ports, COM1, an end, interrupts, and memory mapped one to one. */
#ifndef TESTGUEST_GUEST_H
#define TESTGUEST_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_VECTOR 0x40u

extern volatile uint32_t guest_interrupts; /* how often vector GUEST_VECTOR came */

/* The program. Returning from it is a failure. */
void guest_main(void);

static inline void out8(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void out32(uint16_t port, uint32_t v)
{
	__asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline uint32_t in32(uint16_t port)
{
	uint32_t v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

void guest_say(const char *text);
_Noreturn void guest_exit(uint8_t code);

/* Says @what and ends with PLATFORM_EXIT_TEST_FAIL unless @ok. */
void guest_check(bool ok, const char *what);

/* Sleeps until an interrupt comes that was not counted in *@seen; counts it. */
void guest_wait(uint32_t *seen);

void *memcpy(void *dst, const void *src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);

#endif
