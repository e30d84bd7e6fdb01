/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "log.h"

static char dir[] = "/tmp/theseus-log-XXXXXX";
static char path[64], content[1 << 16];

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/log", dir);
	return 0;
}

static int tear_down(void **state)
{
	char command[64];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

/* The file with @suffix. Result: its size, -1 if it is not there. */
static long read_file(const char *suffix)
{
	char name[96];
	size_t n;
	FILE *f;

	(void)snprintf(name, sizeof(name), "%s%s", path, suffix);
	f = fopen(name, "re");
	if (!f)
		return -1;
	n = fread(content, 1, sizeof(content) - 1, f);
	content[n] = '\0';
	(void)fclose(f);
	return (long)n;
}

static struct log *fresh(uint64_t max, unsigned int files)
{
	struct log *log;
	char command[160];

	(void)snprintf(command, sizeof(command), "rm -f %s %s.*", path, path);
	assert_int_equal(system(command), 0);
	assert_int_equal(log_open(path, max, files, &log), 0);
	return log;
}

static void test_lines(void **state)
{
	struct log *log = fresh(1 << 20, 5);
	struct stat st;

	(void)state;
	log_printf(log, "vmm", "number %d", 42);
	log_write(log, "com1", "\x1b[2J bell\a \xc3\xa9 tab\t \x7f", 20);
	assert_true(read_file("") > 0);
	assert_non_null(strstr(content, "Z vmm: number 42\n"));
	assert_non_null(strstr(content, "Z com1: \\x1b[2J bell\\x07 \xc3\xa9 tab\t \\x7f\n"));
	assert_int_equal(content[4], '-');
	assert_int_equal(content[10], 'T');
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	log_close(log);
	log_close(NULL);
	/* opened again it goes on */
	assert_int_equal(log_open(path, 1 << 20, 5, &log), 0);
	log_printf(log, "vmm", "more");
	assert_true(read_file("") > 0);
	assert_non_null(strstr(content, "number 42"));
	assert_non_null(strstr(content, "more"));
	log_close(log);
}

static void test_long_lines(void **state)
{
	struct log *log = fresh(1 << 20, 5);
	static char text[3 * LOG_LINE_MAX];
	unsigned int lines = 0;

	(void)state;
	memset(text, 'x', sizeof(text));
	log_write(log, "vmm", text, sizeof(text));
	log_write(log, "vmm", "", 0);
	assert_true(read_file("") > 0);
	for (const char *p = content; (p = strchr(p, '\n')); p++)
		lines++;
	assert_int_equal(lines, 4);
	log_close(log);
}

static void test_rotation(void **state)
{
	struct log *log = fresh(1000, 3);
	long total;

	(void)state;
	for (int i = 0; i < 100; i++) {
		log_printf(log, "vmm", "line %03d ...........................................", i);
		assert_in_range(read_file(""), 1, 1000);
	}
	assert_non_null(strstr(content, "line 099"));
	assert_in_range(read_file(".1"), 1, 1000);
	assert_in_range(read_file(".2"), 1, 1000);
	assert_int_equal(read_file(".3"), -1);
	/* the newest lines are all there, none twice */
	total = read_file(".2");
	assert_true(total > 0);
	assert_null(strstr(content, "line 099"));
	log_close(log);
	log = fresh(200, 1);
	for (int i = 0; i < 50; i++)
		log_printf(log, "vmm", "line %d", i);
	assert_in_range(read_file(""), 1, 200);
	assert_int_equal(read_file(".1"), -1);
	log_close(log);
}

static void test_reopen(void **state)
{
	struct log *log = fresh(1 << 20, 5);
	char moved[96];
	int fd = log_fd(log);

	(void)state;
	log_printf(log, "vmm", "before");
	(void)snprintf(moved, sizeof(moved), "%s.moved", path);
	assert_int_equal(rename(path, moved), 0);
	log_printf(log, "vmm", "still to the old one");
	assert_int_equal(read_file(""), -1);
	assert_int_equal(log_reopen(log), 0);
	assert_int_equal(log_fd(log), fd);
	log_printf(log, "vmm", "after");
	assert_true(read_file("") > 0);
	assert_null(strstr(content, "old one"));
	assert_non_null(strstr(content, "after"));
	/* where it cannot be opened, the old one stays */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(log_reopen(log), -EISDIR);
	log_printf(log, "vmm", "into the unlinked file");
	assert_int_equal(rmdir(path), 0);
	log_close(log);
}

static void test_stream(void **state)
{
	struct log *log = fresh(1 << 20, 5);
	struct log_stream s = {.source = "com1"};
	static char text[LOG_LINE_MAX + 10];

	(void)state;
	log_stream_write(log, &s, "one\r\ntwo\nthr", 12);
	log_stream_write(log, &s, "ee\r", 3);
	log_stream_write(log, &s, "\nrest", 5);
	assert_true(read_file("") > 0);
	assert_non_null(strstr(content, "com1: one\n"));
	assert_non_null(strstr(content, "com1: two\n"));
	assert_non_null(strstr(content, "com1: three\n")); /* cut between \r and \n */
	assert_null(strstr(content, "rest"));
	log_stream_flush(log, &s);
	log_stream_flush(log, &s);
	assert_true(read_file("") > 0);
	assert_non_null(strstr(content, "com1: rest\n"));
	memset(text, 'y', sizeof(text));
	log_stream_write(log, &s, text, sizeof(text));
	assert_int_equal(s.used, 10);
	log_close(log);
}

static void test_refusals(void **state)
{
	static char longest[8192];
	struct log *log;

	(void)state;
	assert_int_equal(log_open("/nonexistent/log", 1, 1, &log), -ENOENT);
	memset(longest, 'x', sizeof(longest) - 1);
	assert_int_equal(log_open(longest, 1, 1, &log), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),    cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_rotation), cmocka_unit_test(test_reopen),
		cmocka_unit_test(test_stream),   cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
