/* SPDX-License-Identifier: MIT */
#include <theseus/test.h>

#include <stdio.h>
#include <string.h>

#include <theseus/loader.h>
#include <theseus/swap.h>
#include <theseus/upcall.h>

#include "clients.h"

CELL_INFO(.name = "vfs_test", .version = "1.0.0", .summary = "tests of files and their clients",
	  .safety = CELL_UNSAFE, .unsafe_reason = "hands addresses to tasks as numbers",
	  .quiescence = CELL_QUIESCE_ANY);

#define MANY 10000u
#define SOME 128u /* with so many, all locks were used, and a checked build has told them apart */

struct vfs_test_state {
	struct clients clients;
	struct vfs_file files[MANY];
	uint8_t copy[PAGE_SIZE]; /* of vfs's state */
};
CELL_STATE(struct vfs_test_state, state);

static struct object_owner me(void)
{
	return (struct object_owner){CELL_SELF, task_id(task_self())};
}

static int make(const char *path, const char *text)
{
	OWNED(vfs_close_drop) struct vfs_file f = {{0}};
	int64_t r = vfs_open(path, VFS_WRITE | VFS_CREATE | VFS_TRUNCATE, me(), &f);

	if (r == 0)
		r = vfs_write(f, text, strlen(text));
	return r < 0 ? (int)r : 0;
}

/* ---- a client's life ---- */

static int reads_what_was_written(struct test *test)
{
	OWNED(vfs_close_drop) struct vfs_file f = {{0}};
	char buf[32];

	TEST_CHECK(test, vfs_mkdir("/t") == 0);
	TEST_CHECK(test, make("/t/a", "some text") == 0);
	TEST_CHECK(test, vfs_rename("/t/a", "/t/b") == 0);
	TEST_CHECK(test, vfs_open("/t/a", VFS_READ, me(), &f) == -ENOENT);
	TEST_CHECK(test, vfs_open("/t/b", VFS_READ, me(), &f) == 0);
	TEST_CHECK(test, vfs_unlink("/t/b") == 0);
	TEST_CHECK(test, vfs_rmdir("/t") == 0);
	TEST_CHECK(test, vfs_read(f, buf, sizeof(buf)) == 9);
	TEST_CHECK(test, memcmp(buf, "some text", 9) == 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, vfs_reads_what_was_written) = {.run = reads_what_was_written};

static struct loader_cell vfs_cell(void)
{
	struct loader_cell c = {.state_bytes = 0};

	(void)(loader_cell_find("vfs", &c) < 0);
	return c;
}

/* State-spill freedom: not one byte of vfs's state knows how many clients there are. */
static int state_does_not_grow(struct test *test)
{
	struct loader_cell before = vfs_cell();
	unsigned n;

	TEST_CHECK(test, before.state_bytes > 0 && before.state_bytes <= PAGE_SIZE);
	TEST_CHECK(test, make("/many", "x") == 0);
	for (n = 0; n < MANY; n++) {
		if (vfs_open("/many", VFS_READ, me(), &state.files[n]) < 0)
			break;
		if (n == SOME)
			memcpy(state.copy, (const void *)(uintptr_t)before.state,
			       before.state_bytes);
	}
	TEST_CHECK(test, n == MANY);
	TEST_CHECK(test, vfs_cell().state_bytes == before.state_bytes);
	TEST_CHECK(test, memcmp(state.copy, (const void *)(uintptr_t)before.state,
				before.state_bytes) == 0);
	while (n > 0) {
		TEST_CHECK(test, vfs_close(state.files[--n]) == 0);
	}
	TEST_CHECK(test, vfs_unlink("/many") == 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, vfs_state_does_not_grow) = {.run = state_does_not_grow};

/* ---- clients that die ---- */

static int64_t leave_open(uint64_t arg)
{
	struct vfs_file f;

	(void)arg;
	for (unsigned i = 0; i < 10; i++) {
		if (vfs_open("/left", VFS_READ, me(), &f) < 0)
			return -1;
	}
	return 0;
}
CELL_PROVIDE(task_ops, leave_open) = {.run = leave_open};

/* @write: into the file from memory that is not there, else from the file to there. */
static int64_t fault(uint64_t write)
{
	void *nowhere = (void *)(uintptr_t)0x1000;
	struct vfs_file f;
	int64_t r = vfs_open("/left", VFS_READ | VFS_WRITE, me(), &f);

	if (r == 0)
		r = write ? vfs_write(f, nowhere, 100) : vfs_read(f, nowhere, 100);
	return r;
}
CELL_PROVIDE(task_ops, fault) = {.run = fault};

static int run_task(struct task_ops_h entry, uint64_t arg, struct task_exit *ret_exit)
{
	struct task_ref task;
	int r = task_spawn(NULL, entry, arg, &task);

	return r < 0 ? r : task_join(task, CLOCK_NEVER, ret_exit);
}

static int files_go_with_their_task(struct test *test)
{
	struct task_exit exit;
	struct fs_stat s;

	TEST_CHECK(test, make("/left", "x") == 0);
	TEST_CHECK(test, run_task(IFACE(task_ops, leave_open), 0, &exit) == 0);
	TEST_CHECK(test, exit.end == TASK_COMPLETED && exit.value == 0);
	TEST_CHECK(test, vfs_stat("/left", &s) == 0 && s.opens == 0);
	TEST_CHECK(test, vfs_unlink("/left") == 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, vfs_files_go_with_their_task) = {.run = files_go_with_their_task};

static int a_fault_leaves_the_file_whole(struct test *test)
{
	OWNED(vfs_close_drop) struct vfs_file f = {{0}};
	struct task_exit exit;
	struct fs_stat s;
	char buf[8];

	TEST_CHECK(test, make("/left", "whole") == 0);
	for (unsigned write = 0; write < 2; write++) {
		TEST_CHECK(test, run_task(IFACE(task_ops, fault), write, &exit) == 0);
		TEST_CHECK(test, exit.end == TASK_FAULTED);
	}
	TEST_CHECK(test, vfs_stat("/left", &s) == 0 && s.opens == 0 && s.size == 5);
	TEST_CHECK(test, vfs_open("/left", VFS_READ | VFS_WRITE, me(), &f) == 0);
	TEST_CHECK(test, vfs_read(f, buf, sizeof(buf)) == 5 && memcmp(buf, "whole", 5) == 0);
	TEST_CHECK(test, vfs_write(f, "!", 1) == 1);
	TEST_CHECK(test, vfs_unlink("/left") == 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, vfs_fault_leaves_file_whole) = {.run = a_fault_leaves_the_file_whole};

/* ---- many at once ---- */

#define RACERS 4u
#define RACES 400u

/* All of them make, move, replace and remove the same few names. */
static int64_t race(uint64_t arg)
{
	uint64_t seed = arg * 0x9e3779b97f4a7c15 + 1;
	char a[32], b[32];
	int r;

	for (unsigned i = 0; i < RACES; i++) {
		seed = seed * 6364136223846793005 + 1442695040888963407;
		snprintf(a, sizeof(a), "/race/%u/%u", (unsigned)(seed >> 60) % 2,
			 (unsigned)(seed >> 40) % 3);
		snprintf(b, sizeof(b), "/race/%u/%u", (unsigned)(seed >> 50) % 2,
			 (unsigned)(seed >> 30) % 3);
		switch (seed >> 62) {
		case 0:
			r = make(a, b);
			break;
		case 1:
			r = vfs_rename(a, b);
			break;
		case 2:
			r = vfs_unlink(a);
			break;
		default:
			r = seed >> 20 & 1 ? vfs_rename("/race/0", "/race/1/in-itself")
					   : vfs_rename("/race/1/in-itself", "/race/0");
			break;
		}
		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}
CELL_PROVIDE(task_ops, race) = {.run = race};

static int names_survive_a_race(struct test *test)
{
	struct task_ref tasks[RACERS];
	struct task_exit exit;
	struct fs_stat s;
	char path[32];

	TEST_CHECK(test, vfs_mkdir("/race") == 0);
	TEST_CHECK(test, vfs_mkdir("/race/0") == 0);
	TEST_CHECK(test, vfs_mkdir("/race/1") == 0);
	for (unsigned i = 0; i < RACERS; i++)
		TEST_CHECK(test, task_spawn(NULL, IFACE(task_ops, race), i, &tasks[i]) == 0);
	for (unsigned i = 0; i < RACERS; i++) {
		TEST_CHECK(test, task_join(tasks[i], CLOCK_NEVER, &exit) == 0);
		TEST_CHECK(test, exit.end == TASK_COMPLETED);
		TEST_CHECK(test, exit.value == 0);
	}
	/* "in-itself" is /race/0 if somebody got that far: bring it back */
	TEST_CHECK(test,
		   vfs_stat("/race/0", &s) == 0 || vfs_rename("/race/1/in-itself", "/race/0") == 0);
	for (unsigned i = 0; i < 6; i++) {
		snprintf(path, sizeof(path), "/race/%u/%u", i / 3, i % 3);
		if (vfs_stat(path, &s) < 0)
			continue;
		TEST_CHECK(test, s.opens == 0);
		TEST_CHECK(test, vfs_unlink(path) == 0);
	}
	TEST_CHECK(test, vfs_rmdir("/race/0") == 0);
	TEST_CHECK(test, vfs_rmdir("/race/1") == 0);
	TEST_CHECK(test, vfs_rmdir("/race") == 0);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, vfs_names_survive_a_race) = {.run = names_survive_a_race};

/* ---- restart under load ---- */

#define RESTARTS 6u
#define RESTART_LIMIT_NS (20 * CLOCK_S)

static int64_t client(uint64_t arg)
{
	return clients_run(&state.clients, arg);
}
CELL_PROVIDE(task_ops, client) = {.run = client};

/* Waits until all files are open and every client has done another round. */
static bool all_go_on(uint64_t rounds)
{
	struct clients_sum sum;

	do {
		clients_sum(&state.clients, &sum);
		if (sum.errors || sum.wrong)
			return false;
		if (sum.open == CLIENTS_MAX * CLIENT_FILES && sum.slowest > rounds)
			return true;
	} while (task_sleep_until(clock_after(CLOCK_MS)) == 0);
	return false;
}

static int restart(const char *cell, struct test *test)
{
	struct loader_report report;
	int r = swap_restart(cell, RESTART_LIMIT_NS, &report);

	if (r < 0)
		(void)test_end(test, TEST_FAILED, report.reasons[0]);
	return r;
}

static int clients_survive_restarts(struct test *test)
{
	struct clients_sum sum = {.slowest = 0};

	memset(&state.clients, 0, sizeof(state.clients));
	TEST_CHECK(test, clients_start(&state.clients, IFACE(task_ops, client), CLIENTS_MAX) == 0);
	for (unsigned i = 0; i < RESTARTS; i++) {
		if (!all_go_on(sum.slowest) || restart(i % 2 ? "memfs" : "vfs", test) < 0)
			break;
		clients_sum(&state.clients, &sum);
	}
	(void)all_go_on(sum.slowest);
	clients_sum(&state.clients, &sum);
	TEST_CHECK(test, clients_stop(&state.clients) == 0);
	TEST_CHECK(test, sum.wrong == 0);
	TEST_CHECK(test, sum.errors == 0);
	TEST_CHECK(test, sum.open == 1000);
	return test->reason[0] ? TEST_FAILED : TEST_PASSED;
}
CELL_PROVIDE(test_ops, vfs_clients_survive_restarts) = {.run = clients_survive_restarts};

static int who_is_never_restarted(struct test *test)
{
	struct loader_report report;

	TEST_CHECK(test, swap_restart("heap", 0, &report) == -EPERM);
	TEST_CHECK(test, strcmp(report.code, "never-restarted") == 0);
	TEST_CHECK(test, swap_restart("agent", 0, &report) == -EPERM);
	TEST_CHECK(test, swap_restart("no_such_cell", 0, &report) == -ENOENT);
	return TEST_PASSED;
}
CELL_PROVIDE(test_ops, swap_restart_is_refused) = {.run = who_is_never_restarted};
