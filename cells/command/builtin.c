/* SPDX-License-Identifier: MIT */
/* Commands about the system as a whole, which no other cell would offer. */
#include <theseus/command.h>

#include <string.h>

#include <theseus/frames.h>
#include <theseus/heap.h>
#include <theseus/loader.h>
#include <theseus/mapped.h>
#include <theseus/task.h>

static int usage(struct command_io *io, const char *text)
{
	command_printf(io, "usage: %s\n", text);
	return 2;
}

static int help_run(struct command_io *io, int argc, const char *const *argv)
{
	char name[CELL_NAME_MAX];
	struct command_ops_h h;

	if (argc > 2)
		return usage(io, "help [COMMAND]");
	for (uint32_t i = 0; iface_at("command_ops", i, name, &h.h) == 0; i++) {
		const struct command_ops *ops = command_ops_get(h);

		for (char *c = strchr(name, '_'); c; c = strchr(c, '_'))
			*c = '-';
		if (ops && (argc == 1 || strcmp(argv[1], name) == 0))
			command_printf(io, "%-14s %s\n", name, ops->help ? ops->help : "");
	}
	if (argc == 2 && io->used == 0) {
		command_printf(io, "%s: no cell offers this command\n", argv[1]);
		return 1;
	}
	return 0;
}
CELL_PROVIDE(command_ops, help) = {.run = help_run, .help = "[COMMAND]  what can be run"};

static int cells_run(struct command_io *io, int argc, const char *const *argv)
{
	struct loader_cell c;

	(void)argv;
	if (argc != 1)
		return usage(io, "cells");
	command_printf(io, "%-16s %-8s %4s %14s %8s %8s %5s  %s\n", "CELL", "VERSION", "GEN",
		       "TEXT", "BYTES", "STATE", "USERS", "SUMMARY");
	for (uint32_t i = 0; loader_cell_at(i, &c) == 0; i++)
		command_printf(io, "%-16s %-8s %4llu %#14llx %8llu %8llu %5u  %s\n", c.name,
			       c.version, (unsigned long long)c.generation,
			       (unsigned long long)c.text,
			       (unsigned long long)(c.text_bytes + c.rodata_bytes),
			       (unsigned long long)c.state_bytes, c.refs, c.summary);
	return 0;
}
CELL_PROVIDE(command_ops, cells) = {.run = cells_run, .help = "  the cells that are loaded"};

static int deps_run(struct command_io *io, int argc, const char *const *argv)
{
	bool reverse = argc == 3 && strcmp(argv[2], "reverse") == 0;
	struct loader_dep d;
	struct loader_cell c;

	if (argc < 2 || argc > 3 || (argc == 3 && !reverse))
		return usage(io, "deps CELL [reverse]");
	if (loader_cell_find(argv[1], &c) < 0) {
		command_printf(io, "%s: no such cell\n", argv[1]);
		return 1;
	}
	for (uint32_t i = 0; loader_dep_at(argv[1], reverse, i, &d) == 0; i++) {
		command_printf(io, "%-16s %-16s %5u ", d.cell, d.via, d.sites);
		for (uint32_t s = 0; s < d.n_symbols && s < ARRAY_SIZE(d.symbols); s++)
			command_printf(io, " %s", d.symbols[s]);
		command_printf(io, "%s\n", d.n_symbols > ARRAY_SIZE(d.symbols) ? " …" : "");
	}
	return 0;
}
CELL_PROVIDE(command_ops, deps) = {
	.run = deps_run,
	.help = "CELL [reverse]  what a cell uses, or who uses it",
};

static void print_cells_heaps(struct command_io *io)
{
	struct heap_stats heap;
	struct loader_cell c;

	command_printf(io, "%-16s %12s %8s\n", "CELL", "HEAP BYTES", "OBJECTS");
	for (uint32_t i = 0; loader_cell_at(i, &c) == 0; i++) {
		heap_stats(c.ref, &heap);
		if (heap.objects > 0)
			command_printf(io, "%-16s %12llu %8llu\n", c.name,
				       (unsigned long long)heap.bytes,
				       (unsigned long long)heap.objects);
	}
}

static int free_run(struct command_io *io, int argc, const char *const *argv)
{
	struct frames_stats frames;
	struct mapped_stats mapped;
	struct heap_stats heap;
	struct task_stats tasks;

	(void)argv;
	if (argc != 1)
		return usage(io, "free");
	heap_trim(); /* memory in use, not memory kept for speed */
	frames_stats(&frames);
	mapped_stats(&mapped);
	heap_stats((struct cell_ref){0}, &heap);
	task_stats(&tasks);
	command_printf(io,
		       "frames_total=%llu\nframes_used=%llu\nframes_free=%llu\nframes_peak=%llu\n"
		       "page_tables=%llu\nmapped_regions=%llu\nmapped_pages=%llu\n"
		       "mapped_own_pages=%llu\n"
		       "heap_bytes=%llu\nheap_objects=%llu\nheap_pages=%llu\n"
		       "tasks_ended_by_ledger=%llu\n",
		       (unsigned long long)frames.total, (unsigned long long)frames.used,
		       (unsigned long long)(frames.total - frames.used),
		       (unsigned long long)frames.peak, (unsigned long long)frames.tables,
		       (unsigned long long)mapped.regions, (unsigned long long)mapped.pages,
		       (unsigned long long)mapped.own_pages, (unsigned long long)heap.bytes,
		       (unsigned long long)heap.objects, (unsigned long long)heap.pages,
		       (unsigned long long)tasks.by_ledger);
	print_cells_heaps(io);
	return 0;
}
CELL_PROVIDE(command_ops, free) = {.run = free_run, .help = "  memory in use, and by which cells"};

static int version_run(struct command_io *io, int argc, const char *const *argv)
{
	const struct boot_record *record = boot_record();

	(void)argv;
	if (argc != 1)
		return usage(io, "version");
	command_printf(io, "gate %s, gate ABI %u, SDK ABI %u, generation %llu\n", record->build_id,
		       GATE_ABI, SDK_ABI, (unsigned long long)loader_generation());
	return 0;
}
CELL_PROVIDE(command_ops, version) = {.run = version_run, .help = "  what is running"};
