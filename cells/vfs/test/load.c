/* SPDX-License-Identifier: MIT */
/* The same clients as a cell of its own, for system tests: they run while commands do. */
#include <theseus/command.h>

#include <string.h>

#include "clients.h"

CELL_INFO(.name = "file_clients", .version = "1.0.0",
	  .summary = "reads and writes a thousand open files and checks every byte",
	  .safety = CELL_SAFE, .quiescence = CELL_QUIESCE_ANY);
CELL_STATE(struct clients, clients);

static int64_t client(uint64_t arg)
{
	return clients_run(&clients, arg);
}
CELL_PROVIDE(task_ops, file_client) = {.run = client};

static int start(struct command_io *io)
{
	int r;

	if (clients.n > 0) {
		command_printf(io, "they run already\n");
		return 1;
	}
	memset(&clients, 0, sizeof(clients));
	r = clients_start(&clients, IFACE(task_ops, file_client), CLIENTS_MAX);
	if (r < 0)
		command_printf(io, "error %d\n", -r);
	return r < 0;
}

static int stop(struct command_io *io)
{
	int r = clients_stop(&clients);

	clients.n = 0;
	if (r < 0)
		command_printf(io, "error %d\n", -r);
	return r < 0;
}

static int run(struct command_io *io, int argc, const char *const *argv)
{
	struct clients_sum sum;

	if (argc == 2 && strcmp(argv[1], "start") == 0)
		return start(io);
	if (argc == 2 && strcmp(argv[1], "stop") == 0)
		return stop(io);
	if (argc != 1) {
		command_printf(io, "usage: file-clients [start|stop]\n");
		return 2;
	}
	clients_sum(&clients, &sum);
	command_printf(
		io, "open=%llu\nrounds=%llu\nslowest=%llu\nwrong=%llu\nerrors=%llu\nerror=%lld\n",
		(unsigned long long)sum.open, (unsigned long long)sum.rounds,
		(unsigned long long)sum.slowest, (unsigned long long)sum.wrong,
		(unsigned long long)sum.errors, (long long)sum.error);
	return 0;
}
CELL_PROVIDE(command_ops, file_clients) = {
	.run = run,
	.help = "[start|stop]  clients of a thousand open files: what they saw",
};
