/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "terminal-fake.h"

#define LEFT "\033[D"
#define RIGHT "\033[C"
#define UP "\033[A"
#define DOWN "\033[B"

static struct editor e;
static struct terminal t;
static char taken[COMMAND_LINE_MAX]; /* the last line that was entered */
static unsigned entered, given_up, tabs;

static int setup(void **state)
{
	(void)state;
	memset(&e, 0, sizeof(e));
	terminal_init(&t);
	taken[0] = '\0';
	entered = given_up = tabs = 0;
	return 0;
}

static void type_bytes(const char *keys, size_t n)
{
	static char buf[65536];
	struct command_io io;

	for (size_t i = 0; i < n; i++) {
		command_io_init(&io, buf, sizeof(buf));
		switch (edit_byte(&e, &io, keys[i])) {
		case EDIT_ENTER:
			strcpy(taken, e.line);
			entered++;
			edit_begin(&e);
			break;
		case EDIT_GIVEN_UP:
			given_up++;
			edit_begin(&e);
			break;
		case EDIT_COMPLETE:
			tabs++;
			break;
		case EDIT_MORE:
			break;
		}
		assert_int_equal(terminal_show(&t, buf, io.used), 0);
		assert_true(terminal_agrees(&t, &e));
	}
}

static void type(const char *keys)
{
	type_bytes(keys, strlen(keys));
}

static void expect_line(const char *keys, const char *line)
{
	type("\x03");
	type(keys);
	type("\r");
	assert_string_equal(taken, line);
}

static void lines_are_edited(void **state)
{
	(void)state;
	expect_line("plain", "plain");
	expect_line("ac" LEFT "b", "abc");
	expect_line("abx\bc", "abc");
	expect_line("abxc" LEFT "\x7f" RIGHT "d", "abcd");
	expect_line("xabc\001\033[3~", "abc");
	expect_line("bc\033[Ha\033[Fd", "abcd");
	expect_line("bc\033OHa\033OFd", "abcd");
	expect_line("bc\033[1~a\033[4~d\033[7~0\033[8~e", "0abcde");
	expect_line("abc\001\013xyz", "xyz");
	expect_line("abc" LEFT "\025", "c");
	expect_line("one two  \027three", "one three");
	expect_line("one\027\027\027two", "two");
	expect_line("\b\x7f\013\025\027" LEFT RIGHT "\033[3~a", "a");
}

static void enter_is_one_key(void **state)
{
	(void)state;
	type("a\r\nb\nc\r");
	assert_int_equal(entered, 3);
	type("\n");
	assert_int_equal(entered, 3);
	type("\n\r\r");
	assert_int_equal(entered, 6);
	type("x\x03");
	assert_int_equal(given_up, 1);
	type("\t");
	assert_int_equal(tabs, 1);
}

/* Behind what is done, and without touching the line. */
static void end_is_answered(void **state)
{
	struct command_io io;
	char buf[16];

	(void)state;
	type("abc");
	command_io_init(&io, buf, sizeof(buf));
	assert_int_equal(edit_byte(&e, &io, '\x04'), EDIT_MORE);
	assert_int_equal(io.used, 1);
	assert_int_equal(buf[0], '\x04');
	type("\x04\r");
	assert_string_equal(taken, "abc");
}

static void lines_before_come_back(void **state)
{
	(void)state;
	type("one\rtwo\rtwo\r\rthree\r");
	expect_line(UP, "three");
	expect_line(UP UP, "two");
	/* now: one two three two */
	expect_line(UP UP UP UP UP UP UP, "one");
	expect_line("typed" UP UP DOWN DOWN DOWN, "typed");
	expect_line(UP "!", "typed!");
	expect_line(UP UP "\x03", "");
	for (unsigned i = 0; i < 40; i++) {
		char line[3] = {(char)('a' + i % 26), (char)('A' + i % 26), '\r'};

		type_bytes(line, 3);
	}
	for (unsigned i = 0; i < 100; i++)
		type(UP);
	type("\r");
	assert_string_equal(taken, "yY"); /* the 16th but last: 24 */
}

static void other_keys_do_nothing(void **state)
{
	(void)state;
	expect_line("a\033b"
		    "c",
		    "ac");
	expect_line("a\033[5~\033[6~\033[2~\033[15~\033[200~b", "ab");
	expect_line("a\033[1;5Cb\033[?25hc", "abc");
	expect_line("a\033[999999999999999999999999999999999999Cb", "a9999999999999999999Cb");
	expect_line("a\033\033[Db", "ba");
	expect_line("a\033[\rb", "b");
	expect_line("a\x80\xff\xc3\xa4\x01\x02", "a");
	type_bytes("\0\0", 2);
}

static void lines_have_an_end(void **state)
{
	char full[COMMAND_LINE_MAX + 100];

	(void)state;
	memset(full, 'x', sizeof(full));
	type_bytes(full, sizeof(full));
	assert_int_equal(e.len, COMMAND_LINE_MAX - 1);
	type("\001y\r");
	assert_int_equal(strlen(taken), COMMAND_LINE_MAX - 1);
	assert_int_equal(taken[0], 'x');
	type(UP "\b\001y\r");
	assert_int_equal(strlen(taken), COMMAND_LINE_MAX - 1);
	assert_int_equal(taken[0], 'y');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(lines_are_edited, setup),
		cmocka_unit_test_setup(enter_is_one_key, setup),
		cmocka_unit_test_setup(end_is_answered, setup),
		cmocka_unit_test_setup(lines_before_come_back, setup),
		cmocka_unit_test_setup(other_keys_do_nothing, setup),
		cmocka_unit_test_setup(lines_have_an_end, setup),
	};

	return cmocka_run_group_tests_name("command-edit", tests, NULL, NULL);
}
