/* SPDX-License-Identifier: MIT */
/*
 * Tries to break the gate's rules from a cell of the running system, and says what came of
 * it. No part of boot.cells: tests bring it in with a swap. It asks for more grants than a
 * sane cell, so that the rules behind the grants are tried too.
 */
#include "selftest.h"

#include <theseus/upcall.h>

CELL_INFO(.name = "selftest", .version = "1.0.0", .summary = "tries to break the gate's rules",
	  .grants = GATE_GRANT_MEMORY | GATE_GRANT_TEXT, .safety = CELL_UNSAFE,
	  .unsafe_reason = "breaks the gate's rules on purpose", .quiescence = CELL_QUIESCE_ANY);

#define JOIN_NS (5 * CLOCK_S)

static int64_t fault_run(uint64_t index)
{
	fault_checks[index].run();
	return 0;
}
CELL_PROVIDE(task_ops, selftest_fault) = {.run = fault_run};

static bool say(struct command_io *io, const char *name, int64_t result)
{
	if (result == 0)
		command_printf(io, "ok      %s\n", name);
	else
		command_printf(io, "FAILED  %s: %lld\n", name, (long long)result);
	return result == 0;
}

/* Result: 0 when the task ended by the fault that was expected. */
static int64_t try_fault(unsigned index)
{
	struct upcall_fault fault;
	struct task_exit exit;
	struct task_ref task;
	int r = task_spawn(NULL, IFACE(task_ops, selftest_fault), index, &task);

	if (r < 0)
		return r;
	r = task_join(task, clock_after(JOIN_NS), &exit);
	if (r < 0)
		return r;
	if (exit.end != TASK_FAULTED)
		return 1;
	r = upcall_fault_get(exit.fault, &fault);
	if (r < 0)
		return r;
	return fault.vector == fault_checks[index].vector ? 0 : 1000 + (int64_t)fault.vector;
}

static int selftest_run(struct command_io *io, int argc, const char *const *argv)
{
	unsigned failed = 0, n = 0;

	(void)argv;
	if (argc != 1) {
		command_printf(io, "usage: selftest\n");
		return 2;
	}
	for (unsigned i = 0; i < n_gate_checks; i++, n++)
		failed += !say(io, gate_checks[i].name, gate_checks[i].run());
	for (unsigned i = 0; i < n_fault_checks; i++, n++)
		failed += !say(io, fault_checks[i].name, try_fault(i));
	command_printf(io, "checks=%u failed=%u\n", n, failed);
	return failed ? 1 : 0;
}
CELL_PROVIDE(command_ops, selftest) = {
	.run = selftest_run,
	.help = "  tries to break the gate's rules",
};
