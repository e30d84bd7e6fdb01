/* SPDX-License-Identifier: MIT */
/* Each rule of rules.h on a few lines of C: what it finds, and what it leaves alone. */
#include "../pack/pack-test.h"

#include <errno.h>
#include <unistd.h>

#include "rules.h"

static char *root, *other; /* the cell's folder; a header of somebody else */

static const char sdk_header[] =
	"#define MARK(kind) __attribute__((annotate(\"theseus.unsafe:\" #kind)))\n"
	"MARK(gate) int gate_do(int a);\n"
	"MARK(device) int device_do(int a);\n"
	"MARK(machine) static inline int machine_do(void) { __asm__(\"nop\"); return gate_do(1); "
	"}\n"
	"MARK(colour) int colour_do(void);\n"
	"int plain_do(int a);\n"
	"void *memcpy(void *to, const void *from, unsigned long n);\n"
	"#define uintptr_t unsigned long\n"
	"#define SDK_AT(n) ((int *)(unsigned long)(n))\n"
	"#define SDK_NOP() __asm__(\"nop\")\n"
	"#define SDK_GATE(a) gate_do(a)\n"
	"#define SDK_SECTION __attribute__((section(\".theseus.state\")))\n";

static int setup(void **state)
{
	(void)state;
	root = temp_dir();
	other = temp_dir();
	if (!root || !other)
		return -1;
	test_write(other, "sdk.h", sdk_header);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	temp_dir_remove(root);
	temp_dir_remove(other);
	return 0;
}

static const char *dirs[2]; /* own ones */

static int check_file(const char *name, struct safety *ret_safety, struct reasons *reasons)
{
	char path[TEST_PATH], include[TEST_PATH];
	const char *flags[] = {"-std=gnu11",   "-ffreestanding", "-gbtf", "-fnon-call-exceptions",
			       "-Wlogical-op", include,          NULL};
	const struct check_source source = {path, flags};
	const struct check_input in = {&source, 1, dirs, (const char *[]){NULL}, root};
	struct buf depends = {0};
	int r;

	(void)snprintf(path, sizeof(path), "%s/%s", root, name);
	(void)snprintf(include, sizeof(include), "-I%s", other);
	r = check_sources(&in, ret_safety, &depends, reasons);
	buf_done(&depends);
	return r;
}

/* The report of one file of @text. */
static struct safety check(const char *text)
{
	struct reasons reasons = {0};
	struct safety s = {0};
	char whole[8192];

	(void)snprintf(whole, sizeof(whole), "#include <sdk.h>\n%s", text);
	test_write(root, "a.c", whole);
	if (check_file("a.c", &s, &reasons) < 0)
		fail_msg("%s:\n%s", reasons_first(&reasons), text);
	return s;
}

#define F(params, body) "int f(" params "); int f(" params ") {\n" body "\nreturn 0; }\n"

static const struct {
	enum unsafe_kind kind;
	const char *text;
} found[] = {
	{UNSAFE_ASM, F("void", "__asm__ volatile(\"nop\");")},
	{UNSAFE_ASM, "__asm__(\".globl x\");\n"},
	{UNSAFE_ASM, "#define NEVER_USED(x) __asm__(\"nop\" :: \"r\"(x))\nextern int a;\n"},
	{UNSAFE_INT_TO_POINTER, F("long a", "return *(int *)a;")},
	{UNSAFE_INT_TO_POINTER, F("char *p", "return *(int *)(void *)((unsigned long)p + 8);")},
	{UNSAFE_INT_TO_POINTER, F("void", "return *(int *)4096;")},
	{UNSAFE_INT_TO_POINTER, "#define AT(n) ((int *)(uintptr_t)(n))\nextern int a;\n"},
	{UNSAFE_PUN, "union u { unsigned long n; char *p; };\n" F("union u u", "return *u.p;")},
	{UNSAFE_PUN, "union u { char b[8]; char *p; };\n" F("union u *u, char *q", "u->p = q;")},
	{UNSAFE_PUN, F("const char *b", "char *p; memcpy(&p, b, 8); return *p;")},
	{UNSAFE_PUN, F("long b", "char *p; __builtin_memcpy((void *)&p, &b, 8); return *p;")},
	{UNSAFE_DEVICE, F("volatile int *p", "return *p;")},
	{UNSAFE_DEVICE, F("volatile int *p", "p[3] = 1;")},
	{UNSAFE_DEVICE, "struct r { int a; };\n" F("volatile struct r *p", "p->a = 1;")},
	{UNSAFE_DEVICE, "struct r { volatile int a; };\n" F("struct r *p", "return p->a;")},
	{UNSAFE_DEVICE, F("void", "return device_do(1);")},
	{UNSAFE_GATE, F("void", "return gate_do(1);")},
	{UNSAFE_GATE, F("void", "return SDK_GATE(1);")},
	{UNSAFE_GATE, "int (*p)(int) = gate_do;\n"},
	{UNSAFE_MACHINE, F("void", "return machine_do();")},
	{UNSAFE_MACHINE, F("void", "return colour_do();")},
	{UNSAFE_SYMBOL, "int a __attribute__((section(\".text\")));\n"},
	{UNSAFE_SYMBOL, "int a; extern int b __attribute__((alias(\"a\")));\n"},
	{UNSAFE_SYMBOL, "extern int a __asm__(\"b\");\n"},
	{UNSAFE_CONST_CAST, F("const int *p", "*(int *)p = 1;")},
	{UNSAFE_CONST_CAST, F("const int *p", "*(char *)(void *)p = 1;")},
	{UNSAFE_FUNCTION_CAST, F("void *p", "return ((int (*)(int))p)(1);")},
	{UNSAFE_FUNCTION_CAST, F("void", "return ((int (*)(void))plain_do)();")},
	{UNSAFE_FUNCTION_CAST, F("void", "return *(char *)f;")},
};

static const char *const left_alone[] = {
	F("void", "int *p = 0; void *q = (void *)0; return p == (int *)0 && !q;"),
	F("char *p", "return (int)(unsigned long)p;"),
	F("void *p", "return *(const int *)p;"),
	F("long *p", "return *(char *)p;"),
	"union u { char *p; long *q; };\n" F("union u u", "return *u.p;"),
	"union u { unsigned long n; char *p; };\n" F("union u u", "return (int)u.n;"),
	F("char **b", "char *p; memcpy(&p, b, 8); return *p;"),
	F("char *b", "int n; memcpy(&n, b, 4); return n;"),
	F("void", "volatile int a = 0; volatile int b[2] = {0}; a = b[1]; return a;"),
	F("int *p", "return __atomic_load_n(p, __ATOMIC_ACQUIRE);"),
	F("void", "return plain_do(1);"),
	"int a __attribute__((aligned(64), used));\n",
	F("int *p", "return *(const int *)p;"),
	F("void", "int (*p)(int) = (int (*)(int))plain_do; return p(1) + (*p)(1);"),
	/* what the SDK writes is the SDK's */
	F("void", "SDK_NOP(); return *SDK_AT(4);"),
	"SDK_SECTION int a;\n",
	/* neither asm nor a cast */
	"/* __asm__ */\nextern const char *s;\nconst char *s = \"__asm__(int *)(uintptr_t)\";\n",
	"#define PLAIN(x) ((x) * (4))\nextern int a;\n",
};

static void test_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++) {
		struct safety s = check(found[i].text);

		if (s.counts[found[i].kind] != 1 || safety_operations(&s) != 1 ||
		    s.unsafe_lines != 1)
			fail_msg("%s: %u of %llu operations on %u lines in:\n%s",
				 unsafe_kind_name(found[i].kind), s.counts[found[i].kind],
				 (unsigned long long)safety_operations(&s), s.unsafe_lines,
				 found[i].text);
	}
}

static void test_left_alone(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(left_alone) / sizeof(left_alone[0]); i++) {
		struct safety s = check(left_alone[i]);

		if (safety_operations(&s) || s.unsafe_lines)
			fail_msg("%s in:\n%s",
				 s.n_places ? unsafe_kind_name(s.places[0].kind) : "lines",
				 left_alone[i]);
	}
}

/* Own macros count once, where they are defined; a marked call each time it is made. */
static void test_macros(void **state)
{
	struct safety s = check("#define OWN(n) ((int *)(unsigned long)(n))\n" F(
		"long a, long b", "return *OWN(a) + *OWN(b)\n + *OWN(a);"));

	(void)state;
	assert_int_equal(s.counts[UNSAFE_INT_TO_POINTER], 1);
	assert_string_equal(s.places[0].where, "a.c:2");
	s = check(
		"#define TWICE() (gate_do(1) +\\\n gate_do(2))\n" F("void", "TWICE();\nTWICE();"));
	assert_int_equal(s.counts[UNSAFE_GATE], 2);
	assert_int_equal(s.unsafe_lines, 2);
	/* what the caller hands to a macro is the caller's */
	s = check(F("long a", "return *SDK_AT(\n*(char *)a);"));
	assert_int_equal(s.counts[UNSAFE_INT_TO_POINTER], 1);
	assert_string_equal(s.places[0].where, "a.c:4");
}

static void test_lines(void **state)
{
	struct safety s = check("/* one\n   two */\n\nint a; /* x */\n// y\n"
				"const char *t = \"/*\"; char c = '\"';\n" F(
					"void", "__asm__(\"nop\\n\"\n /* z */\n\"nop\");"));

	(void)state;
	assert_int_equal(s.code_lines, 1 + 2 + 4);
	assert_int_equal(s.unsafe_lines, 2);
	assert_int_equal(s.counts[UNSAFE_ASM], 1);
}

/* A header of the cell counts, once; the inline functions of others do not. */
static void test_headers(void **state)
{
	struct reasons reasons = {0};
	struct safety s;

	(void)state;
	test_write(root, "own.h", "static inline int *at(long n) { return (int *)n; }\n");
	s = check("#include \"own.h\"\n");
	assert_int_equal(s.counts[UNSAFE_INT_TO_POINTER], 1);
	assert_string_equal(s.places[0].where, "own.h:1");
	assert_int_equal(s.code_lines, 3);
	/* the same file as a source: how the SDK itself is counted */
	assert_int_equal(check_file("own.h", &s, &reasons), 0);
	assert_int_equal(s.code_lines, 1);
	assert_int_equal(s.unsafe_lines, 1);
}

/* Public headers that lie elsewhere are own when it is said that they are. */
static void test_own_dirs(void **state)
{
	struct safety s = check("");
	uint32_t without = s.unsafe_lines;

	(void)state;
	dirs[0] = other;
	s = check("");
	dirs[0] = NULL;
	assert_int_equal(without, 0);
	/* machine_do: the asm and the gate call are on one line; then SDK_NOP */
	assert_int_equal(s.counts[UNSAFE_ASM], 2);
	assert_int_equal(s.counts[UNSAFE_GATE], 1);
	assert_int_equal(s.unsafe_lines, 2);
}

static void test_assembly(void **state)
{
	struct reasons reasons = {0};
	struct safety s;

	(void)state;
	test_write(root, "b.S", "/* entry */\n.globl b\n\nb:\tret /* back */\n// end\n");
	assert_int_equal(check_file("b.S", &s, &reasons), 0);
	assert_int_equal(s.code_lines, 2);
	assert_int_equal(s.unsafe_lines, 2);
	assert_int_equal(s.counts[UNSAFE_ASM], 2);
}

static void test_foreign(void **state)
{
	const struct check_input in = {NULL, 0, dirs, (const char *[]){"x.o", "liby.a", NULL},
				       NULL};
	struct buf depends = {0};
	struct safety s;

	(void)state;
	assert_int_equal(check_sources(&in, &s, &depends, NULL), 0);
	assert_int_equal(s.counts[UNSAFE_FOREIGN], 2);
	assert_string_equal(s.places[1].where, "liby.a");
	assert_int_equal(s.code_lines, 0);
	buf_done(&depends);
}

/* A source that cannot be read is no safe source. */
static void test_broken(void **state)
{
	struct reasons reasons = {0};
	struct safety s;

	(void)state;
	test_write(root, "c.c", "int f(void) { return nothing; }\n");
	assert_int_equal(check_file("c.c", &s, &reasons), -EPERM);
	assert_string_equal(reasons.code, "unchecked");
	assert_non_null(strstr(reasons_first(&reasons), "c.c:1"));
	reasons_done(&reasons);
	assert_int_equal(check_file("none.c", &s, &reasons), -EPERM);
	assert_string_equal(reasons.code, "unchecked");
	assert_non_null(strstr(reasons_first(&reasons), "none.c"));
	reasons_done(&reasons);
}

static void test_report(void **state)
{
	struct safety s = {.code_lines = 100, .unsafe_lines = 20}, t;
	struct reasons reasons = {0};
	struct buf text = {0};
	char where[300];

	(void)state;
	memset(where, 'x', sizeof(where));
	(void)snprintf(where + 290, 10, ":12");
	safety_add(&s, UNSAFE_PUN, where);
	for (unsigned int i = 0; i < 20; i++)
		safety_add(&s, UNSAFE_GATE, "a b.c:1");
	safety_write(&s, &text);
	assert_int_equal(safety_read("r", buf_str(&text), &t, &reasons), 0);
	assert_int_equal(t.n_places, SAFETY_PLACES_MAX);
	assert_int_equal(strlen(t.places[0].where), SAFETY_PLACE_BYTES - 1);
	assert_string_equal(t.places[0].where + SAFETY_PLACE_BYTES - 4, ":12");
	assert_string_equal(t.places[1].where, "a b.c:1");
	assert_memory_equal(s.counts, t.counts, sizeof(s.counts));
	assert_int_equal(t.code_lines, 100);
	assert_int_equal(t.unsafe_lines, 20);
	buf_done(&text);
}

static void test_bad_reports(void **state)
{
	static const struct {
		const char *text, *code;
	} bad[] = {
		{"", "bad-report"},
		{"unsafe 1\n", "bad-report"},
		{"code 1\nunsafe -1\n", "bad-report"},
		{"code 99999999999\n", "bad-report"},
		{"code 1\nkind colour 1\n", "bad-report"},
		{"code 1\nkind asm\n", "bad-report"},
		{"code 1\nplace asm\n", "bad-report"},
		{"code 1\nLLVM ERROR: something\n", "bad-report"},
		{"broken a.c:1: no\n", "unchecked"},
		{"code 1\nbroken a.c:1: no\n", "unchecked"},
	};
	struct reasons reasons = {0};
	struct safety s;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(safety_read("r", bad[i].text, &s, &reasons), -EPERM);
		assert_string_equal(reasons.code, bad[i].code);
		reasons_done(&reasons);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),       cmocka_unit_test(test_left_alone),
		cmocka_unit_test(test_macros),      cmocka_unit_test(test_lines),
		cmocka_unit_test(test_headers),     cmocka_unit_test(test_assembly),
		cmocka_unit_test(test_own_dirs),    cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_broken),      cmocka_unit_test(test_report),
		cmocka_unit_test(test_bad_reports),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
