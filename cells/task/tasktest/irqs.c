/* SPDX-License-Identifier: MIT */
#include <theseus/gate-call.h>
#include <theseus/loader.h>
#include <theseus/switch.h>

#include "tasktest.h"

#define PARKS 500u

static void count_irq(unsigned vector)
{
	struct shared *s = shared();
	uint64_t here = (uintptr_t)__builtin_frame_address(0);

	(void)vector;
	if (s->handler_faults) {
		s->handler_faults--;
		faulty(ROLE_NULL);
	}
	if (task_id(task_self()) == s->victim && (s->stack_low == 0 || here < s->stack_low))
		s->stack_low = here;
	__atomic_add_fetch(&s->handled, 1, __ATOMIC_RELEASE);
}
CELL_PROVIDE(irq_ops, tasktest) = {.handle = count_irq};

static void attach(void)
{
	CHECK_EQUAL(irq_attach(IFACE(irq_ops, tasktest), &shared()->vector), 0);
}

static void detach(void)
{
	CHECK_EQUAL(irq_detach(shared()->vector), 0);
	CHECK_EQUAL(irq_detach(shared()->vector), -ENOENT);
}

static void a_masked_interrupt_waits_for_unmask(void)
{
	const struct shared *s = shared();

	attach();
	upcall_mask();
	upcall_mask();
	CHECK_EQUAL(irq_send(percpu_cpu(), s->vector), 0);
	CHECK_EQUAL(irq_send(percpu_cpu(), s->vector), 0);
	CHECK_EQUAL(s->handled, 0);
	upcall_unmask();
	CHECK_EQUAL(s->handled, 0);
	upcall_unmask();
	CHECK_EQUAL(s->handled, 1); /* the two came as one */
	detach();
	CHECK_EQUAL(irq_attach((struct irq_ops_h){{0, 0}}, &shared()->vector), -EINVAL);
}

static void spurious_vectors_are_ignored(void)
{
	attach();
	detach();
	CHECK_EQUAL(irq_send(0, shared()->vector), 0);
	CHECK_EQUAL(task_sleep_until(clock_after(CLOCK_MS)), 0);
	CHECK_EQUAL(shared()->handled, 0);
	CHECK(irq_send(0, GATE_VECTOR_FLUSH) < 0);
	CHECK(irq_send(77, GATE_VECTOR_IRQ_LAST) < 0);
}

#define STORM 200u /* interrupts that must arrive */

/*
 * Interrupts to CPU 1 as fast as they go while a task there checks its registers, until
 * *@arrived has grown by STORM. Result: the end of that task's stack.
 */
static uint64_t storm(unsigned vector, const volatile uint32_t *arrived)
{
	struct shared *s = shared();
	struct task_ref victim = start(ROLE_REGISTERS, 3, 2);
	struct task_info info = info_of_task(victim);
	uint64_t limit = clock_after(20 * CLOCK_S), sent = 0;
	uint32_t before = *arrived;

	s->victim = task_id(victim);
	CHECK(reaches(&s->counts[3], 3));
	for (; *arrived - before < STORM && clock_now_ns() < limit; sent++)
		CHECK_EQUAL(gate_ipi(1, vector), 0);
	CHECK(*arrived - before >= STORM);
	stop_all();
	CHECK_EQUAL(finish(victim).value, 0);
	CHECK_EQUAL(s->bad, 0);
	say("# %llu sent", (unsigned long long)sent);
	return info.stack_start + info.stack_bytes;
}

static void a_storm_of_interrupts_uses_no_stack(void)
{
	struct shared *s = shared();
	uint64_t top;

	attach();
	top = storm(s->vector, &s->handled);
	/* one frame with AVX-512 state needs about 4 KiB */
	CHECK(top - s->stack_low < 8192);
	detach();
}

static void nmis_are_counted_and_harmless(void)
{
	(void)storm(GATE_VECTOR_NMI, &percpu_of(1)->nmis);
}

static void a_faulting_handler_is_detached(void)
{
	uint64_t faults = upcall_fault_count(), limit = clock_after(10 * CLOCK_S);
	struct upcall_fault fault = {.id = 0};

	attach();
	shared()->handler_faults = 1;
	CHECK_EQUAL(irq_send(0, shared()->vector), 0);
	while (upcall_fault_count() == faults && clock_now_ns() < limit)
		task_yield();
	while (upcall_fault_get(faults + 1, &fault) == 0 && fault.outcome != UPCALL_HANDLER &&
	       clock_now_ns() < limit)
		task_yield();
	CHECK_EQUAL(upcall_fault_count(), faults + 1);
	CHECK_EQUAL(fault.outcome, UPCALL_HANDLER);
	CHECK_EQUAL(irq_detach(shared()->vector), -ENOENT);
	CHECK_EQUAL(irq_send(0, shared()->vector), 0);
	CHECK_EQUAL(task_sleep_until(clock_after(CLOCK_MS)), 0);
	CHECK_EQUAL(shared()->handled, 0);
}

/* In front of the task cell's own handler. */
static void fault_at_timer(unsigned vector)
{
	struct shared *s = shared();
	const struct irq_ops *ops = irq_ops_get(s->timer);

	if (s->handler_faults) {
		s->handler_faults--;
		faulty(ROLE_NULL);
	}
	ops->handle(vector);
}
CELL_PROVIDE(irq_ops, tasktest_timer) = {.handle = fault_at_timer};

/* While nobody else takes an interrupt: without its handler it would be lost. */
static void replace_timer(struct irq_ops_h handler)
{
	unsigned cpu;

	CHECK_EQUAL(cpu_park_others(CLOCK_S, &cpu), 0);
	CHECK_EQUAL(irq_detach(GATE_VECTOR_TIMER), 0);
	CHECK_EQUAL(irq_attach_timer(handler), 0);
	cpu_release_others();
}

static void a_fault_leaves_the_timer_its_handler(void)
{
	uint64_t faults = upcall_fault_count();
	struct upcall_fault fault = {.id = 0};

	CHECK_EQUAL(iface_find("irq_ops", "task_timer", &shared()->timer.h), 0);
	replace_timer(IFACE(irq_ops, tasktest_timer));
	for (uint32_t n = 1; n <= 3; n++) {
		shared()->handler_faults = n;
		CHECK_EQUAL(task_sleep_until(clock_after(CLOCK_MS)), 0);
		CHECK_EQUAL(shared()->handler_faults, 0);
		faults += n;
		CHECK_EQUAL(upcall_fault_count(), faults);
	}
	CHECK_EQUAL(upcall_fault_get(faults, &fault), 0);
	CHECK_EQUAL(fault.outcome, UPCALL_HANDLER);
	CHECK_EQUAL(irq_attach_timer(IFACE(irq_ops, tasktest)), -EBUSY);
	replace_timer(shared()->timer);
	CHECK_EQUAL(task_sleep_until(clock_after(CLOCK_MS)), 0);
}

static void parked_cpus_stand_still(void)
{
	struct task_ref spinner = start(ROLE_SPIN, 0, cpu_online() > 1 ? 2 : 1);
	struct cpu_park_times times;
	uint64_t total = 0, most = 0, seen, took;
	unsigned cpu = 99;

	if (cpu_online() > 1)
		CHECK(reaches(&shared()->counts[0], 1));
	for (unsigned i = 0; i < PARKS; i++) {
		for (unsigned other = 0; other < cpu_count(); other++)
			percpu_of(other)->parked_rsp = 0;
		CHECK_EQUAL(cpu_park_others(CLOCK_S, &cpu), 0);
		for (unsigned other = 0; other < cpu_count(); other++)
			CHECK(other == percpu_cpu() || !(cpu_online_mask() >> other & 1) ||
			      percpu_of(other)->parked_rsp != 0);
		CHECK_EQUAL(upcall_depth(), 1);
		seen = __atomic_load_n(&shared()->counts[0], __ATOMIC_SEQ_CST);
		for (unsigned j = 0; j < 1000; j++)
			__builtin_ia32_pause();
		CHECK_EQUAL(__atomic_load_n(&shared()->counts[0], __ATOMIC_SEQ_CST), seen);
		cpu_release_others();
		cpu_park_times(&times);
		took = times.released - times.first_parked;
		total += took;
		most = took > most ? took : most;
	}
	CHECK_EQUAL(upcall_depth(), 0);
	stop_all();
	CHECK_EQUAL(finish(spinner).value, 0);
	say("# parked for %llu ns, at most %llu", (unsigned long long)total / PARKS,
	    (unsigned long long)most);
}

static void a_cpu_that_does_not_park_is_named(void)
{
	struct task_ref masked = start(ROLE_MASKED, 0, 2);
	unsigned cpu = 99;

	while (!__atomic_load_n(&shared()->started, __ATOMIC_ACQUIRE))
		task_yield();
	CHECK_EQUAL(cpu_park_others(5 * CLOCK_MS, &cpu), -ETIMEDOUT);
	CHECK_EQUAL(cpu, 1);
	CHECK_EQUAL(upcall_depth(), 0);
	stop_all();
	CHECK_EQUAL(finish(masked).value, 0);
	CHECK_EQUAL(cpu_park_others(CLOCK_S, &cpu), 0);
	cpu_release_others();
}

static int64_t park_and_fault(void *arg)
{
	unsigned cpu;

	CHECK_EQUAL(cpu_park_others(CLOCK_S * 10, &cpu), 0);
	faulty(*(const enum role *)arg);
	return 0;
}

static void a_fault_of_the_parker_releases_the_others(void)
{
	struct task_ref spinner = start(ROLE_SPIN, 0, cpu_online() > 1 ? 2 : 1);
	enum role role = ROLE_DIVIDE;
	int64_t fault;
	uint64_t seen;

	for (unsigned i = 0; i < 3; i++) {
		CHECK_EQUAL(switch_protect(park_and_fault, &role, &fault), -EFAULT);
		CHECK_EQUAL(upcall_depth(), 0);
		seen = __atomic_load_n(&shared()->counts[0], __ATOMIC_ACQUIRE);
		CHECK(reaches(&shared()->counts[0], seen + 1));
	}
	stop_all();
	CHECK_EQUAL(finish(spinner).value, 0);
}

static void the_scan_finds_words_on_stacks(void)
{
	struct task_ref waiting = start(ROLE_WAIT, 0, 0), spinner = start(ROLE_SPIN, 0, 0);
	struct task_range *text = &shared()->ranges[0], *nothing = &shared()->ranges[1];
	struct loader_cell cell = {.text = 0};
	struct task_hit hit;
	unsigned cpu;

	CHECK_EQUAL(loader_cell_find("tasktest", &cell), 0);
	*text = (struct task_range){cell.text, cell.text + cell.text_bytes};
	*nothing = (struct task_range){0x60007f000000, 0x60007f001000};

	CHECK(reaches(&shared()->counts[0], 1));
	CHECK_EQUAL(task_sleep_until(clock_after(CLOCK_MS)), 0);
	CHECK_EQUAL(cpu_park_others(CLOCK_S, &cpu), 0);
	CHECK_EQUAL(task_scan(text, 1, &hit), 1);
	CHECK(hit.word >= text->start && hit.word < text->end);
	CHECK_EQUAL(task_scan(nothing, 1, &hit), 0);
	CHECK_EQUAL(task_scan(nothing, 0, &hit), 0);
	cpu_release_others();
	stop_all();
	CHECK_EQUAL(finish(spinner).value, 0);

	/* what waits inside those ranges is told to start over; what does not wait is not */
	CHECK_EQUAL(task_restart_waits(nothing, 1), 0);
	CHECK_EQUAL(task_restart_waits(text, 1), 1);
	CHECK_EQUAL(finish(waiting).value, -ERESTART_CELL);
}

const struct test irq_tests[] = {
	{"a masked interrupt waits for unmask", a_masked_interrupt_waits_for_unmask, 1},
	{"spurious vectors are ignored", spurious_vectors_are_ignored, 1},
	{"a storm of interrupts uses no stack", a_storm_of_interrupts_uses_no_stack, 2},
	{"NMIs are counted and harmless", nmis_are_counted_and_harmless, 2},
	{"a faulting handler is detached", a_faulting_handler_is_detached, 1},
	{"a fault leaves the timer its handler", a_fault_leaves_the_timer_its_handler, 1},
	{"parked CPUs stand still", parked_cpus_stand_still, 1},
	{"a CPU that does not park is named", a_cpu_that_does_not_park_is_named, 2},
	{"a fault of the parker releases the others", a_fault_of_the_parker_releases_the_others, 1},
	{"the scan finds words on stacks", the_scan_finds_words_on_stacks, 1},
};
const unsigned n_irq_tests = ARRAY_SIZE(irq_tests);
