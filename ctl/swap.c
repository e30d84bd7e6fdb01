/* SPDX-License-Identifier: MIT */
/* push, swap-cell */
#include "swap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "render.h"
#include "util.h"

#define BUNDLE_BYTES_MAX (64u << 20)
#define STAGE_LIMIT_NS (30 * NS_PER_SEC)
#define SWAP_TIMEOUT_NS NS_PER_SEC
#define SWAP_GRACE_NS (10 * NS_PER_SEC) /* for everything beside waiting for a safe point */

static int stage_file(struct client *cl, const char *file, uint64_t limit_ns,
		      Theseus__Response **ret_response)
{
	CLEANUP_FREE uint8_t *data = NULL;
	Theseus__Response *response = NULL;
	size_t len = 0;
	int r = read_file(file, BUNDLE_BYTES_MAX, &data, &len);

	if (r == -EFBIG)
		return ctl_error(cl->ctl, CTL_REFUSED, "too-large", "%s: too large for a bundle",
				 file);
	if (r)
		return ctl_error(cl->ctl, CTL_FAILED, r == -ENOENT ? "no-such-file" : "unreadable",
				 "%s: %s", file, strerror(-r));
	r = client_stage(cl, data, len, limit_ns, &response);
	if (r)
		return r;
	if (response->body_case != THESEUS__RESPONSE__BODY_STAGE) {
		theseus__response__free_unpacked(response, NULL);
		return client_fail(cl, -EPROTO, 0);
	}
	*ret_response = response;
	return 0;
}

/* Gives a stage back. What failed before is what counts: an error here is not reported. */
static void drop_stage(struct client *cl, uint64_t stage)
{
	CLEANUP_RESPONSE Theseus__Response *response = NULL;
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__StageDrop drop = THESEUS__STAGE_DROP__INIT;
	struct ctl_error saved = cl->ctl->error;
	uint8_t id[16];

	cl->ctl->error = (struct ctl_error){0};
	drop.stage = stage;
	req.body_case = THESEUS__REQUEST__BODY_STAGE_DROP;
	req.stage_drop = &drop;
	if (!client_new_id(cl, &req, id))
		(void)client_call(cl, &req, 0, &response);
	ctl_error_clear(cl->ctl);
	cl->ctl->error = saved;
}

static int check_contains(struct ctl *c, const struct swap_config *config,
			  const Theseus__StageReply *stage)
{
	for (size_t i = 0; i < config->n_cells; i++) {
		bool found = false;

		for (size_t k = 0; k < stage->n_cells; k++)
			found |= !strcmp(stage->cells[k]->name, config->cells[i]);
		if (found)
			continue;
		(void)ctl_error(c, CTL_REFUSED, "not-in-bundle", "%s has no cell \"%.80s\"",
				config->file, config->cells[i]);
		for (size_t k = 0; k < stage->n_cells; k++) {
			CLEANUP_FREE char *name = clean_text(stage->cells[k]->name,
							     strlen(stage->cells[k]->name), false);
			CLEANUP_FREE char *reason = NULL;

			if (name && asprintf(&reason, "it has %s", name) >= 0)
				ctl_error_reason(c, reason);
		}
		return CTL_REFUSED;
	}
	return 0;
}

/* A swap that the guest did not carry out comes with a result that says so. */
static int check_result(struct client *cl, const Theseus__SwapReply *reply)
{
	static const struct {
		const char *result;
		int exit;
	} rows[] = {
		{"refused", CTL_REFUSED},
		{"cancelled", CTL_TIMED_OUT},
		{"reverted", CTL_REVERTED},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!strcmp(reply->result, rows[i].result))
			return ctl_error(cl->ctl, rows[i].exit, rows[i].result, "the swap was %s",
					 rows[i].result);
	return 0;
}

static int swap_stage(struct client *cl, const struct swap_config *config, uint64_t stage,
		      Theseus__Response **ret_response)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__Swap swap = THESEUS__SWAP__INIT;
	Theseus__Response *response = NULL;
	uint8_t id[16];
	int r;

	swap.stage = stage;
	swap.dry_run = config->dry_run;
	swap.has_expect_generation = config->has_expect_generation;
	swap.expect_generation = config->expect_generation;
	req.time_limit_ns = config->timeout_ns;
	req.body_case = THESEUS__REQUEST__BODY_SWAP;
	req.swap = &swap;
	r = client_new_id(cl, &req, id);
	if (!r)
		r = client_call(cl, &req, config->timeout_ns + SWAP_GRACE_NS, &response);
	if (r)
		return r;
	if (response->body_case != THESEUS__RESPONSE__BODY_SWAP)
		r = client_fail(cl, -EPROTO, 0);
	else
		r = check_result(cl, response->swap);
	if (r)
		theseus__response__free_unpacked(response, NULL);
	else
		*ret_response = response;
	return r;
}

int swap_run(struct client *cl, const struct swap_config *config, struct swap_result *ret_result)
{
	CLEANUP_RESPONSE Theseus__Response *staged = NULL;
	struct swap_result result = {.stage = config->stage};
	uint64_t start;
	int r = client_hello(cl);

	start = now_ns();
	if (!r && config->file) {
		r = stage_file(cl, config->file, STAGE_LIMIT_NS, &staged);
		if (r)
			return r;
		result.stage = staged->stage->stage;
		result.upload_ns = now_ns() - start;
		if (result.upload_ns > staged->stage->stage_ns)
			result.upload_ns -= staged->stage->stage_ns;
		r = check_contains(cl->ctl, config, staged->stage);
	}
	if (!r)
		r = swap_stage(cl, config, result.stage, &result.response);
	result.push_ns = now_ns() - start;
	/* Without a guest there is nothing to give back to. */
	if (config->file && (r || config->dry_run) && r != CTL_LOST && r != CTL_NO_VM)
		drop_stage(cl, result.stage);
	if (!r)
		*ret_result = result;
	return r;
}

int cmd_push(struct ctl *c, int argc, char **argv)
{
	CLEANUP_RESPONSE Theseus__Response *response = NULL;
	CLEANUP_CLIENT struct client *cl = NULL;
	uint64_t limit_ns = STAGE_LIMIT_NS;
	struct target target;
	int r = ctl_option_duration(c, "timeout", &limit_ns);

	(void)argc;
	if (!r)
		r = target_resolve(c, TARGET_CHANGES, &target);
	if (!r)
		r = client_open(c, &target, &cl);
	if (!r)
		r = stage_file(cl, argv[1], limit_ns, &response);
	if (!r)
		(c->json ? json_stage : text_stage)(c, response->stage);
	return r;
}

/* Length of the cell's name in "CELL=FILE", 0 when @word is just a file. */
static size_t cell_name_length(const char *word)
{
	size_t n = strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return word[n] == '=' ? n : 0;
}

/*
 * Reads FILE, or CELL=FILE pairs, which must name one file: a bundle is one transaction.
 * The names are written to @cells (as many as there are words) and are the caller's.
 */
static int read_words(struct ctl *c, int n, char **words, struct swap_config *config, char **cells)
{
	for (int i = 0; i < n; i++) {
		size_t name = cell_name_length(words[i]);
		const char *file = name ? words[i] + name + 1 : words[i];

		if (!*file)
			return ctl_error(c, CTL_USAGE, "usage", "%s: no file is named", words[i]);
		if (config->file && (!name || !config->n_cells))
			return ctl_error(
				c, CTL_USAGE, "usage",
				"one bundle a swap: FILE, or CELL=FILE for cells of one file");
		if (config->file && strcmp(config->file, file))
			return ctl_error(
				c, CTL_USAGE, "several-bundles",
				"%s and %s are two bundles, and a swap is one transaction.\n"
				"Put the cells into one bundle (\"theseusctl cell build\") and "
				"swap that",
				config->file, file);
		config->file = file;
		if (!name)
			continue;
		cells[config->n_cells] = strndup(words[i], name);
		if (!cells[config->n_cells])
			return ctl_oom(c);
		config->n_cells++;
	}
	config->cells = (const char *const *)cells;
	return 0;
}

static int read_swap_options(struct ctl *c, struct swap_config *config)
{
	int r = ctl_option_number(c, "stage", 0, UINT64_MAX, &config->stage);

	if (!r)
		r = ctl_option_number(c, "expect-generation", 0, UINT64_MAX,
				      &config->expect_generation);
	if (!r)
		r = ctl_option_duration(c, "timeout", &config->timeout_ns);
	config->dry_run = ctl_option(c, "dry-run") != NULL;
	config->has_expect_generation = ctl_option(c, "expect-generation") != NULL;
	if (!r && !config->file == !ctl_option(c, "stage"))
		r = ctl_error(
			c, CTL_USAGE, "usage",
			"swap-cell needs either a bundle or --stage ID (see \"theseusctl help "
			"swap-cell\")");
	return r;
}

static int swap_and_render(struct ctl *c, const struct target *target,
			   const struct swap_config *config)
{
	CLEANUP_CLIENT struct client *cl = NULL;
	struct swap_result result = {0};
	struct swap_view view = {.bundle = config->file, .dry_run = config->dry_run};
	int r = client_open(c, target, &cl);

	if (!r)
		r = swap_run(cl, config, &result);
	if (r)
		return r;
	view.stage = result.stage;
	view.upload_ns = result.upload_ns;
	view.push_ns = result.push_ns;
	view.reply = result.response->swap;
	(c->json ? json_swap : text_swap)(c, &view);
	theseus__response__free_unpacked(result.response, NULL);
	return 0;
}

int cmd_swap_cell(struct ctl *c, int argc, char **argv)
{
	struct swap_config config = {.timeout_ns = SWAP_TIMEOUT_NS};
	char **cells = calloc((size_t)argc, sizeof(*cells));
	struct target target;
	int r = cells ? read_words(c, argc - 1, argv + 1, &config, cells) : ctl_oom(c);

	if (!r)
		r = read_swap_options(c, &config);
	if (!r)
		r = target_resolve(c, TARGET_CHANGES, &target);
	if (!r)
		r = swap_and_render(c, &target, &config);
	for (int i = 0; cells && i < argc; i++)
		free(cells[i]);
	free(cells);
	return r;
}
