/* SPDX-License-Identifier: MIT */
/*
 * demo swap: greeter is replaced by its second version and back while callers call it as
 * fast as they can and check every answer. It fails unless every call was answered right.
 */
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bundle-arg.h"
#include "client.h"
#include "commands.h"
#include "exec.h"
#include "render.h"
#include "run.h"
#include "swap.h"
#include "util.h"
#include "vm.h"

#define VERSIONS_MAX 8
#define PATH_SIZE 4096
#define SWAPS 2
#define EXEC_LIMIT_NS (10 * NS_PER_SEC)
#define PROGRESS_LIMIT_NS (20 * NS_PER_SEC)
#define SWAP_TIMEOUT_NS (10 * NS_PER_SEC)

/* What `exec caller-counts` prints. */
struct counts {
	char versions[VERSIONS_MAX][32];
	uint64_t calls[VERSIONS_MAX];
	size_t n;
	uint64_t total, wrong, lost;
	bool complete; /* total, wrong and lost were all there */
};

struct demo {
	struct ctl *ctl;
	struct client *cl;
	const char *accel;
	char bundles[SWAPS][PATH_SIZE]; /* the second version, then the first */
	struct swap_result swaps[SWAPS];
	size_t n_swaps;
	struct counts counts;
};

static uint64_t calls_of(const struct counts *k, const char *version)
{
	for (size_t i = 0; i < k->n; i++)
		if (!strcmp(k->versions[i], version))
			return k->calls[i];
	return 0;
}

static bool read_count(const char *line, const char *key, uint64_t *ret_value)
{
	size_t n = strlen(key);

	return !strncmp(line, key, n) && line[n] == '=' && !parse_number(line + n + 1, ret_value);
}

static void read_line(struct counts *k, char *line, unsigned int *seen)
{
	char *calls = strstr(line, " calls=");

	if (!strncmp(line, "version=", 8) && calls && k->n < VERSIONS_MAX) {
		*calls = '\0';
		(void)snprintf(k->versions[k->n], sizeof(k->versions[0]), "%s", line + 8);
		if (!parse_number(calls + 7, &k->calls[k->n]))
			k->n++;
	} else if (read_count(line, "total", &k->total)) {
		*seen |= 1;
	} else if (read_count(line, "wrong", &k->wrong)) {
		*seen |= 2;
	} else if (read_count(line, "lost", &k->lost)) {
		*seen |= 4;
	}
}

/* Has every CPU of the guest call the greeter ("run"), or no more ("rest"). */
static int callers(struct demo *d, const char *what)
{
	CLEANUP_RESPONSE Theseus__Response *response = NULL;
	char *argv[] = {(char *)(uintptr_t) "callers", (char *)(uintptr_t)what, NULL};
	int r = exec_run(d->cl, 2, argv, EXEC_LIMIT_NS, &response);

	if (!r && response->exec->status)
		return ctl_error(d->ctl, CTL_FAILED, "demo-failed",
				 "the caller cell does not obey (exec callers %s)", what);
	return r;
}

static int get_counts(struct demo *d)
{
	CLEANUP_RESPONSE Theseus__Response *response = NULL;
	CLEANUP_FREE char *text = NULL;
	char *argv[] = {(char *)(uintptr_t) "caller-counts", NULL}, *save = NULL;
	unsigned int seen = 0;
	int r = exec_run(d->cl, 1, argv, EXEC_LIMIT_NS, &response);

	if (r)
		return r;
	text = clean_text(response->exec->output.data, response->exec->output.len, true);
	if (!text)
		return ctl_oom(d->ctl);
	d->counts = (struct counts){0};
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		read_line(&d->counts, line, &seen);
	if (response->exec->status || seen != 7)
		return ctl_error(d->ctl, CTL_FAILED, "demo-failed",
				 "the caller cell does not tell its counts (exec caller-counts)");
	return 0;
}

/* Asks until the callers got answers from @version: @more than they had. */
static int await_calls(struct demo *d, const char *version, uint64_t more)
{
	uint64_t deadline = now_ns() + PROGRESS_LIMIT_NS, before;
	int r = get_counts(d);

	before = calls_of(&d->counts, version);
	while (!r && calls_of(&d->counts, version) < before + more) {
		if (now_ns() > deadline)
			return ctl_error(d->ctl, CTL_FAILED, "demo-failed",
					 "nobody calls greeter %s", version);
		r = get_counts(d);
	}
	return r;
}

static int swap_once(struct demo *d, const char *file)
{
	CLEANUP_FREE uint8_t *data = NULL;
	struct swap_config config = {.timeout_ns = SWAP_TIMEOUT_NS};
	struct swap_result *result = &d->swaps[d->n_swaps];
	const Theseus__SwapReply *reply;
	const char *version = NULL;
	int r = bundle_file_load(d->ctl, file, &data, &config.len);

	config.data = data;
	if (!r)
		r = swap_run(d->cl, &config, result);
	if (r)
		return r;
	d->n_swaps++;
	reply = result->response->swap;
	for (size_t i = 0; i < reply->n_cells; i++)
		if (!strcmp(reply->cells[i]->name, "greeter"))
			version = reply->cells[i]->new_version;
	if (!version)
		return ctl_error(d->ctl, CTL_FAILED, "demo-failed", "%s did not replace greeter",
				 file);
	ctl_note(d->ctl, "greeter is now %s; waiting until it has been called", version);
	return await_calls(d, version, 1000);
}

static int find_bundles(struct ctl *c, struct demo *d)
{
	static const char *const names[SWAPS] = {"greeter-v2.cells", "greeter-v1.cells"};
	char boot[PATH_SIZE - 64];
	const char *dir;
	int r = run_find_file(c, RUN_BUNDLE, boot, sizeof(boot));

	if (r)
		return r;
	dir = dirname(boot);
	for (size_t i = 0; i < SWAPS; i++) {
		(void)snprintf(d->bundles[i], PATH_SIZE, "%s/%s", dir, names[i]);
		if (access(d->bundles[i], R_OK))
			return ctl_error(c, CTL_FAILED, "no-such-file", "%s: %s", d->bundles[i],
					 strerror(errno));
	}
	return 0;
}

static void show(struct demo *d)
{
	struct demo_row rows[VERSIONS_MAX];
	const Theseus__SwapReply *swaps[SWAPS];
	struct demo_view view = {.rows = rows,
				 .n_rows = d->counts.n,
				 .calls = d->counts.total,
				 .wrong = d->counts.wrong,
				 .lost = d->counts.lost,
				 .swaps = swaps,
				 .n_swaps = d->n_swaps,
				 .accel = d->accel};

	for (size_t i = 0; i < d->counts.n; i++)
		rows[i] = (struct demo_row){d->counts.versions[i], d->counts.calls[i]};
	for (size_t i = 0; i < d->n_swaps; i++)
		swaps[i] = d->swaps[i].response->swap;
	view.ok = d->n_swaps == SWAPS && !view.wrong && !view.lost && view.n_rows >= 2;
	(d->ctl->json ? json_demo : text_demo)(d->ctl, &view);
}

/* The swaps and the judgement, over a VM that runs. */
static int demonstrate(struct demo *d)
{
	int r = callers(d, "run");
	bool called;

	if (!r)
		r = get_counts(d);
	called = !r && d->counts.n > 0;

	if (!r && !called)
		r = await_calls(d, "1.0.0", 1);
	for (size_t i = 0; !r && i < SWAPS; i++)
		r = swap_once(d, d->bundles[i]);
	if (!r)
		r = callers(d, "rest");
	if (r)
		return r;
	show(d);
	if (d->counts.wrong || d->counts.lost || d->counts.n < 2)
		return ctl_error(
			d->ctl, CTL_FAILED, "demo-failed",
			"calls were lost or answered wrongly, or one version was never called");
	return 0;
}

static int demo_on_target(struct ctl *c, struct demo *d, const struct target *target)
{
	CLEANUP_VM_RESPONSE Theseus__VmResponse *status = NULL;
	int r = client_open(c, target, &d->cl);

	d->accel = "libvirt";
	if (!r && target->kind == TARGET_SOCKET) {
		r = vm_status(d->cl, &status);
		d->accel = r ? NULL : status->vm->accel;
	}
	if (!r)
		r = demonstrate(d);
	for (size_t i = 0; i < d->n_swaps; i++)
		theseus__response__free_unpacked(d->swaps[i].response, NULL);
	return r;
}

static int demo_on_own_vm(struct ctl *c, struct demo *d)
{
	struct run_config config = {.accel = ctl_option(c, "accel"),
				    .cpus = 2,
				    .memory_mib = 128,
				    .timeout_ns = RUN_TIMEOUT_NS};
	char name[32];
	struct run_vm vm;
	int r = ctl_option_number(c, "cpus", 1, 16, &config.cpus);

	(void)snprintf(name, sizeof(name), "demo-%d", (int)getpid());
	config.name = name;
	if (!r)
		r = run_start(c, &config, &vm);
	if (r)
		return r;
	ctl_note(c, "VM %s is ready", name);
	r = demo_on_target(c, d, &vm.target);
	return run_end(c, &vm, d->cl, r);
}

int cmd_demo_swap(struct ctl *c, int argc, char **argv)
{
	struct demo *d = calloc(1, sizeof(*d));
	const char *env = getenv("THESEUS_VM");
	struct target target;
	int r;

	(void)argc;
	(void)argv;
	if (!d)
		return ctl_oom(c);
	d->ctl = c;
	r = find_bundles(c, d);
	if (!r && (c->name || c->socket || c->domain || (env && *env))) {
		r = target_resolve(c, TARGET_CHANGES, &target);
		if (!r)
			r = demo_on_target(c, d, &target);
	} else if (!r) {
		r = demo_on_own_vm(c, d);
	}
	client_close(d->cl);
	free(d);
	return r;
}
