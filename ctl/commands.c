/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <stddef.h>

#include "help.h"

static const struct ctl_option run_options[] = {
	{"accel", 0, "auto|kvm|tcg", "what runs the guest (default: auto)"},
	{"cpus", 0, "N", "virtual CPUs, 1 to 16 (default: 1)"},
	{"mem", 0, "MIB", "guest memory (default: 128)"},
	{"guest", 0, "FILE", "the boot image (default: $THESEUS_GUEST, else as installed)"},
	{"bundle", 0, "FILE", "the boot bundle (default: $THESEUS_BUNDLE, else as installed)"},
	{"cmdline", 0, "TEXT", "command line of the guest"},
	{"timeout", 0, "T", "how long it may take to be ready (default: 60s)"},
	{"detach", 0, NULL, "return when the VM is ready"},
	{"verbose", 'v', NULL, "say where the boot time went"},
	{NULL},
};

static const struct ctl_option status_options[] = {
	{"verbose", 'v', NULL, "say where the boot time went"},
	{NULL},
};

static const struct ctl_option stop_options[] = {
	{"timeout", 0, "T", "how long the guest may take to shut down (default: 10s)"},
	{NULL},
};

static const struct ctl_option console_options[] = {
	{"timeout", 0, "T", "how long a line of a script may take (default: 60s)"},
	{NULL},
};

static const struct ctl_option log_options[] = {
	{"follow", 'f', NULL, "wait for more"},
	{"since", 0, "T", "only the records of the last T, as in 30s"},
	{NULL},
};

static const struct ctl_option deps_options[] = {
	{"reverse", 0, NULL, "who depends on the cell"},
	{"dot", 0, NULL, "everything that is reached from there, as a Graphviz graph"},
	{NULL},
};

static const struct ctl_option build_options[] = {
	{"output", 'o', "FILE", "the bundle to write"},
	{"sdk", 0, "FILE", "description of the SDK (default: $THESEUS_SDK, else as installed)"},
	{"define", 'D', "NAME[=VALUE]", "a macro for the compiler"},
	{"sequence", 0, "N", "sequence number of the bundle (default: 0)"},
	{"debug", 0, "FILE", "also write the debug information there"},
	{NULL},
};

static const struct ctl_option new_options[] = {
	{"sdk", 0, "FILE", "description of the SDK (default: $THESEUS_SDK, else as installed)"},
	{NULL},
};

static const struct ctl_option push_options[] = {
	{"timeout", 0, "T", "how long upload and linking may take (default: 30s)"},
	{NULL},
};

static const struct ctl_option swap_options[] = {
	{"stage", 0, "ID", "make live what was pushed before"},
	{"dry-run", 0, NULL, "all checks, no change"},
	{"expect-generation", 0, "G", "refuse unless G is running"},
	{"timeout", 0, "T", "how long to wait for a safe point (default: 1s)"},
	{NULL},
};

static const struct ctl_option exec_options[] = {
	{"timeout", 0, "T", "how long the command may take (default: 10s)"},
	{NULL},
};

static const struct ctl_option demo_options[] = {
	{"accel", 0, "auto|kvm|tcg", "for the VM that is started (default: auto)"},
	{"cpus", 0, "N", "for the VM that is started (default: 2)"},
	{NULL},
};

static const struct ctl_option bench_options[] = {
	{"accel", 0, "auto|kvm|tcg", "for the VMs that are started (default: auto)"},
	{"cpus", 0, "N", "for the VMs that are started (default: 2)"},
	{"rounds", 0, "N", "how often both sides take turns, 1 to 25 (default: 5)"},
	{"time", 0, "T", "how long each benchmark goes on in a round (default: 50ms)"},
	{NULL},
};

const struct ctl_command ctl_commands[] = {
	{"run", "", 0, 0, 0, run_options, "starts a VM and shows its log until it ends", cmd_run},
	{"ls", "", 0, 0, 0, NULL, "the VMs of this user", cmd_ls},
	{"status", "", 0, 0, 0, status_options, "state of a VM and of its guest", cmd_status},
	{"stop", "", 0, 0, 0, stop_options, "asks the guest to shut down", cmd_stop},
	{"kill", "", 0, 0, 0, NULL, "ends the VM at once", cmd_kill},
	{"console", "", 0, 0, 0, console_options,
	 "attaches to the guest's console, ^] detaches; or runs a script on it", cmd_console},
	{"log", "", 0, 0, 0, log_options, "the guest's log", cmd_log},
	{"cells", "", 0, 0, 0, NULL, "the cells that are loaded", cmd_cells},
	{"cell show", "CELL", 1, 1, 0, NULL, "everything about a loaded cell", cmd_cell_show},
	{"cell deps", "CELL", 1, 1, 0, deps_options, "what a cell depends on", cmd_cell_deps},
	{"cell new", "NAME", 1, 1, 0, new_options,
	 "writes a cell in two versions, with a test and a Makefile", cmd_cell_new},
	{"cell build", "DIR | SRC... -o FILE", 1, -1, 0, build_options,
	 "makes a bundle of one cell out of its C files", cmd_cell_build},
	{"cell inspect", "FILE", 1, 1, 0, NULL, "what is in a bundle", cmd_cell_inspect},
	{"tasks", "", 0, 0, 0, NULL, "the tasks of the guest", cmd_tasks},
	{"task show", "ID | NAME", 1, 1, 0, NULL, "everything about a task, with its stack",
	 cmd_task_show},
	{"push", "FILE", 1, 1, 0, push_options, "stages a bundle: linked, checked, not yet live",
	 cmd_push},
	{"swap-cell", "CELL=FILE... | FILE | --stage ID", 0, -1, 0, swap_options,
	 "replaces cells of the running system, all or none", cmd_swap_cell},
	{"exec", "COMMAND [ARGS]", 1, -1, CTL_PASS_REST, exec_options,
	 "runs a command that a cell exports; its status is the exit status", cmd_exec},
	{"symbols", "", 0, 0, 0, NULL, "gdb's add-symbol-file lines for what is loaded",
	 cmd_symbols},
	{"metrics", "", 0, 0, 0, NULL, "counters of theseus-vmm as Prometheus text", cmd_metrics},
	{"bench", "[NAME]", 0, 1, 0, bench_options,
	 "measures what operations cost, in the guest and on Linux", cmd_bench},
	{"demo swap", "", 0, 0, 0, demo_options,
	 "swaps a cell under load and checks that no call is lost", cmd_demo_swap},
	{"help", "[COMMAND]", 0, 2, 0, NULL, "the help of a command", cmd_help},
	{NULL},
};
