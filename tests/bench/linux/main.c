/* SPDX-License-Identifier: MIT */
/* theseus-bench-linux NAME PARAM [MS]: measures one row. Without arguments: their names. */
#include "linux.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TIME_MS 50ul
#define TIME_MAX_MS 10000ul
#define CALIBRATION_NS 20000000ull

extern const char minimal_start[];

void linux_die(const char *what)
{
	perror(what);
	exit(1);
}

static int nth_cpu(int n)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		linux_die("sched_getaffinity");
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set) && n-- == 0)
			return cpu;
	return -1;
}

static int cpus[2]; /* before anything is pinned */

int linux_cpu(void)
{
	return cpus[1] >= 0 ? cpus[1] : cpus[0];
}

int linux_other_cpu(void)
{
	return cpus[1] >= 0 ? cpus[0] : -1;
}

int linux_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

int linux_thread(int cpu, void *(*fn)(void *), void *arg, pthread_t *ret_thread)
{
	pthread_attr_t attr;
	cpu_set_t set;
	int r;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, 64 << 10);
	(void)pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	r = pthread_create(ret_thread, &attr, fn, arg);
	(void)pthread_attr_destroy(&attr);
	return -r;
}

void *minimal_stack(void *bottom, size_t bytes, void (*fn)(void *), void *arg)
{
	uint64_t *sp = (uint64_t *)(void *)((char *)bottom + (bytes & ~(size_t)15));

	*--sp = 0;
	*--sp = (uint64_t)(uintptr_t)minimal_start;
	*--sp = 0; /* rbp */
	*--sp = (uint64_t)(uintptr_t)fn;
	*--sp = (uint64_t)(uintptr_t)arg;
	for (int i = 0; i < 3; i++)
		*--sp = 0; /* r13 to r15 */
	return sp;
}

static uint64_t monotonic_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static uint64_t measure_khz(void)
{
	uint64_t ns = monotonic_ns(), tsc = __builtin_ia32_rdtsc(), end;

	do {
		end = monotonic_ns();
	} while (end - ns < CALIBRATION_NS);
	return (__builtin_ia32_rdtsc() - tsc) * 1000000 / (end - ns);
}

static const struct linux_row *const families[] = {BENCH_LINUX_FAMILIES};

static const struct linux_row *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		for (const struct linux_row *row = families[i]; row->name; row++)
			if (!strcmp(row->name, name))
				return row;
	return NULL;
}

static int list(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		for (const struct linux_row *row = families[i]; row->name; row++)
			(void)puts(row->name);
	return 0;
}

static void report(const char *name, struct bench *b)
{
	qsort(b->samples, b->n, sizeof(*b->samples), bench_compare);
	printf(BENCH_TIMES, name, (unsigned long long)b->param, b->n, (unsigned long long)b->ops,
	       (unsigned long long)bench_ps(bench_rank(b->samples, b->n, 50), b->ops, b->tsc_khz),
	       (unsigned long long)bench_ps(bench_rank(b->samples, b->n, 99), b->ops, b->tsc_khz),
	       (unsigned long long)bench_ps(b->samples[0], b->ops, b->tsc_khz));
}

static int number(const char *text, unsigned long max, unsigned long *ret_value)
{
	char *end;

	errno = 0;
	*ret_value = strtoul(text, &end, 10);
	return errno || *text < '0' || *text > '9' || *end || *ret_value > max ? -EINVAL : 0;
}

int main(int argc, char **argv)
{
	static uint64_t samples[BENCH_SAMPLES_MAX];
	struct bench b = {.ops = 1, .samples = samples};
	unsigned long param, ms = TIME_MS;
	const struct linux_row *row;
	int r;

	if (argc == 1)
		return list();
	if (argc < 3 || argc > 4 || number(argv[2], UINT32_MAX, &param) ||
	    (argc == 4 && number(argv[3], TIME_MAX_MS, &ms))) {
		(void)fprintf(stderr, "usage: %s [NAME PARAM [MS]]\n", argv[0]);
		return 2;
	}
	row = find(argv[1]);
	if (!row) {
		(void)fprintf(stderr, "%s: %s: no such row\n", argv[0], argv[1]);
		return 2;
	}
	cpus[0] = nth_cpu(0);
	cpus[1] = nth_cpu(1);
	r = linux_pin(linux_cpu());
	b.param = param;
	b.tsc_khz = measure_khz();
	b.time_tsc = ms * b.tsc_khz;
	if (!r)
		r = row->run(&b);
	if (!r && b.n == 0)
		r = -ENODATA;
	if (r) {
		(void)fprintf(stderr, "%s: %s %lu: %s\n", argv[0], argv[1], param, strerror(-r));
		return 1;
	}
	report(row->name, &b);
	return 0;
}
