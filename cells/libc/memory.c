/* SPDX-License-Identifier: MIT */
/*
 * Memory functions. Blocks up to 32 bytes are moved by loads that overlap in the middle and
 * are all done before the first store, so that memcpy and memmove share them.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef uint16_t __attribute__((aligned(1), may_alias)) u16;
typedef uint32_t __attribute__((aligned(1), may_alias)) u32;
typedef uint64_t __attribute__((aligned(1), may_alias)) u64;
typedef uint64_t __attribute__((vector_size(16), aligned(1), may_alias)) u128;

/* From here on the microcode's copy beats the loop of 16-byte moves; of 1 KiB both take 25 ns. */
#define REP_MIN 2048u
/* From here on its stores do; smaller blocks would pay for the start. */
#define REP_SET_MIN 1024u

/*
 * Where a block lies less than a line behind the other in its page, the microcode of AMD's Zen
 * takes the one for overlapping the other, and moves byte by byte: 20 times as long.
 */
static inline bool rep_is_good(const uint8_t *d, const uint8_t *s, size_t n)
{
	uintptr_t behind = ((uintptr_t)d - (uintptr_t)s) % 4096;

	return n >= REP_MIN && (behind == 0 || behind >= 64);
}

static inline __attribute__((always_inline)) void move_small(uint8_t *d, const uint8_t *s, size_t n)
{
	if (n >= 16) {
		u128 head = *(const u128 *)s, tail = *(const u128 *)(s + n - 16);

		*(u128 *)d = head;
		*(u128 *)(d + n - 16) = tail;
	} else if (n >= 8) {
		u64 head = *(const u64 *)s, tail = *(const u64 *)(s + n - 8);

		*(u64 *)d = head;
		*(u64 *)(d + n - 8) = tail;
	} else if (n >= 4) {
		u32 head = *(const u32 *)s, tail = *(const u32 *)(s + n - 4);

		*(u32 *)d = head;
		*(u32 *)(d + n - 4) = tail;
	} else if (n >= 2) {
		u16 head = *(const u16 *)s, tail = *(const u16 *)(s + n - 2);

		*(u16 *)d = head;
		*(u16 *)(d + n - 2) = tail;
	} else if (n == 1) {
		*d = *s;
	}
}

/* More than 32 bytes, upwards; @d may overlap @s from below. */
static inline __attribute__((always_inline)) void move_up(uint8_t *d, const uint8_t *s, size_t n)
{
	u128 tail = *(const u128 *)(s + n - 16);
	uint8_t *end = d + n - 16;

	for (; end - d >= 64; d += 64, s += 64) {
		u128 a = *(const u128 *)s, b = *(const u128 *)(s + 16);
		u128 e = *(const u128 *)(s + 32), f = *(const u128 *)(s + 48);

		*(u128 *)d = a;
		*(u128 *)(d + 16) = b;
		*(u128 *)(d + 32) = e;
		*(u128 *)(d + 48) = f;
	}
	for (; d < end; d += 16, s += 16)
		*(u128 *)d = *(const u128 *)s;
	*(u128 *)end = tail;
}

/* More than 32 bytes, downwards; @d may overlap @s from above. */
static void move_down(uint8_t *d, const uint8_t *s, size_t n)
{
	u128 head = *(const u128 *)s;

	for (size_t at = n; at > 16; at -= 16)
		*(u128 *)(d + at - 16) = *(const u128 *)(s + at - 16);
	*(u128 *)d = head;
}

static inline void move_rep(uint8_t *d, const uint8_t *s, size_t n)
{
	__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
}

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
	if (n <= 32)
		move_small(dst, src, n);
	else if (rep_is_good(dst, src, n))
		move_rep(dst, src, n);
	else
		move_up(dst, src, n);
	return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
	uintptr_t distance = (uintptr_t)dst - (uintptr_t)src;

	if (n <= 32)
		move_small(dst, src, n);
	else if (distance < n)
		move_down(dst, src, n);
	else if (-distance >= n && rep_is_good(dst, src, n))
		move_rep(dst, src, n);
	else
		move_up(dst, src, n);
	return dst;
}

void *memset(void *dst, int c, size_t n)
{
	uint8_t *d = dst;
	uint64_t word = 0x0101010101010101ull * (uint8_t)c;
	u128 block = {word, word};

	if (n >= REP_SET_MIN) {
		size_t words = n / sizeof(word);

		/* by words: without fast strings, as under TCG, each step costs the same */
		*(u64 *)(d + n - 8) = word;
		__asm__ volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(word) : "memory");
	} else if (n >= 16) {
		uint8_t *end = d + n - 16;

		for (; d < end; d += 16)
			*(u128 *)d = block;
		*(u128 *)end = block;
	} else if (n >= 8) {
		*(u64 *)d = word;
		*(u64 *)(d + n - 8) = word;
	} else if (n >= 4) {
		*(u32 *)d = (uint32_t)word;
		*(u32 *)(d + n - 4) = (uint32_t)word;
	} else {
		for (size_t i = 0; i < n; i++)
			d[i] = (uint8_t)c;
	}
	return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const uint8_t *p = a, *q = b;

	for (; n >= 8; p += 8, q += 8, n -= 8) {
		uint64_t x = *(const u64 *)p, y = *(const u64 *)q;

		if (x != y)
			return __builtin_bswap64(x) < __builtin_bswap64(y) ? -1 : 1;
	}
	for (; n > 0; p++, q++, n--) {
		if (*p != *q)
			return *p - *q;
	}
	return 0;
}

void *memchr(const void *p, int c, size_t n)
{
	const uint8_t *s = p;

	for (size_t i = 0; i < n; i++) {
		if (s[i] == (uint8_t)c)
			return (void *)(uintptr_t)(s + i);
	}
	return NULL;
}
