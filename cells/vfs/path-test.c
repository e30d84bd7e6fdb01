/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "path.h"

static char copy[VFS_PATH_MAX];

/* The names of @text, each with '|' behind it, and "/" and "." for what stands at the end. */
static const char *cut(const char *text)
{
	static char out[2 * VFS_PATH_MAX];
	struct fs_name name;
	struct path p;

	out[0] = '\0';
	assert_int_equal(path_open(text, copy, &p), 0);
	while (path_next(&p, &name) == 1) {
		assert_int_equal(strlen(name.text), name.len);
		strcat(out, name.text);
		strcat(out, "|");
	}
	assert_true(path_ended(&p));
	if (p.directory)
		strcat(out, "/");
	if (p.dot)
		strcat(out, ".");
	return out;
}

static void names_are_cut(void **state)
{
	(void)state;
	assert_string_equal(cut("/"), "/");
	assert_string_equal(cut("/a"), "a|");
	assert_string_equal(cut("//a///b"), "a|b|");
	assert_string_equal(cut("/a/"), "a|/");
	assert_string_equal(cut("/./a/./b/."), "a|b|/.");
	assert_string_equal(cut("/a/.//"), "a|/.");
	assert_string_equal(cut("/./a/"), "a|/");
	assert_string_equal(cut("/."), "/.");
	assert_string_equal(cut("/../a/.."), "..|a|..|");
	assert_string_equal(cut("/.a/..b/c."), ".a|..b|c.|");
	assert_string_equal(cut("/a b/\xc3\xa4"), "a b|\xc3\xa4|");
}

static void other_paths_are_refused(void **state)
{
	char text[VFS_PATH_MAX + 1];
	struct path p;

	(void)state;
	assert_int_equal(path_open("", copy, &p), -EINVAL);
	assert_int_equal(path_open("a", copy, &p), -EINVAL);
	assert_int_equal(path_open("./a", copy, &p), -EINVAL);
	memset(text, '/', sizeof(text));
	text[VFS_PATH_MAX] = '\0';
	assert_int_equal(path_open(text, copy, &p), -ENAMETOOLONG);
	text[VFS_PATH_MAX - 1] = '\0';
	assert_int_equal(path_open(text, copy, &p), 0);
	assert_true(path_ended(&p));
}

static void long_names_are_refused(void **state)
{
	char text[FS_NAME_MAX + 3] = "/";
	struct fs_name name;
	struct path p;

	(void)state;
	memset(text + 1, 'n', FS_NAME_MAX + 1);
	assert_int_equal(path_open(text, copy, &p), 0);
	assert_int_equal(path_next(&p, &name), -ENAMETOOLONG);
	text[FS_NAME_MAX + 1] = '\0';
	assert_int_equal(path_open(text, copy, &p), 0);
	assert_int_equal(path_next(&p, &name), 1);
	assert_int_equal(name.len, FS_NAME_MAX);
	assert_int_equal(path_next(&p, &name), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_cut),
		cmocka_unit_test(other_paths_are_refused),
		cmocka_unit_test(long_names_are_refused),
	};

	return cmocka_run_group_tests_name("vfs-path", tests, NULL, NULL);
}
