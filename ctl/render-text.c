/* SPDX-License-Identifier: MIT */
#include "render.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "table.h"
#include "util.h"

#define COLOUR_RED "\033[31m"
#define COLOUR_YELLOW "\033[33m"
#define COLOUR_OFF "\033[0m"

static bool coloured(FILE *f)
{
	const char *no = getenv("NO_COLOR");

	return (!no || !*no) && isatty(fileno(f));
}

/* Prints @s, cleaned, in @colour (NULL = none) where the terminal has colours. */
static void put_text(const char *s, const char *colour)
{
	CLEANUP_FREE char *clean = clean_text(s, strlen(s), false);

	if (colour && !coloured(stdout))
		colour = NULL;
	printf("%s%s%s", colour ? colour : "", clean ? clean : "", colour ? COLOUR_OFF : "");
}

static void put_field(const char *key, const char *value, const char *colour)
{
	printf("%-12s ", key);
	put_text(value, colour);
	(void)putchar('\n');
}

static unsigned long long ull(uint64_t v)
{
	return (unsigned long long)v;
}

void text_error(const struct ctl *c)
{
	bool colour = coloured(stderr);

	(void)fprintf(stderr, "%stheseusctl:%s %s\n", colour ? COLOUR_RED : "",
		      colour ? COLOUR_OFF : "", c->error.message ? c->error.message : "failed");
	/* A single reason often is the message. */
	for (size_t i = 0; i < c->error.n_reasons; i++)
		if (!c->error.message || strcmp(c->error.message, c->error.reasons[i]) != 0)
			(void)fprintf(stderr, "  - %s\n", c->error.reasons[i]);
}

/* ---- VMs ---- */

static const char *health_of(const struct vm_view *v)
{
	return v->guest ? v->guest->health : "no answer";
}

static const char *health_colour(const struct vm_view *v)
{
	return strcmp(health_of(v), "ok") ? COLOUR_RED : NULL;
}

void text_vms(const struct ctl *c, const struct vm_view *vms, size_t n)
{
	static const char *const headers[] = {"NAME",    "STATE",   "ACCEL",       ">CPUS",
					      ">MEMORY", ">UPTIME", ">GENERATION", "HEALTH"};
	struct table t;
	char a[FORMAT_MAX], b[FORMAT_MAX];

	if (!n) {
		ctl_note(c, "no VM runs");
		return;
	}
	table_init(&t, headers, sizeof(headers) / sizeof(headers[0]));
	for (size_t i = 0; i < n; i++) {
		const struct vm_view *v = &vms[i];

		table_add(&t, "%s", v->name);
		table_add(&t, "%s", v->state);
		table_add(&t, "%s", v->accel);
		table_add(&t, v->cpus ? "%llu" : "-", ull(v->cpus));
		table_add(&t, "%s", v->cpus ? format_bytes(v->memory_bytes, a) : "-");
		table_add(&t, "%s", v->cpus ? format_ns(v->uptime_ns, b) : "-");
		if (v->guest)
			table_add(&t, "%llu", ull(v->guest->generation));
		else
			table_add(&t, "-");
		table_add(&t, "%s%s", health_of(v),
			  v->guest && v->guest->tainted ? ", tainted" : "");
	}
	table_print(&t);
}

static void put_marks(const char *title, Theseus__BootMark *const *marks, size_t n)
{
	uint64_t before = 0;

	if (!n)
		return;
	printf("%s\n", title);
	for (size_t i = 0; i < n; i++) {
		char at[FORMAT_MAX], step[FORMAT_MAX];
		uint64_t ns = marks[i]->at_ns;

		printf("  %12s  +%-12s ", format_ns(ns, at),
		       format_ns(ns > before ? ns - before : 0, step));
		put_text(marks[i]->name, NULL);
		(void)putchar('\n');
		before = ns;
	}
}

static void put_boot_marks(const Theseus__VmStatus *vm)
{
	put_marks("boot, theseus-vmm since exec:", vm->vmm_marks, vm->n_vmm_marks);
	put_marks("boot, guest since the gate's first instruction:", vm->guest_marks,
		  vm->n_guest_marks);
}

static void put_guest(const Theseus__StatusReply *g)
{
	char a[FORMAT_MAX], b[FORMAT_MAX];

	printf("%-12s %llu%s\n", "generation", ull(g->generation), g->tainted ? " (tainted)" : "");
	printf("%-12s %llu cells, %llu tasks, %llu faults\n", "loaded", ull(g->cells),
	       ull(g->tasks), ull(g->faults));
	printf("%-12s %s of %s used\n", "guest memory", format_bytes(g->memory_used, a),
	       format_bytes(g->memory_total, b));
	if (g->quarantined_bytes)
		printf("%-12s %s of replaced code, still in use\n", "quarantined",
		       format_bytes(g->quarantined_bytes, a));
}

void text_vm(const struct ctl *c, const struct vm_view *v, bool marks)
{
	char a[FORMAT_MAX], b[FORMAT_MAX];

	(void)c;
	put_field("name", v->name, NULL);
	put_field("state", v->state, NULL);
	put_field("health", health_of(v), health_colour(v));
	printf("%-12s ", "accel");
	put_text(v->accel, NULL);
	if (v->vm && *v->vm->accel_reason) {
		printf(" (");
		put_text(v->vm->accel_reason, NULL);
		printf(")");
	}
	(void)putchar('\n');
	printf("%-12s %s\n", "uptime", format_ns(v->uptime_ns, a));
	printf("%-12s %llu\n", "cpus", ull(v->cpus));
	printf("%-12s %s\n", "memory", format_bytes(v->memory_bytes, a));
	if (v->guest)
		put_guest(v->guest);
	if (v->vm) {
		printf("%-12s %llu, %s beyond guest RAM, %u client%s\n", "theseus-vmm", ull(v->pid),
		       format_bytes(v->vm->resident_bytes, a), v->vm->clients,
		       v->vm->clients == 1 ? "" : "s");
		if (v->vm->ready_ns)
			printf("%-12s %s after exec\n", "ready", format_ns(v->vm->ready_ns, b));
		put_field("log", v->vm->log_path, NULL);
		if (marks)
			put_boot_marks(v->vm);
	}
}

void text_run(const struct ctl *c, const struct run_view *run)
{
	char a[FORMAT_MAX];

	if (!c->quiet) {
		put_text(run->vm->name, NULL);
		printf(": ready in %s (", format_ns(run->vm->ready_ns, a));
		put_text(run->vm->accel, NULL);
		if (*run->vm->accel_reason) {
			printf(": ");
			put_text(run->vm->accel_reason, NULL);
		}
		printf(", %u CPU%s, %s)\n", run->vm->cpus, run->vm->cpus == 1 ? "" : "s",
		       format_bytes(run->vm->memory_bytes, a));
	}
	if (run->marks)
		put_boot_marks(run->vm);
	(void)fflush(stdout);
}

void text_ended(const struct ctl *c, const char *name, const Theseus__VmExit *exit)
{
	if (c->quiet)
		return;
	put_text(name, NULL);
	printf(": ended");
	if (exit && *exit->reason) {
		printf(": ");
		put_text(exit->reason, NULL);
	}
	(void)putchar('\n');
}

/* ---- cells ---- */

void text_tasks(const struct ctl *c, const Theseus__TaskRow *const *rows, size_t n)
{
	static const char *const headers[] = {"ID",    "TASK",      "STATE",  ">CPU", ">TIME",
					      ">PRIO", ">RESTARTS", ">STACK", "CELL"};
	char a[FORMAT_MAX], b[FORMAT_MAX];
	struct table t;

	(void)c;
	table_init(&t, headers, sizeof(headers) / sizeof(headers[0]));
	for (size_t i = 0; i < n; i++) {
		table_add(&t, "%#llx", ull(rows[i]->id));
		table_add(&t, "%s", rows[i]->name);
		table_add(&t, "%s", rows[i]->state);
		table_add(&t, "%u", rows[i]->cpu);
		table_add(&t, "%s", format_ns(rows[i]->cpu_time_ns, a));
		table_add(&t, "%d", rows[i]->priority);
		table_add(&t, "%u", rows[i]->restarts);
		table_add(&t, "%s",
			  rows[i]->stack_used ? format_bytes(rows[i]->stack_used, b) : "-");
		table_add(&t, "%s", *rows[i]->cell ? rows[i]->cell : "-");
	}
	table_print(&t);
}

static void put_frame(const Theseus__StackFrame *frame)
{
	printf("  %#llx ", ull(frame->pc));
	put_text(*frame->cell ? frame->cell : "?", NULL);
	(void)putchar(':');
	put_text(*frame->function ? frame->function : "?", NULL);
	printf("+%#llx\n", ull(frame->offset));
}

void text_task(const struct ctl *c, const Theseus__TaskRow *task)
{
	char a[FORMAT_MAX], b[FORMAT_MAX];

	(void)c;
	printf("%-12s %#llx\n", "id", ull(task->id));
	put_field("name", task->name, NULL);
	put_field("state", task->state, NULL);
	put_field("cell", *task->cell ? task->cell : "-", NULL);
	printf("%-12s %u, may run on %#llx\n", "cpu", task->cpu, ull(task->affinity));
	printf("%-12s %s in %llu turns\n", "time", format_ns(task->cpu_time_ns, a),
	       ull(task->switches));
	printf("%-12s %d\n", "priority", task->priority);
	printf("%-12s %u\n", "restarts", task->restarts);
	printf("%-12s %s, %s used\n", "stack", format_bytes(task->stack_bytes, a),
	       task->stack_used ? format_bytes(task->stack_used, b) : "unknown");
	for (size_t i = 0; i < task->n_stack; i++)
		put_frame(task->stack[i]);
}

static void add_cell(struct table *t, const Theseus__CellRow *cell, const char *health)
{
	CLEANUP_FREE char *hash = hex(cell->hash.data, cell->hash.len > 6 ? 6 : cell->hash.len);

	table_add(t, "%s", cell->name);
	table_add(t, "%s", cell->version);
	table_add(t, "%llu", ull(cell->generation));
	table_add(t, "%s", hash ? hash : "");
	table_add(t, "%#llx", ull(cell->text_addr));
	table_add(t, "%llu", ull(cell->text_bytes));
	table_add(t, "%llu", ull(cell->data_bytes));
	table_add(t, "%llu", ull(cell->heap_bytes));
	table_add(t, "%u", cell->refs);
	table_add(t, "%s", cell->safety);
	table_add(t, "%s", health);
}

void text_cells(const struct ctl *c, const Theseus__CellsReply *reply)
{
	static const char *const headers[] = {"CELL",  "VERSION", ">GEN",  "HASH",
					      "TEXT",  ">BYTES",  ">DATA", ">HEAP",
					      ">REFS", "SAFETY",  "HEALTH"};
	struct table t;

	(void)c;
	table_init(&t, headers, sizeof(headers) / sizeof(headers[0]));
	for (size_t i = 0; i < reply->n_cells; i++)
		add_cell(&t, reply->cells[i], reply->cells[i]->health);
	for (size_t i = 0; i < reply->n_quarantined; i++)
		add_cell(&t, reply->quarantined[i], "replaced, in use");
	table_print(&t);
}

static void put_symbols(const char *title, Theseus__Symbol *const *symbols, size_t n, bool exports)
{
	if (!n)
		return;
	printf("%s\n", title);
	for (size_t i = 0; i < n; i++) {
		const Theseus__Symbol *s = symbols[i];

		printf("  %016llx  ", ull(s->abi));
		if (exports)
			printf("%#14llx  ", ull(s->addr));
		put_text(s->name, NULL);
		if (*s->signature) {
			printf(": ");
			put_text(s->signature, NULL);
		}
		if (!exports) {
			printf("  from ");
			put_text(s->cell, NULL);
		}
		(void)putchar('\n');
	}
}

void text_cell(const struct ctl *c, const Theseus__CellRow *cell)
{
	CLEANUP_FREE char *hash = hex(cell->hash.data, cell->hash.len);
	CLEANUP_FREE char *build_id = hex(cell->build_id.data, cell->build_id.len);
	char a[FORMAT_MAX], b[FORMAT_MAX];

	(void)c;
	put_field("name", cell->name, NULL);
	put_field("version", cell->version, NULL);
	put_field("summary", cell->summary, NULL);
	put_field("health", cell->health, strcmp(cell->health, "ok") ? COLOUR_RED : NULL);
	put_field("safety", cell->safety, NULL);
	printf("%-12s %llu\n", "generation", ull(cell->generation));
	put_field("hash", hash ? hash : "", NULL);
	put_field("build id", build_id ? build_id : "", NULL);
	printf("%-12s %#llx, %s\n", "text", ull(cell->text_addr),
	       format_bytes(cell->text_bytes, a));
	printf("%-12s %#llx\n", "rodata", ull(cell->rodata_addr));
	if (cell->state_bytes)
		printf("%-12s %#llx, %s, schema %016llx\n", "state", ull(cell->state_addr),
		       format_bytes(cell->state_bytes, a), ull(cell->state_schema));
	printf("%-12s %s data, %s heap\n", "memory", format_bytes(cell->data_bytes, a),
	       format_bytes(cell->heap_bytes, b));
	printf("%-12s %u cells depend on it\n", "refs", cell->refs);
	put_symbols("exports:", cell->exports, cell->n_exports, true);
	put_symbols("imports:", cell->imports, cell->n_imports, false);
}

void text_deps(const struct ctl *c, const Theseus__CellDepsReply *reply)
{
	static const char *const headers[] = {"CELL", "VIA", ">SITES", "SYMBOLS"};
	struct table t;

	if (!reply->n_deps) {
		ctl_note(c, reply->reverse ? "no cell depends on it" : "it depends on no cell");
		return;
	}
	table_init(&t, headers, sizeof(headers) / sizeof(headers[0]));
	for (size_t i = 0; i < reply->n_deps; i++) {
		const Theseus__Dep *dep = reply->deps[i];
		CLEANUP_FREE char *list = NULL;
		size_t size = 0;
		FILE *f = open_memstream(&list, &size);

		for (size_t k = 0; f && k < dep->n_symbols; k++)
			(void)fprintf(f, "%s%s", k ? " " : "", dep->symbols[k]);
		if (f)
			(void)fclose(f);
		table_add(&t, "%s", dep->cell);
		table_add(&t, "%s", dep->via);
		table_add(&t, "%u", dep->sites);
		table_add(&t, "%s", list ? list : "");
	}
	table_print(&t);
}

/* ---- bundles ---- */

static void put_changes(Theseus__CellChange *const *cells, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const Theseus__CellChange *ch = cells[i];

		printf("  ");
		put_text(ch->name, NULL);
		printf(" ");
		if (!*ch->old_version) {
			printf("(new) ");
			put_text(ch->new_version, NULL);
		} else if (!*ch->new_version) {
			put_text(ch->old_version, NULL);
			printf(" leaves");
		} else {
			put_text(ch->old_version, NULL);
			printf(" -> ");
			put_text(ch->new_version, NULL);
		}
		(void)putchar('\n');
	}
}

void text_stage(const struct ctl *c, const Theseus__StageReply *reply)
{
	char a[FORMAT_MAX];

	printf("stage %llu, linked in %s, not live yet\n", ull(reply->stage),
	       format_ns(reply->stage_ns, a));
	put_changes(reply->cells, reply->n_cells);
	ctl_note(c, "\"theseusctl swap-cell --stage %llu\" makes it live", ull(reply->stage));
}

void text_swap(const struct ctl *c, const struct swap_view *swap)
{
	const Theseus__SwapReply *r = swap->reply;
	char a[FORMAT_MAX], b[FORMAT_MAX], d[FORMAT_MAX], e[FORMAT_MAX];

	if (swap->dry_run)
		printf("every check passed; generation %llu stays\n", ull(r->generation));
	else {
		printf("generation %llu, ", ull(r->generation));
		put_text(r->result, NULL);
		(void)putchar('\n');
	}
	put_changes(r->cells, r->n_cells);
	if (c->quiet)
		return;
	printf("  stage %s, quiesce %s, pause %s", format_ns(r->stage_ns, a),
	       format_ns(r->quiesce_ns, b), format_ns(r->pause_ns, d));
	if (r->objects_migrated)
		printf(", migrate %s (%llu objects)", format_ns(r->migrate_ns, e),
		       ull(r->objects_migrated));
	if (r->quarantined_bytes)
		printf(", %s still in use\n", format_bytes(r->quarantined_bytes, e));
	else
		printf(", freed %s\n", format_bytes(r->bytes_freed, e));
	printf("  guest total %s, push to done %s\n", format_ns(r->total_ns, a),
	       format_ns(swap->push_ns, b));
}

void text_exec(const struct ctl *c, const Theseus__ExecReply *reply)
{
	(void)c;
	/* A terminal gets nothing that could drive it; a pipe gets what the guest wrote. */
	if (isatty(STDOUT_FILENO)) {
		CLEANUP_FREE char *clean = clean_text(reply->output.data, reply->output.len, true);

		printf("%s", clean ? clean : "");
	} else if (reply->output.len) { /* protobuf has NULL for no bytes */
		(void)fwrite(reply->output.data, 1, reply->output.len, stdout);
	}
	if (reply->truncated)
		(void)fprintf(stderr, "theseusctl: the output is cut\n");
}

/* ---- log, symbols, metrics ---- */

const char *level_name(uint32_t level)
{
	static const char *const names[] = {"error", "warning", "notice", "info", "debug"};

	return level < sizeof(names) / sizeof(names[0]) ? names[level] : "unknown";
}

static void put_record(const Theseus__LogRecord *record)
{
	static const char *const colours[] = {COLOUR_RED, COLOUR_YELLOW};

	printf("[%6llu.%06llu] %-7s ", ull(record->time_ns / NS_PER_SEC),
	       ull(record->time_ns % NS_PER_SEC / 1000), level_name(record->level));
	put_text(record->cell, NULL);
	printf("[%llu]: ", ull(record->task));
	put_text(record->text, record->level < 2 ? colours[record->level] : NULL);
	(void)putchar('\n');
}

void text_log(const struct ctl *c, const Theseus__LogRecord *const *records, size_t n,
	      uint64_t lost)
{
	(void)c;
	if (lost)
		(void)fprintf(stderr, "theseusctl: %llu log records are lost here\n", ull(lost));
	for (size_t i = 0; i < n; i++)
		put_record(records[i]);
	(void)fflush(stdout);
}

void text_symbols(const struct ctl *c, const struct symbols_view *symbols, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct symbols_view *v = &symbols[i];
		CLEANUP_FREE char *name = clean_text(v->cell->name, strlen(v->cell->name), false);

		if (!v->file) {
			ctl_note(c, "no debug file for %s ($THESEUS_DEBUG_DIR says where they are)",
				 name ? name : "a cell");
			continue;
		}
		printf("add-symbol-file \"%s\"", v->file);
		for (size_t k = 0; k < v->n_sections; k++)
			printf(" -s %s %#llx", v->sections[k].name, ull(v->sections[k].addr));
		(void)putchar('\n');
	}
}

/* Prometheus takes [a-zA-Z0-9_:] in a name. */
static void put_metric_name(const char *s)
{
	for (; *s; s++) {
		char ch = *s;
		bool ok = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
			  (ch >= '0' && ch <= '9') || ch == '_';

		(void)putchar(ok ? ch : '_');
	}
}

void text_metrics(const struct ctl *c, const char *name, const Theseus__VmMetrics *metrics)
{
	(void)c;
	for (size_t i = 0; i < metrics->n_counters; i++) {
		printf("theseus_vmm_");
		put_metric_name(metrics->counters[i]->name);
		printf("{vm=\"");
		for (const char *s = name; *s; s++)
			printf(*s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
		printf("\"} %llu\n", ull(metrics->counters[i]->value));
	}
}

void text_demo(const struct ctl *c, const struct demo_view *demo)
{
	static const char *const headers[] = {"SWAP", "RESULT", ">PAUSE", ">STAGE", ">GUEST TOTAL"};
	struct table t;
	char a[FORMAT_MAX];

	(void)c;
	table_init(&t, headers, sizeof(headers) / sizeof(headers[0]));
	for (size_t i = 0; i < demo->n_swaps; i++) {
		const Theseus__SwapReply *r = demo->swaps[i];
		const Theseus__CellChange *ch = r->n_cells ? r->cells[0] : NULL;

		table_add(&t, "%s %s -> %s", ch ? ch->name : "", ch ? ch->old_version : "",
			  ch ? ch->new_version : "");
		table_add(&t, "%s", r->result);
		table_add(&t, "%s", format_ns(r->pause_ns, a));
		table_add(&t, "%s", format_ns(r->stage_ns, a));
		table_add(&t, "%s", format_ns(r->total_ns, a));
	}
	table_print(&t);
	(void)putchar('\n');
	for (size_t i = 0; i < demo->n_rows; i++) {
		printf("calls to ");
		put_text(demo->rows[i].version, NULL);
		printf("  %12llu\n", ull(demo->rows[i].calls));
	}
	printf("calls in all    %12llu\n", ull(demo->calls));
	printf("wrong answers   %12llu\n", ull(demo->wrong));
	printf("lost calls      %12llu\n", ull(demo->lost));
	printf("%s (%s)\n", demo->ok ? "all right" : "NOT right", demo->accel);
}
