/* SPDX-License-Identifier: MIT */
/*
 * The agent on a link whose other end is the test: well-behaved clients, rude ones, and ones
 * that come back. The cells it calls are replaced by agent-fake.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <theseus/platform.h>

#include "agent-fake.h"

static int setup(void **state)
{
	(void)state;
	fake_start();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_stop();
	return 0;
}

static Theseus__Response *say_hello(uint32_t session, uint32_t min, uint32_t max)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__Hello hello;

	theseus__hello__init(&hello);
	hello.protocol_min = min;
	hello.protocol_max = max;
	req.body_case = THESEUS__REQUEST__BODY_HELLO;
	req.hello = &hello;
	return fake_call(session, &req);
}

static void free_response(Theseus__Response *r)
{
	theseus__response__free_unpacked(r, NULL);
}

static void expect_error(Theseus__Response *r, Theseus__Status status, const char *code)
{
	assert_non_null(r);
	assert_int_equal(r->status, status);
	assert_non_null(r->error);
	assert_string_equal(r->error->code, code);
	assert_true(strlen(r->error->message) > 0);
	free_response(r);
}

static void expect_ok(Theseus__Response *r)
{
	assert_non_null(r);
	assert_int_equal(r->status, THESEUS__STATUS__STATUS_OK);
	free_response(r);
}

/* ---- looking ---- */

static void hello_agrees_on_a_protocol(void **state)
{
	Theseus__Response *r = say_hello(1, 1, 9);

	(void)state;
	assert_int_equal(r->body_case, THESEUS__RESPONSE__BODY_HELLO);
	assert_int_equal(r->hello->protocol, 1);
	assert_string_equal(r->hello->build_id, "f00d");
	assert_int_equal(r->hello->max_upload, AGENT_UPLOAD_MAX);
	free_response(r);
	expect_error(say_hello(1, 2, 9), THESEUS__STATUS__STATUS_UNSUPPORTED, "protocol-mismatch");
}

static void status_tells_how_it_is(void **state)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__StatusGet get = THESEUS__STATUS_GET__INIT;
	Theseus__Response *r;

	(void)state;
	req.body_case = THESEUS__REQUEST__BODY_STATUS;
	req.status = &get;
	r = fake_call(1, &req);
	assert_int_equal(r->body_case, THESEUS__RESPONSE__BODY_GUEST);
	assert_string_equal(r->guest->health, "ok");
	assert_int_equal(r->guest->cells, 2);
	assert_int_equal(r->guest->memory_used, 100 * PAGE_SIZE);
	free_response(r);
	fake.failed_services = 1;
	r = fake_call(1, &req);
	assert_string_equal(r->guest->health, "1 failed service, 3 faults");
	assert_int_equal(r->guest->quarantined_bytes, 0);
	free_response(r);
	fake.quarantined = true;
	fake.reclaims = 0;
	r = fake_call(1, &req);
	assert_int_equal(r->guest->quarantined_bytes, PAGE_SIZE);
	assert_int_equal(fake.reclaims, 1);
	free_response(r);
}

static Theseus__Response *get_cells_from(const char *name, uint32_t from)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__CellsGet get;

	theseus__cells_get__init(&get);
	get.name = agent_text(name);
	get.from = from;
	req.body_case = THESEUS__REQUEST__BODY_CELLS;
	req.cells = &get;
	return fake_call(1, &req);
}

static Theseus__Response *get_cells(const char *name)
{
	return get_cells_from(name, 0);
}

static void cells_are_listed(void **state)
{
	Theseus__Response *r = get_cells("");

	(void)state;
	assert_int_equal(r->cells->n_cells, 2);
	assert_string_equal(r->cells->cells[0]->name, "greeter");
	assert_string_equal(r->cells->cells[0]->safety, "safe");
	assert_int_equal(r->cells->cells[0]->n_exports, 0);
	assert_int_equal(r->cells->cells[0]->hash.len, 32);
	assert_int_equal(r->cells->n_quarantined, 0);
	assert_int_equal(r->cells->next, 0);
	free_response(r);
	fake.quarantined = true;
	r = get_cells("");
	assert_int_equal(r->cells->n_cells, 2);
	assert_int_equal(r->cells->n_quarantined, 1);
	assert_string_equal(r->cells->quarantined[0]->name, "greeter");
	free_response(r);
	r = get_cells("greeter");
	assert_int_equal(r->cells->n_cells, 1);
	assert_int_equal(r->cells->cells[0]->n_exports, 1);
	assert_string_equal(r->cells->cells[0]->exports[0]->name, "greeter_greet");
	free_response(r);
	expect_error(get_cells("nobody"), THESEUS__STATUS__STATUS_NOT_FOUND, "no-such-cell");
}

/* Whatever their number, each comes once; those in quarantine come last. */
static void many_cells_are_listed(void **state)
{
	uint32_t from = 0, seen = 0, quarantined = 0;
	Theseus__Response *r;
	unsigned answers = 0;
	char name[32];

	(void)state;
	fake.more_cells = 10000;
	fake.quarantined = true;
	do {
		r = get_cells_from("", from);
		for (size_t i = 0; i < r->cells->n_cells; i++, seen++) {
			(void)snprintf(name, sizeof(name), "more_%u", seen);
			if (seen >= 2)
				assert_string_equal(r->cells->cells[i]->name, name);
		}
		quarantined += (uint32_t)r->cells->n_quarantined;
		assert_true(r->cells->next == 0 || r->cells->next > from);
		from = r->cells->next;
		answers++;
		free_response(r);
	} while (from);
	assert_int_equal(seen, 10002);
	assert_int_equal(quarantined, 1);
	assert_true(answers >= 10003 / 128);
	assert_int_equal(fake.reclaims, 1);
	r = get_cells_from("", UINT32_MAX);
	assert_int_equal(r->cells->n_cells + r->cells->n_quarantined + r->cells->next, 0);
	free_response(r);
}

static Theseus__Response *get_tasks(uint64_t id, const char *name, uint32_t from)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__TasksGet get;

	theseus__tasks_get__init(&get);
	get.id = id;
	get.name = agent_text(name);
	get.from = from;
	req.body_case = THESEUS__REQUEST__BODY_TASKS;
	req.tasks = &get;
	return fake_call(1, &req);
}

static void tasks_are_listed_some_at_a_time(void **state)
{
	unsigned n = 0, answers = 0;
	Theseus__Response *r;
	uint32_t from = 0;

	(void)state;
	fake.tasks = 1000;
	do {
		r = get_tasks(0, "", from);
		for (size_t i = 0; i < r->tasks->n_tasks; i++, n++) {
			assert_int_equal((uint32_t)r->tasks->tasks[i]->id, 2 * n);
			assert_string_equal(r->tasks->tasks[i]->state, "blocked");
		}
		assert_true(r->tasks->next == 0 || r->tasks->next > from);
		from = r->tasks->next;
		free_response(r);
		answers++;
	} while (from);
	assert_int_equal(n, 1000);
	assert_true(answers > 1);
	/* beyond the end, and none at all */
	r = get_tasks(0, "", UINT32_MAX - 1);
	assert_int_equal(r->tasks->n_tasks, 0);
	free_response(r);
}

static void one_task_has_its_stack(void **state)
{
	Theseus__Response *r;

	(void)state;
	fake.tasks = 300;
	r = get_tasks(0, "task299", 0);
	assert_int_equal(r->tasks->n_tasks, 1);
	assert_int_equal(r->tasks->tasks[0]->id, 1ull << 32 | 598);
	assert_int_equal(r->tasks->tasks[0]->n_stack, 0);
	free_response(r);
	r = get_tasks(1ull << 32 | 598, "", 0);
	assert_int_equal(r->tasks->n_tasks, 1);
	assert_int_equal(r->tasks->tasks[0]->n_stack, 2);
	assert_string_equal(r->tasks->tasks[0]->stack[0]->function, "greet");
	assert_int_equal(r->tasks->tasks[0]->stack[0]->offset, 7);
	assert_string_equal(r->tasks->tasks[0]->stack[1]->cell, "");
	free_response(r);
	expect_error(get_tasks(2ull << 32 | 598, "", 0), THESEUS__STATUS__STATUS_NOT_FOUND,
		     "no-such-task");
	expect_error(get_tasks(UINT64_MAX, "", 0), THESEUS__STATUS__STATUS_NOT_FOUND,
		     "no-such-task");
	r = get_tasks(0, "nobody", 0);
	assert_int_equal(r->tasks->n_tasks, 0);
	free_response(r);
}

static void dependencies_are_listed(void **state)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__CellDeps deps;
	Theseus__Response *r;

	(void)state;
	theseus__cell_deps__init(&deps);
	deps.name = agent_text("greeter");
	deps.reverse = 1;
	req.body_case = THESEUS__REQUEST__BODY_CELL_DEPS;
	req.cell_deps = &deps;
	r = fake_call(1, &req);
	assert_int_equal(r->cell_deps->n_deps, 1);
	assert_string_equal(r->cell_deps->deps[0]->cell, "caller");
	assert_string_equal(r->cell_deps->deps[0]->symbols[0], "greeter_greet");
	free_response(r);
	fake.more_cells = 100;
	r = fake_call(1, &req);
	deps.from = r->cell_deps->next;
	assert_in_range(deps.from, 1, 100);
	assert_int_equal(r->cell_deps->n_deps, deps.from);
	free_response(r);
	r = fake_call(1, &req);
	assert_int_equal(r->cell_deps->n_deps, 101 - deps.from);
	assert_int_equal(r->cell_deps->next, 0);
	free_response(r);
	deps.name = agent_text("nobody");
	expect_error(fake_call(1, &req), THESEUS__STATUS__STATUS_NOT_FOUND, "no-such-cell");
}

/* ---- commands ---- */

static Theseus__Response *exec(uint32_t session, const char *command, const char *arg,
			       const uint8_t *id)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;
	char *args[1] = {agent_text(arg)};
	Theseus__Exec e;

	theseus__exec__init(&e);
	e.command = agent_text(command);
	e.args = args;
	e.n_args = arg ? 1 : 0;
	req.body_case = THESEUS__REQUEST__BODY_EXEC;
	req.exec = &e;
	if (id) {
		req.idempotency_id.data = (uint8_t *)(uintptr_t)id;
		req.idempotency_id.len = AGENT_IDEMPOTENCY_BYTES;
	}
	return fake_call(session, &req);
}

static void commands_run_and_answer(void **state)
{
	Theseus__Response *r = exec(1, "echo", "hi", NULL);

	(void)state;
	assert_int_equal(r->body_case, THESEUS__RESPONSE__BODY_EXEC);
	assert_int_equal(r->exec->output.len, 3);
	assert_memory_equal(r->exec->output.data, "hi\n", 3);
	assert_int_equal(r->exec->status, 0);
	free_response(r);
	r = exec(1, "fail", NULL, NULL);
	assert_int_equal(r->exec->status, 7);
	free_response(r);
	r = exec(1, "flood", NULL, NULL);
	assert_true(r->exec->truncated);
	assert_int_equal(r->exec->output.len, COMMAND_OUTPUT_MAX);
	free_response(r);
	expect_error(exec(1, "nothing", NULL, NULL), THESEUS__STATUS__STATUS_NOT_FOUND,
		     "no-such-command");
	expect_error(exec(1, "", NULL, NULL), THESEUS__STATUS__STATUS_BAD_REQUEST, "bad-request");
}

static void too_many_or_too_long_words_are_refused(void **state)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;
	char *args[COMMAND_ARGS_MAX];
	char text[AGENT_EXEC_TEXT + 1];
	Theseus__Exec e;

	(void)state;
	theseus__exec__init(&e);
	e.command = agent_text("echo");
	e.args = args;
	e.n_args = COMMAND_ARGS_MAX;
	for (unsigned i = 0; i < COMMAND_ARGS_MAX; i++)
		args[i] = agent_text("x");
	req.body_case = THESEUS__REQUEST__BODY_EXEC;
	req.exec = &e;
	expect_error(fake_call(1, &req), THESEUS__STATUS__STATUS_BAD_REQUEST, "bad-request");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	e.n_args = 1;
	args[0] = text;
	expect_error(fake_call(1, &req), THESEUS__STATUS__STATUS_BAD_REQUEST, "bad-request");
}

static void a_request_sent_again_is_not_served_again(void **state)
{
	const uint8_t id[AGENT_IDEMPOTENCY_BYTES] = "once and not twi";
	Theseus__Request other = THESEUS__REQUEST__INIT;
	Theseus__Shutdown shutdown = THESEUS__SHUTDOWN__INIT;
	Theseus__Response *r;

	(void)state;
	expect_ok(exec(1, "echo", "hi", id));
	assert_int_equal(fake.commands_run, 1);
	/* the client's link broke, it comes back as another session */
	r = exec(2, "echo", "hi", id);
	assert_memory_equal(r->exec->output.data, "hi\n", 3);
	free_response(r);
	assert_int_equal(fake.commands_run, 1);
	other.body_case = THESEUS__REQUEST__BODY_SHUTDOWN;
	other.shutdown = &shutdown;
	other.idempotency_id = (ProtobufCBinaryData){sizeof(id), (uint8_t *)(uintptr_t)id};
	expect_error(fake_call(1, &other), THESEUS__STATUS__STATUS_BAD_REQUEST, "bad-request");
	other.idempotency_id.len = 3;
	expect_error(fake_call(1, &other), THESEUS__STATUS__STATUS_BAD_REQUEST, "bad-request");
}

static void who_asks_again_meanwhile_gets_the_answer(void **state)
{
	const uint8_t id[AGENT_IDEMPOTENCY_BYTES] = "asked while runs";
	Theseus__Response *r;

	(void)state;
	fake.hold_workers = true;
	assert_null(exec(1, "echo", "hi", id));
	assert_null(exec(2, "echo", "hi", id));
	fake.hold_workers = false;
	fake_run();
	r = fake_take(2);
	assert_non_null(r);
	free_response(r);
	assert_null(fake_take(1));
	assert_int_equal(fake.commands_run, 1);
}

static void answers_are_remembered_within_bounds(void **state)
{
	uint8_t id[AGENT_IDEMPOTENCY_BYTES] = {0};

	(void)state;
	for (unsigned i = 0; i < 3 * AGENT_MEMORY_MAX; i++) {
		memcpy(id, &i, sizeof(i));
		expect_ok(exec(1, i % 4 ? "echo" : "flood", "x", id));
	}
	assert_int_equal(fake.commands_run, 3 * AGENT_MEMORY_MAX);
	expect_ok(exec(1, "echo", "x", id)); /* the last one still is */
	assert_int_equal(fake.commands_run, 3 * AGENT_MEMORY_MAX);
}

static void a_command_that_hangs_is_answered_in_time(void **state)
{
	(void)state;
	fake.hold_workers = true;
	assert_null(exec(1, "echo", "x", NULL));
	for (unsigned i = 1; i < AGENT_EXEC_JOBS; i++)
		assert_null(exec(1, "echo", "x", NULL));
	expect_error(exec(1, "echo", "x", NULL), THESEUS__STATUS__STATUS_BUSY, "busy");
	fake.now += 31 * CLOCK_S;
	fake_run();
	for (unsigned i = 0; i < AGENT_EXEC_JOBS; i++)
		expect_error(fake_take(1), THESEUS__STATUS__STATUS_TIMED_OUT, "timed-out");
	/* when it ends at last nobody is told, and the place is free again */
	fake.hold_workers = false;
	fake_run();
	assert_null(fake_take(1));
	expect_ok(exec(1, "echo", "x", NULL));
}

/* ---- uploads ---- */

static Theseus__Response *begin(uint32_t session, uint64_t size, size_t digest_len)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__UploadBegin b = THESEUS__UPLOAD_BEGIN__INIT;
	uint8_t digest[64] = {0};

	b.size = size;
	b.sha256 = (ProtobufCBinaryData){digest_len, digest};
	req.body_case = THESEUS__REQUEST__BODY_UPLOAD_BEGIN;
	req.upload_begin = &b;
	return fake_call(session, &req);
}

static Theseus__Response *chunk(uint32_t session, uint64_t offset, size_t len)
{
	static uint8_t data[FRAME_PAYLOAD_MAX];
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__UploadChunk c = THESEUS__UPLOAD_CHUNK__INIT;

	c.offset = offset;
	c.data = (ProtobufCBinaryData){len, data};
	req.body_case = THESEUS__REQUEST__BODY_UPLOAD_CHUNK;
	req.upload_chunk = &c;
	return fake_call(session, &req);
}

static void expect_upload(Theseus__Response *r, uint64_t received, uint64_t credit)
{
	assert_non_null(r);
	assert_int_equal(r->body_case, THESEUS__RESPONSE__BODY_UPLOAD);
	assert_int_equal(r->upload->received, received);
	assert_int_equal(r->upload->credit, credit);
	free_response(r);
}

static void uploads_are_checked_at_every_step(void **state)
{
	const Theseus__Status bad = THESEUS__STATUS__STATUS_BAD_REQUEST;

	(void)state;
	expect_error(chunk(1, 0, 10), bad, "no-upload");
	expect_error(begin(1, 0, 32), bad, "bad-request");
	expect_error(begin(1, 100, 5), bad, "bad-request");
	expect_error(begin(1, 1ull << 40, 32), THESEUS__STATUS__STATUS_REFUSED, "too-large");
	expect_upload(begin(1, 100000, 32), 0, 100000);
	expect_error(chunk(1, 5000, 100), bad, "bad-request");
	expect_error(chunk(1, 0, 0), bad, "bad-request");
	expect_error(chunk(1, 1ull << 63, 100), bad, "bad-request");
	expect_upload(chunk(1, 0, 60000), 60000, 40000);
	expect_error(chunk(1, 0, 100), bad, "bad-request");
	expect_error(chunk(1, 60000, 40001), bad, "bad-request");
	expect_upload(chunk(1, 60000, 40000), 100000, 0);
	expect_error(chunk(1, 100000, 1), bad, "bad-request");
	expect_error(chunk(2, 0, 1), bad, "no-upload");
	expect_upload(begin(1, 10, 32), 0, 10); /* begins anew */
}

static void uploads_go_with_their_session(void **state)
{
	int64_t before;

	(void)state;
	expect_ok(say_hello(1, 1, 1));
	before = fake.allocated;
	expect_upload(begin(1, 1000000, 32), 0, AGENT_CREDIT);
	assert_true(fake.allocated > before + 1000000);
	fake_send(FRAME_SESSION_END, 1, 0, NULL, 0);
	fake_run();
	assert_int_equal(fake.allocated, before);
	assert_int_equal(agent->upload_bytes, 0);
}

static void uploads_are_bounded_together(void **state)
{
	unsigned n = AGENT_UPLOADS_TOTAL_MAX / AGENT_UPLOAD_MAX;

	(void)state;
	for (unsigned i = 0; i < n; i++)
		expect_upload(begin(i, AGENT_UPLOAD_MAX, 32), 0, AGENT_CREDIT);
	expect_error(begin(n, AGENT_UPLOAD_MAX, 32), THESEUS__STATUS__STATUS_BUSY, "busy");
	fake.out_of_memory = true;
	expect_error(begin(0, 10, 32), THESEUS__STATUS__STATUS_NO_MEMORY, "no-memory");
	fake.out_of_memory = false;
	expect_upload(begin(0, AGENT_UPLOAD_MAX, 32), 0, AGENT_CREDIT);
}

/* ---- stage and swap ---- */

static Theseus__Response *stage(uint32_t session)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__Stage m = THESEUS__STAGE__INIT;

	req.body_case = THESEUS__REQUEST__BODY_STAGE;
	req.stage = &m;
	return fake_call(session, &req);
}

static Theseus__Response *push(uint32_t session)
{
	expect_upload(begin(session, 10, 32), 0, 10);
	expect_upload(chunk(session, 0, 10), 10, 0);
	return stage(session);
}

static uint64_t staged(Theseus__Response *r)
{
	uint64_t id;

	assert_non_null(r);
	assert_int_equal(r->body_case, THESEUS__RESPONSE__BODY_STAGE);
	assert_int_equal(r->stage->stage_ns, 5);
	assert_int_equal(r->stage->n_cells, 1);
	assert_string_equal(r->stage->cells[0]->new_version, "2.0.0");
	id = r->stage->stage;
	free_response(r);
	return id;
}

static Theseus__Response *stage_drop(uint32_t session, uint64_t id)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__StageDrop m = THESEUS__STAGE_DROP__INIT;

	m.stage = id;
	req.body_case = THESEUS__REQUEST__BODY_STAGE_DROP;
	req.stage_drop = &m;
	return fake_call(session, &req);
}

static Theseus__Response *swap(uint32_t session, uint64_t id, bool dry_run)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__Swap m = THESEUS__SWAP__INIT;

	m.stage = id;
	m.dry_run = dry_run;
	req.body_case = THESEUS__REQUEST__BODY_SWAP;
	req.swap = &m;
	return fake_call(session, &req);
}

static void a_bundle_is_pushed_and_swapped_in(void **state)
{
	Theseus__Response *r;
	uint64_t id;

	(void)state;
	id = staged(push(1));
	assert_int_equal(agent->upload_bytes, 0);
	r = swap(3, id, true);
	assert_string_equal(r->swap->result, "staged");
	free_response(r);
	r = swap(3, id, false);
	assert_int_equal(r->swap->generation, 1);
	assert_string_equal(r->swap->result, "committed");
	assert_string_equal(r->swap->cells[0]->old_version, "1.0.0");
	free_response(r);
	expect_error(swap(1, id, false), THESEUS__STATUS__STATUS_NOT_FOUND, "no-such-stage");
	assert_int_equal(fake.stages, 0);
}

static void a_swap_is_an_event_for_everybody(void **state)
{
	Theseus__Event *e;
	uint64_t id;

	(void)state;
	expect_ok(say_hello(2, 1, 1));
	id = staged(push(1));
	fake.hold_swap = true;
	assert_null(swap(1, id, false));
	fake.hold_swap = false;
	fake_run();
	e = fake_take_event(2);
	assert_non_null(e);
	assert_int_equal(e->body_case, THESEUS__EVENT__BODY_SWAP);
	assert_int_equal(e->swap->generation, 1);
	theseus__event__free_unpacked(e, NULL);
}

static void what_is_refused_comes_with_all_reasons(void **state)
{
	Theseus__Response *r;
	uint64_t id;

	(void)state;
	fake.stage_error = -EPERM;
	r = push(1);
	assert_int_equal(r->status, THESEUS__STATUS__STATUS_REFUSED);
	assert_int_equal(r->error->n_reasons, 2);
	assert_string_equal(r->error->reasons[1], "greeter_calls: cell has a, namespace has b");
	expect_error(r, THESEUS__STATUS__STATUS_REFUSED, "abi-mismatch");
	assert_int_equal(agent->upload_bytes, 0);
	fake.stage_error = -ENOMEM;
	expect_error(push(1), THESEUS__STATUS__STATUS_NO_MEMORY, "abi-mismatch");
	fake.stage_error = 0;
	id = staged(push(1));
	fake.outcome = SWAP_REFUSED;
	expect_error(swap(1, id, true), THESEUS__STATUS__STATUS_REFUSED, "abi-mismatch");
	expect_error(swap(1, id, false), THESEUS__STATUS__STATUS_REFUSED, "abi-mismatch");
	id = staged(push(1));
	fake.outcome = SWAP_CANCELLED;
	fake.swap_error = -ETIMEDOUT;
	expect_error(swap(1, id, false), THESEUS__STATUS__STATUS_TIMED_OUT, "cancelled");
}

static void an_upload_is_whole_before_it_is_staged(void **state)
{
	(void)state;
	expect_error(stage(1), THESEUS__STATUS__STATUS_BAD_REQUEST, "no-upload");
	expect_upload(begin(1, 10, 32), 0, 10);
	expect_error(stage(1), THESEUS__STATUS__STATUS_BAD_REQUEST, "no-upload");
	expect_upload(chunk(1, 0, 10), 10, 0);
	agent->sessions[0].upload.sha256[0] = 1;
	expect_error(stage(1), THESEUS__STATUS__STATUS_REFUSED, "bad-hash");
	expect_error(stage(1), THESEUS__STATUS__STATUS_BAD_REQUEST, "no-upload");
}

static void of_two_who_stage_one_is_told_so(void **state)
{
	uint64_t first, second;

	(void)state;
	first = staged(push(1));
	expect_error(push(2), THESEUS__STATUS__STATUS_BUSY, "busy");
	second = staged(push(1)); /* its own it may replace */
	assert_int_not_equal(first, second);
	fake_send(FRAME_SESSION_END, 1, 0, NULL, 0);
	first = staged(stage(2)); /* and anybody's who is gone; its upload was kept */
	expect_error(stage_drop(2, second), THESEUS__STATUS__STATUS_NOT_FOUND, "no-such-stage");
	expect_ok(stage_drop(2, first));
	assert_int_equal(fake.stages, 0);
}

static void nothing_disturbs_a_swap_under_way(void **state)
{
	uint64_t id;

	(void)state;
	id = staged(push(1));
	fake.hold_swap = true;
	assert_null(swap(1, id, false));
	expect_error(swap(2, id, false), THESEUS__STATUS__STATUS_BUSY, "busy");
	expect_error(stage_drop(2, id), THESEUS__STATUS__STATUS_BUSY, "busy");
	expect_error(push(1), THESEUS__STATUS__STATUS_BUSY, "busy");
	expect_ok(say_hello(3, 1, 1)); /* others are served meanwhile */
	fake.hold_swap = false;
	fake_run();
	expect_ok(fake_take(1));
}

static void clients_that_vanish_leave_nothing_behind(void **state)
{
	int64_t before;

	(void)state;
	expect_ok(say_hello(1, 1, 1));
	before = fake.allocated;
	expect_upload(begin(1, 10, 32), 0, 10);
	expect_upload(chunk(1, 0, 10), 10, 0);
	fake.hold_workers = true;
	assert_null(stage(1));
	fake_send(FRAME_SESSION_END, 1, 0, NULL, 0);
	fake_run();
	fake.hold_workers = false;
	fake_run();
	assert_int_equal(fake.allocated, before);
	assert_int_equal(fake.stages, 1);
	(void)staged(push(2)); /* takes its place */
	assert_int_equal(fake.stages, 1);
}

/* ---- sessions and the link ---- */

static void more_sessions_than_places_push_out_the_silent(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 3 * AGENT_SESSIONS_MAX; i++) {
		fake.now++;
		expect_ok(say_hello(i, 1, 1));
	}
}

static void sessions_that_hold_something_are_not_pushed_out(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < AGENT_SESSIONS_MAX; i++)
		expect_upload(begin(i, 10, 32), 0, 10);
	expect_error(say_hello(1000, 1, 1), THESEUS__STATUS__STATUS_BUSY, "busy");
	expect_upload(chunk(0, 0, 10), 10, 0);
}

static void another_peer_starts_afresh(void **state)
{
	(void)state;
	expect_upload(begin(0, 10, 32), 0, 10);
	fake_send_bytes("THS1 half a header", 10);
	fake_run();
	fake_reopen();
	expect_ok(say_hello(0, 1, 1));
	expect_error(chunk(0, 0, 10), THESEUS__STATUS__STATUS_BAD_REQUEST, "no-upload");
}

static void answers_for_who_is_gone_are_dropped(void **state)
{
	(void)state;
	fake.hold_workers = true;
	assert_null(exec(5, "echo", "hi", NULL));
	fake_send(FRAME_SESSION_END, 5, 0, NULL, 0);
	fake_run();
	expect_ok(say_hello(5, 1, 1)); /* another client with the same number */
	fake.hold_workers = false;
	fake_run();
	assert_int_equal(fake.commands_run, 1);
	assert_null(fake_take(5));
}

static void a_peer_that_does_not_read_stops_being_served(void **state)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__CellsGet get;
	unsigned answers = 0;
	Theseus__Response *r;

	(void)state;
	theseus__cells_get__init(&get);
	req.body_case = THESEUS__REQUEST__BODY_CELLS;
	req.cells = &get;
	fake.closed_window = true;
	for (unsigned i = 0; i < 5000; i++)
		fake_post(1, &req);
	fake_run();
	assert_true(agent->out_bytes <= AGENT_OUT_MAX + 2 * FRAME_SIZE_MAX);
	fake.closed_window = false;
	fake_run();
	while ((r = fake_take(1))) {
		free_response(r);
		answers++;
	}
	assert_int_equal(answers, 5000); /* it was only made to wait */
}

static void garbage_is_passed_over(void **state)
{
	uint8_t bytes[3000];
	uint32_t seed = 7;

	(void)state;
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < sizeof(bytes); i++) {
			seed = seed * 1103515245 + 12345;
			bytes[i] = (uint8_t)(seed >> 16);
		}
		fake_send_bytes(bytes, sizeof(bytes));
		expect_ok(say_hello(1, 1, 1));
	}
}

static void malformed_messages_are_told_so(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} rows[] = {
		{"\xff\xff\xff\xff", 4},         /* a tag without end */
		{"\x52\xff\xff\xff\xff\x0f", 6}, /* a length of 4 GiB */
		{"\x52\x05\x01", 3},             /* a body cut short */
		{"\x0a\x10short", 7},            /* an id cut short */
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		fake_send(FRAME_REQUEST, 1, 9, rows[i].bytes, rows[i].len);
		fake_run();
		expect_error(fake_take(1), THESEUS__STATUS__STATUS_BAD_REQUEST, "bad-request");
	}
	/* no body, and one from the future */
	fake_send(FRAME_REQUEST, 1, 9, "", 0);
	fake_run();
	expect_error(fake_take(1), THESEUS__STATUS__STATUS_UNSUPPORTED, "unknown-request");
	fake_send(FRAME_REQUEST, 1, 9, "\x82\x7d\x01x", 4);
	fake_run();
	expect_error(fake_take(1), THESEUS__STATUS__STATUS_UNSUPPORTED, "unknown-request");
}

static void a_message_of_many_small_parts_is_too_large(void **state)
{
	static uint8_t bytes[FRAME_PAYLOAD_MAX];
	size_t n = 0;

	/* exec with thousands of empty arguments: two bytes on the wire, sixteen and more here */
	(void)state;
	bytes[n++] = (18 << 3 & 0x7f) | 0x80 | 2;
	bytes[n++] = 18 >> 4;
	bytes[n++] = 0x80 | (20000 & 0x7f);
	bytes[n++] = 0x80 | (20000 >> 7 & 0x7f);
	bytes[n++] = 20000 >> 14;
	for (unsigned i = 0; i < 10000; i++) {
		bytes[n++] = 2 << 3 | 2;
		bytes[n++] = 0;
	}
	fake_send(FRAME_REQUEST, 1, 9, bytes, n);
	fake_run();
	expect_error(fake_take(1), THESEUS__STATUS__STATUS_BAD_REQUEST, "too-large");
	expect_upload(begin(1, 10, 32), 0, 10); /* also with the large arena there */
	fake_send(FRAME_REQUEST, 1, 9, bytes, n);
	fake_run();
	expect_error(fake_take(1), THESEUS__STATUS__STATUS_BAD_REQUEST, "too-large");
}

/* ---- the log ---- */

static Theseus__Response *get_log(uint32_t session, uint64_t since, uint32_t max, bool follow)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__LogGet get = THESEUS__LOG_GET__INIT;

	get.since_seq = since;
	get.max_records = max;
	get.follow = follow;
	req.body_case = THESEUS__REQUEST__BODY_LOG;
	req.log = &get;
	return fake_call(session, &req);
}

static void the_log_is_read_in_pieces(void **state)
{
	Theseus__Response *r;
	uint64_t next = 0, seen = 0;

	(void)state;
	for (unsigned i = 0; i < 500; i++)
		fake_log("a line of text that has some length to it, as lines of text do");
	for (;;) {
		size_t n;

		r = get_log(1, next, 0, false);
		n = r->log->n_records;
		for (size_t i = 0; i < n; i++)
			assert_int_equal(r->log->records[i]->seq, ++seen);
		next = r->log->next_seq;
		free_response(r);
		if (n == 0)
			break;
	}
	assert_int_equal(seen, 500);
	r = get_log(1, 0, 7, false);
	assert_int_equal(r->log->n_records, 7);
	free_response(r);
}

static void followers_get_events(void **state)
{
	Theseus__Event *e;

	(void)state;
	fake_log("before");
	expect_ok(get_log(1, 0, 0, true));
	fake_log("after");
	fake_run();
	e = fake_take_event(1);
	assert_non_null(e);
	assert_int_equal(e->body_case, THESEUS__EVENT__BODY_LOG);
	assert_string_equal(e->log->text, "after");
	assert_int_equal(e->log->seq, 2);
	theseus__event__free_unpacked(e, NULL);
	fake_send(FRAME_SESSION_END, 1, 0, NULL, 0);
	fake_run();
	assert_int_equal(agent->followers, 0);
	fake_log("unheard");
	fake_run();
	assert_null(fake_take_event(1));
}

static void a_follower_that_does_not_read_costs_no_memory(void **state)
{
	(void)state;
	expect_ok(get_log(1, 0, 0, true));
	fake.closed_window = true;
	for (unsigned i = 0; i < 20000; i++) {
		fake_log("a line of text that has some length to it, as lines of text do");
		if (i % 10 == 0)
			fake_run();
	}
	assert_true(agent->out_bytes <= AGENT_OUT_MAX + 2 * FRAME_SIZE_MAX);
}

/* ---- the end ---- */

static void shutdown_is_answered_first(void **state)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__Shutdown shutdown = THESEUS__SHUTDOWN__INIT;

	(void)state;
	shutdown.reset = 1;
	req.body_case = THESEUS__REQUEST__BODY_SHUTDOWN;
	req.shutdown = &shutdown;
	fake.undrained = true;
	expect_ok(fake_call(1, &req));
	assert_int_equal(fake.powered, 0); /* the host has not taken the answer yet */
	fake.undrained = false;
	fake_run();
	assert_int_equal(fake.powered, PLATFORM_EXIT_RESET);
}

static void shutdown_waits_for_nobody_for_long(void **state)
{
	Theseus__Request req = THESEUS__REQUEST__INIT;
	Theseus__Shutdown shutdown = THESEUS__SHUTDOWN__INIT;

	(void)state;
	req.body_case = THESEUS__REQUEST__BODY_SHUTDOWN;
	req.shutdown = &shutdown;
	fake.closed_window = true;
	assert_null(fake_call(1, &req));
	assert_int_equal(fake.powered, 0);
	fake.now += 2 * CLOCK_S;
	fake_run();
	assert_int_equal(fake.powered, PLATFORM_EXIT_POWEROFF);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(hello_agrees_on_a_protocol),
		CASE(status_tells_how_it_is),
		CASE(cells_are_listed),
		CASE(many_cells_are_listed),
		CASE(tasks_are_listed_some_at_a_time),
		CASE(one_task_has_its_stack),
		CASE(dependencies_are_listed),
		CASE(commands_run_and_answer),
		CASE(too_many_or_too_long_words_are_refused),
		CASE(a_request_sent_again_is_not_served_again),
		CASE(who_asks_again_meanwhile_gets_the_answer),
		CASE(answers_are_remembered_within_bounds),
		CASE(a_command_that_hangs_is_answered_in_time),
		CASE(uploads_are_checked_at_every_step),
		CASE(uploads_go_with_their_session),
		CASE(uploads_are_bounded_together),
		CASE(a_bundle_is_pushed_and_swapped_in),
		CASE(a_swap_is_an_event_for_everybody),
		CASE(what_is_refused_comes_with_all_reasons),
		CASE(an_upload_is_whole_before_it_is_staged),
		CASE(of_two_who_stage_one_is_told_so),
		CASE(nothing_disturbs_a_swap_under_way),
		CASE(clients_that_vanish_leave_nothing_behind),
		CASE(more_sessions_than_places_push_out_the_silent),
		CASE(sessions_that_hold_something_are_not_pushed_out),
		CASE(another_peer_starts_afresh),
		CASE(answers_for_who_is_gone_are_dropped),
		CASE(a_peer_that_does_not_read_stops_being_served),
		CASE(garbage_is_passed_over),
		CASE(malformed_messages_are_told_so),
		CASE(a_message_of_many_small_parts_is_too_large),
		CASE(the_log_is_read_in_pieces),
		CASE(followers_get_events),
		CASE(a_follower_that_does_not_read_costs_no_memory),
		CASE(shutdown_is_answered_first),
		CASE(shutdown_waits_for_nobody_for_long),
	};

	return cmocka_run_group_tests_name("agent", tests, NULL, NULL);
}
