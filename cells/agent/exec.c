/* SPDX-License-Identifier: MIT */
/* Commands: the agent queues them, the worker `agent_exec` runs them one after another. */
#include <string.h>

#include <theseus/heap.h>
#include <theseus/service.h>

#include "agent.h"
#include "worker.h"

#define LIMIT_NS (30 * CLOCK_S) /* where the client names none */

static uint32_t state_of(const struct agent_exec_job *j)
{
	return __atomic_load_n(&j->state, __ATOMIC_ACQUIRE);
}

static void set_state(struct agent_exec_job *j, uint32_t state)
{
	__atomic_store_n(&j->state, state, __ATOMIC_RELEASE);
}

/* Copies command and arguments. Result: 0, -E2BIG. */
static int copy_args(struct agent_exec_job *j, const Theseus__Exec *m)
{
	size_t at = 0;

	if (m->n_args >= COMMAND_ARGS_MAX)
		return -E2BIG;
	for (size_t i = 0; i <= m->n_args; i++) {
		const char *arg = i ? m->args[i - 1] : m->command;
		size_t n = strlen(arg) + 1;

		if (n > sizeof(j->text) - at)
			return -E2BIG;
		memcpy(j->text + at, arg, n);
		j->args[i] = (uint16_t)at;
		at += n;
	}
	j->argc = (int)m->n_args + 1;
	return 0;
}

static struct agent_exec_job *free_job(void)
{
	for (unsigned i = 0; i < AGENT_EXEC_JOBS; i++) {
		if (state_of(&agent->exec[i]) == AGENT_JOB_FREE)
			return &agent->exec[i];
	}
	return NULL;
}

void agent_exec(const struct agent_call *call, const Theseus__Exec *m, uint64_t limit_ns)
{
	struct agent_exec_job *j = free_job();

	if (!agent->exec_output)
		agent->exec_output = heap_alloc(CELL_SELF, COMMAND_OUTPUT_MAX);
	if (!j || !agent->exec_output) {
		agent_fail(call, j ? THESEUS__STATUS__STATUS_NO_MEMORY : THESEUS__STATUS__STATUS_BUSY,
			   j ? "no-memory" : "busy",
			   j ? "no memory for the output" : "%u commands are waiting already",
			   AGENT_EXEC_JOBS);
		return;
	}
	if (m->command[0] == '\0' || copy_args(j, m) < 0) {
		agent_fail(call, THESEUS__STATUS__STATUS_BAD_REQUEST, "bad-request",
			   "a command has 1 to %d words of together at most %u bytes",
			   COMMAND_ARGS_MAX, AGENT_EXEC_TEXT);
		return;
	}
	j->call = *call;
	j->answered = false;
	j->order = ++agent->next_order;
	j->deadline_ns = clock_after(limit_ns ? limit_ns : LIMIT_NS);
	set_state(j, AGENT_JOB_QUEUED);
	agent_wake_exec();
}

/* ---- in the worker ---- */

static struct agent_exec_job *oldest_job(uint32_t state)
{
	struct agent_exec_job *oldest = NULL;

	for (unsigned i = 0; i < AGENT_EXEC_JOBS; i++) {
		struct agent_exec_job *j = &agent->exec[i];

		if (state_of(j) == state && (!oldest || j->order < oldest->order))
			oldest = j;
	}
	return oldest;
}

static void run(struct agent_exec_job *j)
{
	const char *argv[COMMAND_ARGS_MAX + 1] = {NULL};
	struct command_io io;

	for (int i = 0; i < j->argc; i++)
		argv[i] = j->text + j->args[i];
	command_io_init(&io, agent->exec_output, COMMAND_OUTPUT_MAX);
	j->status = command_run(&io, j->argc, argv);
	j->used = io.used;
	j->truncated = io.truncated;
}

/* One command a step; its output stays until the agent has sent it. */
struct service_next agent_exec_step(void)
{
	struct agent_exec_job *j = oldest_job(AGENT_JOB_QUEUED);

	if (!j || oldest_job(AGENT_JOB_DONE))
		return service_wait(CLOCK_NEVER);
	run(j);
	set_state(j, AGENT_JOB_DONE);
	agent_wake();
	return service_again();
}

/* ---- back in the agent ---- */

static void answer(const struct agent_exec_job *j)
{
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__ExecReply reply = THESEUS__EXEC_REPLY__INIT;

	if (j->status == -ENOENT && j->used == 0) {
		agent_fail(&j->call, THESEUS__STATUS__STATUS_NOT_FOUND, "no-such-command",
			   "no cell offers the command \"%.64s\"", j->text);
		return;
	}
	reply.output = (ProtobufCBinaryData){j->used, (uint8_t *)agent->exec_output};
	reply.status = j->status;
	reply.truncated = j->truncated;
	r.body_case = THESEUS__RESPONSE__BODY_EXEC;
	r.exec = &reply;
	agent_answer(&j->call, &r);
}

uint64_t agent_exec_collect(void)
{
	uint64_t now = clock_now_ns(), next = CLOCK_NEVER;
	struct agent_exec_job *j;

	while ((j = oldest_job(AGENT_JOB_DONE))) {
		if (!j->answered)
			answer(j);
		set_state(j, AGENT_JOB_FREE);
		agent_wake_exec();
	}
	for (unsigned i = 0; i < AGENT_EXEC_JOBS; i++) {
		j = &agent->exec[i];
		if (state_of(j) != AGENT_JOB_QUEUED || j->answered)
			continue;
		if (j->deadline_ns <= now) {
			j->answered = true;
			agent_fail(&j->call, THESEUS__STATUS__STATUS_TIMED_OUT, "timed-out",
				   "the command \"%.64s\" has not finished in time", j->text);
		} else if (j->deadline_ns < next) {
			next = j->deadline_ns;
		}
	}
	return next;
}
