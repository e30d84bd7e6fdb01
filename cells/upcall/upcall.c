/* SPDX-License-Identifier: MIT */
#include <theseus/clock.h>
#include <theseus/gate-call.h>
#include <theseus/loader.h>
#include <theseus/percpu-asm.h>
#include <theseus/switch.h>

#include "bits.h"
#include "internal.h"

CELL_INFO(.name = "upcall", .version = "1.0.0",
	  .summary = "interrupts, faults and parking at CPL 3", .safety = CELL_UNSAFE,
	  .unsafe_reason = "takes interrupts and faults with the registers and on the stacks of "
			   "what they hit",
	  .grants = GATE_GRANT_CPU | GATE_GRANT_SCHED | GATE_GRANT_POWER | GATE_GRANT_MEMORY);

CELL_EXPORT(irq_attach);
CELL_EXPORT(irq_detach);
CELL_EXPORT(irq_attach_timer);
CELL_EXPORT(irq_send);
CELL_EXPORT(upcall_attach_preempt);
CELL_EXPORT(cpu_online);
CELL_EXPORT(cpu_online_mask);
CELL_EXPORT(cpu_count);
CELL_EXPORT(cpu_prepare);
CELL_EXPORT(cpu_set_online);
CELL_EXPORT(upcall_stack_restore);
CELL_CONSUMES(irq_ops);
CELL_CONSUMES(preempt_ops);

CELL_STATE(struct upcall_state, upcall) = {.cpus = 0};

/* Per CPU: a fault stack above a small one for the moments between two stacks. */
#define CPU_STACKS_BYTES 8192
#define SPARE_STACK_BYTES 2048

_Static_assert(sizeof(struct upcall_regs) == 120, "entry.S: FRAME_RFLAGS");

struct upcall_state *upcall_state(void)
{
	return &upcall;
}

/* ---- interrupts ---- */

struct irq_call {
	const struct irq_ops *ops;
	unsigned vector;
};

static int64_t call_handler(void *arg)
{
	const struct irq_call *call = arg;

	call->ops->handle(call->vector);
	return 0;
}

/*
 * A CPU without its timer is lost, and only the handler arms it again: it stays, and is called
 * once more soon.
 */
#define TIMER_RETRY_NS (10 * CLOCK_MS)

static void fault_of_handler(unsigned vector, uint64_t id)
{
	struct upcall_fault *fault = &upcall.faults[id % UPCALL_FAULTS_MAX];

	if (vector == GATE_VECTOR_TIMER)
		gate_timer(clock_tsc_of_ns(clock_now_ns() + TIMER_RETRY_NS));
	else
		(void)irq_detach(vector);
	upcall_fault_report(id);
	spin_lock(&upcall.fault_lock);
	if (fault->id == id)
		fault->outcome = UPCALL_HANDLER;
	spin_unlock(&upcall.fault_lock);
}

static void dispatch(unsigned vector)
{
	struct irq_call call = {.vector = vector};
	int64_t fault = 0;

	if (vector == UPCALL_VECTOR_PARK) {
		upcall_park_here();
		return;
	}
	call.ops = irq_ops_get(upcall.handlers[vector]);
	if (!call.ops)
		return; /* spurious, or its provider left */
	if (switch_protect(call_handler, &call, &fault) < 0)
		fault_of_handler(vector, (uint64_t)fault);
}

static void take_pending(void)
{
	struct gate_cpu *cpu = percpu_self();
	uint32_t mask = __atomic_load_n(&cpu->mask, __ATOMIC_RELAXED);
	int vector;

	if (!(mask & GATE_MASK_PENDING))
		return;
	/* first the flag, then the bits: what is set in between sets the flag again */
	__asm__ volatile("andl %0, %%gs:0" ::"i"(~GATE_MASK_PENDING) : "memory", "cc");
	while ((vector = bits_take_pending(cpu->pending)) >= 0) {
		if (vector == (int)GATE_VECTOR_NMI)
			__asm__ volatile("incl %%gs:%c0" ::"i"(PERCPU_OFFSET(nmis))
					 : "memory", "cc");
		else
			dispatch((unsigned)vector);
	}
}

static void handle(uint32_t vector)
{
	const struct preempt_ops *preempt;

	if (vector)
		dispatch(vector);
	take_pending();
	if (!percpu_read(resched))
		return;
	percpu_write(resched, 0);
	preempt = preempt_ops_get(upcall.preempt);
	if (preempt)
		preempt->preempt();
}

void upcall_interrupt(uint32_t vector, const struct upcall_regs *frame)
{
	struct task_head *task = percpu_read(task);

	if (task && task->reserve && !upcall_unwinding_any())
		reserve_give(task, (uintptr_t)frame);
	handle(vector);
}

/*
 * upcall_unmask() came to depth 0 and saw the flag. If there is not enough stack to handle
 * anything, the probe faults before a vector was taken.
 */
static void pending_at_unmask(void)
{
	uint32_t mask;

	upcall_probe();
	do {
		upcall_mask();
		handle(0);
		__asm__ volatile("decl %%gs:0" ::: "memory", "cc");
		__asm__ volatile("mov %%gs:0, %0" : "=r"(mask)::"memory");
	} while (mask == GATE_MASK_PENDING);
}

CELL_PROVIDE(upcall_ops, upcall) = {
	.irq = upcall_entry_irq,
	.fault = upcall_entry_fault,
	.nmi = upcall_entry_nmi,
	.last = upcall_entry_last,
	.pending = pending_at_unmask,
};

int irq_attach(struct irq_ops_h handler, unsigned *ret_vector)
{
	int r;

	if (!irq_ops_get(handler))
		return -EINVAL;
	spin_lock(&upcall.lock);
	r = bits_take_vector(upcall.used);
	if (r >= 0)
		upcall.handlers[r] = handler;
	spin_unlock(&upcall.lock);
	if (r < 0)
		return r;
	*ret_vector = (unsigned)r;
	return 0;
}

int irq_detach(unsigned vector)
{
	int r = -ENOENT;

	if (vector <= UPCALL_VECTOR_PARK || vector > GATE_VECTOR_TIMER)
		return -ENOENT;
	spin_lock(&upcall.lock);
	if (upcall.handlers[vector].h.generation != 0) {
		upcall.handlers[vector] = (struct irq_ops_h){{0, 0}};
		upcall.used[vector / 64] &= ~(1ull << (vector % 64));
		r = 0;
	}
	spin_unlock(&upcall.lock);
	return r;
}

int irq_attach_timer(struct irq_ops_h handler)
{
	int r = 0;

	spin_lock(&upcall.lock);
	if (irq_ops_get(upcall.handlers[GATE_VECTOR_TIMER]))
		r = -EBUSY;
	else
		upcall.handlers[GATE_VECTOR_TIMER] = handler;
	spin_unlock(&upcall.lock);
	return r;
}

int irq_send(uint64_t cpu, unsigned vector)
{
	return (int)gate_ipi(cpu, vector);
}

int upcall_attach_preempt(struct preempt_ops_h handler)
{
	int r = 0;

	spin_lock(&upcall.lock);
	if (preempt_ops_get(upcall.preempt))
		r = -EBUSY;
	else
		upcall.preempt = handler;
	spin_unlock(&upcall.lock);
	return r;
}

/* ---- CPUs ---- */

unsigned cpu_online(void)
{
	uint32_t online = __atomic_load_n(&upcall.online, __ATOMIC_ACQUIRE);
	unsigned n = 0;

	for (; online; online &= online - 1)
		n++;
	return n;
}

uint64_t cpu_online_mask(void)
{
	return __atomic_load_n(&upcall.online, __ATOMIC_ACQUIRE);
}

unsigned cpu_count(void)
{
	return upcall.cpus;
}

int cpu_prepare(unsigned cpu)
{
	struct percpu *percpu;
	struct mapped_info info;
	int r;

	if (cpu >= upcall.cpus || upcall.stacks[cpu].generation != 0)
		return -EINVAL;
	r = mapped_create(MAPPED_STACK, CPU_STACKS_BYTES, &upcall.stacks[cpu]);
	if (r < 0)
		return r;
	r = mapped_info(upcall.stacks[cpu], &info);
	if (r >= 0)
		r = reserve_prepare(cpu);
	if (r < 0) {
		mapped_drop(&upcall.stacks[cpu]);
		return r;
	}
	percpu = percpu_of(cpu);
	percpu->fault_stack = info.start.v + CPU_STACKS_BYTES;
	percpu->spare_stack = info.start.v + SPARE_STACK_BYTES;
	percpu->xsave_bytes = upcall.xsave_bytes;
	percpu->xsave_mask = upcall.xsave_mask;
	__atomic_store_n(&percpu->upcall, &__slot_upcall_ops__upcall, __ATOMIC_RELEASE);
	return 0;
}

void cpu_set_online(void)
{
	upcall_park_lock();
	__atomic_or_fetch(&upcall.online, 1u << percpu_cpu(), __ATOMIC_SEQ_CST);
	upcall_park_unlock();
}

/* Standard format: where the last enabled component ends (SDM vol. 1, 13.4). */
static uint32_t xsave_area_bytes(uint32_t xcr0)
{
	uint32_t bytes = 512 + 64, eax, ebx, ecx, edx;

	for (uint32_t i = 2; i < 32; i++) {
		if (!(xcr0 >> i & 1))
			continue;
		__asm__("cpuid" : "=a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx) : "a"(0xd), "c"(i));
		if (eax + ebx > bytes)
			bytes = eax + ebx;
	}
	return bytes;
}

static int upcall_init(const struct cell_boot *boot)
{
	int64_t r;

	upcall.cpus = boot->record->cpus;
	upcall.xsave_mask = (uint32_t)boot->record->xcr0;
	upcall.xsave_bytes = xsave_area_bytes(upcall.xsave_mask);
	upcall.used[UPCALL_VECTOR_PARK / 64] |= 1ull << (UPCALL_VECTOR_PARK % 64);
	r = cpu_prepare(percpu_cpu());
	if (r < 0)
		return (int)r;
	cpu_set_online();
	r = gate_register(GATE_ENTRY_FAULT, (uintptr_t)switch_upcall_fault);
	if (r >= 0)
		r = gate_register(GATE_ENTRY_LAST, (uintptr_t)switch_upcall_last);
	if (r >= 0)
		r = gate_register(GATE_ENTRY_NMI, (uintptr_t)switch_upcall_nmi);
	if (r >= 0)
		r = gate_register(GATE_ENTRY_IRQ, (uintptr_t)switch_upcall_irq);
	return r < 0 ? (int)r : 0;
}

CELL_PROVIDE(cell_ops, upcall) = {.init = upcall_init};
