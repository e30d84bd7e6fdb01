/* SPDX-License-Identifier: MIT */
/* cell build: C files become a bundle, on this host alone. */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/file.h"
#include "bundle/bundle.h"
#include "cell-files.h"
#include "commands.h"
#include "pack/build.h"
#include "run.h"
#include "util.h"

#define PATH_SIZE 4096

int cell_refused(struct ctl *c, const char *what, int error, const struct reasons *reasons)
{
	/* what cannot be read or run is a failure as for every command, not a judgement */
	static const char *const failures[] = {"no-such-file",  "unreadable",     "no-source",
					       "no-compiler",   "compile-failed", "bad-sdk",
					       "bad-abi-index", "no-checker",     "unchecked",
					       "bad-report",    "no-temporary"};
	int status = CTL_REFUSED, r;

	if (error == -ENOMEM)
		return ctl_oom(c);
	if (error != -EPERM)
		return ctl_error(c, CTL_FAILED, "system", "%s: %s", what, strerror(-error));
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
		if (strcmp(reasons->code, failures[i]) == 0)
			status = CTL_FAILED;
	if (strcmp(reasons->code, "compile-failed") == 0)
		what = "it does not compile";
	r = ctl_error(c, status, reasons->code, "%s",
		      reasons->n == 1 ? reasons_first(reasons) : what);
	for (size_t i = 0; reasons->n > 1 && i < reasons->n; i++)
		ctl_error_reason(c, reasons->text[i]);
	return r;
}

static void print_built(const struct ctl *c, const Theseus__Cell *cell, const char *file,
			const struct buf *bundle)
{
	CLEANUP_FREE char *id = hex(cell->build_id.data, cell->build_id.len);
	uint8_t digest[crypto_hash_sha256_BYTES];
	CLEANUP_FREE char *sha256 = NULL;
	struct json_object *o;

	(void)crypto_hash_sha256(digest, bundle->data, bundle->len);
	sha256 = hex(digest, sizeof(digest));
	if (!c->json) {
		printf("%s: %s %s, %zu bytes\n", file, cell->name, cell->version, bundle->len);
		return;
	}
	o = json_object_new_object();
	json_object_object_add(o, "schema", json_object_new_string("theseus.cell-build/1"));
	json_object_object_add(o, "file", json_object_new_string(file));
	json_object_object_add(o, "name", json_object_new_string(cell->name));
	json_object_object_add(o, "version", json_object_new_string(cell->version));
	json_object_object_add(o, "bytes", json_object_new_uint64(bundle->len));
	json_object_object_add(o, "sha256", json_object_new_string(sha256 ? sha256 : ""));
	json_object_object_add(o, "build_id", json_object_new_string(id ? id : ""));
	(void)puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							     JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

static int write_out(struct ctl *c, const char *file, const struct buf *b)
{
	int r = file_write(file, b->data, b->len);

	return r ? ctl_error(c, CTL_FAILED, "unwritable", "%s: %s", file, strerror(-r)) : 0;
}

static int write_built(struct ctl *c, const struct packed *packed, const char *file,
		       const char *debug, uint64_t sequence)
{
	__attribute__((cleanup(buf_done))) struct buf bundle = {0};
	const struct bundle_header header = {.sequence = sequence};
	const struct bundle_input cell = {packed->manifest, packed->object.data,
					  packed->object.len};
	int r = bundle_write(&header, &cell, 1, &bundle);

	if (r == -EFBIG)
		return ctl_error(c, CTL_REFUSED, "too-large", "%s would be larger than %u MiB",
				 file, BUNDLE_BYTES_MAX >> 20);
	if (r < 0)
		return ctl_oom(c);
	/* the bundle last: one that is there says that all went well */
	r = debug ? write_out(c, debug, &packed->debug) : 0;
	if (!r)
		r = write_out(c, file, &bundle);
	if (!r)
		print_built(c, packed->manifest, file, &bundle);
	return r;
}

static int build(struct ctl *c, const char *const *sources, const char *sdk_file,
		 const char *checker, uint64_t sequence)
{
	__attribute__((cleanup(reasons_done))) struct reasons reasons = {0};
	__attribute__((cleanup(sdk_done))) struct sdk sdk = {0};
	__attribute__((cleanup(packed_done))) struct packed packed = {0};
	__attribute__((cleanup(buf_done))) struct buf warnings = {0};
	struct build_input in = {&sdk, "gcc", checker, sources, ctl_option(c, "define"), &warnings};
	int r = sdk_load(sdk_file, &sdk, &reasons);

	if (r < 0)
		return cell_refused(c, "the SDK cannot be used", r, &reasons);
	r = build_cell(&in, &packed, &reasons);
	if (!c->quiet)
		(void)fputs(buf_str(&warnings), stderr);
	if (r < 0)
		return cell_refused(c, "this is no cell", r, &reasons);
	return write_built(c, &packed, ctl_option(c, "output"), ctl_option(c, "debug"), sequence);
}

int cmd_cell_build(struct ctl *c, int argc, char **argv)
{
	const char *sdk = ctl_option(c, "sdk"), **sources;
	char found[PATH_SIZE], checker[PATH_SIZE];
	uint64_t sequence = 0;
	int r = ctl_option_number(c, "sequence", 0, INT64_MAX, &sequence);

	if (r)
		return r;
	if (!ctl_option(c, "output"))
		return ctl_error(c, CTL_USAGE, "usage", "cell build needs -o FILE");
	if (!sdk) {
		r = run_find_file(c, RUN_SDK, found, sizeof(found));
		sdk = found;
	}
	if (!r)
		r = run_find_file(c, RUN_CELLCHECK, checker, sizeof(checker));
	if (r)
		return r;
	sources = calloc((size_t)argc, sizeof(*sources)); /* the last one stays NULL */
	if (!sources)
		return ctl_oom(c);
	for (int i = 1; i < argc; i++)
		sources[i - 1] = argv[i];
	r = build(c, sources, sdk, checker, sequence);
	free(sources);
	return r;
}
