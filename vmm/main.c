/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "marks.h"
#include "run.h"
#include "rundir.h"
#include "theseus/gate.h"
#include "version.h"

#define MEMORY_DEFAULT_MIB 128u
#define MEMORY_MIB_MAX (1u << 20)

static const char usage[] =
	"Usage: theseus-vmm --name NAME --guest FILE [OPTION]...\n"
	"Runs one Theseus VM in the foreground and serves its operator socket.\n"
	"\n"
	"  --name NAME      name of the VM: letters, digits, '.', '_' and '-'\n"
	"  --guest FILE     boot image (theseus.elf)\n"
	"  --bundle FILE    boot bundle (boot.cells)\n"
	"  --accel ACCEL    kvm, tcg (a QEMU child) or auto (the default: KVM where usable)\n"
	"  --cpus N         vCPUs, 1 to 16 (default 1)\n"
	"  --mem MIB        memory in MiB (default 128)\n"
	"  --cmdline TEXT   added to the guest's command line\n"
	"  --log FILE       log file (default: vmm.log in the VM's state directory)\n"
	"  --socket PATH    operator socket (default: sock in the VM's runtime directory)\n"
	"  --ready-fd N     write one line of JSON to descriptor N when the guest is ready\n"
	"  --no-sandbox     run without seccomp filters (for debuggers)\n"
	"  --help           show this and exit\n"
	"  --version        show the version and exit\n"
	"\n"
	"Exit status: 0 the guest powered off, 1 not started, 2 usage; others: theseus-vmm(8).\n";

enum option_id {
	OPT_NAME = 256,
	OPT_GUEST,
	OPT_BUNDLE,
	OPT_ACCEL,
	OPT_CPUS,
	OPT_MEM,
	OPT_CMDLINE,
	OPT_LOG,
	OPT_SOCKET,
	OPT_READY_FD,
	OPT_NO_SANDBOX,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option options[] = {
	{"name", required_argument, NULL, OPT_NAME},
	{"guest", required_argument, NULL, OPT_GUEST},
	{"bundle", required_argument, NULL, OPT_BUNDLE},
	{"accel", required_argument, NULL, OPT_ACCEL},
	{"cpus", required_argument, NULL, OPT_CPUS},
	{"mem", required_argument, NULL, OPT_MEM},
	{"cmdline", required_argument, NULL, OPT_CMDLINE},
	{"log", required_argument, NULL, OPT_LOG},
	{"socket", required_argument, NULL, OPT_SOCKET},
	{"ready-fd", required_argument, NULL, OPT_READY_FD},
	{"no-sandbox", no_argument, NULL, OPT_NO_SANDBOX},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{NULL, 0, NULL, 0},
};

static int refuse(const char *message, const char *value)
{
	(void)fprintf(stderr, "theseus-vmm: %s%s%s; see --help\n", message, value ? ": " : "",
		      value ? value : "");
	return -EINVAL;
}

static int parse_number(const char *text, unsigned long min, unsigned long max,
			unsigned long *ret_value)
{
	unsigned long v;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || *end || v < min || v > max)
		return -EINVAL;
	*ret_value = v;
	return 0;
}

static enum accel parse_accel(const char *text)
{
	static const char *const names[_ACCEL_MAX] = {"auto", "kvm", "tcg"};

	for (int i = 0; i < _ACCEL_MAX; i++)
		if (!strcmp(text, names[i]))
			return (enum accel)i;
	return _ACCEL_INVALID;
}

/* The number of vCPUs is told to the guest by us: a second one would contradict it. */
static int has_cpus_key(const char *cmdline)
{
	return !strncmp(cmdline, "cpus=", 5) || strstr(cmdline, " cpus=");
}

static int parse_numeric(int id, const char *value, struct run_config *c)
{
	unsigned long n;

	switch (id) {
	case OPT_CPUS:
		if (parse_number(value, 1, GATE_MAX_CPUS, &n) < 0)
			return refuse("--cpus takes a number from 1 to 16, not", value);
		c->machine.cpus = (unsigned int)n;
		return 0;
	case OPT_MEM:
		if (parse_number(value, 0, MEMORY_MIB_MAX, &n) < 0)
			return refuse("--mem takes a number of MiB, not", value);
		c->machine.memory = (uint64_t)n << 20;
		return 0;
	default:
		if (parse_number(value, 0, 1u << 20, &n) < 0 || fcntl((int)n, F_GETFD) < 0)
			return refuse("--ready-fd takes the number of an open descriptor, not",
				      value);
		c->ready_fd = (int)n;
		return fcntl(c->ready_fd, F_SETFD, FD_CLOEXEC);
	}
}

static int parse_option(int id, const char *value, struct run_config *c)
{
	switch (id) {
	case OPT_NAME:
		c->name = value;
		return rundir_name_ok(value) ? 0 : refuse("this is no name for a VM", value);
	case OPT_GUEST:
		c->machine.guest = value;
		return 0;
	case OPT_BUNDLE:
		c->machine.bundle = value;
		return 0;
	case OPT_ACCEL:
		c->accel = parse_accel(value);
		return c->accel < 0 ? refuse("--accel is kvm, tcg or auto, not", value) : 0;
	case OPT_CMDLINE:
		c->machine.cmdline = value;
		return has_cpus_key(value) ? refuse("use --cpus, not cpus= in --cmdline", NULL) : 0;
	case OPT_LOG:
		c->log = value;
		return 0;
	case OPT_SOCKET:
		c->socket = value;
		return 0;
	case OPT_NO_SANDBOX:
		c->sandbox = false;
		return 0;
	default:
		return parse_numeric(id, value, c);
	}
}

/* Result: 1 = go on, 0 = done, -EINVAL. */
static int parse(int argc, char **argv, struct run_config *c)
{
	for (;;) {
		int id = getopt_long(argc, argv, "", options, NULL), r;

		switch (id) {
		case -1:
			if (optind < argc)
				return refuse("this is no option", argv[optind]);
			if (!c->name)
				return refuse("--name is missing", NULL);
			if (!c->machine.guest)
				return refuse("--guest is missing", NULL);
			return 1;
		case '?':
			return -EINVAL;
		case OPT_HELP:
			return fputs(usage, stdout) < 0 ? -EIO : 0;
		case OPT_VERSION:
			return puts("theseus-vmm " VERSION) < 0 ? -EIO : 0;
		}
		r = parse_option(id, optarg, c);
		if (r < 0)
			return r;
	}
}

int main(int argc, char **argv)
{
	struct run_config config = {
		.sandbox = true,
		.ready_fd = -1,
		.machine =
			{
				.cmdline = "",
				.cpus = 1,
				.memory = (uint64_t)MEMORY_DEFAULT_MIB << 20,
			},
	};
	int r;

	marks_init();
	r = parse(argc, argv, &config);
	if (r <= 0)
		return r < 0 ? STATUS_USAGE : 0;
	return run(&config);
}
