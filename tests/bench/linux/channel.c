/* SPDX-License-Identifier: MIT */
/*
 * Round trips: one word there and one back, between two threads on one CPU (param 0) or on
 * two (param 1).
 */
#include "linux.h"

#include <ck_ring.h>
#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRIPS 16u /* a sample */
#define STACK_BYTES (64u << 10)
#define RING_SLOTS 64u

/* The CPU of the peer. Result: -errno where there is none. */
static int peer_cpu(const struct bench *b)
{
	if (b->param > 1)
		return -EINVAL;
	if (b->param == 0)
		return linux_cpu();
	return linux_other_cpu() < 0 ? -ENODEV : linux_other_cpu();
}

static int trips(struct bench *b, void (*trip)(void))
{
	b->ops = TRIPS;
	while (bench_more(b)) {
		uint64_t start = bench_start();

		for (unsigned i = 0; i < TRIPS; i++)
			trip();
		bench_stop(b, start);
	}
	return 0;
}

/* Starts @peer, measures @trip, tells the peer by @end that there is no more. */
static int with_peer(struct bench *b, void *(*peer)(void *), void (*trip)(void), void (*end)(void))
{
	int cpu = peer_cpu(b), r;
	pthread_t thread;

	if (cpu < 0)
		return cpu;
	r = linux_thread(cpu, peer, NULL, &thread);
	if (r)
		return r;
	r = trips(b, trip);
	end();
	(void)pthread_join(thread, NULL);
	return r;
}

/* ---- two pipes ---- */

static int there[2], back[2];

static void *pipe_peer(void *arg)
{
	uint64_t word;

	while (read(there[0], &word, sizeof(word)) == sizeof(word))
		if (write(back[1], &word, sizeof(word)) != sizeof(word))
			linux_die("write");
	return arg;
}

static void pipe_trip(void)
{
	uint64_t word = 1;

	if (write(there[1], &word, sizeof(word)) != sizeof(word) ||
	    read(back[0], &word, sizeof(word)) != sizeof(word))
		linux_die("pipe");
}

static void pipe_end(void)
{
	(void)close(there[1]);
}

static int pipe_run(struct bench *b)
{
	if (pipe(there) || pipe(back))
		return -errno;
	return with_peer(b, pipe_peer, pipe_trip, pipe_end);
}

/* ---- a word that two threads hand to each other ---- */

enum { MINE, YOURS, OVER };
static uint32_t turn;

static void futex_await(uint32_t not )
{
	while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) == not )
		(void)syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, not, NULL, NULL, 0);
}

static void futex_hand(uint32_t to)
{
	__atomic_store_n(&turn, to, __ATOMIC_RELEASE);
	(void)syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *futex_peer(void *arg)
{
	for (;;) {
		futex_await(MINE);
		if (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) == OVER)
			return arg;
		futex_hand(MINE);
	}
}

static void futex_trip(void)
{
	futex_hand(YOURS);
	futex_await(YOURS);
}

static void futex_end(void)
{
	futex_hand(OVER);
}

static int futex_run(struct bench *b)
{
	return with_peer(b, futex_peer, futex_trip, futex_end);
}

/* ---- ck_ring: two stacks of one thread and the minimal switch, or two threads that poll ---- */

static struct ck_ring out_ring, in_ring;
static struct ck_ring_buffer out_slots[RING_SLOTS], in_slots[RING_SLOTS];
static void *main_sp, *other_sp;
static int over;

static void ring_answer(void)
{
	void *word;

	if (!ck_ring_dequeue_mpmc(&out_ring, out_slots, &word) ||
	    !ck_ring_enqueue_mpmc(&in_ring, in_slots, word))
		abort();
}

static void ring_context(void *arg)
{
	(void)arg;
	for (;;) {
		ring_answer();
		minimal_switch(&other_sp, main_sp);
	}
}

static void ring_trip_switch(void)
{
	void *word = &over;

	if (!ck_ring_enqueue_mpmc(&out_ring, out_slots, word))
		abort();
	minimal_switch(&main_sp, other_sp);
	if (!ck_ring_dequeue_mpmc(&in_ring, in_slots, &word))
		abort();
}

static void *ring_peer(void *arg)
{
	void *word;

	while (!__atomic_load_n(&over, __ATOMIC_RELAXED))
		if (ck_ring_dequeue_mpmc(&out_ring, out_slots, &word))
			(void)ck_ring_enqueue_mpmc(&in_ring, in_slots, word);
	return arg;
}

static void ring_trip_poll(void)
{
	void *word = &over;

	(void)ck_ring_enqueue_mpmc(&out_ring, out_slots, word);
	while (!ck_ring_dequeue_mpmc(&in_ring, in_slots, &word))
		__builtin_ia32_pause();
}

static void ring_end(void)
{
	__atomic_store_n(&over, 1, __ATOMIC_RELAXED);
}

static int ring_run(struct bench *b)
{
	void *stack;
	int r;

	ck_ring_init(&out_ring, RING_SLOTS);
	ck_ring_init(&in_ring, RING_SLOTS);
	if (b->param)
		return with_peer(b, ring_peer, ring_trip_poll, ring_end);
	stack = malloc(STACK_BYTES);
	if (!stack)
		return -ENOMEM;
	other_sp = minimal_stack(stack, STACK_BYTES, ring_context, NULL);
	r = trips(b, ring_trip_switch);
	free(stack);
	return r;
}

const struct linux_row channel_rows[] = {
	{"pipe", pipe_run},
	{"futex", futex_run},
	{"ck-ring", ring_run},
	{NULL},
};
