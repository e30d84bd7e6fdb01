/* SPDX-License-Identifier: MIT */
#include "pack/pack-test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cursor.h"
#include "reasons.h"

static void test_buf(void **state)
{
	struct buf b = {0};
	size_t len;
	uint8_t *data;

	(void)state;
	assert_string_equal(buf_str(&b), "");
	buf_put_le(&b, 0x01020304, 4);
	buf_align(&b, 8);
	buf_align(&b, 8);
	assert_int_equal(b.len, 8);
	assert_memory_equal(b.data, "\4\3\2\1\0\0\0\0", 8);
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%d,", i);
	buf_fill(&b, 'x', 3);
	assert_int_equal(b.len, 8 + 10 * 2 + 90 * 3 + 900 * 4 + 3);
	assert_string_equal((char *)b.data + b.len - 7, "999,xxx");
	data = buf_take(&b, &len);
	assert_non_null(data);
	assert_int_equal(len, 8 + 10 * 2 + 90 * 3 + 900 * 4 + 3);
	assert_null(b.data);
	free(data);

	/* an error stays, and what follows does no harm */
	buf_fill(&b, 0, SIZE_MAX / 2);
	assert_false(buf_ok(&b));
	buf_puts(&b, "more");
	assert_null(buf_take(&b, NULL));
	assert_true(buf_ok(&b));
}

static void test_cursor(void **state)
{
	static const uint8_t bytes[] = {1, 2, 3, 4, 5};
	struct cursor c = cursor_at(bytes, sizeof(bytes), 1, 4);

	(void)state;
	assert_int_equal(cursor_le(&c, 2), 0x0302);
	assert_null(cursor_take(&c, 3));
	assert_true(c.bad);
	assert_int_equal(cursor_le(&c, 1), 0); /* for good */
	assert_true(cursor_at(bytes, 5, 6, 0).bad);
	assert_true(cursor_at(bytes, 5, 1, 5).bad);
	assert_true(cursor_at(bytes, 5, UINT64_MAX, 2).bad);
	assert_true(cursor_at(bytes, 5, 2, UINT64_MAX).bad);
	assert_false(cursor_at(bytes, 5, 5, 0).bad);
}

static void test_reasons(void **state)
{
	struct reasons r = {0};
	char longer[2 * REASON_BYTES];

	(void)state;
	memset(longer, 'a', sizeof(longer));
	longer[sizeof(longer) - 1] = 0;
	assert_string_equal(reasons_first(&r), "");
	assert_int_equal(reasons_add(&r, "one", "first %d", 1), -EPERM);
	assert_int_equal(reasons_add(&r, "two", "%s", longer), -EPERM);
	assert_string_equal(r.code, "one");
	assert_string_equal(reasons_first(&r), "first 1");
	assert_int_equal(strlen(r.text[1]), REASON_BYTES - 1);
	(void)reasons_add(&r, "three", "lines\nof another\n\n");
	assert_string_equal(r.text[2], "lines\nof another");
	for (unsigned int i = 0; i < REASONS_MAX; i++)
		(void)reasons_add(&r, "many", "x");
	assert_int_equal(r.n, REASONS_MAX);
	assert_int_equal(r.more, 3);
	reasons_done(&r);
	assert_int_equal(reasons_add(NULL, "nobody", "asks"), -EPERM);
}

/* What is no file is not replaced by one, and a link stays a link. */
static void test_write_elsewhere(void **state)
{
	char *dir = temp_dir(), path[TEST_PATH], link[TEST_PATH], byte = 0;
	struct stat st;
	uint8_t *data;
	size_t size;
	int fd;

	(void)state;
	assert_non_null(dir);
	(void)snprintf(path, sizeof(path), "%s/f", dir);
	(void)snprintf(link, sizeof(link), "%s/link", dir);
	assert_int_equal(file_write(dir, "x", 1), -EISDIR);
	assert_int_equal(symlink("f", link), 0);
	assert_int_equal(file_write(link, "a", 1), 0); /* leads nowhere yet */
	assert_int_equal(unlink(link), 0);
	assert_int_equal(file_write(path, "b", 1), 0);
	assert_int_equal(symlink("f", link), 0);
	assert_int_equal(file_write(link, "cd", 2), 0);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(file_read(path, 5, &data, &size), 0);
	assert_string_equal((char *)data, "cd");
	free(data);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(unlink(link), 0);

	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(file_write(path, "p", 1), 0);
	assert_int_equal(read(fd, &byte, 1), 1);
	assert_int_equal(byte, 'p');
	(void)close(fd);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	temp_dir_remove(dir);
}

static void test_files(void **state)
{
	char *dir = temp_dir(), path[TEST_PATH];
	struct stat before, after;
	uint8_t *data;
	size_t size;

	(void)state;
	assert_non_null(dir);
	(void)snprintf(path, sizeof(path), "%s/f", dir);
	assert_int_equal(file_read(path, 10, &data, &size), -ENOENT);
	assert_int_equal(file_read(dir, 10, &data, &size), -EISDIR);
	assert_int_equal(file_read("/dev/null", 10, &data, &size), -EINVAL);
	assert_int_equal(file_write("/nonexistent/f", "x", 1), -ENOENT);
	assert_int_equal(file_write(path, "hello", 5), 0);
	assert_int_equal(file_read(path, 4, &data, &size), -EFBIG);
	assert_int_equal(file_read(path, 5, &data, &size), 0);
	assert_int_equal(size, 5);
	assert_string_equal((char *)data, "hello");
	free(data);

	/* the same content leaves the file alone, another one replaces it */
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(file_update(path, "hello", 5), 0);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(file_update(path, "help", 4), 0);
	assert_int_equal(file_read(path, 5, &data, &size), 0);
	assert_string_equal((char *)data, "help");
	free(data);
	temp_dir_remove(dir);
	assert_int_equal(access(path, F_OK), -1);
}

static void test_child(void **state)
{
	struct buf out = {0};

	(void)state;
	assert_int_equal(
		child_run((char *[]){(char[]){"sh"}, (char[]){"-c"},
				     (char[]){"echo to out; echo to err >&2; exit 7"}, NULL},
			  &out),
		7);
	assert_string_equal(buf_str(&out), "to out\nto err\n");
	assert_int_equal(
		child_run((char *[]){(char[]){"sh"}, (char[]){"-c"}, (char[]){"kill -9 $$"}, NULL},
			  &out),
		128 + 9);
	assert_int_equal(child_run((char *[]){(char[]){"/nonexistent/program"}, NULL}, &out),
			 -ENOENT);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buf),     cmocka_unit_test(test_cursor),
		cmocka_unit_test(test_reasons), cmocka_unit_test(test_write_elsewhere),
		cmocka_unit_test(test_files),   cmocka_unit_test(test_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
