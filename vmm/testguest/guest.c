/* SPDX-License-Identifier: MIT */
#include "guest.h"

#include "constants.h"
#include "theseus/platform.h"

_Static_assert(PORT_COM1 == PLATFORM_PORT_COM1 && PORT_EXIT == PLATFORM_PORT_EXIT, "ports");
_Static_assert(CODE_POWEROFF == PLATFORM_EXIT_POWEROFF, "codes");
_Static_assert(CODE_CRASH == PLATFORM_EXIT_GATE_CRASH, "codes");
_Static_assert(CODE_OK == PLATFORM_EXIT_TEST_OK && CODE_FAIL == PLATFORM_EXIT_TEST_FAIL, "codes");

volatile uint32_t guest_interrupts;

void guest_say(const char *text)
{
	while (*text)
		out8(PLATFORM_PORT_COM1, (uint8_t)*text++);
	out8(PLATFORM_PORT_COM1, '\n');
}

void guest_exit(uint8_t code)
{
	for (;;)
		out8(PLATFORM_PORT_EXIT, code);
}

void guest_check(bool ok, const char *what)
{
	if (ok)
		return;
	guest_say(what);
	guest_exit(PLATFORM_EXIT_TEST_FAIL);
}

void guest_wait(uint32_t *seen)
{
	/* sti takes effect after the next instruction: nothing slips in before hlt */
	while (*seen == guest_interrupts)
		__asm__ volatile("sti; hlt; cli" : : : "memory");
	*seen = guest_interrupts;
}

void *memcpy(void *dst, const void *src, size_t n)
{
	void *d = dst;

	__asm__ volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(n) : : "memory");
	return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
	uint8_t *d = dst;
	const uint8_t *s = src;

	if (d <= s)
		return memcpy(dst, src, n);
	while (n--)
		d[n] = s[n];
	return dst;
}

void *memset(void *dst, int c, size_t n)
{
	void *d = dst;

	__asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
	return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const uint8_t *x = a, *y = b;

	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}
