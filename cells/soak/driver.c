/* SPDX-License-Identifier: MIT */
#include "soak.h"

#define CHILD_ENDS_NS (30 * CLOCK_S) /* even on a CPU that is shared with many */
#define KILL_LATEST_NS (2 * CLOCK_MS)

static int64_t run_child(uint64_t arg)
{
	struct child *child = &soak()->drivers[arg / CHILDREN_EACH].children[arg % CHILDREN_EACH];

	return roles[child->role].run(child);
}
CELL_PROVIDE(task_ops, soak_child) = {.run = run_child};

static uint32_t choose_role(uint64_t *random)
{
	uint32_t all = 0, n;

	for (unsigned i = 0; i < n_roles; i++)
		all += roles[i].weight;
	n = (uint32_t)(next_random(random) % all);
	for (unsigned i = 0;; i++) {
		if (n < roles[i].weight)
			return i;
		n -= roles[i].weight;
	}
}

/* Result: false when there was no room for one more. */
static bool spawn(struct driver *driver, unsigned n, struct task_ref *ret_task)
{
	struct soak_state *s = soak();
	struct child *child = &driver->children[n];
	const struct role *role;
	struct task_attr attr = {0};
	int r;

	child->role = choose_role(&driver->random);
	child->told = child->acquired = child->released = 0;
	child->random = next_random(&driver->random);
	role = &roles[child->role];
	attr.name = role->name;
	r = task_spawn(&attr, IFACE(task_ops, soak_child),
		       (uint64_t)(driver - s->drivers) * CHILDREN_EACH + n, ret_task);
	if (r == -ENOMEM || r == -EAGAIN) {
		__atomic_add_fetch(&s->counts.refused, 1, __ATOMIC_RELAXED);
		return false;
	}
	if (r < 0) {
		soak_wrong("spawn of %s: error %d", role->name, r);
		return false;
	}
	__atomic_add_fetch(&s->counts.spawned, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&child->task, task_id(*ret_task), __ATOMIC_RELEASE);
	return true;
}

/* Somebody else's child, if there is one; it may end or be joined at this moment. */
static void kill_any(struct driver *driver)
{
	struct soak_state *s = soak();
	struct driver *other = &s->drivers[next_random(&driver->random) % s->n_drivers];
	struct child *child = &other->children[next_random(&driver->random) % CHILDREN_EACH];
	uint64_t id = __atomic_load_n(&child->task, __ATOMIC_ACQUIRE);
	struct task_ref task = {(uint32_t)id, (uint32_t)(id >> 32)};
	int r;

	if (id == 0)
		return;
	__atomic_store_n(&child->told, 1, __ATOMIC_SEQ_CST);
	r = task_kill(task);
	if (r < 0 && r != -ESTALE)
		soak_wrong("kill: error %d", r);
}

static void maybe_kill(struct driver *driver, struct child *child, struct task_ref task)
{
	const struct role *role = &roles[child->role];
	uint64_t dice = next_random(&driver->random);
	int r;

	if (role->end != ENDS_BY_KILL && dice % 4)
		return;
	if (dice & 16 && task_sleep_until(clock_after(dice % KILL_LATEST_NS)) < 0)
		soak_wrong("a driver was killed");
	__atomic_store_n(&child->told, 1, __ATOMIC_SEQ_CST);
	r = task_kill(task);
	if (r < 0 && r != -ESTALE) /* it may have ended */
		soak_wrong("kill of %s: error %d", role->name, r);
}

static void count_end(const struct task_exit *exit)
{
	struct soak_counts *c = &soak()->counts;

	__atomic_add_fetch(exit->end == TASK_COMPLETED ? &c->completed
			   : exit->end == TASK_KILLED  ? &c->killed
						       : &c->faulted,
			   1, __ATOMIC_RELAXED);
	if (exit->by_ledger)
		__atomic_add_fetch(&c->by_ledger, 1, __ATOMIC_RELAXED);
}

static void judge(const struct child *child, const struct task_exit *exit)
{
	const struct role *role = &roles[child->role];

	count_end(exit);
	if (exit->end == TASK_COMPLETED && exit->value == -ECANCELED && child->told)
		; /* it was told at a kill point, and went no further */
	else if (exit->end == TASK_KILLED ? !child->told : (int)exit->end != (int)role->end)
		soak_wrong("%s ended as %d (value %lld), %s", role->name, exit->end,
			   (long long)exit->value, child->told ? "told to end" : "not told to");
	else if (exit->end == TASK_COMPLETED && exit->value != 0)
		soak_wrong("%s returned %lld", role->name, (long long)exit->value);
	if (exit->by_ledger ? child->released > child->acquired
			    : child->released != child->acquired)
		soak_wrong("%s took %u things and gave back %u", role->name, child->acquired,
			   child->released);
}

static void join(struct child *child, struct task_ref task)
{
	struct task_exit exit = {0};
	int r = task_join(task, clock_after(CHILD_ENDS_NS), &exit);

	if (r < 0) {
		soak_wrong("join of %s %llx: error %d", roles[child->role].name,
			   (unsigned long long)task_id(task), r);
		return;
	}
	__atomic_store_n(&child->task, 0, __ATOMIC_RELEASE);
	judge(child, &exit);
	shared_clean(child, task_id(task), exit.by_ledger);
}

int64_t driver_round(struct driver *driver)
{
	struct task_ref tasks[CHILDREN_EACH];
	unsigned n = 0;

	if (__atomic_load_n(&soak()->stop, __ATOMIC_ACQUIRE) || soak()->n_wrong)
		return 0;
	while (n < CHILDREN_EACH && spawn(driver, n, &tasks[n]))
		n++;
	if (next_random(&driver->random) % 4 == 0)
		kill_any(driver);
	for (unsigned i = 0; i < n; i++)
		maybe_kill(driver, &driver->children[i], tasks[i]);
	for (unsigned i = 0; i < n; i++)
		join(&driver->children[i], tasks[i]);
	driver->rounds++;
	return TASK_AGAIN;
}
