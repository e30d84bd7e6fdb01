/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct number {
	unsigned long long magnitude; /* ULLONG_MAX when it does not fit */
	bool negative;
	bool overflow;
};

static unsigned digit_value(char c)
{
	if (isdigit(c))
		return (unsigned)(c - '0');
	if (isalpha(c))
		return (unsigned)(tolower(c) - 'a') + 10;
	return UINT_MAX;
}

static bool base_is_valid(int base)
{
	return base == 0 || (base >= 2 && base <= 36);
}

/* Skips 0x where it is a prefix, and settles the base. */
static const char *take_prefix(const char *s, unsigned *base)
{
	bool hex = s[0] == '0' && (s[1] == 'x' || s[1] == 'X') && isxdigit(s[2]);

	if (hex && (*base == 0 || *base == 16)) {
		*base = 16;
		return s + 2;
	}
	if (*base == 0)
		*base = s[0] == '0' ? 8 : 10;
	return s;
}

static struct number parse(const char *s, char **ret_end, int base_in)
{
	const char *start = s, *digits;
	struct number v = {0};
	unsigned base = (unsigned)base_in, d;

	if (base_is_valid(base_in)) {
		while (isspace(*s))
			s++;
		v.negative = *s == '-';
		if (*s == '-' || *s == '+')
			s++;
		s = take_prefix(s, &base);
		for (digits = s; (d = digit_value(*s)) < base; s++) {
			if (__builtin_mul_overflow(v.magnitude, base, &v.magnitude) ||
			    __builtin_add_overflow(v.magnitude, d, &v.magnitude))
				v.overflow = true;
		}
		if (s == digits)
			s = start;
	}
	if (v.overflow)
		v.magnitude = ULLONG_MAX;
	if (ret_end)
		*ret_end = (char *)(uintptr_t)s;
	return v;
}

unsigned long long strtoull(const char *restrict s, char **restrict ret_end, int base)
{
	struct number v = parse(s, ret_end, base);

	return v.negative && !v.overflow ? -v.magnitude : v.magnitude;
}

long long strtoll(const char *restrict s, char **restrict ret_end, int base)
{
	struct number v = parse(s, ret_end, base);

	if (v.negative)
		return v.magnitude > LLONG_MAX ? LLONG_MIN : -(long long)v.magnitude;
	return v.magnitude > LLONG_MAX ? LLONG_MAX : (long long)v.magnitude;
}

_Static_assert(sizeof(long) == sizeof(long long), "x86-64");

unsigned long strtoul(const char *restrict s, char **restrict ret_end, int base)
{
	return strtoull(s, ret_end, base);
}

long strtol(const char *restrict s, char **restrict ret_end, int base)
{
	return strtoll(s, ret_end, base);
}
