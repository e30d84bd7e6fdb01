/* SPDX-License-Identifier: MIT */
#include "render.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "util.h"

typedef struct json_object json;

static void add(json *o, const char *key, json *value)
{
	json_object_object_add(o, key, value);
}

static void add_u64(json *o, const char *key, uint64_t value)
{
	add(o, key, json_object_new_uint64(value));
}

static void add_bool(json *o, const char *key, bool value)
{
	add(o, key, json_object_new_boolean(value));
}

static void add_bytes(json *o, const char *key, const void *data, size_t len, bool lines)
{
	CLEANUP_FREE char *clean = clean_text(data, len, lines);

	add(o, key, clean ? json_object_new_string(clean) : NULL);
}

/* @s may be NULL and may come from a guest. */
static void add_text(json *o, const char *key, const char *s)
{
	if (s)
		add_bytes(o, key, s, strlen(s), true);
	else
		add(o, key, NULL);
}

static void add_hex(json *o, const char *key, ProtobufCBinaryData data)
{
	CLEANUP_FREE char *s = hex(data.data, data.len);

	add(o, key, s ? json_object_new_string(s) : NULL);
}

/* Hashes are for comparing, not for counting, and a double would not hold one: hex. */
static void add_hash(json *o, const char *key, uint64_t hash)
{
	char s[17];

	(void)snprintf(s, sizeof(s), "%016llx", (unsigned long long)hash);
	add(o, key, json_object_new_string(s));
}

static json *new_object(const char *command)
{
	json *o = json_object_new_object();
	char schema[80];

	(void)snprintf(schema, sizeof(schema), "theseus.%s/1", command);
	for (char *p = schema; *p; p++)
		if (*p == ' ')
			*p = '-';
	add(o, "schema", json_object_new_string(schema));
	return o;
}

static json *new_answer(const struct ctl *c)
{
	return new_object(c->command->verb);
}

/* Consumes @o. */
static void print(json *o)
{
	(void)puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							     JSON_C_TO_STRING_NOSLASHESCAPE));
	(void)fflush(stdout);
	json_object_put(o);
}

void json_error(const struct ctl *c)
{
	json *o = new_object("error"), *reasons = json_object_new_array();

	add_text(o, "code", c->error.code ? c->error.code : "failed");
	add_text(o, "message", c->error.message ? c->error.message : "");
	for (size_t i = 0; i < c->error.n_reasons; i++)
		json_object_array_add(reasons, json_object_new_string(c->error.reasons[i]));
	add(o, "reasons", reasons);
	print(o);
}

static void add_marks(json *o, const char *key, Theseus__BootMark *const *marks, size_t n)
{
	json *list = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		json *m = json_object_new_object();

		add_text(m, "name", marks[i]->name);
		add_u64(m, "at_ns", marks[i]->at_ns);
		json_object_array_add(list, m);
	}
	add(o, key, list);
}

static void add_boot_marks(json *o, const Theseus__VmStatus *vm)
{
	json *marks = json_object_new_object();

	add_marks(marks, "vmm", vm->vmm_marks, vm->n_vmm_marks);
	add_marks(marks, "guest", vm->guest_marks, vm->n_guest_marks);
	add(o, "boot_marks", marks);
}

static void fill_vm(json *o, const struct vm_view *v)
{
	add_text(o, "name", v->name);
	add_text(o, "state", v->state);
	add_text(o, "accel", v->accel);
	add_u64(o, "uptime_ns", v->uptime_ns);
	add_u64(o, "memory_bytes", v->memory_bytes);
	add_u64(o, "cpus", v->cpus);
	if (v->pid)
		add_u64(o, "pid", v->pid);
	if (v->vm) {
		add_text(o, "accel_reason", v->vm->accel_reason);
		add_u64(o, "ready_ns", v->vm->ready_ns);
		add_u64(o, "resident_bytes", v->vm->resident_bytes);
		add_u64(o, "clients", v->vm->clients);
		add_text(o, "guest_build_id", v->vm->guest_build_id);
		add_text(o, "log_path", v->vm->log_path);
	}
	if (v->guest) {
		add_u64(o, "generation", v->guest->generation);
		add_bool(o, "tainted", v->guest->tainted);
		add_text(o, "health", v->guest->health);
		add_u64(o, "guest_uptime_ns", v->guest->uptime_ns);
		add_u64(o, "memory_total_bytes", v->guest->memory_total);
		add_u64(o, "memory_used_bytes", v->guest->memory_used);
		add_u64(o, "cpus_online", v->guest->cpus);
		add_u64(o, "cells", v->guest->cells);
		add_u64(o, "tasks", v->guest->tasks);
		add_u64(o, "faults", v->guest->faults);
		add_u64(o, "quarantined_bytes", v->guest->quarantined_bytes);
	} else {
		add(o, "generation", NULL);
		add(o, "tainted", NULL);
		add_text(o, "health", "no answer");
	}
}

void json_vms(const struct ctl *c, const struct vm_view *vms, size_t n)
{
	json *o = new_answer(c), *list = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		json *vm = json_object_new_object();

		fill_vm(vm, &vms[i]);
		json_object_array_add(list, vm);
	}
	add(o, "vms", list);
	print(o);
}

void json_vm(const struct ctl *c, const struct vm_view *vm, bool marks)
{
	json *o = new_answer(c);

	(void)marks; /* always there: a program takes what it wants */
	fill_vm(o, vm);
	if (vm->vm)
		add_boot_marks(o, vm->vm);
	print(o);
}

void json_run(const struct ctl *c, const struct run_view *run)
{
	json *o = new_answer(c);

	add_text(o, "name", run->vm->name);
	add_u64(o, "pid", run->vm->pid);
	add_text(o, "accel", run->vm->accel);
	add_text(o, "accel_reason", run->vm->accel_reason);
	add_u64(o, "ready_ns", run->vm->ready_ns);
	add_text(o, "socket", run->socket);
	add_u64(o, "cpus", run->vm->cpus);
	add_u64(o, "memory_bytes", run->vm->memory_bytes);
	add_text(o, "log_path", run->vm->log_path);
	add_boot_marks(o, run->vm);
	print(o);
}

void json_ended(const struct ctl *c, const char *name, const Theseus__VmExit *exit)
{
	json *o = new_answer(c);

	add_text(o, "name", name);
	add_text(o, "state", "ended");
	if (exit) {
		add_text(o, "reason", exit->reason);
		add(o, "code", json_object_new_int(exit->code));
	}
	print(o);
}

static void fill_task(json *o, const Theseus__TaskRow *task)
{
	add_u64(o, "id", task->id);
	add_text(o, "name", task->name);
	add_text(o, "state", task->state);
	add_u64(o, "cpu", task->cpu);
	add_text(o, "cell", task->cell);
	add_u64(o, "cpu_time_ns", task->cpu_time_ns);
	add_u64(o, "restarts", task->restarts);
	add_u64(o, "switches", task->switches);
	add_u64(o, "affinity", task->affinity);
	add(o, "priority", json_object_new_int(task->priority));
	add_u64(o, "stack_bytes", task->stack_bytes);
	add_u64(o, "stack_used", task->stack_used);
}

void json_tasks(const struct ctl *c, const Theseus__TaskRow *const *rows, size_t n)
{
	json *o = new_answer(c), *list = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		json *task = json_object_new_object();

		fill_task(task, rows[i]);
		json_object_array_add(list, task);
	}
	add(o, "tasks", list);
	print(o);
}

void json_task(const struct ctl *c, const Theseus__TaskRow *task)
{
	json *o = new_answer(c), *list = json_object_new_array();

	fill_task(o, task);
	for (size_t i = 0; i < task->n_stack; i++) {
		json *frame = json_object_new_object();

		add_u64(frame, "pc", task->stack[i]->pc);
		add_text(frame, "cell", task->stack[i]->cell);
		add_text(frame, "function", task->stack[i]->function);
		add_u64(frame, "offset", task->stack[i]->offset);
		json_object_array_add(list, frame);
	}
	add(o, "stack", list);
	print(o);
}

static void fill_cell(json *o, const Theseus__CellRow *cell)
{
	add_text(o, "name", cell->name);
	add_text(o, "version", cell->version);
	add_text(o, "summary", cell->summary);
	add_hex(o, "hash", cell->hash);
	add_u64(o, "generation", cell->generation);
	add_hash(o, "state_schema", cell->state_schema);
	add_u64(o, "text_addr", cell->text_addr);
	add_u64(o, "text_bytes", cell->text_bytes);
	add_u64(o, "rodata_addr", cell->rodata_addr);
	add_u64(o, "state_addr", cell->state_addr);
	add_u64(o, "state_bytes", cell->state_bytes);
	add_u64(o, "data_bytes", cell->data_bytes);
	add_u64(o, "heap_bytes", cell->heap_bytes);
	add_u64(o, "refs", cell->refs);
	add_text(o, "safety", cell->safety);
	add_text(o, "health", cell->health);
	add_hex(o, "build_id", cell->build_id);
}

static json *list_cells(Theseus__CellRow *const *cells, size_t n)
{
	json *list = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		json *cell = json_object_new_object();

		fill_cell(cell, cells[i]);
		json_object_array_add(list, cell);
	}
	return list;
}

void json_cells(const struct ctl *c, const Theseus__CellsReply *reply)
{
	json *o = new_answer(c);

	add_u64(o, "generation", reply->generation);
	add(o, "cells", list_cells(reply->cells, reply->n_cells));
	add(o, "quarantined", list_cells(reply->quarantined, reply->n_quarantined));
	print(o);
}

static void add_symbols(json *o, const char *key, Theseus__Symbol *const *symbols, size_t n)
{
	json *list = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		json *s = json_object_new_object();

		add_text(s, "name", symbols[i]->name);
		add_text(s, "cell", symbols[i]->cell);
		add_hash(s, "abi", symbols[i]->abi);
		add_text(s, "signature", symbols[i]->signature);
		add_u64(s, "addr", symbols[i]->addr);
		json_object_array_add(list, s);
	}
	add(o, key, list);
}

void json_cell(const struct ctl *c, const Theseus__CellRow *cell)
{
	json *o = new_answer(c);

	fill_cell(o, cell);
	add_symbols(o, "exports", cell->exports, cell->n_exports);
	add_symbols(o, "imports", cell->imports, cell->n_imports);
	print(o);
}

void json_deps(const struct ctl *c, const Theseus__CellDepsReply *reply)
{
	json *o = new_answer(c), *list = json_object_new_array();

	add_text(o, "name", reply->name);
	add_bool(o, "reverse", reply->reverse);
	for (size_t i = 0; i < reply->n_deps; i++) {
		const Theseus__Dep *dep = reply->deps[i];
		json *d = json_object_new_object(), *symbols = json_object_new_array();

		add_text(d, "cell", dep->cell);
		add_text(d, "via", dep->via);
		add_u64(d, "sites", dep->sites);
		for (size_t k = 0; k < dep->n_symbols; k++) {
			CLEANUP_FREE char *s =
				clean_text(dep->symbols[k], strlen(dep->symbols[k]), false);

			json_object_array_add(symbols, s ? json_object_new_string(s) : NULL);
		}
		add(d, "symbols", symbols);
		json_object_array_add(list, d);
	}
	add(o, "deps", list);
	print(o);
}

static void add_changes(json *o, Theseus__CellChange *const *cells, size_t n)
{
	json *list = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		json *change = json_object_new_object();

		add_text(change, "name", cells[i]->name);
		add_text(change, "old", *cells[i]->old_version ? cells[i]->old_version : NULL);
		add_text(change, "new", *cells[i]->new_version ? cells[i]->new_version : NULL);
		add_hex(change, "old_hash", cells[i]->old_hash);
		add_hex(change, "new_hash", cells[i]->new_hash);
		json_object_array_add(list, change);
	}
	add(o, "cells", list);
}

void json_stage(const struct ctl *c, const Theseus__StageReply *reply)
{
	json *o = new_answer(c);

	add_u64(o, "stage", reply->stage);
	add_changes(o, reply->cells, reply->n_cells);
	add_u64(o, "stage_ns", reply->stage_ns);
	print(o);
}

static void fill_swap(json *o, const Theseus__SwapReply *r)
{
	add_u64(o, "generation", r->generation);
	add_changes(o, r->cells, r->n_cells);
	add_u64(o, "stage_ns", r->stage_ns);
	add_u64(o, "quiesce_ns", r->quiesce_ns);
	add_u64(o, "pause_ns", r->pause_ns);
	add_u64(o, "migrate_ns", r->migrate_ns);
	add_u64(o, "objects_migrated", r->objects_migrated);
	add_u64(o, "bytes_freed", r->bytes_freed);
	add_u64(o, "quarantined_bytes", r->quarantined_bytes);
	add_u64(o, "total_ns", r->total_ns);
	add_text(o, "result", r->result);
}

void json_swap(const struct ctl *c, const struct swap_view *swap)
{
	json *o = new_answer(c);

	fill_swap(o, swap->reply);
	add_bool(o, "dry_run", swap->dry_run);
	add_u64(o, "upload_ns", swap->upload_ns);
	add_u64(o, "push_ns", swap->push_ns);
	print(o);
}

void json_exec(const struct ctl *c, const Theseus__ExecReply *reply)
{
	json *o = new_answer(c);

	add_bytes(o, "output", reply->output.data, reply->output.len, true);
	add(o, "status", json_object_new_int(reply->status));
	add_bool(o, "truncated", reply->truncated);
	print(o);
}

void json_log(const struct ctl *c, const Theseus__LogRecord *const *records, size_t n,
	      uint64_t lost)
{
	json *o = new_object("log"), *list = json_object_new_array(); /* also within `run` */

	(void)c;
	for (size_t i = 0; i < n; i++) {
		json *r = json_object_new_object();

		add_u64(r, "seq", records[i]->seq);
		add_text(r, "level", level_name(records[i]->level));
		add_text(r, "cell", records[i]->cell);
		add_u64(r, "task", records[i]->task);
		add_u64(r, "time_ns", records[i]->time_ns);
		add_text(r, "text", records[i]->text);
		json_object_array_add(list, r);
	}
	add_u64(o, "lost", lost);
	add(o, "records", list);
	print(o);
}

void json_symbols(const struct ctl *c, const struct symbols_view *symbols, size_t n)
{
	json *o = new_answer(c), *list = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		const struct symbols_view *v = &symbols[i];
		json *cell = json_object_new_object(), *sections = json_object_new_object();

		add_text(cell, "name", v->cell->name);
		add_hex(cell, "build_id", v->cell->build_id);
		add_text(cell, "file", v->file);
		for (size_t k = 0; k < v->n_sections; k++)
			add_u64(sections, v->sections[k].name, v->sections[k].addr);
		add(cell, "sections", sections);
		json_object_array_add(list, cell);
	}
	add(o, "cells", list);
	print(o);
}

void json_metrics(const struct ctl *c, const char *name, const Theseus__VmMetrics *metrics)
{
	json *o = new_answer(c), *counters = json_object_new_object();

	add_text(o, "name", name);
	for (size_t i = 0; i < metrics->n_counters; i++) {
		CLEANUP_FREE char *key = clean_text(metrics->counters[i]->name,
						    strlen(metrics->counters[i]->name), false);

		if (key)
			add_u64(counters, key, metrics->counters[i]->value);
	}
	add(o, "counters", counters);
	print(o);
}

void json_demo(const struct ctl *c, const struct demo_view *demo)
{
	json *o = new_answer(c), *calls = json_object_new_object(),
	     *swaps = json_object_new_array();

	for (size_t i = 0; i < demo->n_rows; i++) {
		CLEANUP_FREE char *key =
			clean_text(demo->rows[i].version, strlen(demo->rows[i].version), false);

		if (key)
			add_u64(calls, key, demo->rows[i].calls);
	}
	add_text(o, "accel", demo->accel);
	add(o, "calls_by_version", calls);
	add_u64(o, "calls", demo->calls);
	add_u64(o, "wrong", demo->wrong);
	add_u64(o, "lost", demo->lost);
	for (size_t i = 0; i < demo->n_swaps; i++) {
		json *swap = json_object_new_object();

		fill_swap(swap, demo->swaps[i]);
		json_object_array_add(swaps, swap);
	}
	add(o, "swaps", swaps);
	add_bool(o, "ok", demo->ok);
	print(o);
}

static void add_options(json *o, const char *key, const struct ctl_option *option)
{
	json *list = json_object_new_array();

	for (; option && option->name; option++) {
		json *row = json_object_new_object();

		add_text(row, "name", option->name);
		add_text(row, "arg", option->arg);
		add_text(row, "help", option->help);
		json_object_array_add(list, row);
	}
	add(o, key, list);
}

void json_help(void)
{
	json *o = new_object("help"), *list = json_object_new_array();

	for (const struct ctl_command *cmd = ctl_commands; cmd->verb; cmd++) {
		json *row = json_object_new_object();

		add_text(row, "verb", cmd->verb);
		add_text(row, "args", cmd->args);
		add_text(row, "help", cmd->help);
		add_options(row, "options", cmd->options);
		json_object_array_add(list, row);
	}
	add(o, "commands", list);
	add_options(o, "options", ctl_global_options);
	print(o);
}

void json_version(void)
{
	json *o = new_object("version");

	add_text(o, "version", THESEUS_VERSION);
	add_u64(o, "protocol", CLIENT_PROTOCOL);
	print(o);
}
