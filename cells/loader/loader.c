/* SPDX-License-Identifier: MIT */
#include <theseus/loader.h>

#include <theseus/errno.h>

#include "stage.h"
#include "state.h"

CELL_INFO(.name = "loader", .version = "1.0.0", .safety = CELL_UNSAFE,
	  .unsafe_reason = "links, seals and patches machine code; restart stubs are assembly",
	  .grants = GATE_GRANT_MEMORY | GATE_GRANT_TEXT | GATE_GRANT_POWER,
	  .summary = "links, lists, patches and unloads cells");
CELL_STATE(struct loader_state, loader);

CELL_EXPORT(loader_start);
CELL_EXPORT(loader_boot_mark_at);
CELL_EXPORT(loader_sha256);
CELL_EXPORT(loader_cell_find);
CELL_EXPORT(loader_cell_at);
CELL_EXPORT(loader_cell_of);
CELL_EXPORT(loader_cell_count);
CELL_EXPORT(loader_generation);
CELL_EXPORT(loader_symbol_at);
CELL_EXPORT(loader_dep_at);
CELL_EXPORT(loader_locate);
CELL_EXPORT(loader_rodata_at);
CELL_EXPORT(iface_at);
CELL_EXPORT(iface_find);
CELL_EXPORT(loader_stage_create);
CELL_EXPORT(loader_stage_drop);
CELL_EXPORT(loader_stage_change);
CELL_EXPORT(loader_stage_check);
CELL_EXPORT(loader_stage_commit);
CELL_EXPORT(loader_stage_revert);
CELL_EXPORT(loader_stage_old_range);
CELL_EXPORT(loader_stage_finalise);
CELL_EXPORT(loader_stage_quarantine);
CELL_EXPORT(loader_stage_needed);
CELL_EXPORT(loader_quarantined_stage);
CELL_EXPORT(loader_quarantined_at);
CELL_EXPORT(loader_stage_init);
CELL_EXPORT(loader_restart_create);
CELL_EXPORT(loader_restart_drop);
CELL_EXPORT(loader_restart_hold);
CELL_EXPORT(loader_restart_range);
CELL_EXPORT(loader_restart_reset);
CELL_EXPORT(loader_restart_undo);
CELL_EXPORT(loader_restart_init);

struct loader_state *loader_state(void)
{
	return &loader;
}

static void set_stage(struct loader_stage *stage)
{
	spin_lock_as(&loader.lock, loader_names);
	loader.stage = stage;
	spin_unlock_as(&loader.lock, loader_names);
	if (!stage)
		__atomic_store_n(&loader.busy, 0, __ATOMIC_RELEASE);
}

int loader_stage_create(const void *bundle, size_t size, struct loader_stage **ret_stage,
			struct loader_report *ret_report)
{
	int r;

	memset(ret_report, 0, sizeof(*ret_report));
	if (__atomic_exchange_n(&loader.busy, 1, __ATOMIC_ACQUIRE)) {
		report_add(ret_report, "busy", "another bundle is staged or being swapped");
		return -EBUSY;
	}
	r = stage_create((struct slice){bundle, size}, false, ret_stage, ret_report);
	set_stage(r < 0 ? NULL : *ret_stage);
	return r;
}

void loader_stage_drop(struct loader_stage *stage)
{
	if (!stage)
		return;
	stage_destroy(stage);
	set_stage(NULL);
}

static void fill_change(struct loader_change *c, const struct record *old, const struct record *new)
{
	const struct record *any = new ? new : old;

	memset(c, 0, sizeof(*c));
	memcpy(c->name, any->name, sizeof(c->name));
	if (old) {
		memcpy(c->old_version, old->version, sizeof(c->old_version));
		memcpy(c->old_hash, old->hash, sizeof(c->old_hash));
		c->old_grants = old->grants;
	}
	if (new) {
		memcpy(c->new_version, new->version, sizeof(c->new_version));
		memcpy(c->new_hash, new->hash, sizeof(c->new_hash));
		c->new_grants = new->grants;
		c->quiescence = old ? old->quiescence : new->quiescence;
	}
}

int loader_stage_change(const struct loader_stage *stage, uint32_t index,
			struct loader_change *ret_change)
{
	if (index < stage->n_cells) {
		fill_change(ret_change, stage->cells[index].old, stage->cells[index].new);
		return 0;
	}
	index -= stage->n_cells;
	if (index >= stage->n_gone)
		return -ENOENT;
	fill_change(ret_change, stage->gone[index], NULL);
	return 0;
}

int loader_stage_check(struct loader_stage *stage, struct loader_report *ret_report)
{
	memset(ret_report, 0, sizeof(*ret_report));
	if (stage->state == STAGE_READY && stage->before == loader.namespace)
		return 0;
	report_add(ret_report, "stale-stage",
		   "the bundle was staged against generation %lu, now %lu runs",
		   stage->before->generation, loader.namespace->generation);
	return -EPERM;
}

int loader_stage_commit(struct loader_stage *stage)
{
	if (stage->state != STAGE_READY || stage->before != loader.namespace)
		return -ESTALE;
	return commit_apply(stage);
}

int loader_stage_revert(struct loader_stage *stage)
{
	if (stage->state != STAGE_COMMITTED || stage->after != loader.namespace)
		return -ESTALE;
	return commit_revert(stage);
}

uint64_t loader_stage_finalise(struct loader_stage *stage)
{
	bool over = stage->quarantined;
	uint64_t bytes = commit_finalise(stage);

	if (!over)
		set_stage(NULL);
	return bytes;
}

void loader_stage_quarantine(struct loader_stage *stage)
{
	commit_quarantine(stage);
	set_stage(NULL);
}

int loader_stage_init(struct loader_stage *stage)
{
	const struct cell_boot boot = {boot_record(), NULL};
	int error = 0;

	for (uint32_t i = 0; i < stage->n_cells && error == 0; i++) {
		const struct cell_ops *ops = record_ops(stage->cells[i].new);

		if (!stage->cells[i].old && ops && ops->init)
			error = ops->init(&boot);
	}
	for (uint32_t i = 0; i < stage->n_gone && error == 0; i++) {
		const struct cell_ops *ops = record_ops(stage->gone[i]);

		if (ops && ops->fini)
			ops->fini();
	}
	return error < 0 ? error : 0;
}
