/* SPDX-License-Identifier: MIT */
/* Bundles: what is written is read again, and every way of being wrong has its own word. */
#include "pack/pack-test.h"

#include <errno.h>

#include <sodium.h>

#include "ar.h"
#include "bundle.h"

static const uint8_t objects[3][7] = {"first!", "second", "third!"};

static Theseus__Cell cell_named(const char *name)
{
	Theseus__Cell c;

	theseus__cell__init(&c);
	c.name = (char *)(uintptr_t)name;
	c.version = (char *)(uintptr_t) "1.2.3";
	c.summary = (char *)(uintptr_t) "a cell";
	return c;
}

/* A bundle of @n cells a, b, c. */
static struct buf good(size_t n)
{
	const char *const names[] = {"a", "b", "c"};
	Theseus__Cell cells[3];
	struct bundle_input in[3];
	struct bundle_header header = {.sequence = 7};
	struct buf out = {0};

	for (size_t i = 0; i < n; i++) {
		cells[i] = cell_named(names[i]);
		in[i] = (struct bundle_input){&cells[i], objects[i], 5 + i % 2};
	}
	assert_int_equal(bundle_write(&header, in, n, &out), 0);
	return out;
}

static void expect_word(const void *data, size_t size, const char *word)
{
	struct reasons reasons = {0};
	struct bundle *b = NULL;

	assert_int_equal(bundle_open("x.cells", data, size, &b, &reasons), -EPERM);
	assert_null(b);
	assert_string_equal(reasons.code, word);
	assert_memory_equal(reasons_first(&reasons), "x.cells: ", 9);
	assert_int_equal(bundle_open("x.cells", data, size, &b, NULL), -EPERM);
	reasons_done(&reasons);
}

static void expect_buf(struct buf *b, const char *word)
{
	expect_word(b->data, b->len, word);
	buf_done(b);
}

static void test_round_trip(void **state)
{
	struct buf bytes = good(3), again = good(3);
	struct reasons reasons = {0};
	struct bundle_cell cell;
	struct bundle *b;
	uint8_t hash[32], expect[32];
	size_t size;

	(void)state;
	assert_int_equal(bytes.len, again.len);
	assert_memory_equal(bytes.data, again.data, bytes.len);
	assert_int_equal(bundle_open("x.cells", bytes.data, bytes.len, &b, &reasons), 0);
	assert_int_equal(bundle_n_cells(b), 3);
	assert_int_equal(bundle_manifest(b)->sequence, 7);
	assert_int_equal(bundle_manifest(b)->format, BUNDLE_FORMAT);
	for (size_t i = 0; i < 3; i++) {
		cell = bundle_cell_at(b, i);
		assert_int_equal(cell.manifest->name[0], 'a' + (int)i);
		assert_int_equal(cell.size, 5 + i % 2);
		assert_memory_equal(cell.object, objects[i], cell.size);
	}
	assert_int_equal(bundle_cell_find(b, "b", &cell), 0);
	assert_string_equal(cell.manifest->name, "b");
	assert_int_equal(bundle_cell_find(b, "z", &cell), -ENOENT);
	assert_null(bundle_signature(b, &size));
	assert_memory_equal(bundle_bytes(b, &size), bytes.data, bytes.len);
	assert_int_equal(size, bytes.len);
	bundle_sha256(b, hash);
	(void)crypto_hash_sha256(expect, bytes.data, bytes.len);
	assert_memory_equal(hash, expect, 32);
	bundle_free(b);
	bundle_free(NULL);
	buf_done(&bytes);
	buf_done(&again);
}

/* What ar(1) says of it: the manifest first, then the cells; long names whole or cut. */
static void test_ar_lists(void **state)
{
	static const char *const names[] = {"short", "exactly_15_byte", "virtio_console_two",
					    "virtio_console_three"};
	Theseus__Cell cells[4];
	struct bundle_input in[4];
	struct bundle_header header = {0};
	struct buf out = {0}, said = {0};
	struct reasons reasons = {0};
	char *dir = temp_dir(), path[TEST_PATH];
	struct bundle *b;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		cells[i] = cell_named(names[i]);
		in[i] = (struct bundle_input){&cells[i], objects[i % 3], 5};
	}
	assert_int_equal(bundle_write(&header, in, 4, &out), 0);
	(void)snprintf(path, sizeof(path), "%s/x.cells", dir);
	assert_int_equal(file_write(path, out.data, out.len), 0);
	assert_int_equal(child_run((char *[]){(char[]){"ar"}, (char[]){"t"}, path, NULL}, &said),
			 0);
	assert_string_equal(buf_str(&said), "manifest.pb\nshort\nexactly_15_byte\n"
					    "virtio_cons~002\nvirtio_cons~003\n");
	assert_int_equal(bundle_open_file(path, &b, &reasons), 0);
	assert_string_equal(bundle_cell_at(b, 3).manifest->name, "virtio_console_three");
	bundle_free(b);
	temp_dir_remove(dir);
	buf_done(&out);
	buf_done(&said);
}

/* Archives that ar(1) itself made, with its table of long names and its symbol index. */
static void test_foreign_archive(void **state)
{
	const struct ar_member in[] = {{"manifest.pb.minisig", objects[0], 5},
				       {"a-name-of-more-than-fifteen-bytes", objects[1], 6},
				       {"x", objects[2], 0}};
	struct ar_member *members;
	struct buf out = {0};
	size_t n;

	(void)state;
	ar_write(in, 3, &out);
	assert_int_equal(ar_parse(out.data, out.len, &members, &n, NULL), 0);
	assert_int_equal(n, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_string_equal(members[i].name, in[i].name);
		assert_int_equal(members[i].size, in[i].size);
		assert_memory_equal(members[i].data, in[i].data, in[i].size);
	}
	free(members);
	buf_done(&out);

	/* a member "/", the index of symbols, is no file */
	buf_printf(&out, "!<arch>\n%-16s%-12s%-6s%-6s%-8s%-10u`\nabcd", "/", "0", "0", "0", "644",
		   4);
	buf_printf(&out, "%-16s%-12s%-6s%-6s%-8s%-10u`\nz", "y/", "0", "0", "0", "644", 1);
	assert_int_equal(ar_parse(out.data, out.len, &members, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_string_equal(members[0].name, "y");
	free(members);
	buf_done(&out);
}

static void test_archive_refusals(void **state)
{
	struct buf b = good(2);
	const struct {
		const char *header, *word;
	} headers[] = {
		{"a/              0           0     0     644     99        `\n", "cut-short"},
		{"a/              0           0     0     644     x         `\n", "bad-archive"},
		{"a/              0           0     0     644     1 1       `\n", "bad-archive"},
		{"a/              0           0     0     644     0         !\n", "bad-archive"},
		{"a               0           0     0     644     0         `\n", "bad-archive"},
		{"/0              0           0     0     644     0         `\n", "bad-archive"},
		{"/99999999999999 0           0     0     644     0         `\n", "bad-archive"},
		{"\1/              0           0     0     644     0         `\n", "bad-archive"},
		{"a/              0           0     0     644     0         `", "cut-short"},
	};

	(void)state;
	expect_word("", 0, "not-an-archive");
	expect_word("!<arch>", 7, "not-an-archive");
	expect_word("!<thin>\n", 8, "not-an-archive");
	expect_word("!<arch>\n", 8, "no-manifest");
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		struct buf x = {0};

		buf_puts(&x, "!<arch>\n");
		buf_puts(&x, headers[i].header);
		expect_buf(&x, headers[i].word);
	}
	/* every proper prefix is refused, but for a missing filler byte at the end */
	for (size_t len = 0; len + 1 < b.len; len++) {
		struct bundle *opened;

		assert_int_equal(bundle_open("x", b.data, len, &opened, NULL), -EPERM);
	}
	buf_done(&b);
}

static void test_too_many_members(void **state)
{
	struct ar_member *members = calloc(AR_MEMBERS_MAX + 1, sizeof(*members));
	struct buf out = {0};

	(void)state;
	for (unsigned int i = 0; i <= AR_MEMBERS_MAX; i++)
		(void)snprintf(members[i].name, sizeof(members[i].name), "m%u", i);
	ar_write(members, AR_MEMBERS_MAX + 1, &out);
	free(members);
	expect_buf(&out, "bad-archive");
}

/* A manifest that says anything at all, with two objects. */
struct lie {
	Theseus__Manifest manifest;
	Theseus__Cell cells[2], *pointers[2];
	uint8_t hashes[2][32];
};

static void honest(struct lie *l)
{
	static const char *const names[] = {"a", "b"};

	theseus__manifest__init(&l->manifest);
	l->manifest.format = BUNDLE_FORMAT;
	l->manifest.n_cells = 2;
	l->manifest.cells = l->pointers;
	for (int i = 0; i < 2; i++) {
		(void)crypto_hash_sha256(l->hashes[i], objects[i], 6);
		l->cells[i] = cell_named(names[i]);
		l->cells[i].object = (char *)(uintptr_t)names[i];
		l->cells[i].size = 6;
		l->cells[i].sha256 = (ProtobufCBinaryData){32, l->hashes[i]};
		l->pointers[i] = &l->cells[i];
	}
}

static struct buf lie_bytes(const struct lie *l)
{
	struct buf out = {0};

	assert_int_equal(bundle_write_raw(&l->manifest,
					  (const uint8_t *const[]){objects[0], objects[1]},
					  (const size_t[]){6, 6}, &out),
			 0);
	return out;
}

static void expect_lie(const struct lie *l, const char *word)
{
	struct buf b = lie_bytes(l);

	expect_buf(&b, word);
}

static void test_manifest_refusals(void **state)
{
	Theseus__Export x, *xs = &x;
	Theseus__Import m, *ms = &m;
	Theseus__Provide p, *ps = &p;
	char *consumes[] = {(char[]){"Not A Name"}}, big[101];
	struct bundle *b;
	struct lie l;
	struct buf ok;

	(void)state;
	theseus__export__init(&x);
	theseus__import__init(&m);
	theseus__provide__init(&p);
	memset(big, 'x', sizeof(big));
	big[100] = 0;
	honest(&l);
	ok = lie_bytes(&l);
	assert_int_equal(bundle_open("x", ok.data, ok.len, &b, NULL), 0);
	bundle_free(b);
	buf_done(&ok);

#define LIE(change, word)                                                                          \
	do {                                                                                       \
		honest(&l);                                                                        \
		change;                                                                            \
		expect_lie(&l, word);                                                              \
	} while (0)
	LIE(l.manifest.format = 2, "unknown-format");
	LIE(l.manifest.n_cells = 0, "bad-manifest");
	LIE(l.cells[1].name = (char[]){"a"}, "duplicate-cell");
	LIE(l.cells[1].object = (char[]){"a"}, "duplicate-member");
	LIE(l.cells[1].size = 5, "size-mismatch");
	LIE(l.hashes[1][31] ^= 1, "hash-mismatch");
	LIE(l.cells[1].sha256.len = 31, "bad-manifest");
	LIE(l.cells[1].build_id = ((ProtobufCBinaryData){3, l.hashes[0]}), "bad-manifest");
	LIE(l.cells[1].name = (char[]){"B"}, "bad-manifest");
	LIE(l.cells[1].name = (char[]){""}, "bad-manifest");
	LIE(l.cells[1].name = big, "bad-manifest");
	LIE(l.cells[1].version = (char[]){"1.2"}, "bad-manifest");
	LIE(l.cells[1].summary = big, "bad-manifest");
	LIE((l.manifest.n_obsoletes = 1, l.manifest.obsoletes = consumes), "bad-manifest");
	LIE((l.cells[1].n_exports = 1, l.cells[1].exports = &xs, x.name = (char[]){""}),
	    "bad-manifest");
	LIE((l.cells[1].n_imports = 1, l.cells[1].imports = &ms, m.name = big), "bad-manifest");
	LIE((l.cells[1].n_provides = 1, l.cells[1].provides = &ps), "bad-manifest");
	LIE((l.cells[1].n_consumes = 1, l.cells[1].consumes = consumes), "bad-manifest");
#undef LIE
}

/* Archives that do not hold what their manifest says. */
static void test_member_refusals(void **state)
{
	struct ar_member *members, list[4] = {0};
	struct reasons reasons = {0};
	struct buf b = good(2), x = {0};
	struct bundle *opened;
	size_t n, size;

	(void)state;
	assert_int_equal(ar_parse(b.data, b.len, &members, &n, NULL), 0);
	assert_int_equal(n, 3);

	memcpy(list, members, 3 * sizeof(*list));
	ar_write(list, 2, &x);
	expect_buf(&x, "missing-object");

	list[3] = list[1];
	ar_write(list, 4, &x);
	expect_buf(&x, "duplicate-member");

	(void)snprintf(list[3].name, sizeof(list[3].name), "stranger");
	ar_write(list, 4, &x);
	expect_buf(&x, "stray-member");

	/* a signature is no stranger */
	(void)snprintf(list[3].name, sizeof(list[3].name), "manifest.pb.minisig");
	ar_write(list, 4, &x);
	assert_int_equal(bundle_open("x", x.data, x.len, &opened, &reasons), 0);
	assert_memory_equal(bundle_signature(opened, &size), list[3].data, list[3].size);
	assert_int_equal(size, list[3].size);
	bundle_free(opened);
	buf_done(&x);

	list[0].data = (const uint8_t *)"\xff\xff\xff";
	list[0].size = 3;
	ar_write(list, 3, &x);
	expect_buf(&x, "bad-manifest");
	free(members);
	buf_done(&b);
}

/* Every defect is said, not only the first. */
static void test_all_reasons(void **state)
{
	struct reasons reasons = {0};
	struct bundle *b;
	struct buf bytes;
	struct lie l;

	(void)state;
	honest(&l);
	l.cells[0].size = 9;
	l.hashes[1][0] ^= 1;
	bytes = lie_bytes(&l);
	assert_int_equal(bundle_open("x", bytes.data, bytes.len, &b, &reasons), -EPERM);
	assert_int_equal(reasons.n, 2);
	assert_non_null(strstr(reasons.text[0], "'a'"));
	assert_non_null(strstr(reasons.text[1], "'b'"));
	reasons_done(&reasons);
	buf_done(&bytes);
}

/* A few bytes of manifest may not take a gigabyte to read. */
static void test_unpack_budget(void **state)
{
	struct ar_member m = {"manifest.pb", NULL, 0};
	struct buf wire = {0}, x = {0}, cell = {0};

	(void)state;
	/* field 1, then very many empty exports in one cell */
	for (unsigned int i = 0; i < BUNDLE_MANIFEST_MAX / 2 - 32; i++)
		buf_put(&cell, "\x7a\x00", 2);
	buf_put(&wire, "\x08\x01\x2a", 3);
	for (size_t len = cell.len;; len >>= 7) {
		uint8_t byte = (uint8_t)((len & 0x7f) | (len >> 7 ? 0x80 : 0));

		buf_put(&wire, &byte, 1);
		if (!(len >> 7))
			break;
	}
	buf_put(&wire, cell.data, cell.len);
	m.data = wire.data;
	m.size = wire.len;
	ar_write(&m, 1, &x);
	expect_buf(&x, "bad-manifest");

	buf_fill(&wire, 0, BUNDLE_MANIFEST_MAX);
	m.data = wire.data;
	m.size = wire.len;
	ar_write(&m, 1, &x);
	expect_buf(&x, "too-large");
	buf_done(&wire);
	buf_done(&cell);
}

static void test_files(void **state)
{
	char *dir = temp_dir(), path[TEST_PATH];
	struct reasons reasons = {0};
	struct buf big = {0};
	struct bundle *b;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/none.cells", dir);
	assert_int_equal(bundle_open_file(path, &b, &reasons), -EPERM);
	assert_string_equal(reasons.code, "no-such-file");
	assert_non_null(strstr(reasons_first(&reasons), "none.cells"));
	reasons_done(&reasons);
	assert_int_equal(bundle_open_file(dir, &b, &reasons), -EPERM);
	assert_string_equal(reasons.code, "unreadable");
	reasons_done(&reasons);
	buf_fill(&big, 0, BUNDLE_BYTES_MAX + 1);
	assert_int_equal(file_write(path, big.data, big.len), 0);
	assert_int_equal(bundle_open_file(path, &b, &reasons), -EPERM);
	assert_string_equal(reasons.code, "too-large");
	reasons_done(&reasons);
	expect_word(big.data, big.len, "too-large");
	buf_done(&big);
	temp_dir_remove(dir);
}

static void test_write_too_large(void **state)
{
	Theseus__Cell c = cell_named("a");
	struct bundle_header header = {0};
	struct bundle_input in = {&c, calloc(1, BUNDLE_BYTES_MAX), BUNDLE_BYTES_MAX};
	struct buf out = {0};

	(void)state;
	assert_int_equal(bundle_write(&header, &in, 1, &out), -EFBIG);
	free((void *)(uintptr_t)in.object);
	buf_done(&out);
}

static void test_names(void **state)
{
	static const char *const names[] = {"a", "virtio_console",
					    "a23456789_123456789_123456789_1"};
	static const char *const bad_names[] = {"",     "A",   "1a",
						"_a",   "a-b", "a b",
						"../a", "a/",  "a23456789_123456789_123456789_12"};
	static const char *const versions[] = {"0.0.0", "1.2.3", "10.20.30", "1.2.3-rc.1",
					       "1.2.3+b5"};
	static const char *const bad_versions[] = {
		"",       "1",      "1.2",       "1.2.3.4", "v1.2.3",
		"01.2.3", "1.2.3-", "1.2.3-a b", "1.2.-3",  "1.2.3-1234567890"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_true(bundle_name_valid(names[i]));
	for (size_t i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++)
		assert_false(bundle_name_valid(bad_names[i]));
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		assert_true(bundle_version_valid(versions[i]));
	for (size_t i = 0; i < sizeof(bad_versions) / sizeof(bad_versions[0]); i++)
		assert_false(bundle_version_valid(bad_versions[i]));
}

/* ---- one cell under another name ---- */

static void test_rename(void **state)
{
	static const uint8_t object[] = "x_01,x_01:x_0 x_01", renamed[] = "x_77,x_77:x_0 x_77";
	Theseus__Cell cell = cell_named("x_01"), *copy;
	struct bundle_cell one = {&cell, object, sizeof(object)};
	uint8_t *bytes;

	(void)state;
	cell.summary = (char *)(uintptr_t) "about x_01x_01";
	assert_int_equal(bundle_cell_rename(&one, "x_01", "x_77", &copy, &bytes), 0);
	assert_memory_equal(bytes, renamed, sizeof(renamed));
	assert_string_equal(copy->name, "x_77");
	assert_string_equal(copy->summary, "about x_77x_77");
	assert_string_equal(copy->version, "1.2.3");
	assert_string_equal(cell.name, "x_01");
	theseus__cell__free_unpacked(copy, NULL);
	free(bytes);
	/* to its own name: what is put in is not looked for again */
	assert_int_equal(bundle_cell_rename(&one, "x_01", "x_01", &copy, &bytes), 0);
	assert_memory_equal(bytes, object, sizeof(object));
	theseus__cell__free_unpacked(copy, NULL);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),       cmocka_unit_test(test_ar_lists),
		cmocka_unit_test(test_foreign_archive),  cmocka_unit_test(test_archive_refusals),
		cmocka_unit_test(test_too_many_members), cmocka_unit_test(test_manifest_refusals),
		cmocka_unit_test(test_member_refusals),  cmocka_unit_test(test_all_reasons),
		cmocka_unit_test(test_unpack_budget),    cmocka_unit_test(test_files),
		cmocka_unit_test(test_write_too_large),  cmocka_unit_test(test_names),
		cmocka_unit_test(test_rename),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
