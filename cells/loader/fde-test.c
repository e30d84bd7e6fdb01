/* SPDX-License-Identifier: MIT */
/* Unwind information by hand: what is listed, what is left out, what is refused. */
#include "fde.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <theseus/errno.h>
#include <theseus/types.h>

#define AT 0x2000u /* of the section */
#define TEXT 0x1000u
#define TEXT_BYTES 0x100u

/* A common entry of 20 bytes ("zR", relative addresses of 4 bytes), then entries of 20. */
struct section {
	uint8_t cie[20];
	struct {
		uint32_t length, cie;
		int32_t begin;
		uint32_t bytes;
		uint8_t rest[4];
	} fde[2];
	uint32_t end;
};

static struct section section(void)
{
	struct section s = {
		.cie = {16, 0, 0, 0, 0, 0, 0, 0, 1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b, 0, 0, 0},
	};

	for (unsigned i = 0; i < 2; i++) {
		uint32_t at = (uint32_t)offsetof(struct section, fde[i]);

		s.fde[i].length = 16;
		s.fde[i].cie = at + 4;
		s.fde[i].begin = (int32_t)(TEXT + 0x80 - i * 0x40) - (int32_t)(AT + at + 8);
		s.fde[i].bytes = 0x20;
	}
	return s;
}

static int64_t list(const struct section *s, size_t n, struct fde ret[2])
{
	return fde_list((struct slice){(const uint8_t *)s, n}, AT, TEXT, TEXT_BYTES, ret, 2);
}

static void test_lists(void **state)
{
	struct section s = section();
	struct fde fdes[2];

	(void)state;
	assert_int_equal(list(&s, sizeof(s), fdes), 2);
	assert_int_equal(fdes[0].at, TEXT + 0x80);
	assert_int_equal(fdes[0].bytes, 0x20);
	assert_int_equal(fdes[0].entry, AT + offsetof(struct section, fde[0]));
	assert_int_equal(fdes[1].at, TEXT + 0x40);
	s.fde[0].bytes = TEXT_BYTES; /* reaches past the text */
	assert_int_equal(list(&s, sizeof(s), fdes), 1);
	assert_int_equal(fdes[0].at, TEXT + 0x40);
	assert_int_equal(list(&s, 0, fdes), 0);
}

static void test_refuses(void **state)
{
	struct section good = section(), s = good;
	struct fde fdes[2];

	(void)state;
	assert_int_equal(list(&s, sizeof(s) - 6, fdes), -EINVAL);
	assert_int_equal(list(&s, 22, fdes), -EINVAL);
	s.fde[0].length = UINT32_MAX;
	assert_int_equal(list(&s, sizeof(s), fdes), -EINVAL);
	s = good;
	s.fde[0].length = 8; /* no room for the range */
	assert_int_equal(list(&s, sizeof(s), fdes), -EINVAL);
	s = good;
	s.fde[1].cie = 0x10000; /* before the section */
	assert_int_equal(list(&s, sizeof(s), fdes), -EINVAL);
	s = good;
	s.cie[16] = 0x00; /* absolute addresses */
	assert_int_equal(list(&s, sizeof(s), fdes), -EINVAL);
	s = good;
	s.cie[9] = 'x';
	assert_int_equal(list(&s, sizeof(s), fdes), -EINVAL);
}

static void test_finds(void **state)
{
	const struct fde fdes[] = {{0x10, 0x10, 1}, {0x20, 0x8, 2}, {0x40, 0x10, 3}};

	(void)state;
	assert_null(fde_find(fdes, 3, 0xf));
	assert_ptr_equal(fde_find(fdes, 3, 0x10), &fdes[0]);
	assert_ptr_equal(fde_find(fdes, 3, 0x1f), &fdes[0]);
	assert_ptr_equal(fde_find(fdes, 3, 0x27), &fdes[1]);
	assert_null(fde_find(fdes, 3, 0x28));
	assert_ptr_equal(fde_find(fdes, 3, 0x4f), &fdes[2]);
	assert_null(fde_find(fdes, 3, 0x50));
	assert_null(fde_find(fdes, 0, 0x10));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_finds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
