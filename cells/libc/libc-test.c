/* SPDX-License-Identifier: MIT */
/* Our functions against the host's, on random input from fixed seeds. */
#include <ctype.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <cmocka.h>

#include <theseus/trap.h>

/* The same types as the host's functions have. */
__typeof__(memcpy) our_memcpy;
__typeof__(memmove) our_memmove;
__typeof__(memset) our_memset;
__typeof__(memcmp) our_memcmp;
__typeof__(memchr) our_memchr;
__typeof__(strlen) our_strlen;
__typeof__(strnlen) our_strnlen;
__typeof__(strcmp) our_strcmp;
__typeof__(strncmp) our_strncmp;
__typeof__(strchr) our_strchr;
__typeof__(strrchr) our_strrchr;
__typeof__(strstr) our_strstr;
__typeof__(strspn) our_strspn;
__typeof__(strcspn) our_strcspn;
size_t our_strlcpy(char *dst, const char *src, size_t size);
__typeof__(vsnprintf) our_vsnprintf;
__typeof__(snprintf) our_snprintf;
__typeof__(strtol) our_strtol;
__typeof__(strtoul) our_strtoul;
__typeof__(strtoll) our_strtoll;
__typeof__(strtoull) our_strtoull;
__typeof__(qsort) our_qsort;
__typeof__(bsearch) our_bsearch;
void our_abort(void);
void our_assert_fail(const char *condition, const char *file, unsigned line, const char *function);
void our_stack_chk_fail(void);

#define BUF 8192u

/* xorshift64* */
static uint64_t rng;

static uint64_t random_u64(void)
{
	rng ^= rng >> 12;
	rng ^= rng << 25;
	rng ^= rng >> 27;
	return rng * 2685821657736338717ull;
}

static size_t below(size_t n)
{
	return (size_t)(random_u64() % n);
}

/* Small numbers mostly, so that every branch by size is met. */
static size_t any_size(void)
{
	static const size_t limits[] = {4, 20, 40, 200, 1100, 3000};

	return below(limits[below(6)]);
}

static void fill_random(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)random_u64();
}

static int sign(int v)
{
	return (v > 0) - (v < 0);
}

/* ---- memory ---- */

static void test_move(void **state)
{
	static uint8_t ours[BUF], theirs[BUF];

	(void)state;
	for (int i = 0; i < 20000; i++) {
		size_t n = any_size(), from = below(BUF / 2 - n), to = below(BUF / 2 - n);

		if (i % 64 == 0) {
			fill_random(ours, BUF);
			memcpy(theirs, ours, BUF);
		}
		if (i % 2) {
			to += BUF / 2; /* apart */
			assert_ptr_equal(our_memcpy(ours + to, ours + from, n), ours + to);
		} else {
			/* close together, so that most overlap */
			to = from + below(2 * n + 40);
			to = to > n + 20 ? to - n - 20 : 0;
			assert_ptr_equal(our_memmove(ours + to, ours + from, n), ours + to);
		}
		memmove(theirs + to, theirs + from, n);
		assert_memory_equal(ours, theirs, BUF);
	}
}

/* At any distance of the two places in their pages. */
static void test_move_by_distance(void **state)
{
	static uint8_t from[4096], ours[3 * 4096], theirs[3 * 4096];

	(void)state;
	fill_random(from, sizeof(from));
	for (size_t distance = 0; distance < 4096; distance += distance < 130 ? 1 : 61) {
		size_t to = ((uintptr_t)from + distance - (uintptr_t)ours) % 4096;
		size_t n = 2000 + below(2000);

		memset(ours, 0, sizeof(ours));
		memset(theirs, 0, sizeof(theirs));
		assert_ptr_equal((distance % 3 ? our_memcpy : our_memmove)(ours + to, from, n),
				 ours + to);
		memcpy(theirs + to, from, n);
		assert_memory_equal(ours, theirs, sizeof(ours));
	}
}

static void test_set(void **state)
{
	static uint8_t ours[BUF], theirs[BUF];

	(void)state;
	for (int i = 0; i < 20000; i++) {
		size_t n = any_size(), at = below(BUF - n);
		int c = (int)random_u64();

		assert_ptr_equal(our_memset(ours + at, c, n), ours + at);
		memset(theirs + at, c, n);
		assert_memory_equal(ours, theirs, BUF);
	}
}

static void test_compare(void **state)
{
	uint8_t a[300], b[300];

	(void)state;
	for (int i = 0; i < 50000; i++) {
		size_t n = below(100), x = below(200), y = below(200);
		int c = (int)below(256);

		fill_random(a, sizeof(a));
		memcpy(b, a, sizeof(b));
		memcpy(b + y, a + x, n);
		if (n > 0 && below(2))
			b[y + below(n)] ^= (uint8_t)(1u << below(8));
		assert_int_equal(sign(our_memcmp(a + x, b + y, n)), sign(memcmp(a + x, b + y, n)));
		assert_ptr_equal(our_memchr(a + x, c, n), memchr(a + x, c, n));
	}
}

/* ---- strings ---- */

/* Of few letters, so that matches happen. */
static void random_string(char *s, size_t max)
{
	size_t n = below(max);

	for (size_t i = 0; i < n; i++)
		s[i] = "ab\xff"
		       "c"[below(4)];
	s[n] = '\0';
}

static void test_strings(void **state)
{
	char a[40], b[40];

	(void)state;
	for (int i = 0; i < 100000; i++) {
		size_t n = below(44);
		int c = "abcd\0"[below(5)];

		random_string(a, sizeof(a));
		random_string(b, below(2) ? sizeof(b) : 4);
		assert_int_equal(our_strlen(a), strlen(a));
		assert_int_equal(our_strnlen(a, n), strnlen(a, n));
		assert_int_equal(sign(our_strcmp(a, b)), sign(strcmp(a, b)));
		assert_int_equal(sign(our_strncmp(a, b, n)), sign(strncmp(a, b, n)));
		assert_ptr_equal(our_strchr(a, c), strchr(a, c));
		assert_ptr_equal(our_strrchr(a, c), strrchr(a, c));
		assert_ptr_equal(our_strstr(a, b), strstr(a, b));
		assert_int_equal(our_strspn(a, b), strspn(a, b));
		assert_int_equal(our_strcspn(a, b), strcspn(a, b));
	}
}

static void test_strlcpy(void **state)
{
	char buf[8];

	(void)state;
	memset(buf, 'x', sizeof(buf));
	assert_int_equal(our_strlcpy(buf, "abc", 0), 3);
	assert_int_equal(buf[0], 'x');
	assert_int_equal(our_strlcpy(buf, "abc", 1), 3);
	assert_string_equal(buf, "");
	assert_int_equal(our_strlcpy(buf, "abc", 3), 3);
	assert_string_equal(buf, "ab");
	assert_int_equal(our_strlcpy(buf, "abc", 4), 3);
	assert_string_equal(buf, "abc");
	assert_int_equal(our_strlcpy(buf, "abcdefghijk", sizeof(buf)), 11);
	assert_string_equal(buf, "abcdefg");
}

/* ---- formatting ---- */

#pragma GCC diagnostic ignored "-Wformat-nonliteral"

/* A conversion in which nothing is left open by C. @kind: d, u, s, c, p, %. */
static void random_spec(char *spec, char kind, char length[3], char *ret_letter)
{
	static const char *const lengths[] = {"", "hh", "h", "l", "ll", "z", "j", "t"};
	char *p = spec;

	*ret_letter = kind;
	length[0] = '\0';
	*p++ = '%';
	if (kind == 'u')
		*ret_letter = "uoxX"[below(4)];
	if (kind == 'd' || kind == 'u') {
		strcpy(length, lengths[below(8)]);
		if (below(3) == 0)
			*p++ = '0';
		if (kind == 'd' && below(3) == 0)
			*p++ = '+';
		if (kind == 'd' && below(3) == 0)
			*p++ = ' ';
		if (kind == 'u' && *ret_letter != 'u' && below(3) == 0)
			*p++ = '#';
	}
	if (kind != '%') {
		if (below(3) == 0)
			*p++ = '-';
		if (below(2) == 0)
			p += sprintf(p, "%d", (int)below(30));
	}
	if ((kind == 'd' || kind == 'u' || kind == 's') && below(2) == 0)
		p += sprintf(p, below(4) ? ".%d" : ".", (int)below(25));
	sprintf(p, "%s%c", length, *ret_letter);
}

static uint64_t random_number(void)
{
	static const uint64_t edges[] = {0,
					 1,
					 9,
					 10,
					 INT_MAX,
					 INT64_MAX,
					 UINT64_MAX,
					 (uint64_t)INT_MIN,
					 (uint64_t)INT64_MIN,
					 UINT_MAX,
					 255,
					 256};

	return below(3) ? random_u64() >> below(64) : edges[below(12)];
}

static void check_number(const char *fmt, const char *length, uint64_t v)
{
	char ours[200], theirs[200];
	size_t size = below(4) ? sizeof(ours) : below(20);
	int a, b;

	memset(ours, 'x', sizeof(ours));
	memset(theirs, 'x', sizeof(theirs));
	if (length[0] == '\0' || length[0] == 'h') {
		a = our_snprintf(ours, size, fmt, (unsigned)v);
		b = snprintf(theirs, size, fmt, (unsigned)v);
	} else {
		a = our_snprintf(ours, size, fmt, v);
		b = snprintf(theirs, size, fmt, v);
	}
	if (a != b || memcmp(ours, theirs, sizeof(ours)) != 0)
		fail_msg("%s of %#lx: %d '%.100s', not %d '%.100s'", fmt, v, a, ours, b, theirs);
}

static void test_format_numbers(void **state)
{
	char spec[40], fmt[80], length[3], letter;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		random_spec(spec, "du"[below(2)], length, &letter);
		snprintf(fmt, sizeof(fmt), "<%s>%s", spec, below(2) ? "%%" : "");
		check_number(fmt, length, random_number());
	}
}

static void test_format_text(void **state)
{
	char spec[40], length[3], letter, text[40], ours[100], theirs[100];

	(void)state;
	for (int i = 0; i < 50000; i++) {
		const void *p = (const void *)(uintptr_t)(below(4) ? random_u64() >> below(64) : 0);
		int a, b;

		random_string(text, sizeof(text));
		random_spec(spec, 's', length, &letter);
		a = our_snprintf(ours, sizeof(ours), spec, text);
		b = snprintf(theirs, sizeof(theirs), spec, text);
		assert_int_equal(a, b);
		assert_string_equal(ours, theirs);
		random_spec(spec, 'c', length, &letter);
		a = our_snprintf(ours, sizeof(ours), spec, text[0]);
		b = snprintf(theirs, sizeof(theirs), spec, text[0]);
		assert_int_equal(a, b);
		assert_memory_equal(ours, theirs, (size_t)a + 1);
		random_spec(spec, 'p', length, &letter);
		a = our_snprintf(ours, sizeof(ours), spec, p);
		b = snprintf(theirs, sizeof(theirs), spec, p);
		assert_int_equal(a, b);
		assert_string_equal(ours, theirs);
	}
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wformat-overflow"
#pragma GCC diagnostic ignored "-Wformat-truncation"
#endif
static void test_format_edges(void **state)
{
	char buf[64], bounded[3] = {'a', 'b', 'c'};

	(void)state;
	assert_int_equal(our_snprintf(NULL, 0, "%d-%s", 12, "ab"), 5);
	assert_int_equal(our_snprintf(buf, sizeof(buf), "%*d|%-*d|", 5, 1, 5, 2), 12);
	assert_string_equal(buf, "    1|2    |");
	assert_int_equal(our_snprintf(buf, sizeof(buf), "%*d|", -5, 1), 6);
	assert_string_equal(buf, "1    |");
	assert_int_equal(our_snprintf(buf, sizeof(buf), "%.*s|", 2, "abcdef"), 3);
	assert_string_equal(buf, "ab|");
	assert_int_equal(our_snprintf(buf, sizeof(buf), "%.*s|", -1, "abc"), 4);
	assert_int_equal(our_snprintf(buf, sizeof(buf), "%.3s", bounded), 3);
	assert_int_equal(our_snprintf(buf, sizeof(buf), "%s", (const char *)NULL), 6);
	assert_string_equal(buf, "(null)");
	/* what is not known ends the text, and no argument is guessed */
	assert_int_equal(our_snprintf(buf, sizeof(buf), "a%fb%s", 1.0, "x"), 1);
	assert_string_equal(buf, "a");
	assert_int_equal(our_snprintf(buf, sizeof(buf), "a%"), 1);
	assert_int_equal(our_snprintf(buf, sizeof(buf), "a%5"), 1);
	assert_int_equal(our_snprintf(buf, sizeof(buf), "a%n", NULL), 1);
	/* longer than an int can say */
	assert_int_equal(our_snprintf(buf, sizeof(buf), "%2147483647d%d", 1, 1), -1);
	assert_int_equal(our_snprintf(buf, sizeof(buf), "%99999999999d|", 1), -1);
	assert_int_equal(our_snprintf(buf, sizeof(buf), "%*d|", INT_MIN, 1), -1);
	assert_int_equal(our_snprintf(buf, sizeof(buf), "%.2147483647d", 1), 2147483647);
	assert_int_equal(buf[62], '0');
	assert_int_equal(buf[63], '\0');
}
#pragma GCC diagnostic pop

/* ---- numbers ---- */

static void random_numeral(char *s, size_t max)
{
	size_t n = below(max);

	for (size_t i = 0; i < n; i++)
		s[i] = " +-00xX19afFz7\t"[below(15)];
	s[n] = '\0';
	if (below(4) == 0)
		sprintf(s, "%s%lu", below(2) ? "-" : "", random_number());
}

static void test_numerals(void **state)
{
	static const int bases[] = {0, 2, 8, 10, 16, 36, 1, 37, -1};
	char s[48], *a, *b;

	(void)state;
	for (int i = 0; i < 300000; i++) {
		int base = bases[below(9)];

		random_numeral(s, 24);
		if (base == 1 || base == 37 || base == -1) {
			assert_int_equal(our_strtoull(s, &a, base), 0);
			assert_ptr_equal(a, s);
			continue;
		}
		assert_true(our_strtoull(s, &a, base) == strtoull(s, &b, base));
		assert_ptr_equal(a, b);
		assert_true(our_strtoll(s, &a, base) == strtoll(s, &b, base));
		assert_ptr_equal(a, b);
		assert_true(our_strtoul(s, &a, base) == strtoul(s, &b, base));
		assert_true(our_strtol(s, NULL, base) == strtol(s, NULL, base));
	}
}

/* ---- sorting ---- */

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void test_sort(void **state)
{
	uint32_t ours[200], theirs[200];

	(void)state;
	for (int i = 0; i < 2000; i++) {
		size_t n = below(200), range = 1 + below(300);
		uint32_t key = (uint32_t)below(range);
		const uint32_t *found;
		bool there = false;

		for (size_t k = 0; k < n; k++) {
			ours[k] = theirs[k] = (uint32_t)below(range);
			there = there || ours[k] == key;
		}
		our_qsort(ours, n, sizeof(*ours), compare_u32);
		qsort(theirs, n, sizeof(*theirs), compare_u32);
		assert_memory_equal(ours, theirs, n * sizeof(*ours));
		found = our_bsearch(&key, ours, n, sizeof(*ours), compare_u32);
		assert_true(there == (found != NULL));
		if (found)
			assert_true(*found == key && found >= ours && found < ours + n);
	}
}

/* ---- deliberate faults ---- */

static sigjmp_buf landing;
static struct {
	uint64_t rax, rdx;
	const char *reason, *file;
} trapped;

static void on_trap(int number, siginfo_t *info, void *context)
{
	const ucontext_t *u = context;

	(void)number;
	(void)info;
	trapped.rax = (uint64_t)u->uc_mcontext.gregs[REG_RAX];
	trapped.rdx = (uint64_t)u->uc_mcontext.gregs[REG_RDX];
	trapped.reason = (const char *)u->uc_mcontext.gregs[REG_RDI];
	trapped.file = (const char *)u->uc_mcontext.gregs[REG_RSI];
	siglongjmp(landing, 1);
}

static void fail_assertion(void)
{
	our_assert_fail("a == b", "file.c", 42, "function");
}

static void expect_trap(void (*fn)(void), const char *reason)
{
	memset(&trapped, 0, sizeof(trapped));
	if (sigsetjmp(landing, 1) == 0)
		fn();
	assert_true(trapped.rax == TRAP_MAGIC);
	assert_string_equal(trapped.reason, reason);
}

static void test_traps(void **state)
{
	struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO}, old;

	(void)state;
	assert_int_equal(sigaction(SIGILL, &action, &old), 0);
	expect_trap(our_abort, "abort");
	expect_trap(our_stack_chk_fail, "stack smashed");
	expect_trap(fail_assertion, "a == b");
	assert_string_equal(trapped.file, "file.c");
	assert_int_equal(trapped.rdx, 42);
	assert_int_equal(sigaction(SIGILL, &old, NULL), 0);
}

static int seed_rng(void **state)
{
	(void)state;
	rng = 0x7468657365757301ull;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_move, seed_rng),
		cmocka_unit_test_setup(test_move_by_distance, seed_rng),
		cmocka_unit_test_setup(test_set, seed_rng),
		cmocka_unit_test_setup(test_compare, seed_rng),
		cmocka_unit_test_setup(test_strings, seed_rng),
		cmocka_unit_test(test_strlcpy),
		cmocka_unit_test_setup(test_format_numbers, seed_rng),
		cmocka_unit_test_setup(test_format_text, seed_rng),
		cmocka_unit_test(test_format_edges),
		cmocka_unit_test_setup(test_numerals, seed_rng),
		cmocka_unit_test_setup(test_sort, seed_rng),
		cmocka_unit_test(test_traps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
