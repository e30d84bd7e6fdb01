/* SPDX-License-Identifier: MIT */
/* Digest, archive and manifest: what is good is read, and every check refuses what it is for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "archive.h"
#include "manifest.h"
#include "sha256.h"
#include "testing/build.h"

/* ---- SHA-256: FIPS 180-4 examples and lengths around a block ---- */

static void check_digest(const void *data, size_t n, const char *hex)
{
	uint8_t digest[SHA256_BYTES];
	char text[65];

	sha256(data, n, digest);
	for (unsigned i = 0; i < SHA256_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", digest[i]);
	assert_string_equal(text, hex);
}

static void test_sha256(void **state)
{
	char *million = malloc(1000000);

	(void)state;
	assert_non_null(million);
	memset(million, 'a', 1000000);
	check_digest("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	check_digest("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	check_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
		     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	check_digest(million, 55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
	check_digest(million, 64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
	check_digest(million, 1000000,
		     "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	free(million);
}

/* ---- report ---- */

static void test_report(void **state)
{
	struct loader_report r = {0};
	char long_text[400];

	(void)state;
	report_add(&r, "first", "%s %u %lu %lx %ld%% %.*s", "a\nb", 7u, 18446744073709551615ul,
		   0xabcul, -5l, 2, "xyz");
	assert_string_equal(r.code, "first");
	assert_string_equal(r.reasons[0], "a?b 7 18446744073709551615 abc -5% xy");
	report_add(&r, "second", "%s %u %lu %lx %ld%% %.*s", "a\nb", 7u, 18446744073709551615ul,
		   0xabcul, -5l, 2, "xyz");
	assert_int_equal(r.n_reasons, 1);
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	report_add(&r, "second", "%s", long_text);
	assert_string_equal(r.code, "first");
	assert_int_equal(strlen(r.reasons[1]), LOADER_REASON_BYTES - 1);
	for (unsigned i = 0; i < 2 * LOADER_REASONS_MAX; i++)
		report_add(&r, "more", "%u", i);
	assert_int_equal(r.n_reasons, LOADER_REASONS_MAX);
	assert_non_null(strstr(r.reasons[LOADER_REASONS_MAX - 1], "more reasons"));
}

/* ---- archive ---- */

static struct slice as_slice(struct blob b)
{
	return (struct slice){b.p, b.n};
}

static int open_blob(struct blob ar, struct archive *a)
{
	struct loader_report r = {0};
	int e = archive_open(as_slice(ar), a, &r);

	if (e < 0) {
		assert_string_equal(r.code, "bad-archive");
		assert_int_equal(r.n_reasons, 1);
	}
	return e;
}

static void test_archive(void **state)
{
	struct blob ar = build_ar_begin();
	struct archive a;
	struct slice data;

	(void)state;
	build_ar_add(&ar, "/", "index", 5);
	build_ar_add(&ar, "//", "a-name-that-is-quite-long.o/\n", 29);
	build_ar_add(&ar, "one/", "1", 1);
	build_ar_add(&ar, "/0", "two", 3);
	build_ar_add(&ar, "empty/", "", 0);
	assert_int_equal(open_blob(ar, &a), 0);
	assert_int_equal(archive_find(&a, slice_of("one"), &data), 0);
	assert_true(slice_is(data, "1"));
	assert_int_equal(archive_find(&a, slice_of("a-name-that-is-quite-long.o"), &data), 0);
	assert_true(slice_is(data, "two"));
	assert_int_equal(archive_find(&a, slice_of("empty"), &data), 0);
	assert_int_equal(data.n, 0);
	assert_int_equal(archive_find(&a, slice_of("on"), &data), -ENOENT);
	free(ar.p);
}

static void refuse_archive(const char *name, const void *data, size_t n)
{
	struct blob ar = build_ar_begin();
	struct archive a;

	build_ar_add(&ar, name, data, n);
	assert_int_equal(open_blob(ar, &a), -EINVAL);
	free(ar.p);
}

static void test_archive_refusals(void **state)
{
	struct blob ar = build_ar_begin();
	struct archive a;
	size_t whole;

	(void)state;
	assert_int_equal(open_blob((struct blob){(uint8_t *)(uintptr_t)"!<thin>\n", 8}, &a), -EINVAL);
	assert_int_equal(open_blob((struct blob){(uint8_t *)(uintptr_t)"!<arch>", 7}, &a), -EINVAL);
	refuse_archive("/7", "", 0);     /* no table of long names */
	refuse_archive("noslash", "", 0);
	free(ar.p);
	ar = build_ar_begin();
	build_ar_add(&ar, "x/", "12345", 5);
	whole = ar.n;
	for (ar.n = 9; ar.n < whole - 1; ar.n++)
		assert_int_equal(open_blob(ar, &a), -EINVAL);
	/* the padding of the last member may be missing */
	assert_int_equal(open_blob(ar, &a), 0);
	ar.p[8 + 48] = 'x'; /* size is no number */
	assert_int_equal(open_blob(ar, &a), -EINVAL);
	ar.p[8 + 48] = '9'; /* size beyond the end */
	assert_int_equal(open_blob(ar, &a), -EINVAL);
	ar.p[8 + 48] = '5';
	ar.p[8 + 58] = 'x'; /* end mark */
	assert_int_equal(open_blob(ar, &a), -EINVAL);
	free(ar.p);

	ar = build_ar_begin();
	build_ar_add(&ar, "x/", "1", 1);
	build_ar_add(&ar, "x/", "2", 1);
	assert_int_equal(open_blob(ar, &a), -EINVAL);
	free(ar.p);

	ar = build_ar_begin();
	for (unsigned i = 0; i <= ARCHIVE_MEMBERS_MAX; i++) {
		char name[16];

		snprintf(name, sizeof(name), "m%u/", i);
		build_ar_add(&ar, name, "", 0);
	}
	assert_int_equal(open_blob(ar, &a), -EINVAL);
	free(ar.p);
}

/* ---- manifest, against what protobuf-c writes ---- */

struct sample {
	Theseus__Manifest m;
	Theseus__Cell cells[2], *cell_list[2];
	Theseus__Export exports[2], *export_list[2];
	Theseus__Import imports[2], *import_list[2];
	Theseus__Provide provide, *provide_list[1];
	char *consumes[1], *obsoletes[1];
};

static void make_sample(struct sample *s)
{
	static const struct blob object = {(uint8_t *)(uintptr_t)"object", 6};

	memset(s, 0, sizeof(*s));
	theseus__manifest__init(&s->m);
	s->m.format = MANIFEST_FORMAT;
	s->m.sequence = 5;
	s->m.floor = 3;
	s->m.expiry_unix = 1ull << 40;
	build_cell(&s->cells[0], "greeter", "1.0.0", object);
	build_cell(&s->cells[1], "caller", "2.0.0", object);
	for (unsigned i = 0; i < 2; i++) {
		s->cell_list[i] = &s->cells[i];
		theseus__export__init(&s->exports[i]);
		theseus__import__init(&s->imports[i]);
		s->export_list[i] = &s->exports[i];
		s->import_list[i] = &s->imports[i];
	}
	s->m.cells = s->cell_list;
	s->m.n_cells = 2;
	s->obsoletes[0] = (char *)(uintptr_t)"old_cell";
	s->m.obsoletes = s->obsoletes;
	s->m.n_obsoletes = 1;
	s->exports[0].name = (char *)(uintptr_t)"greet";
	s->exports[0].abi = 0x1122334455667788;
	s->exports[0].signature = (char *)(uintptr_t)"int (char *, size_t)";
	s->exports[0].blocking = 1;
	s->exports[1].name = (char *)(uintptr_t)"calls";
	s->imports[0].name = (char *)(uintptr_t)"memcpy";
	s->imports[0].abi = 42;
	s->imports[1].name = (char *)(uintptr_t)"memset";
	theseus__provide__init(&s->provide);
	s->provide.interface = (char *)(uintptr_t)"command_ops";
	s->provide.name = (char *)(uintptr_t)"greet";
	s->provide.symbol = (char *)(uintptr_t)"__provide_command_ops__greet";
	s->provide.abi = 77;
	s->provide_list[0] = &s->provide;
	s->consumes[0] = (char *)(uintptr_t)"log_ops";
	s->cells[0].exports = s->export_list;
	s->cells[0].n_exports = 2;
	s->cells[0].imports = s->import_list;
	s->cells[0].n_imports = 2;
	s->cells[0].provides = s->provide_list;
	s->cells[0].n_provides = 1;
	s->cells[0].consumes = s->consumes;
	s->cells[0].n_consumes = 1;
	s->cells[0].summary = (char *)(uintptr_t)"says hello";
	s->cells[0].grants = 3;
	s->cells[0].safety = THESEUS__SAFETY__SAFETY_UNSAFE;
	s->cells[0].quiescence = THESEUS__QUIESCENCE__QUIESCENCE_IDLE;
	s->cells[0].restart = THESEUS__RESTART__RESTART_ALWAYS;
	s->cells[0].state_schema = 99;
	s->cells[0].state_bytes = 64;
	s->cells[0].state_type = (char *)(uintptr_t)"struct greeter_state";
}

static int open_sample(const struct sample *s, struct loader_report *report)
{
	struct blob b = build_manifest(&s->m);
	struct manifest m;
	int r;

	memset(report, 0, sizeof(*report));
	r = manifest_open(as_slice(b), &m, report);
	assert_int_equal(r < 0, report->n_reasons > 0);
	free(b.p);
	return r;
}

static void test_manifest(void **state)
{
	struct loader_report report = {0};
	struct manifest_provide provide;
	struct manifest_export export;
	struct manifest_import import;
	struct manifest_cell cell;
	struct slice name;
	struct manifest m;
	struct sample s;
	struct blob b;
	uint64_t at = 0, inner = 0;

	(void)state;
	make_sample(&s);
	b = build_manifest(&s.m);
	assert_int_equal(manifest_open(as_slice(b), &m, &report), 0);
	assert_int_equal(m.n_cells, 2);
	assert_int_equal(m.sequence, 5);
	assert_int_equal(m.floor, 3);
	assert_int_equal(m.expiry_unix, 1ull << 40);
	assert_true(manifest_next_cell(&m, &at, &cell));
	assert_true(slice_is(cell.name, "greeter") && slice_is(cell.version, "1.0.0"));
	assert_true(slice_is(cell.summary, "says hello") && slice_is(cell.object, "greeter"));
	assert_int_equal(cell.size, 6);
	assert_memory_equal(cell.sha256, s.cells[0].sha256.data, 32);
	assert_int_equal(cell.sdk_abi, SDK_ABI);
	assert_int_equal(cell.grants, 3);
	assert_int_equal(cell.safety, CELL_UNSAFE);
	assert_int_equal(cell.quiescence, CELL_QUIESCE_IDLE);
	assert_int_equal(cell.restart, CELL_RESTART_ALWAYS);
	assert_int_equal(cell.state_schema, 99);
	assert_int_equal(cell.state_bytes, 64);
	assert_true(manifest_next_export(&cell, &inner, &export));
	assert_true(slice_is(export.name, "greet") && export.blocking);
	assert_true(slice_is(export.signature, "int (char *, size_t)"));
	assert_int_equal(export.abi, 0x1122334455667788);
	assert_true(manifest_next_export(&cell, &inner, &export));
	assert_true(slice_is(export.name, "calls") && !export.blocking);
	assert_false(manifest_next_export(&cell, &inner, &export));
	inner = 0;
	assert_true(manifest_next_import(&cell, &inner, &import));
	assert_true(slice_is(import.name, "memcpy") && import.abi == 42);
	assert_true(manifest_next_import(&cell, &inner, &import));
	assert_false(manifest_next_import(&cell, &inner, &import));
	inner = 0;
	assert_true(manifest_next_provide(&cell, &inner, &provide));
	assert_true(slice_is(provide.interface, "command_ops") && slice_is(provide.name, "greet"));
	assert_true(slice_is(provide.symbol, "__provide_command_ops__greet") && provide.abi == 77);
	inner = 0;
	assert_true(manifest_next_consume(&cell, &inner, &name));
	assert_true(slice_is(name, "log_ops"));
	assert_true(manifest_next_cell(&m, &at, &cell));
	assert_true(slice_is(cell.name, "caller"));
	assert_false(manifest_next_cell(&m, &at, &cell));
	at = 0;
	assert_true(manifest_next_obsolete(&m, &at, &name));
	assert_true(slice_is(name, "old_cell"));
	assert_false(manifest_next_obsolete(&m, &at, &name));

	/* however it is cut, it is refused or what is left is whole fields */
	for (size_t n = 0; n < b.n; n++) {
		uint8_t *cut = malloc(n ? n : 1);

		memset(&report, 0, sizeof(report));
		memcpy(cut, b.p, n);
		if (manifest_open((struct slice){cut, n}, &m, &report) < 0)
			assert_string_equal(report.code, "bad-manifest");
		free(cut);
	}
	free(b.p);
}

static void refuse_sample(const struct sample *s, const char *text)
{
	struct loader_report report;

	assert_int_equal(open_sample(s, &report), -EINVAL);
	assert_string_equal(report.code, "bad-manifest");
	assert_non_null(strstr(report.reasons[0], text));
}

static void test_manifest_refusals(void **state)
{
	char long_name[80];
	struct sample s;

	(void)state;
	memset(long_name, 'n', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	make_sample(&s);
	s.m.format = 2;
	refuse_sample(&s, "unknown format");
	make_sample(&s);
	s.m.n_cells = s.m.n_obsoletes = 0;
	refuse_sample(&s, "names no cell");
	make_sample(&s);
	s.cells[1].name = s.cells[0].name;
	refuse_sample(&s, "names a cell twice, at cell greeter");
	make_sample(&s);
	s.cells[0].name = long_name;
	refuse_sample(&s, "a cell's record");
	make_sample(&s);
	s.cells[0].name = (char *)(uintptr_t)"1st";
	refuse_sample(&s, "a cell's record");
	make_sample(&s);
	s.cells[0].name = (char *)(uintptr_t)"";
	refuse_sample(&s, "a cell's record");
	make_sample(&s);
	s.cells[0].version = long_name;
	refuse_sample(&s, "at cell greeter");
	make_sample(&s);
	s.cells[0].object = (char *)(uintptr_t)"";
	refuse_sample(&s, "at cell greeter");
	make_sample(&s);
	s.cells[0].sha256.len = 31;
	refuse_sample(&s, "at cell greeter");
	make_sample(&s);
	s.cells[0].safety = (Theseus__Safety)9;
	refuse_sample(&s, "at cell greeter");
	make_sample(&s);
	s.exports[0].name = long_name;
	refuse_sample(&s, "at cell greeter");
	make_sample(&s);
	s.imports[0].name = (char *)(uintptr_t)"";
	refuse_sample(&s, "at cell greeter");
	make_sample(&s);
	s.provide.symbol = (char *)(uintptr_t)"";
	refuse_sample(&s, "at cell greeter");
	make_sample(&s);
	s.consumes[0] = (char *)(uintptr_t)"no blanks";
	refuse_sample(&s, "at cell greeter");
	make_sample(&s);
	s.obsoletes[0] = long_name;
	refuse_sample(&s, "wrong type or is too large");
}

static void refuse_bytes(const void *bytes, size_t n)
{
	struct loader_report report = {0};
	struct manifest m;

	assert_int_equal(manifest_open((struct slice){bytes, n}, &m, &report), -EINVAL);
	assert_string_equal(report.code, "bad-manifest");
}

static void test_manifest_wire(void **state)
{
	Theseus__Cell *many[MANIFEST_CELLS_MAX + 1];
	Theseus__Export *exports[MANIFEST_EXPORTS_MAX + 1];
	char names[MANIFEST_CELLS_MAX + 1][8];
	Theseus__Cell cells[MANIFEST_CELLS_MAX + 1];
	static const struct blob object = {(uint8_t *)(uintptr_t)"o", 1};
	struct sample s;

	(void)state;
	refuse_bytes("\x03", 1);             /* a group */
	refuse_bytes("\x02\x00", 2);         /* field number 0 */
	refuse_bytes("\x08", 1);             /* no value */
	refuse_bytes("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11); /* more than 64 bits */
	refuse_bytes("\x2a\x7f", 2);         /* longer than what follows */
	refuse_bytes("\x0d\x01\x02", 3);     /* short fixed32 */
	refuse_bytes("\x09\x01\x02", 3);     /* short fixed64 */
	refuse_bytes("\x28\x01", 2);         /* cells as a number */
	refuse_bytes("", 0);

	for (unsigned i = 0; i <= MANIFEST_CELLS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "c%u", i);
		build_cell(&cells[i], names[i], "1", object);
		many[i] = &cells[i];
	}
	make_sample(&s);
	s.m.cells = many;
	s.m.n_cells = MANIFEST_CELLS_MAX + 1;
	refuse_sample(&s, "too many cells");
	for (unsigned i = 0; i <= MANIFEST_EXPORTS_MAX; i++)
		exports[i] = &s.exports[0];
	make_sample(&s);
	s.cells[0].exports = exports;
	s.cells[0].n_exports = MANIFEST_EXPORTS_MAX + 1;
	refuse_sample(&s, "at cell greeter");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sha256),
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_archive),
		cmocka_unit_test(test_archive_refusals),
		cmocka_unit_test(test_manifest),
		cmocka_unit_test(test_manifest_refusals),
		cmocka_unit_test(test_manifest_wire),
	};

	return cmocka_run_group_tests_name("loader core", tests, NULL, NULL);
}
