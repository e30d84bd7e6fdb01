/* SPDX-License-Identifier: MIT */
#include "soak.h"

#include <string.h>

#define SLEEP_NS (2 * CLOCK_MS)

static int64_t return_at_once(struct child *child)
{
	HOLDING(child);
	return 0;
}

static int64_t exit_from_within(struct child *child)
{
	HOLDING(child);
	task_exit(0);
}

static int64_t sleep_a_little(struct child *child)
{
	HOLDING(child);
	return task_sleep_until(clock_after(next_random(&child->random) % SLEEP_NS));
}

/* Told once, it goes on; at its second kill point it ends. */
static int64_t wait_for_ever(struct child *child)
{
	while (child->random) {
		HOLDING(child);
		(void)!task_event_wait(&child->never, 0, CLOCK_NEVER);
	}
	return 0;
}

static int64_t poll_for_ever(struct child *child)
{
	while (child->random) {
		HOLDING(child);
		if (next_random(&child->random) % 64 == 0)
			task_yield();
		(void)task_kill_point();
	}
	return 0;
}

/* Holds nothing that only a cleanup could give back. */
static int64_t never_poll(struct child *child)
{
	volatile uint64_t n = child->random;

	while (child->random)
		n++;
	return (int64_t)n;
}

static int64_t use_heap(struct child *child)
{
	for (unsigned i = 0; i < 8; i++) {
		size_t bytes = next_random(&child->random) % 6000 + 1;
		OWNED(heap_drop) char *block = heap_alloc(CELL_SELF, bytes);

		if (!block)
			return 0;
		memset(block, (int)i, bytes);
		if (i == 4 && task_sleep_until(clock_after(CLOCK_MS / 1000)) < 0)
			return -ECANCELED;
		if (block[bytes - 1] != (char)i)
			soak_wrong("a block of %zu bytes was overwritten", bytes);
	}
	return 0;
}

void fault_now(void)
{
	uint64_t nowhere = 16;

	__asm__ volatile("movq $1, (%0)" ::"r"(nowhere) : "memory");
}

static int64_t fault_in_leaf(struct child *child)
{
	/* never 0: the sanitizer's trap for NULL would come before the CPU's fault, and has no
	 * landing pad */
	volatile uint64_t *at = (volatile uint64_t *)(uintptr_t)((child->random % 4096 & ~7ull) | 8);
	HOLDING(child);

	*at = 1;
	return 0;
}

static __attribute__((noinline)) int64_t fault_below(struct child *child, unsigned frames)
{
	HOLDING(child);

	if (frames == 0) {
		fault_now();
		return 0;
	}
	return fault_below(child, frames - 1) + 1;
}

static int64_t fault_in_callee(struct child *child)
{
	HOLDING(child);
	return fault_below(child, 5);
}

static __attribute__((noinline)) uint64_t deeper(struct child *child, const volatile uint64_t *from)
{
	volatile uint64_t here[64];

	if (*from == UINT64_MAX)
		return child->random;
	here[0] = *from + 1;
	return deeper(child, here) + here[0];
}

static int64_t overflow_stack(struct child *child)
{
	volatile uint64_t zero = 0;
	HOLDING(child);

	return (int64_t)deeper(child, &zero);
}

const struct role roles[] = {
	{"return", return_at_once, ENDS_BY_ITSELF, .weight = 6},
	{"exit", exit_from_within, ENDS_BY_ITSELF, .weight = 4},
	{"sleep", sleep_a_little, ENDS_BY_ITSELF, .weight = 6},
	{"wait", wait_for_ever, ENDS_BY_KILL, .weight = 6},
	{"poll", poll_for_ever, ENDS_BY_KILL, .weight = 6},
	{"never polls", never_poll, ENDS_BY_KILL, .weight = 1},
	{"heap", use_heap, ENDS_BY_ITSELF, .weight = 6},
	{"fault leaf", fault_in_leaf, ENDS_BY_FAULT, .weight = 2},
	{"fault callee", fault_in_callee, ENDS_BY_FAULT, .weight = 2},
	{"overflow", overflow_stack, ENDS_BY_FAULT, .weight = 2},
	{"fault mutex", fault_with_mutex, ENDS_BY_FAULT, .weight = 2},
	{"fault rwlock", fault_with_rwlock, ENDS_BY_FAULT, .weight = 2},
	{"fault spinlock", fault_with_spinlock, ENDS_BY_FAULT, .weight = 2},
	{"mutex", use_mutex, ENDS_BY_ITSELF, .weight = 6},
	{"rwlock", use_rwlock, ENDS_BY_ITSELF, .weight = 6},
	{"spinlock", use_spinlock, ENDS_BY_ITSELF, .weight = 6},
	{"semaphore", use_semaphore, ENDS_BY_ITSELF, .weight = 6},
	{"send", send_messages, ENDS_BY_ITSELF, .weight = 6},
	{"receive", receive_messages, ENDS_BY_ITSELF, .weight = 6},
	{"objects", leave_objects, ENDS_BY_ITSELF, .weight = 6},
	{"region", leave_region, ENDS_BY_ITSELF, .weight = 4},
	{"file", leave_file, ENDS_BY_ITSELF, .weight = 4},
};
const unsigned n_roles = ARRAY_SIZE(roles);
