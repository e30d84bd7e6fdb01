/* SPDX-License-Identifier: MIT */
/* What changes an ABI hash, and what does not. */
#include "pack/pack-test.h"

#include <errno.h>

#include <sodium.h>

#include "index.h"

/* Scans one header with this text; the index is the caller's. Result: as abi_index_scan(). */
static int scan_flags(const char *text, const char *const *flags, struct abi_index *ret_index,
		      struct reasons *reasons)
{
	char *dir = temp_dir();
	const char *dirs[] = {dir, NULL};
	struct abi_compiler compiler = {"gcc", flags, dirs};
	int r;

	assert_non_null(dir);
	test_write(dir, "probe.h", text);
	r = abi_index_scan(&compiler, dirs, ret_index, NULL, reasons);
	if (r == 0)
		r = abi_index_sort(ret_index, reasons);
	temp_dir_remove(dir);
	return r;
}

static struct abi_index scan(const char *text)
{
	struct abi_index index = {0};
	struct reasons reasons = {0};

	if (scan_flags(text, test_flags, &index, &reasons) < 0)
		fail_msg("%s", reasons_first(&reasons));
	return index;
}

static uint64_t hash_in(const char *text, const char *flag)
{
	const char *flags[] = {"-std=gnu11", "-ffreestanding", flag, NULL};
	struct abi_index index = {0};
	struct reasons reasons = {0};
	const struct abi_entry *e;
	uint64_t hash;

	if (scan_flags(text, flags, &index, &reasons) < 0)
		fail_msg("%s", reasons_first(&reasons));
	e = abi_index_find(&index, ABI_FUNCTION, "f");
	assert_non_null(e);
	hash = e->hash;
	abi_index_done(&index);
	return hash;
}

static uint64_t hash_of(const char *text)
{
	return hash_in(text, "-O2");
}

#define BASE "struct s { int a; long b[4]; enum e { E_ONE = 1, E_TWO } c; unsigned d : 3; };\n"

static void test_changes(void **state)
{
	static const char *const others[] = {
		/* a parameter's type, number, qualifier, the result, variadic */
		BASE "int f(struct s *s, unsigned n);",
		BASE "int f(struct s *s);",
		BASE "int f(const struct s *s, int n);",
		BASE "long f(struct s *s, int n);",
		BASE "int f(struct s *s, int n, ...);",
		BASE "int f(struct s s, int n);",
		/* a member's type, name, order; a further one; an array's size */
		"struct s { unsigned a; long b[4]; enum e { E_ONE = 1, E_TWO } c; unsigned d : 3; "
		"};\n"
		"int f(struct s *s, int n);",
		"struct s { int x; long b[4]; enum e { E_ONE = 1, E_TWO } c; unsigned d : 3; };\n"
		"int f(struct s *s, int n);",
		"struct s { long b[4]; int a; enum e { E_ONE = 1, E_TWO } c; unsigned d : 3; };\n"
		"int f(struct s *s, int n);",
		"struct s { int a; long b[4]; enum e { E_ONE = 1, E_TWO } c; unsigned d : 3; char "
		"z; };\n"
		"int f(struct s *s, int n);",
		"struct s { int a; long b[5]; enum e { E_ONE = 1, E_TWO } c; unsigned d : 3; };\n"
		"int f(struct s *s, int n);",
		/* an enumerator's value and name, a bit field's width, the tag */
		"struct s { int a; long b[4]; enum e { E_ONE = 1, E_TWO = 3 } c; unsigned d : 3; "
		"};\n"
		"int f(struct s *s, int n);",
		"struct s { int a; long b[4]; enum e { E_ONE = 1, E_DUO } c; unsigned d : 3; };\n"
		"int f(struct s *s, int n);",
		"struct s { int a; long b[4]; enum e { E_ONE = 1, E_TWO } c; unsigned d : 4; };\n"
		"int f(struct s *s, int n);",
		"struct t { int a; long b[4]; enum e { E_ONE = 1, E_TWO } c; unsigned d : 3; };\n"
		"int f(struct t *s, int n);",
		"struct s { int a; long b[4]; enum e { E_ONE = 1, E_TWO } c; unsigned d : 3; } "
		"__attribute__((packed));\nint f(struct s *s, int n);",
		/* incomplete is not complete */
		"struct s;\nint f(struct s *s, int n);",
	};
	uint64_t base = hash_of(BASE "int f(struct s *s, int n);");

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (hash_of(others[i]) == base)
			fail_msg("the same hash for: %s", others[i]);
}

static void test_keeps(void **state)
{
	static const char *const same[] = {
		BASE "int f(struct s *other, int names);",
		BASE "int f(struct s *, int);",
		BASE
		"/* a comment */ extern int f(struct s *s, int n) __attribute__((nonnull, pure));",
		"struct before { char c; };\nint g(struct before *b);\ntypedef unsigned long "
		"word;\n" BASE "word h(struct s *s);\nint f(struct s *s, int n);\nint k(void);",
		BASE "typedef int number;\ntypedef struct s thing;\nint f(thing *s, number n);",
	};
	uint64_t base = hash_of(BASE "int f(struct s *s, int n);");

	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		if (hash_of(same[i]) != base)
			fail_msg("another hash for: %s", same[i]);
	assert_true(hash_in(BASE "int f(struct s *s, int n);", "-O0") == base);
	assert_true(hash_in(BASE "int f(struct s *s, int n);", "-O3") == base);
}

/* A change far below a pointer is a change; a cycle ends. */
static void test_graph(void **state)
{
	static const char list[] = "struct n { struct n *next; struct m *up; };\n"
				   "struct m { struct n *first; int %s; };\nint f(struct n *n);";
	char a[256], b[256];

	(void)state;
	(void)snprintf(a, sizeof(a), list, "x");
	(void)snprintf(b, sizeof(b), list, "y");
	assert_true(hash_of(a) == hash_of(a));
	assert_true(hash_of(a) != hash_of(b));
	assert_true(hash_of("struct a { struct a *p; };\nint f(struct a *);") !=
		    hash_of("struct a { void *p; };\nint f(struct a *);"));
}

/* Types without a tag are told apart by their typedef: kinds of address do not mix. */
static void test_typedef_names(void **state)
{
	(void)state;
	assert_true(hash_of("typedef struct { unsigned long v; } paddr;\nint f(paddr a);") !=
		    hash_of("typedef struct { unsigned long v; } vaddr;\nint f(vaddr a);"));
	assert_true(hash_of("typedef unsigned long u64;\nint f(u64 a);") ==
		    hash_of("int f(unsigned long a);"));
}

/* noreturn is an attribute of the function, not of its type. */
static void test_noreturn(void **state)
{
	(void)state;
	assert_true(hash_of("void f(int a) __attribute__((noreturn));") ==
		    hash_of("void f(int a);"));
}

/* Bundles that were built before carry hashes: the serialisation may not drift. */
static void test_pinned(void **state)
{
	(void)state;
	assert_true(hash_of("int f(char *buf, unsigned long len);") == 0x6b5ee3cf6a8cb58full);
}

static void check_text(const struct abi_index *index, const char *name, const char *text)
{
	const struct abi_entry *e = abi_index_find(index, ABI_FUNCTION, name);

	assert_non_null(e);
	assert_string_equal(e->signature, text);
	assert_string_equal(e->header, "probe.h");
}

static void test_texts(void **state)
{
	struct abi_index index =
		scan("#include <stddef.h>\n"
		     "struct s;\n"
		     "int a(char *buf, size_t len);\n"
		     "void b(void);\n"
		     "const char *const *c(const struct s *s, int (*cb)(void *arg, int n), ...);\n"
		     "int (*d(int n))(char);\n"
		     "void e(int m[4][2], const volatile int *restrict p);\n"
		     "int (*f(void))[8];\n"
		     "_Bool g(enum { G } x, void (*const *table)(void));\n"
		     "static inline int hidden(int x) { return x; }\n");

	(void)state;
	assert_int_equal(index.n, 7);
	check_text(&index, "a", "int (char *, size_t)");
	check_text(&index, "b", "void (void)");
	check_text(&index, "c", "const char *const *(const struct s *, int (*)(void *, int), ...)");
	check_text(&index, "d", "int (*(int))(char)");
	check_text(&index, "e", "void (int (*)[2], volatile const int *restrict)");
	check_text(&index, "f", "int (*(void))[8]");
	check_text(&index, "g", "_Bool (enum {...}, void (*const *)(void))");
	abi_index_done(&index);
}

static void test_interfaces(void **state)
{
	struct abi_index index = scan(
		"struct iface { unsigned slot, generation; };\n"
		"struct box_ops { int (*open)(int how); const char *help; };\n"
		"struct box_ops_h { struct iface h; };\n"
		"static inline const struct box_ops *box_ops_get(struct box_ops_h h) { return 0; "
		"}\n"
		"static inline const struct box_ops *other(struct box_ops_h h) { return 0; }\n");
	const struct abi_entry *e = abi_index_find(&index, ABI_INTERFACE, "box_ops");

	(void)state;
	assert_int_equal(index.n, 1);
	assert_non_null(e);
	assert_string_equal(e->signature, "struct box_ops { int (*open)(int); const char *help; }");
	assert_null(abi_index_find(&index, ABI_FUNCTION, "box_ops"));
	abi_index_done(&index);
}

static void test_restartable(void **state)
{
	struct abi_index index = scan(
		"struct two { long a, b; };\nstruct big { long a[3]; };\nstruct real { double d; "
		"};\n"
		"int yes(int a, char *b, struct two c, unsigned long d);\n"
		"long yes6(int a, int b, int c, int d, int e, int f);\n"
		"unsigned no_sign(int a);\nvoid no_result(int a);\nvoid *no_pointer(void);\n"
		"int no7(int a, int b, int c, int d, int e, int f, int g);\n"
		"int no_words(struct two a, struct two b, struct two c, int d);\n"
		"int no_big(struct big b);\nint no_real(struct real r);\nint no_double(double d);\n"
		"int no_more(const char *f, ...);\n");

	(void)state;
	assert_int_equal(index.n, 11);
	for (size_t i = 0; i < index.n; i++)
		assert_int_equal(index.entries[i].restartable,
				 strncmp(index.entries[i].name, "yes", 3) == 0);
	abi_index_done(&index);
}

static void test_text_form(void **state)
{
	struct abi_index index = scan("int b(void);\nint a(char *p);\n"), again = {0};
	struct buf text = {0}, second = {0};
	struct reasons reasons = {0};

	(void)state;
	abi_index_write(&index, &text);
	assert_int_equal(abi_index_parse(buf_str(&text), &again, &reasons), 0);
	assert_int_equal(abi_index_sort(&again, &reasons), 0);
	abi_index_write(&again, &second);
	assert_string_equal(buf_str(&text), buf_str(&second));
	assert_non_null(strstr(buf_str(&text), "function\ta\t"));
	assert_int_equal(
		abi_index_parse("function\ta\tnothex\t-\tx.h\tint (void)\n", &again, &reasons),
		-EPERM);
	assert_int_equal(abi_index_parse("function\ta\n", &again, &reasons), -EPERM);
	assert_int_equal(abi_index_parse("thing\ta\t0123456789abcdef\t-\tx.h\tint (void)\n", &again,
					 &reasons),
			 -EPERM);
	assert_string_equal(reasons.code, "bad-abi-index");
	assert_int_equal(abi_index_load("/nonexistent/sdk.abi", &again, &reasons), -EPERM);
	reasons_done(&reasons);
	abi_index_done(&index);
	abi_index_done(&again);
	buf_done(&text);
	buf_done(&second);
}

static void test_refusals(void **state)
{
	struct abi_index index = {0};
	struct reasons reasons = {0};
	const struct abi_compiler nowhere = {"/nonexistent/gcc", test_flags,
					     (const char *[]){NULL}};
	char *dir = temp_dir();

	(void)state;
	/* a header that needs another one first */
	assert_int_equal(scan_flags("int f(size_t n);", test_flags, &index, &reasons), -EPERM);
	assert_string_equal(reasons.code, "bad-header");
	assert_non_null(strstr(reasons_first(&reasons), "probe.h"));
	reasons_done(&reasons);

	/* two headers that disagree */
	test_write(dir, "one.h", "int f(int a);");
	test_write(dir, "two.h", "int f(long a);");
	const struct abi_compiler here = {"gcc", test_flags, (const char *[]){dir, NULL}};
	assert_int_equal(abi_index_scan(&here, (const char *[]){dir, NULL}, &index, NULL, &reasons),
			 0);
	assert_int_equal(abi_index_sort(&index, &reasons), -EPERM);
	assert_string_equal(reasons.code, "abi-conflict");
	assert_non_null(strstr(reasons_first(&reasons), "one.h"));
	assert_non_null(strstr(reasons_first(&reasons), "two.h"));
	reasons_done(&reasons);
	abi_index_done(&index);

	assert_int_equal(
		abi_index_scan(&nowhere, (const char *[]){dir, NULL}, &index, NULL, &reasons),
		-EPERM);
	assert_string_equal(reasons.code, "no-compiler");
	reasons_done(&reasons);
	abi_index_done(&index);
	assert_int_equal(abi_index_scan(&here, (const char *[]){"/nonexistent", NULL}, &index, NULL,
					&reasons),
			 -EPERM);
	reasons_done(&reasons);
	temp_dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes),     cmocka_unit_test(test_keeps),
		cmocka_unit_test(test_graph),       cmocka_unit_test(test_typedef_names),
		cmocka_unit_test(test_noreturn),    cmocka_unit_test(test_pinned),
		cmocka_unit_test(test_texts),       cmocka_unit_test(test_interfaces),
		cmocka_unit_test(test_restartable), cmocka_unit_test(test_text_form),
		cmocka_unit_test(test_refusals),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
