/* SPDX-License-Identifier: MIT */
/* From a deadline until the thread that slept until then runs. */
#include "linux.h"

#include <errno.h>
#include <sched.h>
#include <sys/prctl.h>
#include <time.h>

#define PERIOD_NS 300000u
#define SPREAD_NS 200000u
#define NS_PER_SEC 1000000000ull

static int stop;

static void *spinner(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		__builtin_ia32_pause();
	return arg;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec;
}

static int samples(struct bench *b)
{
	uint64_t dither = 1;

	while (bench_more(b)) {
		struct timespec until;
		uint64_t deadline;
		int r;

		dither = dither * 6364136223846793005ull + 1442695040888963407ull;
		deadline = now_ns() + PERIOD_NS + (dither >> 40) % SPREAD_NS;
		until.tv_sec = (time_t)(deadline / NS_PER_SEC);
		until.tv_nsec = (long)(deadline % NS_PER_SEC);
		r = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
		if (r)
			return -r;
		bench_add(b, (now_ns() - deadline) * b->tsc_khz / 1000000);
	}
	return 0;
}

/* With param threads that never give way on the same CPU. */
static int with_spinners(struct bench *b)
{
	pthread_t thread = 0;
	int r = b->param > 1 ? -EINVAL : prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul) ? -errno : 0;

	if (!r && b->param)
		r = linux_thread(linux_cpu(), spinner, NULL, &thread);
	if (r)
		return r;
	r = samples(b);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	if (b->param)
		(void)pthread_join(thread, NULL);
	return r;
}

static int sleep_run(struct bench *b)
{
	return with_spinners(b);
}

/* A thread with a higher claim than the spinner's; needs the right to real-time scheduling. */
static int fifo_run(struct bench *b)
{
	struct sched_param param = {.sched_priority = 1}, other = {.sched_priority = 0};
	pthread_t thread = 0;
	int r = linux_thread(linux_cpu(), spinner, NULL, &thread);

	if (r)
		return r;
	(void)pthread_setschedparam(thread, SCHED_OTHER, &other);
	if (sched_setscheduler(0, SCHED_FIFO, &param))
		r = -errno;
	if (!r)
		r = samples(b);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	(void)pthread_join(thread, NULL);
	return r;
}

const struct linux_row wake_rows[] = {
	{"nanosleep", sleep_run},
	{"nanosleep-fifo", fifo_run},
	{NULL},
};
