/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct out {
	char *buf;
	size_t size; /* of buf, the NUL included */
	size_t len;  /* of the whole text so far */
};

enum length { LEN_NONE, LEN_HH, LEN_H, LEN_L, LEN_LL };

struct spec {
	bool minus, zero, plus, space, alt;
	int width;
	int precision; /* -1: none was given */
	enum length length;
};

static void put(struct out *o, const char *s, size_t n)
{
	if (o->len < o->size) {
		size_t room = o->size - o->len;

		memcpy(o->buf + o->len, s, n < room ? n : room);
	}
	o->len += n;
}

static void fill(struct out *o, char c, size_t n)
{
	if (o->len < o->size) {
		size_t room = o->size - o->len;

		memset(o->buf + o->len, c, n < room ? n : room);
	}
	o->len += n;
}

/* A non-negative number; what does not fit an int is INT_MAX. */
static int take_int(const char **fmt)
{
	int v = 0;

	for (; isdigit(**fmt); (*fmt)++) {
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, **fmt - '0', &v))
			v = INT_MAX;
	}
	return v;
}

static bool take_flag(char c, struct spec *s)
{
	switch (c) {
	case '-':
		s->minus = true;
		return true;
	case '0':
		s->zero = true;
		return true;
	case '+':
		s->plus = true;
		return true;
	case ' ':
		s->space = true;
		return true;
	case '#':
		s->alt = true;
		return true;
	default:
		return false;
	}
}

static enum length take_length(const char **fmt)
{
	char c = **fmt;

	if (c == 'z' || c == 'j' || c == 't') {
		(*fmt)++;
		return LEN_L;
	}
	if (c != 'h' && c != 'l')
		return LEN_NONE;
	(*fmt)++;
	if (**fmt != c)
		return c == 'h' ? LEN_H : LEN_L;
	(*fmt)++;
	return c == 'h' ? LEN_HH : LEN_LL;
}

/* Text in a field: cut by the precision already, padded to the width. */
static void put_text(struct out *o, const struct spec *s, const char *text, size_t n)
{
	size_t pad = (size_t)s->width > n ? (size_t)s->width - n : 0;

	if (!s->minus)
		fill(o, ' ', pad);
	put(o, text, n);
	if (s->minus)
		fill(o, ' ', pad);
}

/* Digits of @v, most significant first; returns how many. */
static size_t digits_of(uint64_t v, unsigned base, bool upper, char ret_digits[22])
{
	const char *set = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char reversed[22];
	size_t n = 0;

	for (; v > 0; v /= base)
		reversed[n++] = set[v % base];
	for (size_t i = 0; i < n; i++)
		ret_digits[i] = reversed[n - 1 - i];
	return n;
}

/* A number in a field: @prefix is its sign or 0x. */
static void put_number(struct out *o, const struct spec *s, const char *prefix, uint64_t v,
		       unsigned base, bool upper)
{
	char digits[22];
	size_t n = digits_of(v, base, upper, digits), n_prefix = strlen(prefix);
	size_t wanted = s->precision < 0 ? 1 : (size_t)s->precision;
	size_t width = (size_t)s->width, used;

	if (base == 8 && s->alt && wanted <= n)
		wanted = n + 1;
	if (s->precision < 0 && s->zero && !s->minus && width > n_prefix &&
	    wanted < width - n_prefix)
		wanted = width - n_prefix;
	if (wanted < n)
		wanted = n;
	used = n_prefix + wanted;
	if (!s->minus && width > used)
		fill(o, ' ', width - used);
	put(o, prefix, n_prefix);
	fill(o, '0', wanted - n);
	put(o, digits, n);
	if (s->minus && width > used)
		fill(o, ' ', width - used);
}

static uint64_t cut_signed(uint64_t v, enum length length)
{
	switch (length) {
	case LEN_HH:
		return (uint64_t)(int8_t)v;
	case LEN_H:
		return (uint64_t)(int16_t)v;
	case LEN_NONE:
		return (uint64_t)(int32_t)v;
	default:
		return v;
	}
}

static uint64_t cut_unsigned(uint64_t v, enum length length)
{
	switch (length) {
	case LEN_HH:
		return (uint8_t)v;
	case LEN_H:
		return (uint16_t)v;
	case LEN_NONE:
		return (uint32_t)v;
	default:
		return v;
	}
}

static void put_signed(struct out *o, const struct spec *s, uint64_t raw)
{
	uint64_t v = cut_signed(raw, s->length);
	const char *sign = s->plus ? "+" : s->space ? " " : "";

	if ((int64_t)v < 0)
		put_number(o, s, "-", -v, 10, false);
	else
		put_number(o, s, sign, v, 10, false);
}

static void put_unsigned(struct out *o, const struct spec *s, uint64_t raw, char conversion)
{
	uint64_t v = cut_unsigned(raw, s->length);
	bool upper = conversion == 'X';
	const char *prefix = "";

	if (conversion == 'u') {
		put_number(o, s, "", v, 10, false);
	} else if (conversion == 'o') {
		put_number(o, s, "", v, 8, false);
	} else {
		if (s->alt && v != 0)
			prefix = upper ? "0X" : "0x";
		put_number(o, s, prefix, v, 16, upper);
	}
}

static void put_string(struct out *o, const struct spec *s, const char *text)
{
	if (!text)
		text = "(null)";
	put_text(o, s, text, s->precision < 0 ? strlen(text) : strnlen(text, (size_t)s->precision));
}

static void put_pointer(struct out *o, const struct spec *s, const void *p)
{
	if (p)
		put_number(o, s, "0x", (uintptr_t)p, 16, false);
	else
		put_text(o, s, "(nil)", 5);
}

/* A va_list that can be passed by reference: an array type decays as a parameter. */
struct arguments {
	va_list list;
};

/* The next integer argument, as wide as the length says, in the low bits. */
static uint64_t next_integer(struct arguments *args, enum length length)
{
	if (length == LEN_L || length == LEN_LL)
		return va_arg(args->list, unsigned long long);
	return va_arg(args->list, unsigned);
}

/* Flags, width, precision and length of the conversion at *fmt; leaves *fmt on its letter. */
static struct spec take_spec(const char **fmt, struct arguments *args)
{
	struct spec s = {.precision = -1};

	while (take_flag(**fmt, &s))
		(*fmt)++;
	if (**fmt == '*') {
		(*fmt)++;
		s.width = va_arg(args->list, int);
		if (s.width < 0) {
			s.minus = true;
			s.width = s.width == INT_MIN ? INT_MAX : -s.width;
		}
	} else {
		s.width = take_int(fmt);
	}
	if (**fmt == '.') {
		(*fmt)++;
		if (**fmt == '*') {
			(*fmt)++;
			s.precision = va_arg(args->list, int);
		} else {
			s.precision = take_int(fmt);
		}
	}
	s.length = take_length(fmt);
	return s;
}

/* Result: false if @conversion is none of ours. */
static bool put_conversion(struct out *o, const struct spec *s, char conversion,
			   struct arguments *args)
{
	char c;

	switch (conversion) {
	case 'd':
	case 'i':
		put_signed(o, s, next_integer(args, s->length));
		return true;
	case 'u':
	case 'o':
	case 'x':
	case 'X':
		put_unsigned(o, s, next_integer(args, s->length), conversion);
		return true;
	case 'p':
		put_pointer(o, s, va_arg(args->list, const void *));
		return true;
	case 's':
		put_string(o, s, va_arg(args->list, const char *));
		return true;
	case 'c':
		c = (char)va_arg(args->list, int);
		put_text(o, s, &c, 1);
		return true;
	case '%':
		put(o, "%", 1);
		return true;
	default:
		return false;
	}
}

int vsnprintf(char *restrict buf, size_t size, const char *restrict fmt, va_list list)
{
	struct out o = {.buf = buf, .size = size};
	struct arguments args;
	const char *at = fmt;

	va_copy(args.list, list);
	for (;;) {
		size_t n = 0;
		struct spec s;

		while (at[n] != '\0' && at[n] != '%')
			n++;
		put(&o, at, n);
		at += n;
		if (*at == '\0')
			break;
		at++;
		s = take_spec(&at, &args);
		if (!put_conversion(&o, &s, *at, &args))
			break;
		at++;
	}
	va_end(args.list);
	if (size > 0)
		buf[o.len < size ? o.len : size - 1] = '\0';
	return o.len > INT_MAX ? -1 : (int)o.len;
}

int snprintf(char *restrict buf, size_t size, const char *restrict fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(buf, size, fmt, args);
	va_end(args);
	return n;
}
