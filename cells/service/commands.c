/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <theseus/command.h>
#include <theseus/service.h>

/* The command cell comes later in the link order: its printing cannot be imported. */
static void print_line(struct command_io *io, const struct service_info *s)
{
	size_t room = io->size - io->used;
	int n = snprintf(io->buf + io->used, room,
			 "%-20s %-9s %3u %12llu %10llu %5d %6llu %6llu %6d\n", s->name,
			 s->overdue ? "overdue" : service_state_name(s->state), s->runners,
			 (unsigned long long)s->steps, (unsigned long long)s->wakes, s->error,
			 (unsigned long long)s->fault, (unsigned long long)s->late, s->health);

	if (n < 0 || (size_t)n >= room)
		io->truncated = true;
	else
		io->used += (size_t)n;
}

static int run(struct command_io *io, int argc, const char *const *argv)
{
	static const char head[] =
		"NAME                 STATE     RUN        STEPS      WAKES ERROR  FAULT   LATE "
		"HEALTH\n";
	struct service_info s;

	(void)argv;
	if (argc != 1)
		return -EINVAL;
	for (size_t i = 0; head[i] && io->used < io->size; i++)
		io->buf[io->used++] = head[i];
	for (uint32_t i = 0; !io->truncated && service_at(i, &s) == 0; i++)
		print_line(io, &s);
	return 0;
}
CELL_PROVIDE(command_ops, services) = {.run = run, .help = "  services with their state"};
