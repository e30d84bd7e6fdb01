/* SPDX-License-Identifier: MIT */
/* System calls, switches, and lives of threads and processes. */
#include "linux.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_BYTES (64u << 10)
#define THREADS_MAX 10000u

static int getpid_run(struct bench *b)
{
	b->ops = CALLS;
	while (bench_more(b)) {
		uint64_t start = bench_start();

		for (unsigned i = 0; i < CALLS; i++)
			(void)syscall(SYS_getpid);
		bench_stop(b, start);
	}
	return 0;
}

/* ---- switches among param threads on one CPU ---- */

static int stop;
static struct bench_switches switches;

/* Another one for every thread. */
static __attribute__((noinline)) uint64_t me(void)
{
	return (uint64_t)(uintptr_t)__builtin_frame_address(0);
}

static void *yielder(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		(void)sched_yield();
		bench_came_back(&switches, me());
	}
	return arg;
}

static uint64_t yield_until(uint64_t n)
{
	uint64_t since = switches.n;

	do {
		(void)sched_yield();
		bench_came_back(&switches, me());
	} while (__atomic_load_n(&switches.n, __ATOMIC_RELAXED) - since < n);
	return switches.n - since;
}

static int yield_run(struct bench *b)
{
	static pthread_t threads[THREADS_MAX];
	uint64_t n = 0;
	int r = 0;

	if (b->param < 2 || b->param > THREADS_MAX)
		return -EINVAL;
	while (!r && n < b->param - 1) {
		r = linux_thread(linux_cpu(), yielder, NULL, &threads[n]);
		n += !r;
	}
	b->ops = b->param < SWITCHES ? SWITCHES : b->param;
	if (!r)
		(void)yield_until(2 * b->ops); /* now everybody has begun */
	while (!r && bench_more(b)) {
		uint64_t start = bench_start();

		bench_add_switches(b, start, yield_until(b->ops));
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	while (n > 0)
		(void)pthread_join(threads[--n], NULL);
	return r;
}

static void *main_sp, *other_sp;

static void bounce(void *arg)
{
	(void)arg;
	for (;;)
		minimal_switch(&other_sp, main_sp);
}

static int minimal_run(struct bench *b)
{
	void *stack = malloc(STACK_BYTES);

	if (!stack)
		return -ENOMEM;
	other_sp = minimal_stack(stack, STACK_BYTES, bounce, NULL);
	b->ops = CALLS * 2;
	while (bench_more(b)) {
		uint64_t start = bench_start();

		for (unsigned i = 0; i < CALLS; i++)
			minimal_switch(&main_sp, other_sp);
		bench_stop(b, start);
	}
	free(stack);
	return 0;
}

/* ---- lives ---- */

static void *nothing(void *arg)
{
	return arg;
}

static int pthread_run(struct bench *b)
{
	while (bench_more(b)) {
		uint64_t start = bench_start();
		pthread_t thread;
		int r = linux_thread(linux_cpu(), nothing, NULL, &thread);

		if (r)
			return r;
		(void)pthread_join(thread, NULL);
		bench_stop(b, start);
	}
	return 0;
}

/*
 * The least program that there can be: one page, no libraries, exit_group(0). So what is
 * measured is the kernel's part alone.
 */
static int least_program(void)
{
	static const unsigned char image[] = {
		/* ELF64, little-endian, executable, x86-64, entry 0x400078, one program header */
		0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0x3e, 0, 1, 0, 0, 0,
		0x78, 0, 0x40, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0,
		/* PT_LOAD, read and execute, the whole file at 0x400000 */
		1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0,
		0x40, 0, 0, 0, 0, 0, 0x81, 0, 0, 0, 0, 0, 0, 0, 0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
		0, 0, 0, 0, 0, 0,
		/* mov $231, %eax; xor %edi, %edi; syscall */
		0xb8, 0xe7, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05};
	int fd = memfd_create("least", MFD_CLOEXEC);

	if (fd >= 0 && write(fd, image, sizeof(image)) != (ssize_t)sizeof(image)) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

static int fork_once(int fd)
{
	static char *const argv[] = {(char *)(uintptr_t) "least", NULL};
	static char *const env[] = {NULL};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		(void)fexecve(fd, argv, env);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ENOEXEC;
}

static int fork_run(struct bench *b)
{
	int fd = least_program(), r = fd < 0 ? -errno : 0;

	while (!r && bench_more(b)) {
		uint64_t start = bench_start();

		r = fork_once(fd);
		bench_stop(b, start);
	}
	if (fd >= 0)
		(void)close(fd);
	return r;
}

const struct linux_row task_rows[] = {
	{"getpid", getpid_run},          {"sched-yield", yield_run},
	{"minimal-switch", minimal_run}, {"pthread-create-join", pthread_run},
	{"fork-exec-wait", fork_run},    {NULL},
};
