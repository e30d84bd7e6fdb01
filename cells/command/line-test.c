/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include <theseus/errno.h>

#include "line.h"

static char line[COMMAND_LINE_MAX];
static const char *argv[COMMAND_ARGS_MAX + 1];

static int split(const char *text)
{
	memset(argv, 0xff, sizeof(argv));
	strcpy(line, text);
	return command_split(line, argv);
}

static void words_are_split_at_blanks(void **state)
{
	(void)state;
	assert_int_equal(split("  greet \t now\r\n"), 2);
	assert_string_equal(argv[0], "greet");
	assert_string_equal(argv[1], "now");
	assert_null(argv[2]);
	assert_int_equal(split(""), 0);
	assert_null(argv[0]);
	assert_int_equal(split(" \t\r\n"), 0);
}

static void quotes_keep_blanks(void **state)
{
	(void)state;
	assert_int_equal(split("say \"two words\" a\" \"b \"\""), 4);
	assert_string_equal(argv[1], "two words");
	assert_string_equal(argv[2], "a b");
	assert_string_equal(argv[3], "");
}

static void open_quotes_and_too_many_words_are_refused(void **state)
{
	(void)state;
	assert_int_equal(split("say \"two words"), -EINVAL);
	assert_int_equal(split("\""), -EINVAL);
	assert_int_equal(split("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"), COMMAND_ARGS_MAX);
	assert_null(argv[COMMAND_ARGS_MAX]);
	assert_int_equal(split("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17"), -E2BIG);
}

static void output_is_cut_at_its_end(void **state)
{
	struct command_io io;
	char buf[8];

	(void)state;
	command_io_init(&io, buf, sizeof(buf));
	command_printf(&io, "%d-%s", 12, "ab");
	assert_int_equal(io.used, 5);
	assert_false(io.truncated);
	command_printf(&io, "cdefgh");
	assert_int_equal(io.used, 8);
	assert_true(io.truncated);
	assert_memory_equal(buf, "12-ab", 5);
	assert_memory_equal(buf + 5, "cde", 3);
	command_write(&io, "x", 1);
	assert_int_equal(io.used, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_split_at_blanks),
		cmocka_unit_test(quotes_keep_blanks),
		cmocka_unit_test(open_quotes_and_too_many_words_are_refused),
		cmocka_unit_test(output_is_cut_at_its_end),
	};

	return cmocka_run_group_tests_name("command-line", tests, NULL, NULL);
}
