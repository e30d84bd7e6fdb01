/* SPDX-License-Identifier: MIT */
/*
 * theseusctl: what all of its parts share. A command is one row of the table in commands.c
 * and one function in the file of its family.
 *
 * Results: functions that can fail return 0 or one of enum ctl_exit, and then have filled the
 * error of the `struct ctl` by ctl_error(); main() prints it once. Data goes to stdout, all
 * else to stderr; with --json the error is data too.
 */
#ifndef THESEUS_CTL_H
#define THESEUS_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CTL_OPTIONS_MAX 16

/* Exit status of the program: part of the operator's contract. */
enum ctl_exit {
	CTL_DONE = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_NO_VM = 3,     /* no such VM, or it does not answer */
	CTL_REFUSED = 4,   /* by a check; nothing changed */
	CTL_TIMED_OUT = 5, /* undone */
	CTL_LOST = 6,      /* the guest was lost or reset meanwhile */
	CTL_REVERTED = 7,  /* in probation */
};

struct ctl;

/* One option. @arg: what its value is called in the help, NULL for a switch. */
struct ctl_option {
	const char *name; /* without the dashes */
	char letter;      /* 0 = none */
	const char *arg;
	const char *help;
};

enum ctl_command_flags {
	/* The first word that is no option ends option parsing: the rest is another's business. */
	CTL_PASS_REST = 1 << 0,
	/* The function parses the command's options itself; global ones are taken out before. */
	CTL_RAW = 1 << 1,
};

struct ctl_command {
	const char *verb;       /* one word, or two with a space */
	const char *args;       /* for the help: "CELL=F... | F" */
	int min_args, max_args; /* words beside options; max -1 = any number */
	unsigned int flags;
	const struct ctl_option *options; /* ends with a NULL name; NULL = none */
	const char *help;                 /* one line */
	/* argv[0] is the verb, argv[1..argc-1] the words that are no options. */
	int (*fn)(struct ctl *c, int argc, char **argv);
};

struct ctl_error {
	int status; /* enum ctl_exit; 0 = no error */
	char *code; /* stable word for programs */
	char *message;
	char **reasons;
	size_t n_reasons;
};

struct ctl {
	/* global options; borrowed from argv or the environment */
	const char *name, *socket, *domain, *connect;
	bool json, quiet;

	const struct ctl_command *command;
	const char *values[CTL_OPTIONS_MAX]; /* by index into command->options */
	struct ctl_error error;
};

/* The table; ends with a NULL verb. */
extern const struct ctl_command ctl_commands[];
extern const struct ctl_option ctl_global_options[];

/* The whole program but for the process: exit status. @argv is changed in its order only. */
int ctl_main(int argc, char **argv);

/*
 * Takes global options from anywhere and finds the command. On success c->command is set (NULL
 * when only --help or --version was asked for and has been printed), and *ret_argc, argv[0..]
 * are what its function gets.
 */
int ctl_parse(struct ctl *c, int argc, char **argv, int *ret_argc);

/* Value of option @name of the running command: NULL if absent, "" for a switch that was given. */
const char *ctl_option(const struct ctl *c, const char *name);

/*
 * The same as a number or a duration ("250ms", "1s"; a bare number is seconds); *value is left
 * alone when the option is absent. A malformed or out-of-range value is CTL_USAGE.
 */
int ctl_option_number(struct ctl *c, const char *name, uint64_t min, uint64_t max, uint64_t *value);
int ctl_option_duration(struct ctl *c, const char *name, uint64_t *value_ns);

/* Sets the error, replacing an earlier one. Result: @status. */
int ctl_error(struct ctl *c, int status, const char *code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void ctl_error_reason(struct ctl *c, const char *reason);
void ctl_error_clear(struct ctl *c);

/* Out of memory: says so. Result: CTL_FAILED. */
int ctl_oom(struct ctl *c);

/* A line about progress, on stderr unless -q or --json. */
void ctl_note(const struct ctl *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
