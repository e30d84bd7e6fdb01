/* SPDX-License-Identifier: MIT */
#include "help.h"

#include <stdio.h>
#include <string.h>

#include "client.h"
#include "render.h"

static void print_options(const struct ctl_option *o)
{
	for (; o && o->name; o++) {
		char left[48];

		(void)snprintf(left, sizeof(left), "%c%c%s--%s%s%s", o->letter ? '-' : ' ',
			       o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name,
			       o->arg ? " " : "", o->arg ? o->arg : "");
		printf("  %-30s %s\n", left, o->help);
	}
}

static void print_command(const struct ctl_command *cmd)
{
	printf("theseusctl [OPTIONS] %s%s%s%s\n\n%s\n", cmd->verb, cmd->options ? " [OPTIONS]" : "",
	       *cmd->args ? " " : "", cmd->args, cmd->help);
	if (cmd->options) {
		puts("\nOptions of the command:");
		print_options(cmd->options);
	}
	puts("\nGlobal options: see \"theseusctl --help\".");
}

static void print_tool(void)
{
	puts("theseusctl [-n NAME | --socket PATH | --domain DOMAIN [--connect URI]] [--json] [-q] "
	     "COMMAND [ARGS]\n\nCommands:");
	for (const struct ctl_command *cmd = ctl_commands; cmd->verb; cmd++)
		printf("  %-14s %s\n", cmd->verb, cmd->help);
	puts("\nOptions, before or after the command:");
	print_options(ctl_global_options);
	puts("\nExit status: 0 done, 1 failed, 2 usage, 3 no such VM or no answer, 4 refused by a "
	     "check,\n5 timed out and undone, 6 guest lost, 7 reverted in probation. "
	     "See theseusctl(1).");
}

void help_print(const struct ctl *c, const struct ctl_command *cmd)
{
	if (c->json)
		json_help();
	else if (cmd)
		print_command(cmd);
	else
		print_tool();
}

void help_version(const struct ctl *c)
{
	if (c->json)
		json_version();
	else
		printf("theseusctl %s, protocol %d\n", THESEUS_VERSION, CLIENT_PROTOCOL);
}

int cmd_help(struct ctl *c, int argc, char **argv)
{
	char verb[64];

	if (argc == 1) {
		help_print(c, NULL);
		return 0;
	}
	(void)snprintf(verb, sizeof(verb), "%s%s%s", argv[1], argc > 2 ? " " : "",
		       argc > 2 ? argv[2] : "");
	for (const struct ctl_command *cmd = ctl_commands; cmd->verb; cmd++) {
		if (!strcmp(cmd->verb, verb)) {
			help_print(c, cmd);
			return 0;
		}
	}
	return ctl_error(c, CTL_USAGE, "usage", "no such command: %s (see --help)", verb);
}
