/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <theseus/command.h>
#include <theseus/loader.h>
#include <theseus/switch.h>
#include <theseus/service.h>
#include <theseus/upcall.h>

CELL_INFO(.name = "service", .version = "1.0.0", .summary = "runs the steps of services",
	  .safety = CELL_SAFE);

CELL_EXPORT(service_start_all);
CELL_EXPORT(service_wake);
CELL_EXPORT_BLOCKING(service_stop);
CELL_EXPORT(service_self);
CELL_EXPORT(service_state_name);
CELL_EXPORT(service_at);
CELL_EXPORT(service_failed);
CELL_CONSUMES(service_ops);

struct service {
	char name[CELL_NAME_MAX];
	struct service_ops_h handle; /* generation 0: the entry is free */
	struct task_event event;     /* woken, started, stopped */
	uint32_t state;              /* enum service_state, atomic */
	uint32_t stop;               /* atomic: service_stop() was called */
	uint32_t runners;            /* atomic: that have not ended */
	int32_t error;
	uint64_t fault;
	uint64_t steps, wakes;     /* atomic */
	uint64_t late, longest_ns; /* atomic; kept if its steps have a deadline, like began_ns */
	uint64_t began_ns[GATE_MAX_CPUS]; /* of each instance's step, 0 = none runs; atomic */
};

struct services {
	struct spinlock lock; /* of who makes entries; they never go */
	uint32_t n;           /* atomic */
	struct service table[SERVICES_MAX];
	struct task_local runner; /* of each runner: its argument + 1 */
};
CELL_STATE(struct services, services) = {.n = 0};

/* A runner's argument. */
#define RUNNER_ARG(index, instance) ((uint64_t)(instance) << 32 | (index))

static enum service_state state_of(const struct service *s)
{
	return (enum service_state)__atomic_load_n(&s->state, __ATOMIC_ACQUIRE);
}

static void set_state(struct service *s, enum service_state state)
{
	__atomic_store_n(&s->state, state, __ATOMIC_RELEASE);
	task_event_signal(&s->event);
}

/* ---- the runner ---- */

static int64_t call_init(void *arg)
{
	const struct service_ops *const *ops = arg;

	return (*ops)->init();
}

struct step_call {
	const struct service_ops *ops;
	struct service_next next;
};

static int64_t call_step(void *arg)
{
	struct step_call *call = arg;

	call->next = call->ops->step();
	return 0;
}

static int64_t call_health(void *arg)
{
	const struct service_ops *const *ops = arg;

	return (*ops)->health();
}

static int64_t call_fini(void *arg)
{
	const struct service_ops *const *ops = arg;

	(*ops)->fini();
	return 0;
}

static void failed(struct service *s, int error, uint64_t fault)
{
	s->error = error;
	s->fault = fault;
	set_state(s, SERVICE_FAILED);
	if (fault)
		upcall_fault_report(fault);
}

/* The runner ends; the last one of a service that came to its end calls fini. */
static int64_t leave(struct service *s)
{
	const struct service_ops *ops = service_ops_get(s->handle);
	bool last = __atomic_sub_fetch(&s->runners, 1, __ATOMIC_ACQ_REL) == 0;
	int64_t value = 0;
	int r = 0;

	(void)(task_local_set(services.runner, 0) < 0); /* what is not set is 0, too */
	if (state_of(s) == SERVICE_FAILED)
		return -EFAULT;
	if (last && ops && ops->fini)
		r = switch_protect(call_fini, &ops, &value);
	if (r < 0)
		failed(s, r, r == -EFAULT ? (uint64_t)value : 0);
	else if (last)
		set_state(s, SERVICE_STOPPED);
	else
		task_event_signal(&s->event);
	return 0;
}

/* Result: TASK_AGAIN, or what leave() said. */
static int64_t begin(struct service *s, const struct service_ops *ops)
{
	int64_t value = 0;
	int r = ops->init ? switch_protect(call_init, &ops, &value) : 0;

	if (r < 0)
		failed(s, r, r == -EFAULT ? (uint64_t)value : 0);
	else if (value < 0)
		failed(s, (int)value, 0);
	else
		set_state(s, SERVICE_RUNNING);
	return TASK_AGAIN;
}

/* ---- deadlines of steps ---- */

static void step_begins(struct service *s, const struct service_ops *ops, unsigned instance)
{
	if (ops->step_limit_ns)
		__atomic_store_n(&s->began_ns[instance], clock_now_ns(), __ATOMIC_RELAXED);
}

static void step_ended(struct service *s, uint64_t limit_ns, unsigned instance)
{
	uint64_t began = __atomic_exchange_n(&s->began_ns[instance], 0, __ATOMIC_RELAXED);
	uint64_t longest = __atomic_load_n(&s->longest_ns, __ATOMIC_RELAXED), took;

	if (!began)
		return;
	took = clock_now_ns() - began;
	if (took > limit_ns)
		__atomic_add_fetch(&s->late, 1, __ATOMIC_RELAXED);
	while (took > longest && !__atomic_compare_exchange_n(&s->longest_ns, &longest, took, false,
							      __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

static bool overdue(const struct service *s, uint64_t limit_ns)
{
	uint64_t began, now = clock_now_ns();

	for (unsigned i = 0; limit_ns && i < GATE_MAX_CPUS; i++) {
		began = __atomic_load_n(&s->began_ns[i], __ATOMIC_RELAXED);
		if (began && now > began && now - began > limit_ns)
			return true;
	}
	return false;
}

#define SCRUB_BYTES 768u /* a task that waits uses less below its runner */

/*
 * Zeroes the stack below the caller. The wait builds its frames where the step had its own, and
 * a word that the step left between their variables would look like a pointer into its cell,
 * which could not be swapped for as long as the service waits.
 */
static __attribute__((noinline)) void scrub_stack(void)
{
	volatile uint64_t below[SCRUB_BYTES / sizeof(uint64_t)];

	for (size_t i = 0; i < ARRAY_SIZE(below); i++)
		below[i] = 0;
}

static int64_t step(struct service *s, const struct service_ops *ops, unsigned instance)
{
	/* before the step: a wake from now on lets the wait return */
	uint64_t seen = task_event_count(&s->event);
	struct step_call call = {.ops = ops, .next = {.then = SERVICE_DONE}};
	uint64_t limit_ns = ops->step_limit_ns;
	int64_t fault;
	int r;

	step_begins(s, ops, instance);
	r = switch_protect(call_step, &call, &fault);
	step_ended(s, limit_ns, instance);
	scrub_stack();
	if (r == -EFAULT)
		failed(s, r, (uint64_t)fault);
	if (r < 0)
		return leave(s); /* it faulted, or this runner is to end */
	__atomic_add_fetch(&s->steps, 1, __ATOMIC_RELAXED);
	switch (call.next.then) {
	case SERVICE_DONE:
		__atomic_store_n(&s->stop, 1, __ATOMIC_RELEASE);
		task_event_signal(&s->event); /* the other runners leave too */
		break;
	case SERVICE_AGAIN:
		task_yield();
		break;
	case SERVICE_WAIT:
		/* woken, late, killed, or this code was replaced: the bottom frame decides */
		(void)(task_event_wait(&s->event, seen, call.next.deadline_ns) < 0);
		break;
	}
	return TASK_AGAIN;
}

/* One turn of a runner: called again and again from its bottom frame, through the slot. */
static int64_t run(uint64_t arg)
{
	struct service *s = &services.table[(uint32_t)arg % SERVICES_MAX];
	const struct service_ops *ops = service_ops_get(s->handle);
	uint64_t seen = task_event_count(&s->event);

	if (!ops || task_local_set(services.runner, arg + 1) < 0 ||
	    __atomic_load_n(&s->stop, __ATOMIC_ACQUIRE) || task_killed())
		return leave(s);
	switch (state_of(s)) {
	case SERVICE_RUNNING:
		return step(s, ops, (unsigned)(arg >> 32) % GATE_MAX_CPUS);
	case SERVICE_STARTING:
		if (arg >> 32 == 0)
			return begin(s, ops);
		(void)(task_event_wait(&s->event, seen, CLOCK_NEVER) < 0);
		return TASK_AGAIN;
	default:
		return leave(s);
	}
}
CELL_PROVIDE(task_ops, service_runner) = {.run = run};

/* ---- starting ---- */

static bool same(struct service_ops_h a, struct service_ops_h b)
{
	return a.h.slot == b.h.slot && a.h.generation == b.h.generation;
}

static struct service *find(struct service_ops_h handle)
{
	uint32_t n = __atomic_load_n(&services.n, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < n; i++) {
		if (same(services.table[i].handle, handle))
			return &services.table[i];
	}
	return NULL;
}

/* A new entry, or that of a service which is gone. NULL: there is one, or no room (*ret_r). */
static struct service *enter(const char *name, struct service_ops_h handle, int *ret_r)
{
	struct service *s = NULL;

	*ret_r = 0;
	spin_lock(&services.lock);
	if (!find(handle)) {
		for (uint32_t i = 0; i < services.n && !s; i++) {
			if (!service_ops_get(services.table[i].handle) &&
			    __atomic_load_n(&services.table[i].runners, __ATOMIC_ACQUIRE) == 0)
				s = &services.table[i];
		}
		if (!s && services.n < SERVICES_MAX)
			s = &services.table[services.n];
		if (s) {
			*s = (struct service){.state = SERVICE_STARTING, .handle = handle};
			snprintf(s->name, sizeof(s->name), "%s", name);
			if (s == &services.table[services.n]) /* whole before it is seen */
				__atomic_store_n(&services.n, services.n + 1, __ATOMIC_RELEASE);
		} else {
			*ret_r = -ENOSPC;
		}
	}
	spin_unlock(&services.lock);
	return s;
}

static int start_runner(struct service *s, const struct service_ops *ops, unsigned instance)
{
	uint32_t index = (uint32_t)(s - services.table);
	struct task_attr attr = {
		.name = s->name,
		.stack_bytes = ops->stack_bytes ? ops->stack_bytes : SERVICE_STACK_DEFAULT,
		.detached = true,
		.owner = iface_cell(s->handle.h),
	};
	struct task_ref task;
	int r;

	if (ops->cpu == SERVICE_BOOT_CPU)
		attr.affinity = 1;
	else if (ops->cpu == SERVICE_EACH_CPU)
		attr.affinity = 1ull << instance;
	__atomic_add_fetch(&s->runners, 1, __ATOMIC_RELAXED);
	r = task_spawn(&attr, IFACE(task_ops, service_runner), RUNNER_ARG(index, instance), &task);
	if (r < 0)
		__atomic_sub_fetch(&s->runners, 1, __ATOMIC_RELAXED);
	return r;
}

static int start(const char *name, struct service_ops_h handle)
{
	const struct service_ops *ops = service_ops_get(handle);
	struct service *s;
	uint64_t cpus;
	int r;

	if (!ops)
		return 0; /* it left meanwhile */
	s = enter(name, handle, &r);
	if (!s)
		return r;
	cpus = ops->cpu == SERVICE_EACH_CPU ? cpu_online_mask() : 1;
	for (unsigned i = 0; i < GATE_MAX_CPUS && r >= 0; i++) {
		if (cpus >> i & 1)
			r = start_runner(s, ops, i);
	}
	if (r < 0)
		failed(s, r, 0);
	return r;
}

int service_start_all(void)
{
	char name[CELL_NAME_MAX];
	struct service_ops_h handle;
	int first = 0, r;

	for (uint32_t i = 0; iface_at("service_ops", i, name, &handle.h) == 0; i++) {
		r = start(name, handle);
		if (r < 0 && first == 0)
			first = r;
	}
	return first;
}

/* ---- asked for by others ---- */

int service_wake(struct service_ops_h handle)
{
	struct service *s = find(handle);

	if (!s)
		return -ENOENT;
	__atomic_add_fetch(&s->wakes, 1, __ATOMIC_RELAXED);
	task_event_signal(&s->event);
	return 0;
}

int service_stop(struct service_ops_h handle, uint64_t deadline_ns)
{
	struct service *s = find(handle);
	uint64_t seen;
	int r;

	if (!s)
		return -ENOENT;
	__atomic_store_n(&s->stop, 1, __ATOMIC_RELEASE);
	for (;;) {
		seen = task_event_count(&s->event);
		if (__atomic_load_n(&s->runners, __ATOMIC_ACQUIRE) == 0 &&
		    (state_of(s) == SERVICE_STOPPED || state_of(s) == SERVICE_FAILED))
			return 0;
		task_event_signal(&s->event);
		r = task_event_wait(&s->event, seen + 1, deadline_ns);
		if (r < 0)
			return r;
	}
}

struct service_self service_self(void)
{
	uint64_t runner = task_local_get(services.runner);

	if (!runner)
		return (struct service_self){.instance = 0};
	return (struct service_self){
		.service = services.table[(uint32_t)(runner - 1) % SERVICES_MAX].handle,
		.instance = (unsigned)((runner - 1) >> 32)};
}

const char *service_state_name(enum service_state state)
{
	switch (state) {
	case SERVICE_STARTING:
		return "starting";
	case SERVICE_RUNNING:
		return "running";
	case SERVICE_FAILED:
		return "failed";
	case SERVICE_STOPPED:
		return "stopped";
	}
	return "?";
}

static int health_of(const struct service_ops *ops)
{
	int64_t value = 0;
	int r;

	if (!ops || !ops->health)
		return 0;
	r = switch_protect(call_health, &ops, &value);
	if (r == -EFAULT)
		upcall_fault_report((uint64_t)value);
	return r < 0 ? r : (int)value;
}

int service_at(uint32_t index, struct service_info *ret_info)
{
	const struct service_ops *ops;
	const struct service *s;

	if (index >= __atomic_load_n(&services.n, __ATOMIC_ACQUIRE))
		return -ENOENT;
	s = &services.table[index];
	ops = service_ops_get(s->handle);
	*ret_info = (struct service_info){
		.service = s->handle,
		.state = state_of(s),
		.error = s->error,
		.fault = s->fault,
		.steps = __atomic_load_n(&s->steps, __ATOMIC_RELAXED),
		.wakes = __atomic_load_n(&s->wakes, __ATOMIC_RELAXED),
		.runners = __atomic_load_n(&s->runners, __ATOMIC_RELAXED),
		.health = health_of(ops),
		.overdue = ops && overdue(s, ops->step_limit_ns),
		.late = __atomic_load_n(&s->late, __ATOMIC_RELAXED),
		.longest_ns = __atomic_load_n(&s->longest_ns, __ATOMIC_RELAXED),
	};
	memcpy(ret_info->name, s->name, sizeof(ret_info->name));
	return 0;
}

unsigned service_failed(void)
{
	uint32_t n = __atomic_load_n(&services.n, __ATOMIC_ACQUIRE);
	unsigned count = 0;

	for (uint32_t i = 0; i < n; i++)
		count += state_of(&services.table[i]) == SERVICE_FAILED;
	return count;
}

static int service_init(const struct cell_boot *boot)
{
	(void)boot;
	return task_local_create((struct task_local_ops_h){{0, 0}}, &services.runner);
}

CELL_PROVIDE(cell_ops, service) = {.init = service_init};
