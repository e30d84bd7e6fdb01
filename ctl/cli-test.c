/* SPDX-License-Identifier: MIT */
/*
 * theseusctl as a program, against a peer that speaks the protocol (peer-test.h): what it
 * prints, its JSON and its exit status. argv[1] is the program.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "bundle/bundle.h"
#include "ctl.h"
#include "peer-test.h"
#include "util.h"

#define OUTPUT_MAX 65536
#define ARGS_MAX 32
#define LIMIT_MS 30000

static const char *program;

struct fixture {
	struct peer peer;
	bool started;
	char dir[64], sock[80], file[80];
	char out[OUTPUT_MAX], err[OUTPUT_MAX];
	struct json_object *json;
};

/* ---- running the program ---- */

static void read_both(struct fixture *fx, int out, int err)
{
	struct pollfd fds[2] = {{.fd = out, .events = POLLIN}, {.fd = err, .events = POLLIN}};
	char *bufs[2] = {fx->out, fx->err};
	size_t lens[2] = {0, 0};

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		assert_true(poll(fds, 2, LIMIT_MS) > 0);
		for (int i = 0; i < 2; i++) {
			ssize_t n;

			if (!fds[i].revents)
				continue;
			n = read(fds[i].fd, bufs[i] + lens[i], OUTPUT_MAX - 1 - lens[i]);
			if (n <= 0)
				fds[i].fd = -1;
			else
				lens[i] += (size_t)n;
		}
	}
	fx->out[lens[0]] = '\0';
	fx->err[lens[1]] = '\0';
}

/* Runs the program. Result: its exit status. */
static int run_words(struct fixture *fx, char **argv)
{
	posix_spawn_file_actions_t actions;
	int out[2], err[2], status;
	pid_t pid;

	assert_int_equal(pipe(out), 0);
	assert_int_equal(pipe(err), 0);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", 0, 0);
	(void)posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	(void)posix_spawn_file_actions_adddup2(&actions, err[1], 2);
	(void)posix_spawn_file_actions_addclose(&actions, out[0]);
	(void)posix_spawn_file_actions_addclose(&actions, err[0]);
	assert_int_equal(posix_spawn(&pid, program, &actions, NULL, argv, environ), 0);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)close(out[1]);
	(void)close(err[1]);
	read_both(fx, out[0], err[0]);
	(void)close(out[0]);
	(void)close(err[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* The same with --socket of the peer where there is one, words split at blanks. */
static __attribute__((format(printf, 2, 3))) int run(struct fixture *fx, const char *fmt, ...)
{
	char line[1024], *argv[ARGS_MAX], *save = NULL;
	int n = 0, r;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	argv[n++] = (char *)(uintptr_t)program;
	if (fx->started) {
		argv[n++] = (char *)(uintptr_t) "--socket";
		argv[n++] = fx->sock;
	}
	for (char *w = strtok_r(line, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		assert_true(n < ARGS_MAX - 1);
		argv[n++] = w;
	}
	argv[n] = NULL;
	r = run_words(fx, argv);
	json_object_put(fx->json);
	fx->json = json_tokener_parse(fx->out);
	return r;
}

static void start(struct fixture *fx)
{
	assert_int_equal(peer_start(&fx->peer, fx->sock), 0);
	fx->started = true;
}

static const char *field(struct fixture *fx, const char *key)
{
	struct json_object *v;

	assert_non_null(fx->json);
	assert_true(json_object_object_get_ex(fx->json, key, &v));
	return json_object_get_string(v);
}

static struct json_object *first_of(struct fixture *fx, const char *key)
{
	struct json_object *v;

	assert_non_null(fx->json);
	assert_true(json_object_object_get_ex(fx->json, key, &v));
	assert_true(json_object_array_length(v) > 0);
	return json_object_array_get_idx(v, 0);
}

static const char *member(struct json_object *o, const char *key)
{
	struct json_object *v;

	assert_true(json_object_object_get_ex(o, key, &v));
	return json_object_get_string(v);
}

static void assert_out_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, text);
}

static void write_bundle(struct fixture *fx, size_t size)
{
	FILE *f = fopen(fx->file, "we");

	assert_non_null(f);
	for (size_t i = 0; i < size; i++)
		(void)fputc((int)(i * 7 % 251), f);
	assert_int_equal(fclose(f), 0);
}

/* Bundle @file of the cells @a and @b (NULL = one cell), whose object is their name. */
static void write_real_bundle(const char *file, const char *a, const char *b)
{
	const char *names[] = {a, b};
	Theseus__Cell cells[2];
	struct bundle_input inputs[2];
	struct bundle_header header = {.sequence = 1};
	struct buf out = {0};
	size_t n = b ? 2 : 1;
	FILE *f;

	for (size_t i = 0; i < n; i++) {
		theseus__cell__init(&cells[i]);
		cells[i].name = (char *)(uintptr_t)names[i];
		cells[i].version = (char *)(uintptr_t) "1.2.3";
		inputs[i] = (struct bundle_input){&cells[i], (const uint8_t *)names[i],
						  strlen(names[i])};
	}
	assert_int_equal(bundle_write(&header, inputs, n, &out), 0);
	f = fopen(file, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(out.data, 1, out.len, f), out.len);
	assert_int_equal(fclose(f), 0);
	buf_done(&out);
}

static int setup(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	if (!fx)
		return -1;
	(void)snprintf(fx->dir, sizeof(fx->dir), "/tmp/theseusctl-test-XXXXXX");
	if (!mkdtemp(fx->dir))
		return -1;
	(void)snprintf(fx->sock, sizeof(fx->sock), "%s/sock", fx->dir);
	(void)snprintf(fx->file, sizeof(fx->file), "%s/b.cells", fx->dir);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fx = *state;

	if (fx->started)
		peer_stop(&fx->peer);
	json_object_put(fx->json);
	(void)unlink(fx->sock);
	(void)unlink(fx->file);
	(void)rmdir(fx->dir);
	free(fx);
	return 0;
}

/* ---- the tool itself ---- */

static void test_usage(void **state)
{
	struct fixture *fx = *state;

	assert_int_equal(run(fx, "%s", ""), CTL_USAGE);
	assert_int_equal(run(fx, "frobnicate"), CTL_USAGE);
	assert_int_equal(run(fx, "cell"), CTL_USAGE);
	assert_int_equal(run(fx, "cell show"), CTL_USAGE);
	assert_int_equal(run(fx, "cell show a b"), CTL_USAGE);
	assert_int_equal(run(fx, "status --frobnicate"), CTL_USAGE);
	assert_int_equal(run(fx, "--frobnicate status"), CTL_USAGE);
	assert_int_equal(run(fx, "status --json=yes"), CTL_USAGE);
	assert_int_equal(run(fx, "status -n"), CTL_USAGE);
	assert_int_equal(run(fx, "-n a --domain b status"), CTL_USAGE);
	assert_int_equal(run(fx, "--connect test:///default status"), CTL_USAGE);
	assert_int_equal(run(fx, "-n ../../etc status"), CTL_USAGE);
	assert_int_equal(run(fx, "-n .. status"), CTL_USAGE);
	assert_int_equal(run(fx, "run"), CTL_USAGE);
	assert_int_equal(run(fx, "-n a run --cpus 0"), CTL_USAGE);
	assert_int_equal(run(fx, "-n a run --mem x"), CTL_USAGE);
	assert_int_equal(run(fx, "-n a run --accel turbo"), CTL_USAGE);
	assert_int_equal(run(fx, "-n a swap-cell"), CTL_USAGE);
	assert_int_equal(run(fx, "-n a swap-cell --stage 1 f"), CTL_USAGE);
	assert_int_equal(run(fx, "-n a swap-cell f --timeout soon"), CTL_USAGE);
	assert_int_equal(run(fx, "-n a swap-cell a=f b=g a=h"), CTL_USAGE);
	assert_int_equal(run(fx, "-n a swap-cell a=f g"), CTL_USAGE);
	assert_int_equal(run(fx, "-n a swap-cell f g"), CTL_USAGE);
	assert_int_equal(run(fx, "-n a swap-cell a="), CTL_USAGE);
	assert_int_equal(run(fx, "-n a log --since 99999999999999999999"), CTL_USAGE);
	assert_int_equal(run(fx, "-n a log --since 25h"), CTL_USAGE);
	assert_out_has(fx->err, "at most 24h");
	assert_int_equal(run(fx, "cell frobnicate x"), CTL_USAGE);
	assert_out_has(fx->err, "no such command: cell frobnicate");
	assert_int_equal(run(fx, "cell --json"), CTL_USAGE);
	assert_out_has(fx->out, "needs a second word");
	assert_int_equal(run(fx, "tasks x"), CTL_USAGE);
	assert_out_has(fx->err, "no more than: tasks\n");
	/* one message, not the whole help; and on stderr */
	assert_string_equal(fx->out, "");
	assert_true(strlen(fx->err) < 300);
}

static void test_usage_json(void **state)
{
	struct fixture *fx = *state;

	assert_int_equal(run(fx, "frobnicate --json"), CTL_USAGE);
	assert_string_equal(field(fx, "schema"), "theseus.error/1");
	assert_string_equal(field(fx, "code"), "usage");
	assert_string_equal(fx->err, "");
}

static void test_help(void **state)
{
	struct fixture *fx = *state;

	assert_int_equal(run(fx, "--help"), 0);
	assert_out_has(fx->out, "swap-cell");
	assert_int_equal(run(fx, "help cell deps"), 0);
	assert_out_has(fx->out, "--reverse");
	assert_int_equal(run(fx, "swap-cell --help"), 0);
	assert_out_has(fx->out, "--expect-generation");
	assert_int_equal(run(fx, "help frobnicate"), CTL_USAGE);
	assert_int_equal(run(fx, "--version"), 0);
	assert_out_has(fx->out, "theseusctl " THESEUS_VERSION);
	assert_int_equal(run(fx, "--json --version"), 0);
	assert_string_equal(field(fx, "schema"), "theseus.version/1");
}

static void test_no_such_vm(void **state)
{
	struct fixture *fx = *state;

	assert_int_equal(run(fx, "-n no-such-vm-here --json status"), CTL_NO_VM);
	assert_string_equal(field(fx, "code"), "no-such-vm");
	assert_int_equal(run(fx, "--socket %s cells", fx->sock), CTL_NO_VM);
	assert_out_has(fx->err, fx->sock);
	/* a file that is no socket */
	write_bundle(fx, 10);
	assert_int_equal(run(fx, "--socket %s cells", fx->file), CTL_NO_VM);
}

static void test_long_socket_path(void **state)
{
	struct fixture *fx = *state;
	char dir[128];

	/* longer than sun_path, yet reachable */
	start(fx);
	(void)snprintf(dir, sizeof(dir), "%s/%0*d", fx->dir, 60, 0);
	assert_int_equal(symlink(fx->dir, dir), 0);
	fx->started = false;
	assert_int_equal(run(fx, "--socket %s/sock cells", dir), 0);
	fx->started = true;
	(void)unlink(dir);
}

static void test_changing_needs_a_name(void **state)
{
	struct fixture *fx = *state;

	assert_int_equal(run(fx, "--json stop"), CTL_USAGE);
	assert_string_equal(field(fx, "code"), "which-vm");
	assert_int_equal(run(fx, "--json push x"), CTL_USAGE);
	assert_int_equal(run(fx, "--json swap-cell x"), CTL_USAGE);
}

/* ---- reading ---- */

static void test_cells(void **state)
{
	struct fixture *fx = *state;

	start(fx);
	assert_int_equal(run(fx, "cells --json"), 0);
	assert_string_equal(field(fx, "schema"), "theseus.cells/1");
	assert_string_equal(field(fx, "generation"), "3");
	assert_string_equal(member(first_of(fx, "cells"), "name"), "greeter");
	assert_string_equal(member(first_of(fx, "cells"), "state_schema"), "fedcba9876543210");
	assert_string_equal(member(first_of(fx, "cells"), "text_addr"), "105553116270592");
	assert_int_equal(strlen(member(first_of(fx, "cells"), "hash")), 64);
	assert_int_equal(run(fx, "cells"), 0);
	assert_out_has(fx->out, "0x600000001000");
	assert_out_has(fx->out, "caller");
	assert_null(strchr(fx->out, '\033'));
}

static void test_endless_cells(void **state)
{
	struct fixture *fx = *state;

	fx->peer.stuck_cells = true;
	start(fx);
	assert_int_equal(run(fx, "--json cells"), CTL_FAILED);
	assert_string_equal(field(fx, "code"), "protocol");
}

static void test_moving_cells(void **state)
{
	struct fixture *fx = *state;

	fx->peer.moving_cells = true;
	start(fx);
	assert_int_equal(run(fx, "--json cells"), CTL_FAILED);
	assert_string_equal(field(fx, "code"), "changing");
}

static void test_tasks(void **state)
{
	struct fixture *fx = *state;

	start(fx);
	assert_int_equal(run(fx, "--json tasks"), 0);
	assert_string_equal(field(fx, "schema"), "theseus.tasks/1");
	assert_string_equal(member(first_of(fx, "tasks"), "id"), "4294967296");
	assert_string_equal(member(first_of(fx, "tasks"), "name"), "agent");
	assert_string_equal(member(first_of(fx, "tasks"), "state"), "blocked");
	assert_string_equal(member(first_of(fx, "tasks"), "cpu_time_ns"), "5000");
	assert_out_has(fx->out, "\"restarts\":2"); /* of the second answer */
	assert_int_equal(run(fx, "tasks"), 0);
	assert_out_has(fx->out, "0x100000002");
}

static void test_task_show(void **state)
{
	struct fixture *fx = *state;

	start(fx);
	assert_int_equal(run(fx, "--json task show agent"), 0);
	assert_string_equal(field(fx, "schema"), "theseus.task-show/1");
	assert_string_equal(member(first_of(fx, "stack"), "function"), "console_read");
	assert_int_equal(run(fx, "task show 0x100000002"), 0);
	assert_out_has(fx->out, "virtio_console:console_read+0x34");
	assert_int_equal(run(fx, "task show 4294967298"), 0);
	assert_int_equal(run(fx, "--json task show nobody"), CTL_FAILED);
	assert_string_equal(field(fx, "code"), "no-such-task");
	assert_int_equal(run(fx, "--json task show twin"), CTL_FAILED);
	assert_string_equal(field(fx, "code"), "ambiguous-task");
	assert_int_equal(run(fx, "task show 0x900000000"), CTL_FAILED);
	assert_int_equal(run(fx, "task show 12monkeys"), CTL_FAILED);
	assert_int_equal(run(fx, "task show"), CTL_USAGE);
}

static void test_tasks_without_end(void **state)
{
	struct fixture *fx = *state;

	fx->peer.stuck_tasks = true;
	start(fx);
	assert_int_not_equal(run(fx, "tasks"), 0);
}

static void test_cell_show_and_deps(void **state)
{
	struct fixture *fx = *state;

	start(fx);
	assert_int_equal(run(fx, "--json cell show greeter"), 0);
	assert_string_equal(field(fx, "schema"), "theseus.cell-show/1");
	assert_string_equal(member(first_of(fx, "exports"), "abi"), "8000000000000001");
	assert_int_equal(run(fx, "cell show greeter"), 0);
	assert_out_has(fx->out, "greet: int greet(char *, u64)");
	assert_int_equal(run(fx, "--json cell show nobody"), CTL_FAILED);
	assert_string_equal(field(fx, "code"), "no-such-cell");
	assert_int_equal(run(fx, "cell deps greeter --reverse --json"), 0);
	assert_string_equal(member(first_of(fx, "deps"), "cell"), "caller");
	assert_int_equal(run(fx, "cell deps greeter --reverse --dot"), 0);
	assert_out_has(fx->out, "\"caller\" -> \"greeter\" [label=\"1\"];");
	assert_out_has(fx->out,
		       "\"command\" -> \"greeter\" [style=dashed, label=\"command_ops\"];");
	assert_int_equal(run(fx, "cell deps greeter --dot --json"), CTL_USAGE);
}

static void test_status(void **state)
{
	struct fixture *fx = *state;

	start(fx);
	assert_int_equal(run(fx, "status --json"), 0);
	assert_string_equal(field(fx, "accel"), "tcg");
	assert_string_equal(field(fx, "generation"), "3");
	assert_string_equal(field(fx, "tainted"), "false");
	assert_string_equal(field(fx, "uptime_ns"), "5000000000");
	assert_string_equal(field(fx, "memory_bytes"), "134217728");
	assert_int_equal(run(fx, "status -v"), 0);
	assert_out_has(fx->out, "asked for");
	assert_int_equal(run(fx, "metrics"), 0);
	assert_string_equal(strchr(fx->out, '{'), strstr(fx->out, "{vm="));
	assert_out_has(fx->out, "theseus_vmm_exits_pio{");
	assert_out_has(fx->out, "} 42\n");
}

/* An object file with sections of every kind, as the packer leaves it: by the assembler. */
static void write_debug_file(struct fixture *fx)
{
	char command[512];

	(void)snprintf(command, sizeof(command),
		       "printf '%%s\\n' '.text' '.skip 100' '.section .rodata' '.skip 3' "
		       "'.section .data.rel.ro,\"aw\"' '.balign 16' '.skip 8' "
		       "'.section .theseus.state,\"aw\"' '.skip 8' "
		       "'.section .note.gnu.build-id,\"\",@note' '.long 4,20,3' '.asciz \"GNU\"' "
		       "'.ascii \"01234567890123456789\"' | as -o %s/x.debug -",
		       fx->dir);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a test's own command */
}

static void test_symbols(void **state)
{
	struct fixture *fx = *state;
	char path[96];

	fx->peer.build_id = "01234567890123456789";
	start(fx);
	(void)setenv("THESEUS_DEBUG_DIR", fx->dir, 1);
	write_bundle(fx, 100); /* another file in that folder */
	assert_int_equal(run(fx, "symbols --json"), 0);
	assert_null(member(first_of(fx, "cells"), "file"));

	write_debug_file(fx);
	(void)snprintf(path, sizeof(path), "%s/x.debug", fx->dir);
	assert_int_equal(run(fx, "symbols"), 0);
	assert_out_has(fx->out, "add-symbol-file \"");
	assert_out_has(fx->out,
		       "x.debug\" -s .text 0x600000001000 -s .rodata 0x600000003000 "
		       "-s .data.rel.ro 0x600000003010 -s .theseus.state 0x600000005000\n");
	assert_out_has(fx->err, "no debug file for caller");
	assert_int_equal(run(fx, "symbols --json"), 0);
	assert_string_equal(member(first_of(fx, "cells"), "file"), path);

	(void)unlink(path);
	(void)setenv("THESEUS_DEBUG_DIR", "/nonexistent", 1);
	assert_int_equal(run(fx, "--json symbols"), CTL_FAILED);
	assert_string_equal(field(fx, "code"), "no-debug-files");
	(void)unsetenv("THESEUS_DEBUG_DIR");
}

static void test_hostile_text(void **state)
{
	struct fixture *fx = *state;
	static const char *const lines[] = {
		"status", "cells", "log", "cell show greeter", "tasks", "task show 0x100000001",
		"metrics"};

	/* Neither a terminal nor a JSON reader gets what the guest would like it to. */
	fx->peer.hostile_text = true;
	fx->peer.log_records = 3;
	start(fx);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_int_equal(run(fx, "%s", lines[i]), 0);
		assert_null(strpbrk(fx->out, "\033\007\xff"));
		assert_null(strstr(fx->out, "\xc2\x9b"));
		assert_int_equal(run(fx, "--json %s", lines[i]), 0);
		assert_null(strpbrk(fx->out, "\033\007\xff"));
		assert_non_null(fx->json);
	}
}

static unsigned int count(const char *text, const char *part)
{
	unsigned int n = 0;

	for (; (text = strstr(text, part)); text++)
		n++;
	return n;
}

static void test_log(void **state)
{
	struct fixture *fx = *state;

	fx->peer.log_records = 20;
	fx->peer.log_lost = 5;
	start(fx);
	assert_int_equal(run(fx, "log"), 0);
	assert_out_has(fx->out, "[     5.000000] unknown greeter[9]: hello\n");
	assert_out_has(fx->out, "[    19.000000]");
	assert_null(strstr(fx->out, "[     4.000000]"));
	assert_out_has(fx->err, "5 log records are lost");
	/* guest's uptime is 10 s: the last 2 s begin at 8 */
	assert_int_equal(run(fx, "log --since 2s"), 0);
	assert_null(strstr(fx->out, "[     7.000000]"));
	assert_out_has(fx->out, "[     8.000000]");
	assert_int_equal(run(fx, "log --json"), 0);
	assert_string_equal(field(fx, "schema"), "theseus.log/1");
	assert_string_equal(field(fx, "lost"), "5");
	assert_string_equal(member(first_of(fx, "records"), "seq"), "5");
	assert_int_equal(count(fx->out, "\"level\""), 15);
	assert_int_equal(count(fx->out, "\n"), 1);
}

static void test_log_follow(void **state)
{
	struct fixture *fx = *state;

	/* An event is missing: it is asked for, and nothing comes twice or out of order. */
	fx->peer.log_records = 10;
	fx->peer.log_live = 5;
	fx->peer.log_gap = true;
	/*
	 * Hello, three times LogGet, the wait for the VM's end, one LogGet for the gap, the one that
	 * finds no more: then it ends.
	 */
	fx->peer.vanish_at = 7;
	start(fx);
	assert_int_equal(run(fx, "log -f"), CTL_LOST);
	assert_out_has(fx->err, "the VM has ended: theseus-vmm is gone");
	for (int seq = 0; seq < 15; seq++) {
		char line[32];

		(void)snprintf(line, sizeof(line), "[%6d.000000]", seq);
		assert_int_equal(count(fx->out, line), 1);
	}
	assert_int_equal(count(fx->out, "\n"), 15);
}

/* ---- exec ---- */

static void test_exec(void **state)
{
	struct fixture *fx = *state;

	start(fx);
	assert_int_equal(run(fx, "exec greet --json -n x -- y"), 0);
	assert_string_equal(fx->out, "greet|--json|-n|x|--|y\n");
	assert_int_equal(run(fx, "exec --json greet"), 0);
	assert_string_equal(field(fx, "output"), "greet\n");
	assert_string_equal(field(fx, "status"), "0");
	fx->peer.exec_output = "";
	assert_int_equal(run(fx, "exec greet"), 0);
	assert_string_equal(fx->out, "");
	assert_string_equal(fx->err, "");
	assert_int_equal(run(fx, "--json exec greet"), 0);
	assert_string_equal(field(fx, "output"), "");
}

static void test_exec_status(void **state)
{
	struct fixture *fx = *state;

	fx->peer.exec_result = 42;
	start(fx);
	assert_int_equal(run(fx, "exec greet"), 42);
	assert_string_equal(fx->err, "");
	fx->peer.exec_result = -2;
	assert_int_equal(run(fx, "exec greet"), CTL_FAILED);
	fx->peer.exec_status = THESEUS__STATUS__STATUS_NOT_FOUND;
	fx->peer.error_code = "no-such-command";
	assert_int_equal(run(fx, "--json exec greet"), CTL_FAILED);
	assert_string_equal(field(fx, "code"), "no-such-command");
}

/* ---- an answer to something else ---- */

static void test_mistaken(void **state)
{
	static const struct {
		Theseus__Request__BodyCase body;
		const char *words;
		bool bundle;
	} rows[] = {
		{THESEUS__REQUEST__BODY_CELLS, "cells"},
		{THESEUS__REQUEST__BODY_CELL_DEPS, "cell deps greeter"},
		{THESEUS__REQUEST__BODY_TASKS, "tasks"},
		{THESEUS__REQUEST__BODY_LOG, "log"},
		{THESEUS__REQUEST__BODY_EXEC, "exec greet"},
		{THESEUS__REQUEST__BODY_UPLOAD_BEGIN, "push", true},
		{THESEUS__REQUEST__BODY_UPLOAD_CHUNK, "push", true},
		{THESEUS__REQUEST__BODY_STAGE, "push", true},
		{THESEUS__REQUEST__BODY_SWAP, "swap-cell", true},
	};
	struct fixture *fx = *state;

	write_bundle(fx, 300);
	start(fx);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fx->peer.mistaken = rows[i].body;
		assert_int_equal(
			run(fx, "--json %s %s", rows[i].words, rows[i].bundle ? fx->file : ""),
			CTL_FAILED);
		assert_string_equal(field(fx, "code"), "protocol");
	}
}

/* ---- push, swap ---- */

static void assert_upload(struct fixture *fx, size_t size)
{
	assert_false(fx->peer.overrun);
	assert_int_equal(fx->peer.upload_size, size);
	for (size_t i = 0; i < size; i++)
		assert_int_equal(fx->peer.upload[i], i * 7 % 251);
}

static void test_push(void **state)
{
	struct fixture *fx = *state;
	static const uint64_t credits[] = {1, 1000, 32768, 40000, 65536, 1 << 20};

	start(fx);
	for (size_t i = 0; i < sizeof(credits) / sizeof(credits[0]); i++) {
		size_t size = credits[i] < 1000 ? 300 : 300000;

		fx->peer.credit = credits[i];
		write_bundle(fx, size);
		assert_int_equal(run(fx, "push --json %s", fx->file), 0);
		assert_string_equal(field(fx, "schema"), "theseus.push/1");
		assert_string_equal(field(fx, "stage"), "7");
		assert_string_equal(member(first_of(fx, "cells"), "new"), "2.0.0");
		assert_upload(fx, size);
	}
	assert_int_equal(fx->peer.drops, 0);
}

static void test_push_bad_files(void **state)
{
	struct fixture *fx = *state;

	start(fx);
	assert_int_equal(run(fx, "--json push %s", fx->file), CTL_FAILED);
	assert_string_equal(field(fx, "code"), "no-such-file");
	assert_int_equal(run(fx, "--json push %s", fx->dir), CTL_FAILED);
	assert_string_equal(field(fx, "code"), "unreadable");
	write_bundle(fx, 0);
	assert_int_equal(run(fx, "--json push %s", fx->file), CTL_REFUSED);
	assert_string_equal(field(fx, "code"), "not-a-bundle");
	write_bundle(fx, (1 << 20) + 1);
	assert_int_equal(run(fx, "--json push %s", fx->file), CTL_REFUSED);
	assert_string_equal(field(fx, "code"), "too-large");
	assert_int_equal(fx->peer.stages, 0);
}

static void test_push_refused(void **state)
{
	struct fixture *fx = *state;
	struct json_object *reasons;

	fx->peer.stage_status = THESEUS__STATUS__STATUS_REFUSED;
	fx->peer.error_code = "abi-mismatch";
	fx->peer.error_message = "greeter 2.0.0 does not fit";
	fx->peer.reasons[0] = "greet: cell has 1, namespace has 2";
	fx->peer.reasons[1] = "state schema differs";
	start(fx);
	write_bundle(fx, 100);
	assert_int_equal(run(fx, "--json push %s", fx->file), CTL_REFUSED);
	assert_string_equal(field(fx, "schema"), "theseus.error/1");
	assert_string_equal(field(fx, "code"), "abi-mismatch");
	assert_string_equal(field(fx, "message"), "greeter 2.0.0 does not fit");
	assert_true(json_object_object_get_ex(fx->json, "reasons", &reasons));
	assert_int_equal(json_object_array_length(reasons), 2);
	assert_int_equal(run(fx, "push %s", fx->file), CTL_REFUSED);
	assert_out_has(fx->err, "state schema differs");
	assert_string_equal(fx->out, "");
}

static void test_swap(void **state)
{
	struct fixture *fx = *state;

	start(fx);
	write_bundle(fx, 50000);
	assert_int_equal(run(fx, "swap-cell %s --json", fx->file), 0);
	assert_string_equal(field(fx, "schema"), "theseus.swap-cell/1");
	assert_string_equal(field(fx, "result"), "committed");
	assert_string_equal(field(fx, "generation"), "4");
	assert_string_equal(field(fx, "pause_ns"), "50000");
	assert_string_equal(member(first_of(fx, "cells"), "old"), "1.0.0");
	assert_int_equal(fx->peer.swap_limit_ns, NS_PER_SEC);
	assert_int_equal(fx->peer.expect_generation, UINT64_MAX);
	assert_upload(fx, 50000);
	assert_int_equal(fx->peer.drops, 0);

	assert_int_equal(run(fx, "swap-cell %s --expect-generation 3 --timeout 250ms", fx->file),
			 0);
	assert_out_has(fx->out, "greeter 1.0.0 -> 2.0.0");
	assert_int_equal(fx->peer.expect_generation, 3);
	assert_int_equal(fx->peer.swap_limit_ns, 250 * NS_PER_MS);

	assert_int_equal(run(fx, "swap-cell --stage 7"), 0);
	assert_int_equal(fx->peer.stages, 2);
	assert_int_equal(fx->peer.swaps, 3);
}

static void test_swap_dry_run(void **state)
{
	struct fixture *fx = *state;

	start(fx);
	write_bundle(fx, 100);
	assert_int_equal(run(fx, "swap-cell %s --dry-run", fx->file), 0);
	assert_true(fx->peer.dry_run);
	assert_int_equal(fx->peer.drops, 1);
}

static void test_swap_named_cell(void **state)
{
	struct fixture *fx = *state;
	uint8_t *data;
	size_t len;

	start(fx);
	write_real_bundle(fx->file, "greeter", "caller");
	assert_int_equal(run(fx, "swap-cell greeter=%s", fx->file), 0);
	assert_int_equal(run(fx, "swap-cell greeter=%s caller=%s", fx->file, fx->file), 0);
	assert_int_equal(read_file(fx->file, 1 << 20, &data, &len), 0);
	assert_int_equal(fx->peer.upload_size, len);
	assert_memory_equal(fx->peer.upload, data, len);
	free(data);

	assert_int_equal(run(fx, "--json swap-cell sched=%s", fx->file), CTL_REFUSED);
	assert_string_equal(field(fx, "code"), "not-in-bundle");
	assert_out_has(fx->out, "it has greeter 1.2.3");
	write_bundle(fx, 1000);
	assert_int_equal(run(fx, "--json swap-cell greeter=%s", fx->file), CTL_REFUSED);
	assert_string_equal(field(fx, "code"), "not-an-archive");
	(void)unlink(fx->file);
	assert_int_equal(run(fx, "--json swap-cell greeter=%s", fx->file), CTL_FAILED);
	assert_string_equal(field(fx, "code"), "no-such-file");
	assert_int_equal(fx->peer.swaps, 2);
}

static void test_swap_merges_bundles(void **state)
{
	struct fixture *fx = *state;
	struct reasons reasons = {0};
	struct bundle *bundle = NULL;
	struct bundle_cell cell;
	char second[96];

	/* Cells of two files arrive as one bundle, each of them whole, and nothing beside them. */
	start(fx);
	(void)snprintf(second, sizeof(second), "%s/c.cells", fx->dir);
	write_real_bundle(fx->file, "greeter", "log");
	write_real_bundle(second, "caller", NULL);
	assert_int_equal(run(fx, "swap-cell caller=%s greeter=%s", second, fx->file), 0);
	assert_int_equal(
		bundle_open("upload", fx->peer.upload, fx->peer.upload_size, &bundle, &reasons), 0);
	assert_int_equal(bundle_n_cells(bundle), 2);
	assert_string_equal(bundle_cell_at(bundle, 0).manifest->name, "caller");
	assert_int_equal(bundle_cell_find(bundle, "greeter", &cell), 0);
	assert_memory_equal(cell.object, "greeter", 7);
	bundle_free(bundle);
	reasons_done(&reasons);

	assert_int_equal(run(fx, "swap-cell caller=%s sched=%s", second, fx->file), CTL_REFUSED);
	(void)unlink(second);
	assert_int_equal(run(fx, "swap-cell caller=%s greeter=%s", second, fx->file), CTL_FAILED);
	assert_int_equal(fx->peer.swaps, 1);
}

static void test_swap_statuses(void **state)
{
	struct fixture *fx = *state;
	static const struct {
		Theseus__Status status;
		int exit;
		const char *code;
	} rows[] = {
		{THESEUS__STATUS__STATUS_FAILED, CTL_FAILED, "failed"},
		{THESEUS__STATUS__STATUS_UNSUPPORTED, CTL_FAILED, "unsupported"},
		{THESEUS__STATUS__STATUS_BAD_REQUEST, CTL_FAILED, "bad-request"},
		{THESEUS__STATUS__STATUS_NOT_FOUND, CTL_FAILED, "not-found"},
		{THESEUS__STATUS__STATUS_REFUSED, CTL_REFUSED, "refused"},
		{THESEUS__STATUS__STATUS_TIMED_OUT, CTL_TIMED_OUT, "timed-out"},
		{THESEUS__STATUS__STATUS_BUSY, CTL_FAILED, "busy"},
		{THESEUS__STATUS__STATUS_NO_MEMORY, CTL_FAILED, "no-memory"},
		{THESEUS__STATUS__STATUS_LOST, CTL_LOST, "guest-lost"},
		{(Theseus__Status)99, CTL_FAILED, "failed"},
	};

	start(fx);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fx->peer.swap_status = rows[i].status;
		assert_int_equal(run(fx, "--json swap-cell --stage 7"), rows[i].exit);
		assert_string_equal(field(fx, "code"), rows[i].code);
		assert_true(strlen(field(fx, "message")) > 0);
	}
}

static void test_swap_results(void **state)
{
	struct fixture *fx = *state;

	start(fx);
	fx->peer.swap_result = "cancelled";
	assert_int_equal(run(fx, "swap-cell --stage 7"), CTL_TIMED_OUT);
	fx->peer.swap_result = "reverted";
	assert_int_equal(run(fx, "swap-cell --stage 7"), CTL_REVERTED);
	fx->peer.swap_result = "refused";
	assert_int_equal(run(fx, "swap-cell --stage 7"), CTL_REFUSED);
}

/* ---- links that misbehave ---- */

static void test_noise(void **state)
{
	struct fixture *fx = *state;

	fx->peer.noise = true;
	start(fx);
	write_bundle(fx, 100000);
	assert_int_equal(run(fx, "swap-cell %s", fx->file), 0);
	assert_upload(fx, 100000);
	assert_int_equal(run(fx, "status"), 0);
}

static void test_broken_link_reading(void **state)
{
	struct fixture *fx = *state;

	/* Hello, then the request itself is cut off: sent again over a new link. */
	fx->peer.break_at[0] = 2;
	start(fx);
	assert_int_equal(run(fx, "cells"), 0);
	assert_int_equal(fx->peer.connections, 2);
}

static void test_broken_link_every_step(void **state)
{
	struct fixture *fx = *state;

	/* Hello, begin, 4 chunks, stage, swap: the link breaks at each of them. */
	write_bundle(fx, 100000);
	start(fx);
	for (unsigned int at = 2; at <= 8; at++) {
		fx->peer.frames = 0;
		fx->peer.stages = fx->peer.swaps = 0;
		fx->peer.break_at[0] = at;
		assert_int_equal(run(fx, "swap-cell %s", fx->file), 0);
		assert_upload(fx, 100000);
		assert_int_equal(fx->peer.stages, 1);
		assert_int_equal(fx->peer.swaps, 1);
	}
}

static void test_vm_vanishes(void **state)
{
	struct fixture *fx = *state;

	fx->peer.vanish_at = 4;
	start(fx);
	write_bundle(fx, 100000);
	assert_int_equal(run(fx, "--json swap-cell %s", fx->file), CTL_LOST);
	assert_string_equal(field(fx, "code"), "guest-lost");
}

static void test_closes_at_once(void **state)
{
	struct fixture *fx = *state;

	fx->peer.break_at[0] = 1;
	start(fx);
	assert_int_equal(run(fx, "cells"), CTL_NO_VM);
}

static void test_mute_guest(void **state)
{
	struct fixture *fx = *state;

	/* `exec` waits for its own limit beside Hello's: both end. */
	fx->peer.mute = true;
	start(fx);
	assert_int_equal(run(fx, "--json exec --timeout 100ms greet"), CTL_NO_VM);
	assert_string_equal(field(fx, "code"), "no-answer");
}

static void test_other_protocol(void **state)
{
	struct fixture *fx = *state;

	fx->peer.protocol = 2;
	start(fx);
	assert_int_equal(run(fx, "--json cells"), CTL_FAILED);
	assert_string_equal(field(fx, "code"), "protocol-version");
}

static void test_console(void **state)
{
	struct fixture *fx = *state;

	/* stdin is at its end; VmConsole is frame 1, and the link ends with whatever comes next */
	fx->peer.vm_status = THESEUS__STATUS__STATUS_BUSY;
	start(fx);
	assert_int_equal(run(fx, "console"), CTL_FAILED);
	assert_int_equal(run(fx, "--json console"), CTL_USAGE);
}

/* ---- VMs as processes ---- */

/* A process of its own stands for theseus-vmm: it is what gets killed. */
static pid_t start_process(struct fixture *fx)
{
	struct stat st;
	pid_t pid = fork();

	if (pid == 0) {
		if (peer_start(&fx->peer, fx->sock))
			_exit(1);
		for (;;)
			pause();
	}
	assert_true(pid > 0);
	for (int i = 0; i < 10000 && stat(fx->sock, &st); i++)
		(void)poll(NULL, 0, 1);
	fx->started = true; /* for --socket */
	return pid;
}

static void end_process(struct fixture *fx, pid_t pid, int *ret_status)
{
	fx->started = false;
	(void)kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, ret_status, 0), pid);
}

static void test_stop(void **state)
{
	struct fixture *fx = *state;
	int status;
	pid_t pid;

	fx->peer.exit_on_stop = true;
	pid = start_process(fx);
	assert_int_equal(run(fx, "--json stop"), 0);
	assert_string_equal(field(fx, "reason"), "powered off");
	end_process(fx, pid, &status);
	assert_true(WIFEXITED(status));
}

static void test_stop_in_vain(void **state)
{
	struct fixture *fx = *state;
	int status;
	pid_t pid;

	fx->peer.vm_status = THESEUS__STATUS__STATUS_TIMED_OUT;
	pid = start_process(fx);
	assert_int_equal(run(fx, "--json stop --timeout 100ms"), CTL_TIMED_OUT);
	end_process(fx, pid, &status);
}

static void test_kill_mute(void **state)
{
	struct fixture *fx = *state;
	int status;
	pid_t pid;

	fx->peer.mute = true;
	pid = start_process(fx);
	assert_int_equal(run(fx, "kill"), 0);
	end_process(fx, pid, &status);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void write_script(struct fixture *fx, const char *text)
{
	FILE *f = fopen(fx->file, "we");

	assert_non_null(f);
	(void)fprintf(f, "#!/bin/sh\nwhile [ \"$1\" != --ready-fd ]; do shift; done\n%s\n", text);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(fx->file, 0700), 0);
	(void)setenv("THESEUS_VMM", fx->file, 1);
}

static void test_run_fails(void **state)
{
	struct fixture *fx = *state;
	char bundle[96], args[256];

	(void)snprintf(bundle, sizeof(bundle), "%s/boot.cells", fx->dir);
	(void)snprintf(args, sizeof(args),
		       "--json -n theseusctl-test run --guest /dev/null --bundle %s", bundle);
	write_real_bundle(bundle, "libc", NULL);

	write_script(fx, "echo '{\"code\":\"no-kvm\",\"error\":\"/dev/kvm: no\"}' "
			 ">&$2; exit 1");
	assert_int_equal(run(fx, "%s", args), CTL_FAILED);
	assert_string_equal(field(fx, "code"), "no-kvm");
	assert_string_equal(field(fx, "message"), "/dev/kvm: no");

	write_script(fx, "echo 'it fell over' >&2; exit 3");
	assert_int_equal(run(fx, "%s", args), CTL_FAILED);
	assert_string_equal(field(fx, "code"), "vmm-failed");
	assert_out_has(fx->out, "it fell over");

	write_script(fx, "exec sleep 1000");
	assert_int_equal(run(fx, "%s --timeout 200ms", args), CTL_TIMED_OUT);
	assert_string_equal(field(fx, "code"), "not-ready");

	(void)setenv("THESEUS_VMM", "/nonexistent/theseus-vmm", 1);
	assert_int_equal(run(fx, "%s", args), CTL_FAILED);
	assert_out_has(fx->out, "/nonexistent/theseus-vmm");
	(void)unsetenv("THESEUS_VMM");

	(void)unlink(bundle);
	assert_int_equal(run(fx, "%s", args), CTL_FAILED);
	assert_string_equal(field(fx, "code"), "no-such-file");
	assert_int_equal(
		run(fx, "--json -n theseusctl-test run --guest /dev/null --bundle %s", fx->file),
		CTL_FAILED);
	assert_string_equal(field(fx, "code"), "not-an-archive");
}

/* ---- bench ---- */

/* A build directory in the fixture's, whose Linux side is the shell script @text. */
static void make_build(struct fixture *fx, const char *text)
{
	char command[512];
	FILE *f;

	(void)snprintf(command, sizeof(command),
		       "cd %s && mkdir -p cells tests/bench/linux && echo x >cells/boot.cells && "
		       "cp cells/boot.cells cells/bench.cells && cat >tests/bench/linux/"
		       "theseus-bench-linux && chmod 700 tests/bench/linux/theseus-bench-linux",
		       fx->dir);
	f = popen(command, "we"); /* NOLINT(cert-env33-c) */
	assert_non_null(f);
	(void)fprintf(f, "#!/bin/sh\n%s\n", text);
	assert_int_equal(pclose(f), 0);
	(void)setenv("THESEUS_BUILD", fx->dir, 1);
}

static void remove_build(struct fixture *fx)
{
	static const char *const places[] = {"tests/bench/linux/theseus-bench-linux",
					     "tests/bench/linux",
					     "tests/bench",
					     "tests",
					     "cells/boot.cells",
					     "cells/bench.cells",
					     "cells"};
	char path[128];

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", fx->dir, places[i]);
		(void)remove(path);
	}
	(void)unsetenv("THESEUS_BUILD");
}

#define GUEST_CALL "bench=call param=0 n=9 ops=1 median_ps=2000 p99_ps=3000 min_ps=1\n"
#define LINUX_GETPID "echo bench=$1 param=$2 n=9 ops=1 median_ps=100000 p99_ps=200000 min_ps=1"

static void test_bench(void **state)
{
	struct fixture *fx = *state;
	struct json_object *row;

	make_build(fx, LINUX_GETPID);
	fx->peer.exec_output = GUEST_CALL;
	start(fx);
	assert_int_equal(run(fx, "bench call --json --rounds 3 --time 1ms"), CTL_DONE);
	assert_string_equal(field(fx, "schema"), "theseus.bench/1");
	row = first_of(fx, "rows");
	assert_string_equal(member(row, "name"), "call");
	assert_string_equal(member(row, "guest_ns"), "2.000");
	assert_string_equal(member(row, "guest_p99_ns"), "3.000");
	assert_string_equal(member(row, "against"), "getpid");
	assert_string_equal(member(row, "linux_ns"), "100.000");
	assert_string_equal(member(row, "ratio"), "0.02");
	/* three rounds; the cell comes in and leaves */
	assert_int_equal(atomic_load(&fx->peer.execs), 3);
	assert_int_equal(atomic_load(&fx->peer.swaps), 2);
	assert_int_equal(run(fx, "bench call -q --rounds 1"), CTL_DONE);
	assert_out_has(fx->out, "getpid 0");
	remove_build(fx);
}

static void test_bench_fails(void **state)
{
	struct fixture *fx = *state;

	assert_int_equal(run(fx, "bench nonsense"), CTL_USAGE);
	assert_out_has(fx->err, "nonsense");
	assert_out_has(fx->err, "- call");
	assert_int_equal(run(fx, "bench call --rounds 0"), CTL_USAGE);
	assert_int_equal(run(fx, "bench call --time 11s"), CTL_USAGE);
	assert_int_equal(run(fx, "-n theseusctl-test-none bench call"), CTL_NO_VM);
	/* other schedulers mean other boots, which a VM that is named cannot have */
	assert_int_equal(run(fx, "-n theseusctl-test-none bench scheduler"), CTL_USAGE);

	make_build(fx, "echo no room here; exit 1");
	fx->peer.exec_output = GUEST_CALL;
	start(fx);
	assert_int_equal(run(fx, "--json bench call --rounds 2"), CTL_DONE);
	assert_string_equal(member(first_of(fx, "absent"), "why"), "no room here");
	assert_false(json_object_object_get_ex(first_of(fx, "rows"), "ratio", NULL));

	make_build(fx, "echo median_ps=1");
	assert_int_equal(run(fx, "--json bench call"), CTL_FAILED);
	assert_string_equal(field(fx, "code"), "bad-output");

	fx->peer.exec_result = 1;
	fx->peer.exec_output = "bench: call 0: no room (-12)\n";
	make_build(fx, LINUX_GETPID);
	assert_int_equal(run(fx, "--json -q bench call"), CTL_FAILED);
	assert_out_has(fx->out, "nothing could be measured");
	/* whatever went wrong, the cell was taken out again */
	assert_int_equal(atomic_load(&fx->peer.swaps), 6);
	remove_build(fx);
	assert_int_equal(run(fx, "--json bench call"), CTL_FAILED);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_usage),
		T(test_usage_json),
		T(test_help),
		T(test_no_such_vm),
		T(test_long_socket_path),
		T(test_changing_needs_a_name),
		T(test_cells),
		T(test_endless_cells),
		T(test_moving_cells),
		T(test_cell_show_and_deps),
		T(test_tasks),
		T(test_task_show),
		T(test_tasks_without_end),
		T(test_status),
		T(test_symbols),
		T(test_hostile_text),
		T(test_log),
		T(test_log_follow),
		T(test_exec),
		T(test_exec_status),
		T(test_mistaken),
		T(test_push),
		T(test_push_bad_files),
		T(test_push_refused),
		T(test_swap),
		T(test_swap_dry_run),
		T(test_swap_named_cell),
		T(test_swap_merges_bundles),
		T(test_swap_statuses),
		T(test_swap_results),
		T(test_noise),
		T(test_broken_link_reading),
		T(test_broken_link_every_step),
		T(test_vm_vanishes),
		T(test_closes_at_once),
		T(test_mute_guest),
		T(test_other_protocol),
		T(test_console),
		T(test_stop),
		T(test_stop_in_vain),
		T(test_kill_mute),
		T(test_run_fails),
		T(test_bench),
		T(test_bench_fails),
	};

	if (argc < 2)
		return 2;
	program = argv[1];
	(void)unsetenv("THESEUS_VM");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
