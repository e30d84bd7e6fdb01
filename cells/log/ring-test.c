/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ring.h"

static struct log_ring ring;

static int setup(void **state)
{
	(void)state;
	memset(&ring, 0, sizeof(ring));
	return 0;
}

static void add(unsigned n)
{
	while (n--) {
		struct log_record r = {.level = LOG_INFO};

		(void)snprintf(r.text, sizeof(r.text), "text %llu",
			       (unsigned long long)ring.last_seq + 1);
		log_ring_add(&ring, &r);
	}
}

static void expect(uint64_t ask, uint64_t seq, uint64_t lost)
{
	struct log_record r;
	uint64_t ret_lost;
	char text[32];

	assert_int_equal(log_ring_read(&ring, ask, &r, &ret_lost), 0);
	assert_int_equal(r.seq, seq);
	assert_int_equal(ret_lost, lost);
	(void)snprintf(text, sizeof(text), "text %llu", (unsigned long long)seq);
	assert_string_equal(r.text, text);
}

static void an_empty_ring_has_nothing(void **state)
{
	struct log_record r;
	uint64_t lost = 42;

	(void)state;
	assert_int_equal(log_ring_read(&ring, 0, &r, &lost), -ENOENT);
	assert_int_equal(log_ring_read(&ring, 1, &r, &lost), -ENOENT);
	assert_int_equal(log_ring_read(&ring, UINT64_MAX, &r, &lost), -ENOENT);
	assert_int_equal(lost, 42);
}

static void records_come_in_order(void **state)
{
	struct log_record r;
	uint64_t lost;

	(void)state;
	add(3);
	expect(0, 1, 0);
	for (uint64_t seq = 1; seq <= 3; seq++)
		expect(seq, seq, 0);
	assert_int_equal(log_ring_read(&ring, 4, &r, &lost), -ENOENT);
}

static void what_was_overwritten_is_counted(void **state)
{
	(void)state;
	add(LOG_RECORDS);
	expect(0, 1, 0);
	add(1);
	expect(1, 2, 1);
	expect(2, 2, 0);
	add(5 * LOG_RECORDS);
	expect(1, 5 * LOG_RECORDS + 2, 5 * LOG_RECORDS + 1);
	expect(ring.last_seq, ring.last_seq, 0);
}

static void a_record_is_one_line(void **state)
{
	char text[] = "two\nlines\tand \x1b[31mred\x7f\n\n";
	char empty[] = "\n";

	(void)state;
	log_tidy(text);
	assert_string_equal(text, "two?lines?and ?[31mred?");
	log_tidy(empty);
	assert_string_equal(empty, "");
}

#define CASE(fn) cmocka_unit_test_setup(fn, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_empty_ring_has_nothing),
		CASE(records_come_in_order),
		CASE(what_was_overwritten_is_counted),
		CASE(a_record_is_one_line),
	};

	return cmocka_run_group_tests_name("log-ring", tests, NULL, NULL);
}
