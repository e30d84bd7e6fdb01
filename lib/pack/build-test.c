/* SPDX-License-Identifier: MIT */
/* Building cells with an SDK: what counts as source, whose headers win, what is refused. */
#include "pack-test.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "build.h"

static char *root; /* sdk.conf, sdk.abi, sdk headers */
static char conf[TEST_PATH];

static void sub(char *path, const char *name)
{
	(void)snprintf(path, TEST_PATH, "%s/%s", root, name);
}

static void make_dir(const char *name)
{
	char path[TEST_PATH];

	sub(path, name);
	assert_int_equal(mkdir(path, 0755), 0);
}

#define CELL_OF(version, safety)                                                                   \
	"#include <theseus/cell.h>\n"                                                              \
	"#include <thing.h>\n"                                                                     \
	"CELL_INFO(.name = \"thing\", .version = " version ", .summary = \"s\", " safety ");\n"
#define CELL(version) CELL_OF(version, ".safety = CELL_SAFE")
#define UNSAFE_CELL CELL_OF("\"1.0.0\"", ".safety = CELL_UNSAFE, .unsafe_reason = \"it must\"")

static int setup(void **state)
{
	char text[2 * TEST_PATH], header[TEST_PATH];
	struct abi_index index = {0};
	struct reasons reasons = {0};
	struct buf out = {0};

	(void)state;
	root = temp_dir();
	if (!root)
		return -1;
	make_dir("sdk");
	test_write(root, "sdk/thing.h", "int thing_do(int a);\nint other_do(int a);\n");
	sub(header, "sdk");
	sub(conf, "sdk.conf");
	(void)snprintf(text, sizeof(text), "# a comment\n\ninclude %s\ninclude sdk\nabi sdk.abi\n",
		       SDK_INCLUDE);
	for (size_t i = 0; test_flags[i]; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "flag %s\n",
			       test_flags[i]);
	strcat(text, "flag -Wall\n");
	test_write(root, "sdk.conf", text);
	const struct abi_compiler c = {"gcc", test_flags,
				       (const char *[]){SDK_INCLUDE, header, NULL}};
	if (abi_index_scan(&c, (const char *[]){SDK_INCLUDE, header, NULL}, &index, NULL,
			   &reasons) < 0)
		return -1;
	abi_index_write(&index, &out);
	test_write(root, "sdk.abi", buf_str(&out));
	abi_index_done(&index);
	buf_done(&out);

	make_dir("cell");
	test_write(root, "cell/b.c",
		   CELL("\"1.0.0\"") "CELL_EXPORT(thing_do);\n"
				     "int thing_help(int a);\n"
				     "int thing_do(int a) { int unused_here; return thing_help(a) "
				     "+ other_do(a); }\n");
	test_write(root, "cell/a.c",
		   "int thing_help(int a);\nint thing_help(int a) { return a * 2; }\n");
	test_write(root, "cell/a-test.c", "#error this is no part of the cell\n");
	test_write(root, "cell/notes.txt", "nor is this\n");
	return 0;
}

static void remove_tree(void)
{
	char rm[] = "rm", option[] = "-rf";
	struct buf said = {0};

	(void)child_run((char *[]){rm, option, root, NULL}, &said);
	buf_done(&said);
	free(root);
}

static int teardown(void **state)
{
	(void)state;
	remove_tree();
	return 0;
}

static int build(const char *const *sources, const char *define, struct packed *ret_packed,
		 struct buf *warnings, struct reasons *reasons)
{
	struct sdk sdk = {0};
	struct build_input in = {&sdk, "gcc", CELLCHECK, sources, define, warnings};
	int r = sdk_load(conf, &sdk, reasons);

	if (r == 0)
		r = build_cell(&in, ret_packed, reasons);
	sdk_done(&sdk);
	return r;
}

static struct packed build_ok(const char *const *sources, const char *define, struct buf *warnings)
{
	struct packed p = {0};
	struct reasons reasons = {0};

	if (build(sources, define, &p, warnings, &reasons) < 0)
		fail_msg("%s", reasons_first(&reasons));
	return p;
}

static void expect(const char *const *sources, const char *code, const char *words)
{
	struct packed p = {0};
	struct reasons reasons = {0};
	struct buf warnings = {0};

	assert_int_equal(build(sources, NULL, &p, &warnings, &reasons), -EPERM);
	assert_string_equal(reasons.code, code);
	if (!strstr(reasons_first(&reasons), words))
		fail_msg("\"%s\" does not name %s", reasons_first(&reasons), words);
	reasons_done(&reasons);
	buf_done(&warnings);
}

static void test_folder(void **state)
{
	char dir[TEST_PATH];
	struct buf warnings = {0};
	struct packed p, again;

	(void)state;
	sub(dir, "cell");
	p = build_ok((const char *[]){dir, NULL}, NULL, &warnings);
	again = build_ok((const char *[]){dir, NULL}, NULL, &warnings);
	assert_string_equal(p.manifest->name, "thing");
	assert_int_equal(p.manifest->n_exports, 1);
	assert_int_equal(p.manifest->n_imports, 1);
	assert_string_equal(p.manifest->imports[0]->name, "other_do");
	assert_int_equal(p.object.len, again.object.len);
	assert_memory_equal(p.object.data, again.object.data, p.object.len);
	assert_non_null(strstr(buf_str(&warnings), "unused_here"));
	packed_done(&p);
	packed_done(&again);
	buf_done(&warnings);
}

/* Files by name; objects that were compiled elsewhere. */
static void test_files(void **state)
{
	char a[TEST_PATH], b[TEST_PATH], object[TEST_PATH];
	struct buf warnings = {0};
	struct packed p;

	(void)state;
	sub(a, "cell/a.c");
	sub(b, "cell/b.c");
	p = build_ok((const char *[]){b, a, NULL}, NULL, &warnings);
	packed_done(&p);
	test_compile(root, "help", "int thing_help(int a) { return a; }\n", NULL,
		     (const char *[]){NULL});
	sub(object, "help.o");
	/* what has no source cannot be called safe */
	expect((const char *[]){b, object, NULL}, "unsafe-operation", "help.o: foreign");
	test_write(root, "own.c",
		   UNSAFE_CELL "int thing_help(int a);\nCELL_EXPORT(thing_do);\n"
			       "int thing_do(int a) { return thing_help(a); }\n");
	sub(b, "own.c");
	p = build_ok((const char *[]){b, object, NULL}, NULL, &warnings);
	packed_done(&p);
	buf_done(&warnings);
}

static void test_define(void **state)
{
	char file[TEST_PATH];
	struct buf warnings = {0};
	struct packed p;

	(void)state;
	test_write(root, "one.c", CELL("EDITION"));
	sub(file, "one.c");
	p = build_ok((const char *[]){file, NULL}, "EDITION=\"3.2.1\"", &warnings);
	assert_string_equal(p.manifest->version, "3.2.1");
	packed_done(&p);
	buf_done(&warnings);
}

/* Sources here, public headers there: a folder may hold nothing but include/. */
static void test_headers_apart(void **state)
{
	char dir[TEST_PATH], file[TEST_PATH];
	struct buf warnings = {0};
	struct packed p;

	(void)state;
	make_dir("apart");
	make_dir("apart/include");
	test_write(root, "apart/include/apart.h", "long apart_do(long a);\n");
	test_write(
		root, "apart.c",
		"#include <apart.h>\n" CELL("\"2.0.0\"") "CELL_EXPORT(apart_do);\n"
							 "long apart_do(long a) { return a; }\n");
	sub(dir, "apart");
	sub(file, "apart.c");
	p = build_ok((const char *[]){file, dir, NULL}, NULL, &warnings);
	assert_string_equal(p.manifest->exports[0]->signature, "long int (long int)");
	packed_done(&p);
	buf_done(&warnings);
}

/* A new edition of a public header counts more than the one of the SDK. */
static void test_own_headers(void **state)
{
	char dir[TEST_PATH], old[TEST_PATH];
	struct buf warnings = {0};
	struct packed p, q;

	(void)state;
	make_dir("next");
	make_dir("next/include");
	test_write(root, "next/include/thing.h", "long thing_do(long a);\n");
	test_write(root, "next/thing.c",
		   CELL("\"2.0.0\"") "CELL_EXPORT(thing_do);\n"
				     "long thing_do(long a) { return a; }\n");
	sub(dir, "next");
	sub(old, "cell");
	p = build_ok((const char *[]){dir, NULL}, NULL, &warnings);
	q = build_ok((const char *[]){old, NULL}, NULL, &warnings);
	assert_string_equal(p.manifest->exports[0]->signature, "long int (long int)");
	assert_true(p.manifest->exports[0]->abi != q.manifest->exports[0]->abi);
	packed_done(&p);
	packed_done(&q);
	buf_done(&warnings);
}

static void test_refusals(void **state)
{
	char path[TEST_PATH];

	(void)state;
	expect((const char *[]){"/nonexistent.c", NULL}, "no-source", "/nonexistent.c");
	sub(path, "cell/notes.txt");
	expect((const char *[]){path, NULL}, "no-source", "notes.txt");
	sub(path, "sdk");
	expect((const char *[]){path, NULL}, "no-source", "neither a C file nor include/");
	expect((const char *[]){NULL}, "no-source", "nothing to compile");
	test_write(root, "broken.c", "int f(void) { return nothing; }\n");
	sub(path, "broken.c");
	expect((const char *[]){path, NULL}, "compile-failed", "nothing");
	test_write(root, "no.c", "int f(void); int f(void) { return 1; }\n");
	sub(path, "no.c");
	expect((const char *[]){path, NULL}, "no-info", "no.c");
}

/* The checker sees what the compiler sees: the same flags, headers and macros. */
static void test_safety(void **state)
{
	static const char source[] = "#ifdef POKE\nint poke(long at);\n"
				     "int poke(long at) { return *(int *)at; }\n#endif\n";
	char path[TEST_PATH], text[TEST_PATH];
	struct buf warnings = {0};
	struct reasons reasons = {0};
	struct packed p = {0};

	(void)state;
	(void)snprintf(text, sizeof(text), "%s%s", CELL("\"1.0.0\""), source);
	test_write(root, "poke.c", text);
	sub(path, "poke.c");
	p = build_ok((const char *[]){path, NULL}, NULL, &warnings);
	assert_int_equal(p.manifest->report->unsafe_lines, 0);
	packed_done(&p);
	assert_int_equal(build((const char *[]){path, NULL}, "POKE", &p, &warnings, &reasons),
			 -EPERM);
	assert_string_equal(reasons.code, "unsafe-operation");
	assert_non_null(strstr(reasons_first(&reasons), "poke.c:6: int-to-pointer"));
	reasons_done(&reasons);

	(void)snprintf(text, sizeof(text), "%s%s", UNSAFE_CELL, source);
	test_write(root, "poke.c", text);
	p = build_ok((const char *[]){path, NULL}, "POKE", &warnings);
	assert_string_equal(p.manifest->unsafe_reason, "it must");
	assert_int_equal(p.manifest->report->unsafe_lines, 1);
	assert_int_equal(p.manifest->report->code_lines, 9); /* thing.h lies below its folder */
	packed_done(&p);

	/* what GCC takes and clang does not is not checked, so it is not packed */
	(void)snprintf(text, sizeof(text),
		       "%sint n(int a);\nint n(int a) { int in(void) { return a; } "
		       "return in(); }\n",
		       UNSAFE_CELL);
	test_write(root, "poke.c", text);
	expect((const char *[]){path, NULL}, "unchecked", "poke.c:5");
	buf_done(&warnings);
}

/* Nobody to look: then nothing is packed either. */
static void test_no_checker(void **state)
{
	struct reasons reasons = {0};
	struct packed p = {0};
	struct buf warnings = {0};
	struct sdk sdk = {0};
	char dir[TEST_PATH];
	const char *sources[] = {dir, NULL};
	struct build_input in = {&sdk, "gcc", "/nonexistent/cellcheck", sources, NULL, &warnings};

	(void)state;
	sub(dir, "cell");
	assert_int_equal(sdk_load(conf, &sdk, &reasons), 0);
	assert_int_equal(build_cell(&in, &p, &reasons), -EPERM);
	assert_string_equal(reasons.code, "no-checker");
	assert_non_null(strstr(reasons_first(&reasons), "/nonexistent/cellcheck"));
	reasons_done(&reasons);
	sdk_done(&sdk);
	buf_done(&warnings);
}

static void test_bad_sdk(void **state)
{
	static const struct {
		const char *text, *words;
	} bad[] = {
		{"", "no 'include'"},
		{"include sdk\nabi\n", "without a value"},
		{"include sdk\ncolour blue\n", "colour"},
		{"include sdk\nabi none.abi\n", "none.abi"},
	};
	struct reasons reasons = {0};
	struct sdk sdk = {0};
	char path[TEST_PATH];

	(void)state;
	sub(path, "bad.conf");
	assert_int_equal(sdk_load(path, &sdk, &reasons), -EPERM);
	assert_string_equal(reasons.code, "bad-sdk");
	reasons_done(&reasons);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		test_write(root, "bad.conf", bad[i].text);
		assert_int_equal(sdk_load(path, &sdk, &reasons), -EPERM);
		assert_non_null(strstr(reasons_first(&reasons), bad[i].words));
		reasons_done(&reasons);
	}
	assert_null(sdk.includes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_folder),        cmocka_unit_test(test_files),
		cmocka_unit_test(test_define),        cmocka_unit_test(test_own_headers),
		cmocka_unit_test(test_headers_apart), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_bad_sdk),       cmocka_unit_test(test_safety),
		cmocka_unit_test(test_no_checker),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, setup, teardown);
}
