/* SPDX-License-Identifier: MIT */
/* push, swap-cell */
#include "swap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bundle-arg.h"
#include "commands.h"
#include "render.h"
#include "util.h"

#define STAGE_LIMIT_NS (30 * NS_PER_SEC)
#define SWAP_TIMEOUT_NS NS_PER_SEC
#define SWAP_GRACE_NS (10 * NS_PER_SEC) /* for everything beside waiting for a safe point */

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
		(void)client_call(cl, &req, 0, THESEUS__RESPONSE__BODY__NOT_SET, &response);
	ctl_error_clear(cl->ctl);
	cl->ctl->error = saved;
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
		r = client_call(cl, &req, config->timeout_ns + SWAP_GRACE_NS,
				THESEUS__RESPONSE__BODY_SWAP, &response);
	if (r)
		return r;
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
	if (!r && config->data) {
		r = client_stage(cl, config->data, config->len, STAGE_LIMIT_NS, &staged);
		if (r)
			return r;
		result.stage = staged->stage->stage;
		result.upload_ns = now_ns() - start;
		if (result.upload_ns > staged->stage->stage_ns)
			result.upload_ns -= staged->stage->stage_ns;
	}
	if (!r)
		r = swap_stage(cl, config, result.stage, &result.response);
	result.push_ns = now_ns() - start;
	/* Without a guest there is nothing to give back to. */
	if (config->data && (r || config->dry_run) && r != CTL_LOST && r != CTL_NO_VM)
		drop_stage(cl, result.stage);
	if (!r)
		*ret_result = result;
	return r;
}

int cmd_push(struct ctl *c, int argc, char **argv)
{
	CLEANUP_RESPONSE Theseus__Response *response = NULL;
	CLEANUP_CLIENT struct client *cl = NULL;
	CLEANUP_FREE uint8_t *data = NULL;
	uint64_t limit_ns = STAGE_LIMIT_NS;
	struct target target;
	size_t len = 0;
	int r = ctl_option_duration(c, "timeout", &limit_ns);

	(void)argc;
	if (!r)
		r = target_resolve(c, TARGET_CHANGES, &target);
	if (!r)
		r = bundle_file_load(c, argv[1], &data, &len);
	if (!r)
		r = client_open(c, &target, &cl);
	if (!r)
		r = client_stage(cl, data, len, limit_ns, &response);
	if (!r)
		(c->json ? json_stage : text_stage)(c, response->stage);
	return r;
}

static int read_swap_options(struct ctl *c, int words, struct swap_config *config)
{
	int r = ctl_option_number(c, "stage", 0, UINT64_MAX, &config->stage);

	if (!r)
		r = ctl_option_number(c, "expect-generation", 0, UINT64_MAX,
				      &config->expect_generation);
	if (!r)
		r = ctl_option_duration(c, "timeout", &config->timeout_ns);
	config->dry_run = ctl_option(c, "dry-run") != NULL;
	config->has_expect_generation = ctl_option(c, "expect-generation") != NULL;
	if (!r && !words == !ctl_option(c, "stage"))
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
	struct swap_view view = {.dry_run = config->dry_run};
	int r = client_open(c, target, &cl);

	if (!r)
		r = swap_run(cl, config, &result);
	if (r)
		return r;
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
	CLEANUP_FREE uint8_t *data = NULL;
	struct bundle_arg *args = NULL;
	struct target target;
	int words = argc - 1, r = read_swap_options(c, words, &config);

	if (!r && words)
		r = bundle_args_read(c, words, argv + 1, &args);
	if (!r)
		r = target_resolve(c, TARGET_CHANGES, &target);
	if (!r && words)
		r = bundle_args_load(c, args, words, &data, &config.len);
	config.data = data;
	if (!r)
		r = swap_and_render(c, &target, &config);
	bundle_args_free(args, words);
	return r;
}
