/* SPDX-License-Identifier: MIT */
/*
 * What the commands print: render-text.c for people, render-json.c for programs, one function
 * of each for every kind of answer. Strings from a guest are cleaned here. Everything is borrowed.
 * The JSON objects are part of the operator's contract: fields are added, never changed.
 */
#ifndef THESEUS_CTL_RENDER_H
#define THESEUS_CTL_RENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control.pb-c.h"
#include "ctl.h"

/* A VM as `ls` and `status` show it. */
struct vm_view {
	const char *name;
	const char *state, *accel;
	uint64_t pid; /* 0 = not known */
	uint64_t uptime_ns, memory_bytes, cpus; /* 0 CPUs = not known, nor the others */
	const Theseus__VmStatus *vm;       /* NULL: not a VM of theseus-vmm */
	const Theseus__StatusReply *guest; /* NULL: the guest does not answer */
};

/* A VM that `run` has started. */
struct run_view {
	const char *socket;
	const Theseus__VmStatus *vm;
	bool marks; /* text: show where the time went */
};

/* What a swap was asked to do and what came of it. */
struct swap_view {
	bool dry_run;
	uint64_t upload_ns; /* 0 = was staged before */
	uint64_t push_ns;   /* upload, stage and swap, as seen from here */
	const Theseus__SwapReply *reply;
};

/* A loaded cell and its debug file on this host: see `symbols`. */
#define SYMBOLS_SECTIONS_MAX 8
struct symbols_view {
	const Theseus__CellRow *cell;
	char *file; /* NULL = not found */
	struct {
		char name[32];
		uint64_t addr; /* where it lies in the guest */
	} sections[SYMBOLS_SECTIONS_MAX];
	size_t n_sections;
};

struct demo_row {
	const char *version;
	uint64_t calls;
};

struct demo_view {
	const struct demo_row *rows;
	size_t n_rows;
	uint64_t calls, wrong, lost;
	const Theseus__SwapReply *const *swaps;
	size_t n_swaps;
	const char *accel;
	bool ok;
};

void text_error(const struct ctl *c);
void json_error(const struct ctl *c);

void text_vms(const struct ctl *c, const struct vm_view *vms, size_t n);
void json_vms(const struct ctl *c, const struct vm_view *vms, size_t n);
void text_vm(const struct ctl *c, const struct vm_view *vm, bool marks);
void json_vm(const struct ctl *c, const struct vm_view *vm, bool marks);

void text_run(const struct ctl *c, const struct run_view *run);
void json_run(const struct ctl *c, const struct run_view *run);

/* @exit: how the VM ended; NULL when that is not known (a libvirt domain). */
void text_ended(const struct ctl *c, const char *name, const Theseus__VmExit *exit);
void json_ended(const struct ctl *c, const char *name, const Theseus__VmExit *exit);

void text_tasks(const struct ctl *c, const Theseus__TaskRow *const *rows, size_t n);
void json_tasks(const struct ctl *c, const Theseus__TaskRow *const *rows, size_t n);
void text_task(const struct ctl *c, const Theseus__TaskRow *task);
void json_task(const struct ctl *c, const Theseus__TaskRow *task);

void text_cells(const struct ctl *c, const Theseus__CellsReply *reply);
void json_cells(const struct ctl *c, const Theseus__CellsReply *reply);
void text_cell(const struct ctl *c, const Theseus__CellRow *cell);
void json_cell(const struct ctl *c, const Theseus__CellRow *cell);
void text_deps(const struct ctl *c, const Theseus__CellDepsReply *reply);
void json_deps(const struct ctl *c, const Theseus__CellDepsReply *reply);

void text_stage(const struct ctl *c, const Theseus__StageReply *reply);
void json_stage(const struct ctl *c, const Theseus__StageReply *reply);
void text_swap(const struct ctl *c, const struct swap_view *swap);
void json_swap(const struct ctl *c, const struct swap_view *swap);

void text_exec(const struct ctl *c, const Theseus__ExecReply *reply);
void json_exec(const struct ctl *c, const Theseus__ExecReply *reply);

/* Records of the log in order; @lost are missing before the first. */
void text_log(const struct ctl *c, const Theseus__LogRecord *const *records, size_t n,
	      uint64_t lost);
void json_log(const struct ctl *c, const Theseus__LogRecord *const *records, size_t n,
	      uint64_t lost);

void text_symbols(const struct ctl *c, const struct symbols_view *symbols, size_t n);
void json_symbols(const struct ctl *c, const struct symbols_view *symbols, size_t n);
void text_metrics(const struct ctl *c, const char *name, const Theseus__VmMetrics *metrics);
void json_metrics(const struct ctl *c, const char *name, const Theseus__VmMetrics *metrics);
void text_demo(const struct ctl *c, const struct demo_view *demo);
void json_demo(const struct ctl *c, const struct demo_view *demo);
void json_help(void);
void json_version(void);

/* Name of a log level. */
const char *level_name(uint32_t level);

#endif
