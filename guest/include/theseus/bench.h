/* SPDX-License-Identifier: MIT */
/*
 * What measures an operation: in the guest a provider of bench_ops, which `exec bench` finds
 * and runs; on Linux a row of theseus-bench-linux, the same function type, so that both sides
 * time, stop and count alike:
 *
 *	static int run(struct bench *b)
 *	{
 *		b->ops = 100;
 *		while (bench_more(b)) {
 *			uint64_t start = bench_start();
 *
 *			for (int i = 0; i < 100; i++)
 *				operation(b->param);
 *			bench_stop(b, start);
 *		}
 *		return 0;
 *	}
 *	CELL_PROVIDE(bench_ops, operation) = {.run = run, .n_params = 1, .params = {0}};
 *
 * Context: tasks; one benchmark at a time. What a benchmark makes it gives back.
 */
#ifndef THESEUS_BENCH_H
#define THESEUS_BENCH_H

#include <theseus/cell.h>

#define BENCH_SAMPLES_MAX 16384u
#define BENCH_SAMPLES_MIN 3u /* even when they take longer than was asked for */
#define BENCH_PARAMS_MAX 8u

struct bench {
	uint64_t param;    /* IN: one of bench_ops.params */
	uint64_t tsc_khz;  /* IN */
	uint64_t time_tsc; /* IN: how long to go on, from the first sample */
	uint64_t end_tsc;  /* set by bench_more(): no more samples after that */
	uint64_t ops;      /* OUT: operations in each sample; 1 unless it is set */
	uint64_t bytes;    /* OUT, instead of samples: a size, where that is what is measured */
	uint64_t *samples; /* OUT: TSC ticks each; BENCH_SAMPLES_MAX of them fit. Borrowed */
	uint32_t n;        /* OUT */
};

struct bench_ops {
	/* Result: 0, -errno: not measured (-EAGAIN, -ENOMEM: no room for so many). May block. */
	int (*run)(struct bench *b);
	uint32_t n_params;
	uint64_t params[BENCH_PARAMS_MAX]; /* what it is usually run with */
};
IFACE_DEFINE(bench_ops);

/* Is another sample wanted? What is done before the first question costs no time. */
static inline __attribute__((unused)) bool bench_more(struct bench *b)
{
	uint64_t now = __builtin_ia32_rdtsc();

	if (b->end_tsc == 0)
		b->end_tsc = now + b->time_tsc;
	return b->n < BENCH_SAMPLES_MAX && (b->n < BENCH_SAMPLES_MIN || now < b->end_tsc);
}

static inline __attribute__((unused)) uint64_t bench_start(void)
{
	uint64_t tsc;

	__builtin_ia32_lfence();
	tsc = __builtin_ia32_rdtsc();
	__builtin_ia32_lfence();
	return tsc;
}

static inline __attribute__((unused)) void bench_add(struct bench *b, uint64_t ticks)
{
	if (b->n < BENCH_SAMPLES_MAX)
		b->samples[b->n++] = ticks;
}

static inline __attribute__((unused)) void bench_stop(struct bench *b, uint64_t start)
{
	__builtin_ia32_lfence();
	bench_add(b, __builtin_ia32_rdtsc() - start);
}

/* ---- switches among tasks, or threads, of one CPU ---- */

/*
 * A scheduler may give the CPU back to who gave way, so calls are not switches: who comes back
 * from giving way counts one if somebody else came back before him.
 */
struct bench_switches {
	uint64_t last; /* who came back last */
	uint64_t n;
};

/* @me: any number that nobody else has. */
static inline __attribute__((unused)) void bench_came_back(struct bench_switches *s, uint64_t me)
{
	if (__atomic_load_n(&s->last, __ATOMIC_RELAXED) == me)
		return;
	__atomic_store_n(&s->last, me, __ATOMIC_RELAXED);
	__atomic_store_n(&s->n, __atomic_load_n(&s->n, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

/* A sample of b->ops switches, from @start on, when @since of them have been counted. */
static inline __attribute__((unused)) void bench_add_switches(struct bench *b, uint64_t start,
							      uint64_t since)
{
	bench_add(b, (__builtin_ia32_rdtsc() - start) * b->ops / since);
}

/* ---- of the samples; times are in ps, because operations of a few ns are among them ---- */

/* @ticks, of @ops operations, as ps an operation. */
static inline __attribute__((unused)) uint64_t bench_ps(uint64_t ticks, uint64_t ops, uint64_t khz)
{
	uint64_t ps;

	if (__builtin_mul_overflow(ticks, 1000000000ull, &ps))
		return ticks / khz * 1000000000ull / ops;
	return ps / khz / ops;
}

/* The least of @n > 0 ascending @samples that @percent of them (1..100) do not exceed. */
static inline __attribute__((unused)) uint64_t bench_rank(const uint64_t *samples, uint32_t n,
							  unsigned percent)
{
	return samples[((uint64_t)n * percent + 99) / 100 - 1];
}

/* Ascending. */
static inline __attribute__((unused)) int bench_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* How both sides report: bench=NAME param=P … */
#define BENCH_TIMES "bench=%s param=%llu n=%u ops=%llu median_ps=%llu p99_ps=%llu min_ps=%llu\n"
#define BENCH_BYTES "bench=%s param=%llu bytes=%llu\n"

#endif
