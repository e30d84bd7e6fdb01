/* SPDX-License-Identifier: MIT */
/* Unwind barriers: what no frame description covers is listed, and nothing else is. */
#include "pack-test.h"

#include <errno.h>

#include "barrier.h"

#define ASSEMBLY "-xassembler-with-cpp"

static char *dir;

struct found {
	uint8_t *data;
	struct object object;
	struct barrier *barriers;
	size_t n;
};

/* Compiles @source and reads the object; @change (NULL: none) spoils its .eh_frame. */
static int find_in(const char *source, const char *flag, void (*change)(uint8_t *frames),
		   struct found *f, struct reasons *reasons)
{
	char path[TEST_PATH];
	size_t size;

	*f = (struct found){0};
	test_compile(dir, "a", source, flag, (const char *[]){NULL});
	(void)snprintf(path, sizeof(path), "%s/a.o", dir);
	assert_int_equal(file_read(path, 1 << 20, &f->data, &size), 0);
	assert_int_equal(object_parse("a.o", f->data, size, &f->object, NULL), 0);
	if (change) {
		uint32_t at = object_section_find(&f->object, ".eh_frame");

		assert_int_not_equal(at, OBJECT_NONE);
		change(f->data + (f->object.sections[at].data - f->data));
	}
	return barriers_find("a.o", &f->object, &f->barriers, &f->n, reasons);
}

static void found_done(struct found *f)
{
	free(f->barriers);
	object_done(&f->object);
	free(f->data);
}

static struct found find(const char *source, const char *flag)
{
	struct reasons reasons = {0};
	struct found f;

	if (find_in(source, flag, NULL, &f, &reasons) < 0)
		fail_msg("%s", reasons_first(&reasons));
	return f;
}

static void expect(const struct found *f, size_t i, const char *function, uint64_t at,
		   uint64_t bytes)
{
	assert_true(i < f->n);
	if (function) {
		assert_non_null(f->barriers[i].function);
		assert_string_equal(f->barriers[i].function, function);
	} else {
		assert_null(f->barriers[i].function);
	}
	assert_int_equal(f->barriers[i].at, at);
	assert_int_equal(f->barriers[i].bytes, bytes);
}

#define FUNCTION(name) ".globl " name "\n.type " name ", @function\n" name ":\n"
#define END(name) ".size " name ", . - " name "\n"
#define DESCRIBED(name) FUNCTION(name) ".cfi_startproc\nret\n.cfi_endproc\n" END(name)
#define ROOM ".balign 16\n"

/* Compiled functions: one is inlined, one has a cold part. */
static void test_compiled(void **state)
{
	struct found f = find("int other(int);\n"
			      "__attribute__((cold)) void never(int);\n"
			      "static int twice(int a) { return other(a) * 2; }\n"
			      "int one(int a) { return twice(a) + 1; }\n"
			      "int two(int a) { if (a > 7) never(a); return other(a) * a; }\n",
			      NULL);

	(void)state;
	assert_int_equal(f.n, 0);
	found_done(&f);
}

/* Rooms of all sizes, as the assembler fills them. */
static void test_rooms(void **state)
{
	struct buf source = {0};
	struct found f;

	(void)state;
	for (unsigned int bytes = 1; bytes <= 64; bytes++)
		buf_printf(&source,
			   ".globl f%u\n.type f%u, @function\n.balign 64\nf%u: .cfi_startproc\n"
			   ".fill %u, 1, 0xc3\n.cfi_endproc\n.size f%u, . - f%u\n",
			   bytes, bytes, bytes, bytes, bytes, bytes);
	f = find(buf_str(&source), ASSEMBLY);
	assert_int_equal(f.n, 0);
	found_done(&f);
	buf_done(&source);
}

/* What is called at... lies at that multiple of 16. */
static const char mixed[] =
	DESCRIBED("at0") ROOM FUNCTION("raw_at16") "nop\nxorl %eax, %eax\nret\n" END("raw_at16")
		ROOM "bare_at32: int3\nret\n" ROOM DESCRIBED("at48") ROOM
	".Lat64: ret\n" ROOM FUNCTION("half_at80") ".cfi_startproc\npushq %rax\n.cfi_endproc\npopq "
						   "%rax\nret\n" END("half_at80")
							   ROOM DESCRIBED("at96");

static void test_uncovered(void **state)
{
	struct found f = find(mixed, ASSEMBLY);

	(void)state;
	assert_int_equal(f.n, 4);
	expect(&f, 0, "raw_at16", 16, 4);
	expect(&f, 1, "bare_at32", 32, 16); /* has no size, so the room behind it is its own */
	expect(&f, 2, NULL, 64, 16);
	expect(&f, 3, "half_at80", 81, 2);
	found_done(&f);
}

static void test_no_frames(void **state)
{
	struct found f =
		find(FUNCTION("a") "ret\n" END("a") FUNCTION("b") "ret\n" END("b"), ASSEMBLY);

	(void)state;
	assert_int_equal(object_section_find(&f.object, ".eh_frame"), OBJECT_NONE);
	assert_int_equal(f.n, 2);
	expect(&f, 0, "a", 0, 1);
	expect(&f, 1, "b", 1, 1);
	found_done(&f);
}

static void test_no_text(void **state)
{
	struct found f = find("const int data = 1;\n", NULL);

	(void)state;
	assert_int_equal(f.n, 0);
	found_done(&f);
}

/* The common entry comes first: 20 bytes with length, augmentation "zR". */
static void length_beyond(uint8_t *frames)
{
	frames[3] = 0x7f;
}

static void description_beyond(uint8_t *frames)
{
	frames[24] = 0xff;
}

static void description_short(uint8_t *frames)
{
	frames[24] = 8;
}

static void common_before(uint8_t *frames)
{
	frames[28] = 0xff;
}

static void no_letters(uint8_t *frames)
{
	frames[9] = 0;
}

static void unknown_letter(uint8_t *frames)
{
	frames[10] = 'B';
}

static void absolute_addresses(uint8_t *frames)
{
	frames[16] = 0;
}

static void endless_letters(uint8_t *frames)
{
	memset(frames + 9, 'S', 15);
}

static void test_malformed(void **state)
{
	static void (*const changes[])(uint8_t *) = {
		length_beyond, description_beyond, description_short,  common_before,
		no_letters,    unknown_letter,     absolute_addresses, endless_letters,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct reasons reasons = {0};
		struct found f;

		if (find_in(DESCRIBED("f"), ASSEMBLY, changes[i], &f, &reasons) != -EPERM)
			fail_msg("change %zu was not refused", i);
		assert_string_equal(reasons.code, "bad-object");
		assert_non_null(strstr(reasons_first(&reasons), "a.o: section .eh_frame"));
		reasons_done(&reasons);
		found_done(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compiled),  cmocka_unit_test(test_rooms),
		cmocka_unit_test(test_uncovered), cmocka_unit_test(test_no_frames),
		cmocka_unit_test(test_no_text),   cmocka_unit_test(test_malformed),
	};
	int r;

	dir = temp_dir();
	r = dir ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
	temp_dir_remove(dir);
	return r;
}
