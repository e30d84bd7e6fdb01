/* SPDX-License-Identifier: MIT */
#include "agent.h"

#include <theseus/gate-call.h>
#include <theseus/heap.h>
#include <theseus/log.h>
#include <theseus/platform.h>

#include "worker.h"

CELL_INFO(.name = "agent", .version = "1.0.0", .summary = "the control channel's guest end",
	  .grants = GATE_GRANT_POWER, .safety = CELL_UNSAFE,
	  .unsafe_reason =
		  "ends the VM through the gate; contains libprotobuf-c, which is foreign code",
	  .quiescence = CELL_QUIESCE_IDLE);

CELL_CONSUMES(command_ops);

CELL_STATE(struct agent_state, agent_state);

struct agent_state *const agent = &agent_state;

#define PORT_PAGES 4u
#define RECEIVES_A_STEP 8u
#define STEP_LIMIT_NS (1000 * CLOCK_MS)
#define ANNOUNCE_NS (20 * CLOCK_MS) /* that a Hello may take before COM1 is told anyway */

static struct service_next step(void);
CELL_PROVIDE(service_ops, agent) = {.step = step, .step_limit_ns = STEP_LIMIT_NS};
CELL_PROVIDE(service_ops, agent_exec) = {.step = agent_exec_step};
CELL_PROVIDE(service_ops, agent_change) = {.step = agent_change_step};

void agent_wake(void)
{
	(void)service_wake(IFACE(service_ops, agent));
}

void agent_wake_exec(void)
{
	(void)service_wake(IFACE(service_ops, agent_exec));
}

void agent_wake_change(void)
{
	(void)service_wake(IFACE(service_ops, agent_change));
}

CELL_PROVIDE(swap_watch_ops, agent) = {.changed = agent_wake};

int agent_swap_start(uint64_t id, const struct swap_options *options)
{
	return swap_start(id, options, IFACE(swap_watch_ops, agent));
}

CELL_PROVIDE(console_client_ops, agent) = {.event = agent_wake};

static void log_changed(void)
{
	if (__atomic_load_n(&agent->followers, __ATOMIC_RELAXED))
		agent_wake();
}
CELL_PROVIDE(log_watch_ops, agent) = {.changed = log_changed};

/* Without a control port the rest of the system runs all the same. */
static int agent_init(const struct cell_boot *boot)
{
	int r = log_watch(IFACE(log_watch_ops, agent));

	if (r < 0)
		return r;
	agent->record = boot->record;
	agent->decoder = heap_alloc(CELL_SELF, sizeof(*agent->decoder));
	if (!agent->decoder)
		return -ENOMEM;
	frame_decoder_init(agent->decoder);
	r = console_attach(PLATFORM_CONTROL_PORT, IFACE(console_client_ops, agent), PORT_PAGES,
			   &agent->link);
	agent->attached = r == 0;
	if (r < 0 && r != -ENODEV)
		log_write(LOG_ERROR, CELL_SELF, "no control port: %d", r);
	return 0;
}
CELL_PROVIDE(cell_ops, agent) = {.init = agent_init};

/* The answer to the shutdown is the last thing the host gets, if it takes it. */
static struct service_next power(bool flushed)
{
	if (clock_now_ns() < agent->end_deadline_ns &&
	    !(flushed && console_drained(agent->link) != 0))
		return service_wait(agent->end_deadline_ns);
	gate_power(agent->end);
}

static bool receive(void)
{
	for (unsigned i = 0; i < RECEIVES_A_STEP; i++) {
		if (agent->out_bytes >= AGENT_OUT_MAX)
			return false; /* room for answers first: event() comes with it */
		if (!agent_receive())
			return false;
	}
	return true;
}

/*
 * The line on COM1 takes a millisecond on a PVM host: whoever waits for Hello is answered
 * first. Result: when to look again.
 */
static uint64_t announce(uint64_t next)
{
	if (agent->announced)
		return next;
	if (agent->announce_ns == 0)
		agent->announce_ns = clock_after(ANNOUNCE_NS);
	if (!agent->greeted && clock_now_ns() < agent->announce_ns)
		return next < agent->announce_ns ? next : agent->announce_ns;
	agent->announced = true;
	log_announce(CELL_SELF, "ready");
	return next;
}

static struct service_next step(void)
{
	bool more, flushed;
	uint64_t next;

	if (!agent->attached)
		return service_done();
	next = agent_exec_collect();
	agent_change_collect();
	more = agent_log_push();
	if (!agent->end)
		more |= receive();
	flushed = agent_flush();
	if (agent->end)
		return power(flushed);
	next = announce(next);
	return more ? service_again() : service_wait(next);
}
