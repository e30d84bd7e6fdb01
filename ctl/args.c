/* SPDX-License-Identifier: MIT */
#include "ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "help.h"
#include "util.h"

const struct ctl_option ctl_global_options[] = {
	{"name", 'n', "NAME", "the VM (default: $THESEUS_VM)"},
	{"socket", 0, "PATH", "its operator socket, wherever it is"},
	{"domain", 0, "DOMAIN", "a libvirt domain instead"},
	{"connect", 0, "URI", "the libvirt to ask (default: qemu:///system)"},
	{"json", 0, NULL, "one JSON object a command, one a line for streams"},
	{"quiet", 'q', NULL, "no progress, errors only"},
	{"help", 'h', NULL, "this help, or a command's"},
	{"version", 0, NULL, "version of the tool and of the protocol"},
	{NULL},
};

struct parser {
	struct ctl *c;
	int argc;
	char **argv;
	int at;  /* next word to look at */
	int out; /* words kept so far, at argv[0..out) */
	bool help, version;
};

/* Is @word the option @o? Then *ret_value is what is attached to it ("--x=v", "-xv"), or NULL. */
static bool option_matches(const struct ctl_option *o, const char *word, const char **ret_value)
{
	size_t n = strlen(o->name);

	if (word[1] == '-') {
		if (strncmp(word + 2, o->name, n) || (word[2 + n] && word[2 + n] != '='))
			return false;
		*ret_value = word[2 + n] ? word + 2 + n + 1 : NULL;
		return true;
	}
	if (!o->letter || word[1] != o->letter || (word[2] && !o->arg))
		return false;
	*ret_value = word[2] ? word + 2 : NULL;
	return true;
}

static const struct ctl_option *option_find(const struct ctl_option *table, const char *word,
					    const char **ret_value)
{
	for (; table && table->name; table++)
		if (option_matches(table, word, ret_value))
			return table;
	return NULL;
}

/* The value of @o: what was attached, else the next word. */
static int option_value(struct parser *p, const struct ctl_option *o, const char *attached,
			const char **ret_value)
{
	if (!o->arg) {
		if (attached)
			return ctl_error(p->c, CTL_USAGE, "usage", "--%s takes no value", o->name);
		*ret_value = "";
		return 0;
	}
	if (!attached && p->at < p->argc)
		attached = p->argv[p->at++];
	if (!attached || !*attached)
		return ctl_error(p->c, CTL_USAGE, "usage", "--%s needs a value: %s", o->name,
				 o->arg);
	*ret_value = attached;
	return 0;
}

static int take_global(struct parser *p, const struct ctl_option *o, const char *attached)
{
	struct ctl *c = p->c;
	const char *value;
	int r = option_value(p, o, attached, &value);

	if (r)
		return r;
	if (!strcmp(o->name, "name"))
		c->name = value;
	else if (!strcmp(o->name, "socket"))
		c->socket = value;
	else if (!strcmp(o->name, "domain"))
		c->domain = value;
	else if (!strcmp(o->name, "connect"))
		c->connect = value;
	else if (!strcmp(o->name, "json"))
		c->json = true;
	else if (!strcmp(o->name, "quiet"))
		c->quiet = true;
	else if (!strcmp(o->name, "help"))
		p->help = true;
	else
		p->version = true;
	return 0;
}

static int take_option(struct parser *p, const char *word)
{
	const struct ctl_command *cmd = p->c->command;
	const char *attached = NULL, *value;
	const struct ctl_option *o;
	int r;

	o = option_find(ctl_global_options, word, &attached);
	if (o)
		return take_global(p, o, attached);
	if (!cmd)
		return ctl_error(p->c, CTL_USAGE, "usage", "no such option: %s (see --help)", word);
	o = option_find(cmd->options, word, &attached);
	if (o && (cmd->flags & CTL_RAW)) {
		p->argv[p->out++] = p->argv[p->at - 1];
		if (o->arg && !attached && p->at < p->argc)
			p->argv[p->out++] = p->argv[p->at++];
		return 0;
	}
	if (!o)
		return ctl_error(p->c, CTL_USAGE, "usage",
				 "%s has no option %s (see \"theseusctl help %s\")", cmd->verb,
				 word, cmd->verb);
	r = option_value(p, o, attached, &value);
	if (r)
		return r;
	p->c->values[o - cmd->options] = value;
	return 0;
}

/* The row for @word, or for @word and @next; *ret_words says how many were used. */
static const struct ctl_command *command_find(const char *word, const char *next, int *ret_words)
{
	size_t n = strlen(word);

	for (const struct ctl_command *cmd = ctl_commands; cmd->verb; cmd++) {
		if (!strcmp(cmd->verb, word)) {
			*ret_words = 1;
			return cmd;
		}
		if (next && !strncmp(cmd->verb, word, n) && cmd->verb[n] == ' ' &&
		    !strcmp(cmd->verb + n + 1, next)) {
			*ret_words = 2;
			return cmd;
		}
	}
	return NULL;
}

static int no_such_command(struct ctl *c, const char *word, const char *next)
{
	size_t n = strlen(word);

	for (const struct ctl_command *cmd = ctl_commands; cmd->verb; cmd++) {
		if (strncmp(cmd->verb, word, n) || cmd->verb[n] != ' ')
			continue;
		if (next && *next != '-')
			return ctl_error(c, CTL_USAGE, "usage",
					 "no such command: %s %s (see --help)", word, next);
		return ctl_error(c, CTL_USAGE, "usage",
				 "%s needs a second word, as in \"%s\" (see --help)", word,
				 cmd->verb);
	}
	return ctl_error(c, CTL_USAGE, "usage", "no such command: %s (see --help)", word);
}

static int take_verb(struct parser *p)
{
	const char *word = p->argv[p->at - 1], *next = p->at < p->argc ? p->argv[p->at] : NULL;
	int words = 1;

	p->c->command = command_find(word, next, &words);
	if (!p->c->command)
		return no_such_command(p->c, word, next);
	p->at += words - 1;
	p->out = 1; /* argv[0] becomes the verb */
	return 0;
}

static int check_words(struct ctl *c, int words)
{
	const struct ctl_command *cmd = c->command;

	if (cmd->flags & CTL_RAW)
		return 0;
	if (words < cmd->min_args)
		return ctl_error(c, CTL_USAGE, "usage", "%s needs more: %s %s", cmd->verb,
				 cmd->verb, cmd->args);
	if (cmd->max_args >= 0 && words > cmd->max_args)
		return ctl_error(c, CTL_USAGE, "usage", "%s takes no more than: %s%s%s", cmd->verb,
				 cmd->verb, *cmd->args ? " " : "", cmd->args);
	return 0;
}

int ctl_parse(struct ctl *c, int argc, char **argv, int *ret_argc)
{
	struct parser p = {.c = c, .argc = argc, .argv = argv, .at = 1};
	bool words_only = false;
	int r = 0;

	while (p.at < argc && !r) {
		char *word = argv[p.at++];

		if (!words_only && !strcmp(word, "--") && c->command)
			words_only = true;
		else if (!words_only && word[0] == '-' && word[1])
			r = take_option(&p, word);
		else if (!c->command)
			r = take_verb(&p);
		else {
			argv[p.out++] = word;
			words_only |= (c->command->flags & CTL_PASS_REST) != 0;
		}
	}
	if (r)
		return r;
	if (p.version || p.help) {
		if (p.version)
			help_version(c);
		else
			help_print(c, c->command);
		c->command = NULL;
		return 0;
	}
	if (!c->command)
		return ctl_error(c, CTL_USAGE, "usage", "no command given (see --help)");
	argv[0] = (char *)(uintptr_t)c->command->verb;
	*ret_argc = p.out;
	return check_words(c, p.out - 1);
}

const char *ctl_option(const struct ctl *c, const char *name)
{
	for (const struct ctl_option *o = c->command->options; o && o->name; o++)
		if (!strcmp(o->name, name))
			return c->values[o - c->command->options];
	return NULL;
}

int ctl_option_number(struct ctl *c, const char *name, uint64_t min, uint64_t max, uint64_t *value)
{
	const char *s = ctl_option(c, name);
	uint64_t v;

	if (!s)
		return 0;
	if (parse_number(s, &v) || v < min || v > max)
		return ctl_error(c, CTL_USAGE, "usage",
				 "--%s %s: a number from %llu to %llu is expected", name, s,
				 (unsigned long long)min, (unsigned long long)max);
	*value = v;
	return 0;
}

int ctl_option_duration(struct ctl *c, const char *name, uint64_t *value_ns)
{
	const char *s = ctl_option(c, name);

	if (s && parse_duration(s, value_ns))
		return ctl_error(c, CTL_USAGE, "usage",
				 "--%s %s: a time is expected, as in 500ms, 2s, 5m; at most 24h",
				 name, s);
	return 0;
}
