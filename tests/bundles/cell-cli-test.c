/* SPDX-License-Identifier: MIT */
/*
 * cell-cli-test THESEUSCTL BUILD_DIR SOURCE_DIR: `cell build` and `cell inspect` as an
 * operator types them, on good cells and on every bundle of tests/bundles/bad.
 */
#include "pack/pack-test.h"

#include <dirent.h>
#include <unistd.h>

#include <json-c/json.h>

static const char *tool, *build_dir, *source_dir;
static char *dir;

/* Runs the tool with words; stdout and stderr together. Result: exit status. */
static int run(struct buf *out, const char *a, const char *b, const char *c, const char *d,
	       const char *e, const char *f)
{
	const char *argv[] = {tool, a, b, c, d, e, f, NULL};

	return child_run((char *const *)(uintptr_t)argv, out);
}

static int run_more(struct buf *out, const char *a, const char *b, const char *c, const char *d,
		    const char *e, const char *f, const char *g)
{
	const char *argv[] = {tool, a, b, c, d, e, f, g, NULL};

	return child_run((char *const *)(uintptr_t)argv, out);
}

static void path_in(char *path, const char *base, const char *name)
{
	(void)snprintf(path, TEST_PATH, "%s/%s", base, name);
}

static struct json_object *inspect(const char *file)
{
	struct buf out = {0};
	struct json_object *o;

	assert_int_equal(run(&out, "--json", "cell", "inspect", file, NULL, NULL), 0);
	o = json_tokener_parse(buf_str(&out));
	assert_non_null(o);
	buf_done(&out);
	return o;
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	assert_true(json_object_object_get_ex(o, key, &v));
	return json_object_get_string(v);
}

static size_t length_of(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	assert_true(json_object_object_get_ex(o, key, &v));
	return json_object_array_length(v);
}

/* The same sources give the bytes that the project's own build made of them. */
static void test_build(void **state)
{
	char sources[TEST_PATH], out_file[TEST_PATH], built[TEST_PATH];
	uint8_t *a, *b;
	size_t a_size, b_size;
	struct buf out = {0};

	(void)state;
	path_in(sources, source_dir, "cells/greeter");
	path_in(out_file, dir, "greeter.cells");
	path_in(built, build_dir, "cells/greeter-v2.cells");
	assert_int_equal(run(&out, "cell", "build", sources, "-o", out_file, "-DGREETER_VERSION_2"),
			 0);
	assert_non_null(strstr(buf_str(&out), "greeter 2.0.0"));
	assert_int_equal(file_read(out_file, 1 << 20, &a, &a_size), 0);
	assert_int_equal(file_read(built, 1 << 20, &b, &b_size), 0);
	assert_int_equal(a_size, b_size);
	assert_memory_equal(a, b, a_size);
	free(a);
	free(b);
	buf_done(&out);
}

static void test_build_refusals(void **state)
{
	char file[TEST_PATH], out_file[TEST_PATH];
	struct buf out = {0};

	(void)state;
	path_in(out_file, dir, "x.cells");
	path_in(file, dir, "x.c");
	assert_int_equal(run(&out, "cell", "build", "/nonexistent.c", "-o", out_file, NULL), 1);
	test_write(dir, "x.c", "int f(void) { return nothing; }\n");
	assert_int_equal(run(&out, "cell", "build", file, "-o", out_file, NULL), 1);
	test_write(dir, "x.c", "int counter = 1;\n");
	assert_int_equal(run(&out, "cell", "build", file, "-o", out_file, NULL), 4);
	assert_non_null(strstr(buf_str(&out), "counter"));
	assert_int_equal(run(&out, "cell", "build", file, NULL, NULL, NULL), 2);
	buf_done(&out);
	assert_int_equal(run(&out, "--json", "cell", "build", file, "-o", out_file), 4);
	assert_non_null(strstr(buf_str(&out), "\"code\":\"writable-data\""));
	buf_done(&out);
}

/* What is in the way is named, and nothing is left that looks like a bundle. */
static void test_build_obstacles(void **state)
{
	char file[TEST_PATH], out_file[TEST_PATH], debug[TEST_PATH];
	struct buf out = {0};

	(void)state;
	path_in(out_file, dir, "y.cells");
	path_in(file, dir, "y.c");
	path_in(debug, dir, "nowhere/y.debug");
	test_write(dir, "y.c",
		   "#include <theseus/cell.h>\n"
		   "CELL_INFO(.name = \"y\", .version = \"1.0.0\", .safety = CELL_SAFE);\n");
	assert_int_equal(run_more(&out, "cell", "build", file, "-o", out_file, "--debug", debug),
			 1);
	assert_non_null(strstr(buf_str(&out), debug));
	assert_int_equal(access(out_file, F_OK), -1);
	buf_done(&out);
	assert_int_equal(run(&out, "cell", "build", file, "-o", dir, NULL), 1);
	assert_non_null(strstr(buf_str(&out), "Is a directory"));
	buf_done(&out);
	assert_int_equal(run(&out, "cell", "inspect", "/dev/null", NULL, NULL, NULL), 1);
	assert_non_null(strstr(buf_str(&out), "/dev/null: not a file"));
	buf_done(&out);
	(void)setenv("TMPDIR", debug, 1);
	assert_int_equal(run(&out, "cell", "build", file, "-o", out_file, NULL), 1);
	assert_non_null(strstr(buf_str(&out), "$TMPDIR"));
	(void)unsetenv("TMPDIR");
	buf_done(&out);
	test_write(dir, "y.c", "int f(void) { return nothing; }\n");
	assert_int_equal(run(&out, "cell", "build", file, "-o", out_file, NULL), 1);
	assert_null(strstr(buf_str(&out), "\n\n")); /* what the compiler said, as it is */
	buf_done(&out);
	assert_int_equal(run(&out, "cell", "build", file, file, "-o", out_file), 1);
	assert_non_null(strstr(buf_str(&out), "it does not compile"));
	buf_done(&out);
	path_in(file, source_dir, "examples/tally");
	assert_int_equal(run(&out, "cell", "build", file, "-o", out_file, NULL), 1);
	assert_non_null(strstr(buf_str(&out), "examples/tally: no C file"));
	buf_done(&out);
}

/* Safe is what the checker found nothing in, not what a cell says of itself. */
static void test_build_unsafe(void **state)
{
	static const char text[] =
		"#include <theseus/cell.h>\n"
		"CELL_INFO(.name = \"x\", .version = \"1.0.0\", .summary = \"x\",\n"
		"\t.safety = %s);\n"
		"CELL_STATE(uint64_t *, at);\n"
		"int x_init(uint64_t v);\n"
		"int x_init(uint64_t v)\n{\n"
		"\tat = (uint64_t *)v;\n\treturn 0;\n}\n";
	char file[TEST_PATH], out_file[TEST_PATH], source[1024];
	struct buf out = {0};

	(void)state;
	path_in(out_file, dir, "x.cells");
	path_in(file, dir, "x.c");
	(void)snprintf(source, sizeof(source), text, "CELL_SAFE");
	test_write(dir, "x.c", source);
	assert_int_equal(run(&out, "--json", "cell", "build", file, "-o", out_file), 4);
	assert_non_null(strstr(buf_str(&out), "\"code\":\"unsafe-operation\""));
	assert_non_null(strstr(buf_str(&out), "x.c:8"));
	buf_done(&out);
	(void)snprintf(source, sizeof(source), text, "CELL_UNSAFE");
	test_write(dir, "x.c", source);
	assert_int_equal(run(&out, "--json", "cell", "build", file, "-o", out_file), 4);
	assert_non_null(strstr(buf_str(&out), "\"code\":\"no-reason\""));
	buf_done(&out);
	(void)snprintf(source, sizeof(source), text,
		       "CELL_UNSAFE, .unsafe_reason = \"to be seen\"");
	test_write(dir, "x.c", source);
	assert_int_equal(run(&out, "--json", "cell", "build", file, "-o", out_file), 0);
	buf_done(&out);
	assert_int_equal(run(&out, "cell", "inspect", out_file, NULL, NULL, NULL), 0);
	assert_non_null(strstr(buf_str(&out), "to be seen"));
	assert_non_null(strstr(buf_str(&out), "int-to-pointer"));
	buf_done(&out);
}

/* Functions that no unwind information covers are listed; the project's own cells have none. */
static void test_inspect_barriers(void **state)
{
	static const char source[] =
		"#include <theseus/cell.h>\n"
		"CELL_INFO(.name = \"x\", .version = \"1.0.0\", .safety = CELL_UNSAFE,\n"
		"\t.unsafe_reason = \"assembly\");\n"
		"__asm__(\".type raw, @function\\nraw: ret\\n.size raw, . - raw\");\n";
	char file[TEST_PATH], out_file[TEST_PATH];
	struct json_object *o, *list = NULL, *row;
	struct buf out = {0};

	(void)state;
	path_in(out_file, dir, "x.cells");
	path_in(file, dir, "x.c");
	test_write(dir, "x.c", source);
	assert_int_equal(run(&out, "cell", "build", file, "-o", out_file, NULL), 0);
	buf_done(&out);
	assert_int_equal(run(&out, "cell", "inspect", out_file, NULL, NULL, NULL), 0);
	assert_non_null(strstr(buf_str(&out), "barriers     raw at .text+0, 1 bytes"));
	buf_done(&out);
	o = inspect(out_file);
	assert_int_equal(length_of(o, "unwind_barriers"), 1);
	assert_true(json_object_object_get_ex(o, "unwind_barriers", &list));
	row = json_object_array_get_idx(list, 0);
	assert_string_equal(text_of(row, "function"), "raw");
	assert_string_equal(text_of(row, "text_offset"), "0");
	assert_string_equal(text_of(row, "bytes"), "1");
	json_object_put(o);

	path_in(file, build_dir, "cells/boot.cells");
	o = inspect(file);
	assert_true(json_object_object_get_ex(o, "cells", &list));
	for (size_t i = 0; i < json_object_array_length(list); i++)
		assert_int_equal(length_of(json_object_array_get_idx(list, i), "unwind_barriers"),
				 0);
	json_object_put(o);
	path_in(file, build_dir, "cells/greeter-v1.cells");
	assert_int_equal(run(&out, "cell", "inspect", file, NULL, NULL, NULL), 0);
	assert_non_null(strstr(buf_str(&out), "barriers     none"));
	buf_done(&out);
}

static void test_inspect(void **state)
{
	char file[TEST_PATH];
	struct json_object *o, *section = NULL, *sections = NULL;
	struct buf out = {0};

	(void)state;
	path_in(file, build_dir, "cells/greeter-v1.cells");
	o = inspect(file);
	assert_string_equal(text_of(o, "schema"), "theseus.cell-inspect/1");
	assert_string_equal(text_of(o, "name"), "greeter");
	assert_string_equal(text_of(o, "version"), "1.0.0");
	assert_int_equal(strlen(text_of(o, "sha256")), 64);
	assert_null(text_of(o, "signature"));
	assert_string_equal(text_of(o, "seq"), "0");
	assert_int_equal(length_of(o, "exports"), 2);
	assert_int_equal(length_of(o, "cells"), 1);
	assert_true(length_of(o, "imports") >= 1);
	assert_true(length_of(o, "sections") >= 4);
	assert_true(json_object_object_get_ex(o, "sections", &sections));
	section = json_object_array_get_idx(sections, 0);
	assert_string_equal(text_of(section, "name"), ".text");
	assert_string_equal(text_of(section, "flags"), "rx");
	assert_non_null(strstr(text_of(section, "relocations"), "R_X86_64_PLT32"));
	json_object_put(o);

	path_in(file, build_dir, "cells/boot.cells");
	o = inspect(file);
	assert_true(length_of(o, "cells") >= 10);
	json_object_put(o);
	assert_int_equal(run(&out, "cell", "inspect", file, NULL, NULL, NULL), 0);
	assert_non_null(strstr(buf_str(&out), "EXPORT"));
	buf_done(&out);
}

/* Every bad bundle: shown, or refused with a reason; never more than that. */
static void test_inspect_bad(void **state)
{
	char folder[TEST_PATH], file[2 * TEST_PATH];
	struct dirent *e;
	unsigned int n = 0, refused = 0;
	DIR *d;

	(void)state;
	path_in(folder, build_dir, "tests/bundles/bad");
	d = opendir(folder);
	assert_non_null(d);
	while ((e = readdir(d))) {
		struct buf out = {0};
		int r;

		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(file, sizeof(file), "%s/%s", folder, e->d_name);
		r = run(&out, "--json", "cell", "inspect", file, NULL, NULL);
		if (r != 0 && r != 4)
			fail_msg("%s: exit status %d: %s", file, r, buf_str(&out));
		if (r == 4 && !strstr(buf_str(&out), e->d_name))
			fail_msg("%s is not named: %s", file, buf_str(&out));
		n++;
		refused += r == 4;
		buf_done(&out);
	}
	(void)closedir(d);
	assert_true(n > 30);
	assert_true(refused > 20);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_build),           cmocka_unit_test(test_build_refusals),
		cmocka_unit_test(test_build_obstacles), cmocka_unit_test(test_build_unsafe),
		cmocka_unit_test(test_inspect),         cmocka_unit_test(test_inspect_barriers),
		cmocka_unit_test(test_inspect_bad),
	};
	int r;

	if (argc != 4)
		return 2;
	tool = argv[1];
	build_dir = argv[2];
	source_dir = argv[3];
	dir = temp_dir();
	r = dir ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
	temp_dir_remove(dir);
	return r;
}
