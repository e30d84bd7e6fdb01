/* SPDX-License-Identifier: MIT */
/* Lock order in checked builds: theseus/lock-order.h says what is looked for. */
#include <stdio.h>
#include <theseus/upcall.h>

#include "internal.h"
#include "order.h"

#ifdef THESEUS_CHECKED

#define FINDING_MAX 104u

struct check_state {
	uint32_t busy; /* a raw lock: this is below spinlocks */
	struct order_graph graph;
};
CELL_STATE(struct check_state, check) = {.busy = 0};

static const char *place_of(uint32_t class)
{
	return class ? check.graph.classes[class].place : "?";
}

static __attribute__((noreturn, format(printf, 1, 0))) void found(const char *format, const char *a,
								  const char *b)
{
	char text[FINDING_MAX]; /* who records the fault reads it here */

	snprintf(text, sizeof(text), format, a, b);
	TRAP(text);
}

/* ---- classes ---- */

static uint32_t class_known(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED) >> 1;
}

static uint32_t class_of(uint32_t *word, const char *place)
{
	uint32_t class = class_known(word);
	uint64_t at = (uintptr_t)word;
	uint32_t old;

	if (class)
		return class;
	if (at < GATE_CELL_WINDOW || at >= GATE_CELL_WINDOW_END)
		at = 0;
	upcall_mask();
	while (__atomic_exchange_n(&check.busy, 1, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
	class = order_class(&check.graph, at, place);
	__atomic_store_n(&check.busy, 0, __ATOMIC_RELEASE);
	upcall_unmask();
	/* the first one that says it is right; bit 0 may change meanwhile */
	old = __atomic_load_n(word, __ATOMIC_RELAXED);
	while (old >> 1 == 0 && !__atomic_compare_exchange_n(word, &old, old | class << 1, false,
							     __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return class_known(word);
}

static const uint32_t *word_of(uintptr_t entry)
{
	void *lock = (void *)(entry & ~7ull);

	if ((entry & 7) == LOCK_MUTEX)
		return &((struct mutex *)lock)->order;
	return &((struct rwlock *)lock)->order;
}

/* ---- findings ---- */

/* @word of class @class is taken while @held is. */
static void look(const uint32_t *held, const uint32_t *word, uint32_t class)
{
	uint32_t before = class_known(held);

	if (held == word)
		found("lock order: %s taken again by who holds it", place_of(class), "");
	if (before == class && class != 0) {
		if (held > word)
			found("lock order: two of %s, not in ascending order", place_of(class), "");
	} else if (!order_add(&check.graph, before, class)) {
		found("lock order: %s after %s, elsewhere before", place_of(class),
		      place_of(before));
	}
}

static void check_spin(uint32_t *word, const char *place)
{
	uint32_t class = class_of(word, place), n = percpu_read(locks);

	for (uint32_t i = 0; i < n; i++)
		look(SPIN_HELD_AT_((int64_t)i), word, class);
}

static void check_blocking(uint32_t *word, enum lock_kind kind, const char *place)
{
	uint32_t class = class_of(word, place);
	uint64_t id;
	const struct sync_task *task = sync_self(&id);

	for (uint32_t i = 0; i < task->n; i++) {
		/* recursion is answered with -EDEADLK */
		if (word_of(task->held[i]) != word)
			look(word_of(task->held[i]), word, class);
	}
	(void)kind;
}

static void acquire(uint32_t *word, enum lock_kind kind, const char *place)
{
	if (kind == LOCK_SPIN)
		check_spin(word, place);
	else
		check_blocking(word, kind, place);
}

static void may_block(const char *place)
{
	uint32_t n = percpu_read(locks);

	if (n > 0)
		found("lock order: %s may block, spinlock %s is held", order_place(place),
		      place_of(class_known(SPIN_HELD_AT_((int64_t)n - 1))));
	if (upcall_depth() > 0)
		found("lock order: %s may block, upcalls are masked", order_place(place), "");
}

static void task_ends(void)
{
	uint64_t id;
	const struct sync_task *task = sync_self(&id);

	if (task->n > 0)
		found("lock order: a task ends, %s is held",
		      place_of(class_known(word_of(task->held[task->n - 1]))), "");
}
CELL_PROVIDE(lock_order_ops,
	     sync) = {.acquire = acquire, .may_block = may_block, .task_ends = task_ends};

static int init(const struct cell_boot *boot)
{
	for (unsigned cpu = 0; cpu < boot->record->cpus; cpu++)
		__atomic_store_n(&percpu_of(cpu)->lock_order, &__slot_lock_order_ops__sync,
				 __ATOMIC_RELEASE);
	return 0;
}
CELL_PROVIDE(cell_ops, sync) = {.init = init};
#endif
