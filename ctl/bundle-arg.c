/* SPDX-License-Identifier: MIT */
#include "bundle-arg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/reasons.h"
#include "bundle/bundle.h"
#include "util.h"

/* Length of the cell's name in "CELL=FILE", 0 when @word is just a file. */
static size_t cell_name_length(const char *word)
{
	size_t n = strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return word[n] == '=' ? n : 0;
}

static int read_word(struct ctl *c, const char *word, bool only, struct bundle_arg *arg)
{
	size_t n = cell_name_length(word);

	arg->file = n ? word + n + 1 : word;
	if (!*arg->file)
		return ctl_error(c, CTL_USAGE, "usage", "%s: no file is named", word);
	if (!n && !only)
		return ctl_error(c, CTL_USAGE, "usage",
				 "%s: one bundle a swap, or CELL=FILE for cells of several", word);
	arg->cell = n ? strndup(word, n) : NULL;
	return n && !arg->cell ? ctl_oom(c) : 0;
}

int bundle_args_read(struct ctl *c, int n, char **words, struct bundle_arg **ret_args)
{
	struct bundle_arg *args = calloc((size_t)n, sizeof(*args));
	int r = args ? 0 : ctl_oom(c);

	for (int i = 0; i < n && !r; i++) {
		r = read_word(c, words[i], n == 1, &args[i]);
		for (int k = 0; k < i && !r; k++)
			if (!strcmp(args[k].cell, args[i].cell))
				r = ctl_error(c, CTL_USAGE, "usage", "%s is named twice",
					      args[i].cell);
	}
	if (r)
		bundle_args_free(args, n);
	else
		*ret_args = args;
	return r;
}

void bundle_args_free(struct bundle_arg *args, int n)
{
	for (int i = 0; args && i < n; i++)
		free(args[i].cell);
	free(args);
}

int bundle_file_load(struct ctl *c, const char *file, uint8_t **ret_data, size_t *ret_len)
{
	int r = read_file(file, BUNDLE_BYTES_MAX, ret_data, ret_len);

	if (r == -EFBIG)
		return ctl_error(c, CTL_REFUSED, "too-large", "%s is too large for a bundle", file);
	if (r)
		return ctl_error(c, CTL_FAILED, r == -ENOENT ? "no-such-file" : "unreadable",
				 "%s: %s", file, strerror(-r));
	if (*ret_len)
		return 0;
	free(*ret_data);
	*ret_data = NULL;
	return ctl_error(c, CTL_REFUSED, "not-a-bundle", "%s is empty, so it is no bundle", file);
}

/*
 * Turns @reasons into an error of exit status @status. A file that cannot be read is a failure
 * as for every command, not a judgement.
 */
static int refused(struct ctl *c, int status, const char *file, const struct reasons *reasons)
{
	if (!strcmp(reasons->code, "no-such-file") || !strcmp(reasons->code, "unreadable"))
		return ctl_error(c, CTL_FAILED, reasons->code, "%s", reasons_first(reasons));
	(void)ctl_error(c, status, reasons->code, "%s is not a sound bundle", file);
	for (size_t i = 0; i < reasons->n; i++)
		ctl_error_reason(c, reasons->text[i]);
	return status;
}

static int open_bundle(struct ctl *c, int status, const char *file, struct bundle **ret_bundle)
{
	__attribute__((cleanup(reasons_done))) struct reasons reasons = {0};
	int r = bundle_open_file(file, ret_bundle, &reasons);

	if (r == -EPERM)
		return refused(c, status, file, &reasons);
	return r ? ctl_oom(c) : 0;
}

int bundle_file_check(struct ctl *c, const char *file)
{
	__attribute__((cleanup(bundle_drop))) struct bundle *bundle = NULL;

	return open_bundle(c, CTL_FAILED, file, &bundle);
}

static int find_cell(struct ctl *c, const struct bundle *bundle, const struct bundle_arg *arg,
		     struct bundle_cell *ret_cell)
{
	int r;

	if (!bundle_cell_find(bundle, arg->cell, ret_cell))
		return 0;
	r = ctl_error(c, CTL_REFUSED, "not-in-bundle", "%s has no cell \"%s\"", arg->file,
		      arg->cell);
	for (size_t i = 0; i < bundle_n_cells(bundle); i++) {
		CLEANUP_FREE char *reason = NULL;
		const Theseus__Cell *cell = bundle_cell_at(bundle, i).manifest;

		if (asprintf(&reason, "it has %s %s", cell->name, cell->version) >= 0)
			ctl_error_reason(c, reason);
	}
	return r;
}

/* All args name one file, which goes to the guest byte by byte. */
static int load_one(struct ctl *c, const struct bundle_arg *args, int n, uint8_t **ret_data,
		    size_t *ret_len)
{
	__attribute__((cleanup(bundle_drop))) struct bundle *bundle = NULL;
	struct bundle_cell cell;
	const uint8_t *bytes;
	int r;

	if (!args[0].cell)
		return bundle_file_load(c, args[0].file, ret_data, ret_len);
	r = open_bundle(c, CTL_REFUSED, args[0].file, &bundle);
	for (int i = 0; i < n && !r; i++)
		r = find_cell(c, bundle, &args[i], &cell);
	if (r)
		return r;
	bytes = bundle_bytes(bundle, ret_len);
	*ret_data = malloc(*ret_len);
	if (!*ret_data)
		return ctl_oom(c);
	memcpy(*ret_data, bytes, *ret_len);
	return 0;
}

/* ---- cells of several bundles ---- */

struct merge {
	struct bundle **bundles;
	struct bundle_input *inputs;
	struct bundle_header header;
};

/* What a signature covers, or what more than its cells a bundle does, cannot be taken apart. */
static int check_mergeable(struct ctl *c, const char *file, const struct bundle *bundle)
{
	size_t size;

	if (bundle_signature(bundle, &size))
		return ctl_error(c, CTL_REFUSED, "signed-bundle",
				 "%s is signed, and cells taken out of it would not be.\n"
				 "Put the cells into one bundle (\"theseusctl cell build\")",
				 file);
	if (bundle_manifest(bundle)->n_obsoletes)
		return ctl_error(c, CTL_REFUSED, "obsoletes",
				 "%s also removes cells, so it can only be swapped in as a whole",
				 file);
	return 0;
}

static void merge_header(struct bundle_header *h, const Theseus__Manifest *m)
{
	if (m->sequence > h->sequence)
		h->sequence = m->sequence;
	if (m->floor > h->floor)
		h->floor = m->floor;
	if (m->expiry_unix && (!h->expiry_unix || m->expiry_unix < h->expiry_unix))
		h->expiry_unix = m->expiry_unix;
}

static int merge_collect(struct ctl *c, const struct bundle_arg *args, int n, struct merge *m)
{
	for (int i = 0; i < n; i++) {
		struct bundle_cell cell;
		int r = open_bundle(c, CTL_REFUSED, args[i].file, &m->bundles[i]);

		if (!r)
			r = check_mergeable(c, args[i].file, m->bundles[i]);
		if (!r)
			r = find_cell(c, m->bundles[i], &args[i], &cell);
		if (r)
			return r;
		m->inputs[i] = (struct bundle_input){cell.manifest, cell.object, cell.size};
		merge_header(&m->header, bundle_manifest(m->bundles[i]));
	}
	return 0;
}

static int merge_write(struct ctl *c, const struct merge *m, int n, uint8_t **ret_data,
		       size_t *ret_len)
{
	__attribute__((cleanup(buf_done))) struct buf out = {0};
	int r = bundle_write(&m->header, m->inputs, (size_t)n, &out);

	if (r == -EFBIG)
		return ctl_error(c, CTL_REFUSED, "too-large",
				 "together they are too large for a bundle");
	*ret_data = r ? NULL : buf_take(&out, ret_len);
	return *ret_data ? 0 : ctl_oom(c);
}

static int load_merged(struct ctl *c, const struct bundle_arg *args, int n, uint8_t **ret_data,
		       size_t *ret_len)
{
	struct merge m = {.bundles = calloc((size_t)n, sizeof(struct bundle *)),
			  .inputs = calloc((size_t)n, sizeof(struct bundle_input))};
	int r = m.bundles && m.inputs ? merge_collect(c, args, n, &m) : ctl_oom(c);

	if (!r)
		r = merge_write(c, &m, n, ret_data, ret_len);
	for (int i = 0; m.bundles && i < n; i++)
		bundle_free(m.bundles[i]);
	free(m.bundles);
	free(m.inputs);
	return r;
}

int bundle_args_load(struct ctl *c, const struct bundle_arg *args, int n, uint8_t **ret_data,
		     size_t *ret_len)
{
	for (int i = 1; i < n; i++)
		if (strcmp(args[0].file, args[i].file) != 0)
			return load_merged(c, args, n, ret_data, ret_len);
	return load_one(c, args, n, ret_data, ret_len);
}
