/* SPDX-License-Identifier: MIT */
#include "agent-fake.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <theseus/frames.h>
#include <theseus/gate-call.h>
#include <theseus/heap.h>
#include <theseus/loader.h>
#include <theseus/log.h>
#include <theseus/service.h>
#include <theseus/swap.h>
#include <theseus/upcall.h>

#define CHECK(x)                                                                  \
	do {                                                                      \
		if (!(x)) {                                                       \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);   \
			abort();                                                  \
		}                                                                 \
	} while (0)

#define STREAM_MAX (8u << 20)
#define LOG_MAX 32768u
#define REGIONS_MAX 64u

struct fake fake;

/* What lies between agent and test; never cleared, a fuzzer makes it new thousands of times. */
static uint8_t stream_in[STREAM_MAX], stream_out[STREAM_MAX];

static struct {
	size_t in_len, in_at, out_len, out_at;
	uint32_t opens;
	jmp_buf powered;
	struct swap_result swap;
	uint64_t last_id;
	bool dry_run;
	struct frame_decoder *decoder;
	unsigned n_log;
	const char *log[LOG_MAX];
	struct {
		void *bytes;
		size_t size;
		uint32_t generation;
	} regions[REGIONS_MAX];
} f;

const struct iface_slot __slot_cell_self;
const struct iface_slot __slot_service_ops__agent, __slot_service_ops__agent_exec;
const struct iface_slot __slot_service_ops__agent_change, __slot_swap_watch_ops__agent;
const struct iface_slot __slot_console_client_ops__agent, __slot_log_watch_ops__agent;

extern const struct cell_ops __provide_cell_ops__agent;
extern const struct service_ops __provide_service_ops__agent, __provide_service_ops__agent_exec;
extern const struct service_ops __provide_service_ops__agent_change;

/* ---- the link ---- */

int console_attach(const char *name, struct console_client_ops_h client, unsigned pages,
		   unsigned *ret_link)
{
	(void)client;
	(void)pages;
	CHECK(strcmp(name, "org.theseus.control.0") == 0);
	*ret_link = 0;
	return 0;
}

int console_receive(unsigned link, void *buf, size_t len, uint32_t *ret_opens)
{
	size_t n = f.in_len - f.in_at < len ? f.in_len - f.in_at : len;

	CHECK(link == 0);
	if (n == 0)
		return 0;
	memcpy(buf, stream_in + f.in_at, n);
	f.in_at += n;
	if (f.in_at == f.in_len)
		f.in_at = f.in_len = 0;
	*ret_opens = f.opens;
	return (int)n;
}

int console_send(unsigned link, const void *data, size_t len)
{
	CHECK(link == 0 && len > 0);
	if (fake.closed_window)
		return 0;
	CHECK(len <= STREAM_MAX - f.out_len);
	memcpy(stream_out + f.out_len, data, len);
	f.out_len += len;
	return (int)len;
}

int console_drained(unsigned link)
{
	CHECK(link == 0);
	return !fake.undrained;
}

void fake_send_bytes(const void *bytes, size_t len)
{
	CHECK(len <= STREAM_MAX - f.in_len);
	if (len == 0)
		return;
	memcpy(stream_in + f.in_len, bytes, len);
	f.in_len += len;
}

void fake_send(enum frame_type type, uint32_t session, uint64_t request_id, const void *payload,
	       size_t len)
{
	const struct frame_header h = {type, (uint32_t)len, session, request_id};
	uint8_t head[FRAME_HEADER_SIZE];

	CHECK(frame_encode_header(&h, payload, head) == 0);
	fake_send_bytes(head, sizeof(head));
	fake_send_bytes(payload, len);
}

void fake_post(uint32_t session, const Theseus__Request *req)
{
	size_t len = theseus__request__get_packed_size(req);
	uint8_t *payload = malloc(len + 1);

	CHECK(payload);
	theseus__request__pack(req, payload);
	fake_send(FRAME_REQUEST, session, 7, payload, len);
	free(payload);
}

void fake_reopen(void)
{
	f.opens++;
	f.out_at = f.out_len = 0;
	frame_decoder_init(f.decoder);
}

/* Frames of other kinds and sessions are dropped. */
static const struct frame *take(enum frame_type type, uint32_t session)
{
	static struct frame frame;
	size_t taken;

	while (frame_decode(f.decoder, stream_out + f.out_at, f.out_len - f.out_at, &taken, &frame)) {
		f.out_at += taken;
		if (frame.header.type == type && frame.header.session == session)
			return &frame;
	}
	f.out_at = f.out_len = 0;
	CHECK(f.decoder->skipped == 0);
	return NULL;
}

Theseus__Response *fake_take(uint32_t session)
{
	const struct frame *frame = take(FRAME_RESPONSE, session);
	Theseus__Response *r;

	if (!frame)
		return NULL;
	r = theseus__response__unpack(NULL, frame->header.length, frame->payload);
	CHECK(r && (r->status != THESEUS__STATUS__STATUS_OK) == (r->error != NULL));
	return r;
}

Theseus__Event *fake_take_event(uint32_t session)
{
	const struct frame *frame = take(FRAME_EVENT, session);

	return frame ? theseus__event__unpack(NULL, frame->header.length, frame->payload) : NULL;
}

void fake_drain(void)
{
	struct frame frame;
	size_t taken;

	while (frame_decode(f.decoder, stream_out + f.out_at, f.out_len - f.out_at, &taken, &frame)) {
		f.out_at += taken;
		if (frame.header.type == FRAME_RESPONSE) {
			Theseus__Response *r =
				theseus__response__unpack(NULL, frame.header.length, frame.payload);

			CHECK(r && (r->status != THESEUS__STATUS__STATUS_OK) == (r->error != NULL));
			theseus__response__free_unpacked(r, NULL);
		} else {
			Theseus__Event *e =
				theseus__event__unpack(NULL, frame.header.length, frame.payload);

			CHECK(frame.header.type == FRAME_EVENT && e);
			theseus__event__free_unpacked(e, NULL);
		}
	}
	f.out_at = f.out_len = 0;
	CHECK(f.decoder->skipped == 0);
}

Theseus__Response *fake_call(uint32_t session, const Theseus__Request *req)
{
	fake_post(session, req);
	fake_run();
	return fake_take(session);
}

static void advance_swap(void)
{
	if (!f.swap.running || fake.hold_swap)
		return;
	f.swap.running = false;
	if (f.dry_run)
		return;
	f.swap.state = fake.outcome;
	f.swap.error = fake.swap_error;
	if (fake.outcome == SWAP_FINALISED)
		fake.generation++;
	f.swap.generation = fake.generation;
	fake.stages = 0;
}

void fake_run(void)
{
	volatile unsigned waits = 0;

	if (setjmp(f.powered))
		return;
	/* twice more: what a worker did is collected in the step after it */
	for (unsigned i = 0; waits < 3; i++) {
		struct service_next agent_next, worker = {.then = SERVICE_WAIT};

		CHECK(i < 1000000);
		advance_swap();
		agent_next = __provide_service_ops__agent.step();
		if (!fake.hold_workers) {
			worker = __provide_service_ops__agent_exec.step();
			(void)__provide_service_ops__agent_change.step();
		}
		waits = agent_next.then == SERVICE_AGAIN || worker.then == SERVICE_AGAIN ? 0
											: waits + 1;
	}
}

/* ---- memory ---- */

void *heap_alloc(struct cell_ref owner, size_t bytes)
{
	size_t *p;

	(void)owner;
	CHECK(bytes > 0 && bytes <= 1u << 20);
	p = malloc(bytes + 16);
	CHECK(p);
	p[0] = bytes;
	fake.allocated += (int64_t)bytes;
	memset(p + 2, 0xa5, bytes);
	return p + 2;
}

void heap_free(void *p)
{
	size_t *start = p;

	if (!p)
		return;
	start -= 2;
	fake.allocated -= (int64_t)start[0];
	free(start);
}

void heap_stats(struct cell_ref cell, struct heap_stats *ret_stats)
{
	(void)cell;
	*ret_stats = (struct heap_stats){.bytes = 64};
}

int mapped_create(enum mapped_kind kind, size_t bytes, struct mapped *ret_region)
{
	CHECK(kind == MAPPED_DATA);
	if (fake.out_of_memory)
		return -ENOMEM;
	for (uint32_t i = 0; i < REGIONS_MAX; i++) {
		if (f.regions[i].bytes)
			continue;
		f.regions[i].bytes = calloc(1, bytes);
		CHECK(f.regions[i].bytes);
		f.regions[i].size = bytes;
		fake.allocated += (int64_t)bytes;
		*ret_region = (struct mapped){i, ++f.regions[i].generation};
		return 0;
	}
	return -ENOMEM;
}

void mapped_drop(struct mapped *region)
{
	if (region->generation == 0)
		return;
	CHECK(f.regions[region->slot].generation == region->generation);
	fake.allocated -= (int64_t)f.regions[region->slot].size;
	free(f.regions[region->slot].bytes);
	f.regions[region->slot].bytes = NULL;
	*region = (struct mapped){0};
}

int mapped_view(struct mapped region, size_t offset, size_t len, size_t align, void **ret_view)
{
	(void)align;
	CHECK(f.regions[region.slot].generation == region.generation);
	if (offset > f.regions[region.slot].size || len > f.regions[region.slot].size - offset)
		return -ERANGE;
	*ret_view = (uint8_t *)f.regions[region.slot].bytes + offset;
	return 0;
}

void task_trim(void)
{
}

void heap_trim(void)
{
}

void frames_stats(struct frames_stats *ret_stats)
{
	*ret_stats = (struct frames_stats){.total = 1000, .used = 100};
}

/* ---- cells ---- */

static const struct loader_cell cells[] = {
	{.ref = {1}, .name = "greeter", .version = "1.0.0", .safety = CELL_SAFE, .refs = 1},
	{.ref = {2}, .name = "caller", .version = "1.0.0", .safety = CELL_UNSAFE},
};

int loader_cell_at(uint32_t index, struct loader_cell *ret_cell)
{
	if (index >= loader_cell_count())
		return -ENOENT;
	if (index < ARRAY_SIZE(cells)) {
		*ret_cell = cells[index];
		return 0;
	}
	*ret_cell = (struct loader_cell){
		.ref = {index + 1}, .version = "1.0.0", .safety = CELL_SAFE};
	(void)snprintf(ret_cell->name, sizeof(ret_cell->name), "more_%u", index);
	return 0;
}

int loader_cell_of(struct cell_ref ref, struct loader_cell *ret_cell)
{
	return loader_cell_at(ref.id - 1, ret_cell);
}

uint32_t loader_cell_count(void)
{
	return ARRAY_SIZE(cells) + fake.more_cells;
}

int loader_cell_find(const char *name, struct loader_cell *ret_cell)
{
	for (uint32_t i = 0; loader_cell_at(i, ret_cell) == 0; i++) {
		if (strcmp(ret_cell->name, name) == 0)
			return 0;
	}
	return -ENOENT;
}

int loader_symbol_at(const char *name, bool imports, uint32_t index, struct loader_symbol *ret_symbol)
{
	if (strcmp(name, "greeter") != 0 || imports || index > 0)
		return -ENOENT;
	*ret_symbol = (struct loader_symbol){.name = "greeter_greet", .cell = "greeter", .abi = 1};
	return 0;
}

int loader_dep_at(const char *name, bool reverse, uint32_t index, struct loader_dep *ret_dep)
{
	if (strcmp(name, "greeter") != 0 || !reverse || index > fake.more_cells)
		return -ENOENT;
	*ret_dep = (struct loader_dep){.cell = "caller",
				       .via = "link",
				       .sites = 1,
				       .n_symbols = 1,
				       .symbols = {"greeter_greet"}};
	return 0;
}

/* The greeter as it was before, if a swap left it in use. */
int loader_quarantined_at(uint32_t index, struct loader_cell *ret_cell)
{
	if (index > 0 || !fake.quarantined)
		return -ENOENT;
	*ret_cell = cells[0];
	ret_cell->text_bytes = PAGE_SIZE;
	return 0;
}

uint64_t loader_generation(void)
{
	return fake.generation;
}

/* A digest that changes with the data is all that is needed. */
void loader_sha256(const void *data, size_t n, uint8_t ret_digest[32])
{
	memset(ret_digest, 0, 32);
	for (size_t i = 0; i < n; i++)
		ret_digest[i % 32] += ((const uint8_t *)data)[i];
}

int loader_boot_mark_at(uint32_t index, char ret_name[LOADER_MARK_NAME], uint64_t *ret_tsc)
{
	if (index > 0)
		return -ENOENT;
	strcpy(ret_name, "gate");
	*ret_tsc = 1;
	return 0;
}

/* ---- swaps: one transaction, numbered anew each time ---- */

static const struct loader_change a_change = {
	.name = "greeter", .old_version = "1.0.0", .new_version = "2.0.0"};

static void complain(struct loader_report *report)
{
	*report = (struct loader_report){.code = "abi-mismatch", .n_reasons = 2};
	strcpy(report->reasons[0], "greeter_greet: cell has a, namespace has b");
	strcpy(report->reasons[1], "greeter_calls: cell has a, namespace has b");
}

int swap_stage(const void *bundle, size_t size, uint64_t *ret_id, struct loader_report *ret_report)
{
	CHECK(bundle && size);
	if (fake.stage_error < 0) {
		complain(ret_report);
		return fake.stage_error;
	}
	CHECK(fake.stages == 0);
	fake.stages = 1;
	f.swap = (struct swap_result){.id = ++f.last_id, .state = SWAP_STAGED, .stage_ns = 5};
	*ret_id = f.last_id;
	return 0;
}

int swap_drop(uint64_t id)
{
	if (id != f.swap.id || f.swap.state != SWAP_STAGED)
		return -ENOENT;
	if (f.swap.running)
		return -EBUSY;
	f.swap = (struct swap_result){0};
	fake.stages = 0;
	return 0;
}

int swap_start(uint64_t id, const struct swap_options *options, struct swap_watch_ops_h watcher)
{
	(void)watcher;
	CHECK(id == f.swap.id && f.swap.state == SWAP_STAGED && !f.swap.running);
	f.swap.running = true;
	f.dry_run = options->dry_run;
	return 0;
}

int swap_result(uint64_t id, struct swap_result *ret_result)
{
	if (id == 0 || id != f.swap.id)
		return -ENOENT;
	*ret_result = f.swap;
	return 0;
}

int swap_report(uint64_t id, struct loader_report *ret_report)
{
	if (id != f.swap.id)
		return -ENOENT;
	*ret_report = (struct loader_report){0};
	if (fake.outcome == SWAP_REFUSED)
		complain(ret_report);
	return 0;
}

int swap_change_at(uint64_t id, uint32_t index, struct loader_change *ret_change)
{
	if (id != f.swap.id || index > 0)
		return -ENOENT;
	*ret_change = a_change;
	return 0;
}

void swap_reclaim(void)
{
	fake.reclaims++;
}

const char *swap_result_word(const struct swap_result *result)
{
	return result->state == SWAP_FINALISED ? "committed" : "staged";
}

/* ---- commands ---- */

int command_run(struct command_io *io, int argc, const char *const *argv)
{
	fake.commands_run++;
	CHECK(argc >= 1 && argc <= COMMAND_ARGS_MAX && argv[argc] == NULL);
	if (strcmp(argv[0], "flood") == 0) {
		memset(io->buf, 'x', io->size);
		io->used = io->size;
		io->truncated = true;
		return 0;
	}
	if (strcmp(argv[0], "fail") == 0)
		return 7;
	if (strcmp(argv[0], "echo") != 0)
		return -ENOENT;
	io->used = (size_t)snprintf(io->buf, io->size, "%s\n", argc > 1 ? argv[1] : "");
	return 0;
}

/* ---- the rest ---- */

uint64_t clock_now_ns(void)
{
	return fake.now;
}

uint64_t clock_after(uint64_t ns)
{
	return fake.now + ns;
}

uint64_t clock_ns_of_tsc(uint64_t tsc)
{
	return tsc;
}

int service_wake(struct service_ops_h service)
{
	(void)service;
	return 0;
}

int service_at(uint32_t index, struct service_info *ret_info)
{
	(void)index;
	(void)ret_info;
	return -ENOENT;
}

unsigned service_failed(void)
{
	return fake.failed_services;
}

uint64_t upcall_fault_count(void)
{
	return 3;
}

unsigned cpu_online(void)
{
	return 2;
}

/* As many as a test says, all blocked, in even slots. */
int task_next(uint32_t *cursor, struct task_info *ret_info)
{
	uint32_t slot = (*cursor + 1) & ~1u;

	if (slot >= 2 * fake.tasks || slot < *cursor)
		return -ENOENT;
	*cursor = slot + 1;
	return task_describe((struct task_ref){slot, 1}, ret_info);
}

int task_describe(struct task_ref task, struct task_info *ret_info)
{
	if (task.slot >= 2 * fake.tasks || task.slot & 1 || task.generation != 1)
		return -ESTALE;
	*ret_info = (struct task_info){.task = task, .state = TASK_BLOCKED, .owner = {1}};
	(void)snprintf(ret_info->name, sizeof(ret_info->name), "task%u", task.slot / 2);
	return 0;
}

const char *task_state_name(enum task_state state)
{
	return state == TASK_BLOCKED ? "blocked" : "?";
}

int task_backtrace(struct task_ref task, uint64_t *ret_pcs, unsigned max)
{
	(void)task;
	for (unsigned i = 0; i < 2 && i < max; i++)
		ret_pcs[i] = 0x1000 + i;
	return 2;
}

int loader_locate(uint64_t addr, struct loader_location *ret_location)
{
	if (addr != 0x1000)
		return -ENOENT;
	*ret_location =
		(struct loader_location){.cell = "greeter", .function = "greet", .offset = 7};
	return 0;
}

unsigned task_count(void)
{
	return 5;
}

void gate_power(unsigned exit_code)
{
	/* the real one does not come back: the step that called it ends here */
	fake.powered = (int)exit_code;
	longjmp(f.powered, 1);
}

void fake_log(const char *text)
{
	CHECK(f.n_log < LOG_MAX);
	f.log[f.n_log++] = text;
}

int log_read(uint64_t seq, struct log_record *ret_record, uint64_t *ret_lost)
{
	if (seq == 0)
		seq = 1;
	if (seq > f.n_log)
		return -ENOENT;
	*ret_record = (struct log_record){.seq = seq, .level = LOG_INFO, .cell = "test"};
	(void)snprintf(ret_record->text, sizeof(ret_record->text), "%s", f.log[seq - 1]);
	*ret_lost = 0;
	return 0;
}

int log_watch(struct log_watch_ops_h watcher)
{
	(void)watcher;
	return 0;
}

void log_write(enum log_level level, struct cell_ref cell, const char *fmt, ...)
{
	(void)level;
	(void)cell;
	(void)fmt;
}

void log_announce(struct cell_ref cell, const char *text)
{
	(void)cell;
	(void)text;
}

void fake_start(void)
{
	static const struct boot_record record = {.build_id = "f00d"};
	const struct cell_boot boot = {.record = &record};

	fake = (struct fake){.now = 1000, .outcome = SWAP_FINALISED};
	memset(&f, 0, sizeof(f));
	f.decoder = malloc(sizeof(*f.decoder));
	CHECK(f.decoder);
	frame_decoder_init(f.decoder);
	f.opens = 1;
	memset(agent, 0, sizeof(*agent));
	CHECK(__provide_cell_ops__agent.init(&boot) == 0);
}

void fake_stop(void)
{
	/* what is under way comes to its end first */
	fake.hold_workers = fake.hold_swap = false;
	fake_run();
	agent_session_end_all();
	agent_drop_out();
	heap_free(agent->decoder);
	heap_free(agent->answers);
	heap_free(agent->exec_output);
	CHECK(fake.allocated == 0);
	free(f.decoder);
}
