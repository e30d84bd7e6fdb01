/* SPDX-License-Identifier: MIT */
/* Requests that only look: who is there, how it is, what is loaded. */
#include "agent.h"

#include <stdio.h>
#include <string.h>

#include <theseus/frames.h>
#include <theseus/heap.h>
#include <theseus/loader.h>
#include <theseus/service.h>
#include <theseus/swap.h>
#include <theseus/upcall.h>

#define CELLS_MAX 128u   /* of one answer */
#define SYMBOLS_MAX 128u /* listed of one cell, each way */
#define MARKS_MAX 128u
#define DEPS_MAX 64u   /* of one answer */
#define STILL_TRIES 8u /* to list while no swap comes between */

/* ---- hello ---- */

struct mark_rows {
	Theseus__BootMark *list[MARKS_MAX];
	Theseus__BootMark rows[MARKS_MAX];
	char names[MARKS_MAX][LOADER_MARK_NAME];
};

/* Where boot time went; without memory for it the answer goes without. */
static size_t list_marks(struct mark_rows *m)
{
	uint64_t tsc;
	size_t n = 0;

	while (n < MARKS_MAX && loader_boot_mark_at((uint32_t)n, m->names[n], &tsc) == 0) {
		theseus__boot_mark__init(&m->rows[n]);
		m->rows[n].name = m->names[n];
		m->rows[n].at_ns = clock_ns_of_tsc(tsc);
		m->list[n] = &m->rows[n];
		n++;
	}
	return n;
}

void agent_hello(const struct agent_call *call, const Theseus__Hello *m)
{
	static const char *const features[] = {"exec", "log-follow", "stage", "swap"};
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	char *list[ARRAY_SIZE(features)];
	OWNED(heap_drop) struct mark_rows *marks = NULL;
	Theseus__HelloReply reply;

	theseus__hello_reply__init(&reply);
	if (m->protocol_min > AGENT_PROTOCOL || m->protocol_max < AGENT_PROTOCOL) {
		agent_fail(call, THESEUS__STATUS__STATUS_UNSUPPORTED, "protocol-mismatch",
			   "the guest speaks protocol %u, you %u to %u", AGENT_PROTOCOL,
			   m->protocol_min, m->protocol_max);
		return;
	}
	marks = heap_alloc(CELL_SELF, sizeof(*marks));
	for (unsigned i = 0; i < ARRAY_SIZE(features); i++)
		list[i] = agent_text(features[i]);
	reply.protocol = AGENT_PROTOCOL;
	reply.build_id = agent_text(agent->record->build_id);
	reply.features = list;
	reply.n_features = ARRAY_SIZE(list);
	reply.max_upload = AGENT_UPLOAD_MAX;
	if (marks) {
		reply.boot_marks = marks->list;
		reply.n_boot_marks = list_marks(marks);
	}
	r.body_case = THESEUS__RESPONSE__BODY_HELLO;
	r.hello = &reply;
	agent_answer(call, &r);
	agent->greeted = true;
}

/* ---- status ---- */

/* "ok", or what is wrong. */
static const char *health(char *text, size_t size)
{
	unsigned failed = service_failed();
	uint64_t faults = upcall_fault_count();

	if (failed == 0)
		return "ok";
	(void)snprintf(text, size, "%u failed service%s, %llu fault%s", failed,
		       failed == 1 ? "" : "s", (unsigned long long)faults, faults == 1 ? "" : "s");
	return text;
}

/* Code that was replaced while tasks were in it. Asking has it looked at for the next time. */
static uint64_t quarantined_bytes(void)
{
	struct loader_cell c;
	uint64_t bytes = 0;

	swap_reclaim();
	for (uint32_t n = 0; loader_quarantined_at(n, &c) == 0; n++)
		bytes += c.text_bytes + c.rodata_bytes;
	return bytes;
}

void agent_status(const struct agent_call *call)
{
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__StatusReply reply;
	struct frames_stats frames;
	char text[64];

	theseus__status_reply__init(&reply);
	task_trim();
	heap_trim(); /* memory in use, not memory kept for speed */
	frames_stats(&frames);
	reply.generation = loader_generation();
	reply.health = agent_text(health(text, sizeof(text)));
	reply.uptime_ns = clock_now_ns();
	reply.memory_total = frames.total * PAGE_SIZE;
	reply.memory_used = frames.used * PAGE_SIZE;
	reply.cpus = cpu_online();
	reply.cells = loader_cell_count();
	reply.tasks = task_count();
	reply.faults = upcall_fault_count();
	reply.quarantined_bytes = quarantined_bytes();
	r.body_case = THESEUS__RESPONSE__BODY_GUEST;
	r.guest = &reply;
	agent_answer(call, &r);
}

/* ---- cells ---- */

struct cell_rows {
	Theseus__CellRow *list[CELLS_MAX];
	Theseus__CellRow rows[CELLS_MAX];
	struct loader_cell cells[CELLS_MAX];
	size_t n;        /* in use: those of the generation, then those in quarantine */
	size_t n_linked; /* those of the generation */
	uint32_t next;   /* 0: no more follow */
	uint64_t generation;
};

struct symbol_rows {
	Theseus__Symbol *list[2][SYMBOLS_MAX]; /* exports, imports */
	Theseus__Symbol rows[2][SYMBOLS_MAX];
	struct loader_symbol symbols[2][SYMBOLS_MAX];
};

static bool is_set(const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (bytes[i])
			return true;
	}
	return false;
}

static const char *cell_health(const char *name)
{
	struct service_info s;

	for (uint32_t i = 0; service_at(i, &s) == 0; i++) {
		if (strcmp(s.name, name) != 0)
			continue;
		if (s.state == SERVICE_FAILED)
			return "failed";
		if (s.health < 0)
			return "unhealthy";
		if (s.overdue)
			return "overdue";
	}
	return "ok";
}

/* @c has to live as long as @row. */
static void fill_row(Theseus__CellRow *row, struct loader_cell *c)
{
	struct heap_stats heap;

	heap_stats(c->ref, &heap);
	theseus__cell_row__init(row);
	row->name = c->name;
	row->version = c->version;
	row->summary = c->summary;
	row->hash = (ProtobufCBinaryData){sizeof(c->hash), c->hash};
	row->generation = c->generation;
	row->state_schema = c->state_schema;
	row->text_addr = c->text;
	row->text_bytes = c->text_bytes;
	row->rodata_addr = c->rodata;
	row->data_bytes = c->rodata_bytes + c->state_bytes;
	row->state_addr = c->state;
	row->state_bytes = c->state_bytes;
	row->heap_bytes = heap.bytes;
	row->refs = c->refs;
	row->safety = agent_text(c->safety == CELL_SAFE ? "safe" : "unsafe");
	row->health = agent_text(cell_health(c->name));
	if (is_set(c->build_id, sizeof(c->build_id)))
		row->build_id = (ProtobufCBinaryData){sizeof(c->build_id), c->build_id};
}

static void fail_no_memory(const struct agent_call *call)
{
	agent_fail(call, THESEUS__STATUS__STATUS_NO_MEMORY, "no-memory",
		   "the guest has no memory for the answer");
}

static void fail_no_cell(const struct agent_call *call, const char *name)
{
	agent_fail(call, THESEUS__STATUS__STATUS_NOT_FOUND, "no-such-cell",
		   "no cell is called \"%.*s\"", (int)CELL_NAME_MAX, name);
}

static void answer_cells(const struct agent_call *call, struct cell_rows *all)
{
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__CellsReply reply = THESEUS__CELLS_REPLY__INIT;

	reply.cells = all->list;
	reply.n_cells = all->n_linked;
	reply.quarantined = all->list + all->n_linked;
	reply.n_quarantined = all->n - all->n_linked;
	reply.generation = all->generation;
	reply.next = all->next;
	r.body_case = THESEUS__RESPONSE__BODY_CELLS;
	r.cells = &reply;
	agent_answer(call, &r);
}

/* As many as fit, from the @from-th on of all that are linked and, behind them, in quarantine. */
static void list_cells(struct cell_rows *all, uint32_t from)
{
	uint32_t linked = loader_cell_count();

	all->n = 0;
	all->n_linked = 0;
	all->next = 0;
	for (uint32_t i = from;; i++) {
		struct loader_cell *c = &all->cells[all->n];

		if (all->n == CELLS_MAX) {
			all->next = i;
			return;
		}
		if ((i < linked ? loader_cell_at(i, c) : loader_quarantined_at(i - linked, c)) < 0)
			return;
		fill_row(&all->rows[all->n], c);
		all->list[all->n] = &all->rows[all->n];
		all->n_linked += i < linked;
		all->n++;
	}
}

static void some_cells(const struct agent_call *call, uint32_t from)
{
	OWNED(heap_drop) struct cell_rows *all = heap_alloc(CELL_SELF, sizeof(*all));

	if (!all) {
		fail_no_memory(call);
		return;
	}
	if (from == 0)
		swap_reclaim();
	for (unsigned i = 0; i < STILL_TRIES; i++) {
		all->generation = loader_generation();
		list_cells(all, from);
		if (all->generation == loader_generation())
			break;
	}
	answer_cells(call, all);
}

static size_t list_symbols(struct symbol_rows *s, const char *cell, bool imports)
{
	size_t n = 0;

	while (n < SYMBOLS_MAX &&
	       loader_symbol_at(cell, imports, (uint32_t)n, &s->symbols[imports][n]) == 0) {
		struct loader_symbol *from = &s->symbols[imports][n];
		Theseus__Symbol *to = &s->rows[imports][n];

		theseus__symbol__init(to);
		to->name = from->name;
		to->cell = from->cell;
		to->abi = from->abi;
		to->addr = from->addr;
		to->signature = from->signature;
		s->list[imports][n++] = to;
	}
	return n;
}

static void one_cell(const struct agent_call *call, const char *name)
{
	OWNED(heap_drop) struct symbol_rows *s = heap_alloc(CELL_SELF, sizeof(*s));
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__CellsReply reply = THESEUS__CELLS_REPLY__INIT;
	Theseus__CellRow row, *list = &row;
	struct loader_cell c;

	if (loader_cell_find(name, &c) < 0) {
		fail_no_cell(call, name);
		return;
	}
	if (!s) {
		fail_no_memory(call);
		return;
	}
	fill_row(&row, &c);
	row.exports = s->list[0];
	row.n_exports = list_symbols(s, name, false);
	row.imports = s->list[1];
	row.n_imports = list_symbols(s, name, true);
	reply.cells = &list;
	reply.n_cells = 1;
	reply.generation = loader_generation();
	r.body_case = THESEUS__RESPONSE__BODY_CELLS;
	r.cells = &reply;
	agent_answer(call, &r);
}

void agent_cells(const struct agent_call *call, const Theseus__CellsGet *m)
{
	if (m->name[0])
		one_cell(call, m->name);
	else
		some_cells(call, m->from);
}

/* ---- dependencies ---- */

struct dep_rows {
	Theseus__Dep *list[DEPS_MAX];
	Theseus__Dep rows[DEPS_MAX];
	struct loader_dep deps[DEPS_MAX];
	char *symbols[DEPS_MAX][ARRAY_SIZE(((struct loader_dep *)NULL)->symbols)];
};

static size_t list_deps(struct dep_rows *d, const char *name, bool reverse, uint32_t first)
{
	size_t n = 0;

	for (; n < DEPS_MAX && loader_dep_at(name, reverse, first + (uint32_t)n, &d->deps[n]) == 0;
	     n++) {
		struct loader_dep *from = &d->deps[n];
		Theseus__Dep *to = &d->rows[n];

		theseus__dep__init(to);
		to->cell = from->cell;
		to->via = from->via;
		to->sites = from->sites;
		to->symbols = d->symbols[n];
		while (to->n_symbols < from->n_symbols &&
		       to->n_symbols < ARRAY_SIZE(from->symbols)) {
			d->symbols[n][to->n_symbols] = from->symbols[to->n_symbols];
			to->n_symbols++;
		}
		d->list[n] = to;
	}
	return n;
}

void agent_cell_deps(const struct agent_call *call, const Theseus__CellDeps *m)
{
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__CellDepsReply reply;
	OWNED(heap_drop) struct dep_rows *d = NULL;
	struct loader_cell c;

	if (loader_cell_find(m->name, &c) < 0) {
		fail_no_cell(call, m->name);
		return;
	}
	d = heap_alloc(CELL_SELF, sizeof(*d));
	if (!d) {
		fail_no_memory(call);
		return;
	}
	theseus__cell_deps_reply__init(&reply);
	reply.name = c.name;
	reply.reverse = m->reverse;
	for (unsigned i = 0; i < STILL_TRIES; i++) {
		reply.generation = loader_generation();
		reply.n_deps = list_deps(d, c.name, m->reverse, m->from);
		if (reply.generation == loader_generation())
			break;
	}
	reply.deps = d->list;
	reply.next = reply.n_deps == DEPS_MAX ? m->from + DEPS_MAX : 0;
	r.body_case = THESEUS__RESPONSE__BODY_CELL_DEPS;
	r.cell_deps = &reply;
	agent_answer(call, &r);
}
