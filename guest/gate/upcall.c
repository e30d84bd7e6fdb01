/* SPDX-License-Identifier: MIT */
/*
 * What happens at CPL 3 without a call: interrupts, NMIs, faults. They are handed to the
 * cells by rewriting the return: frame to the CPU's slot, return to the registered entry.
 */
#include "internal.h"

#define RFLAGS_TF 0x100u
#define RFLAGS_DF 0x400u
#define RFLAGS_AC 0x40000u

/* Exceptions that are a cell's own doing: 0 1 3 4 5 6 7 10-14 16 17 19. */
#define CELL_FAULTS 0x000b7cfbu

uint64_t entries[_GATE_ENTRY_MAX]; /* 0 = none registered */

/* An NMI may come between any two instructions here, and does the same: one instruction each. */
static void pend(struct gate_cpu *u, uint64_t vector)
{
	__asm__ volatile("btsq %1, %0" : "+m"(u->pending) : "r"(vector) : "memory");
	__asm__ volatile("orl %1, %0" : "+m"(u->mask) : "i"(GATE_MASK_PENDING));
}

static void upcall(struct gate_cpu *u, struct gate_frame *slot, struct iret *f, uint64_t vector,
		   uint64_t error, uint64_t cr2, enum gate_entry entry)
{
	slot->rip = f->rip;
	slot->rflags = f->rflags;
	slot->rsp = f->rsp;
	slot->vector = vector;
	slot->error = error;
	slot->cr2 = cr2;
	slot->old_mask = u->mask;
	slot->busy = 1;
	__asm__ volatile("incl %0" : "+m"(u->mask));
	wrmsr(MSR_GS_BASE, GATE_CPU_AREA + this_cpu()->index * GATE_CPU_STRIDE);
	f->rip = entries[entry];
	f->rflags &= ~(uint64_t)(RFLAGS_TF | RFLAGS_DF | RFLAGS_AC);
}

static bool in_gate(const struct iret *f)
{
	return !(f->cs & 3);
}

/* The interrupted code was idle_wait(), about to halt or halted: it looks again. */
static void leave_idle(struct iret *f)
{
	if (f->rip >= (uintptr_t)idle_begin && f->rip <= (uintptr_t)idle_end)
		f->rip = (uintptr_t)idle_restart;
}

void irq(uint64_t vector, struct iret *f);
void irq(uint64_t vector, struct iret *f)
{
	struct cpu *c = this_cpu();
	struct gate_cpu *u = c->user;

	if (vector == GATE_VECTOR_SPURIOUS)
		return;
	lapic_write(LAPIC_EOI, 0);
	if (vector == GATE_VECTOR_FLUSH)
		serve_flush(c);
	else if (vector < GATE_VECTOR_IRQ_FIRST || vector > GATE_VECTOR_TIMER)
		return; /* a device was given a vector that nobody owns */
	else if (in_gate(f) || (u->mask & ~GATE_MASK_PENDING) || u->irq.busy ||
		 !entries[GATE_ENTRY_IRQ])
		pend(u, vector);
	else
		upcall(u, &u->irq, f, vector, 0, 0, GATE_ENTRY_IRQ);
	if (in_gate(f))
		leave_idle(f);
}

void nmi(struct iret *f);
void nmi(struct iret *f)
{
	struct gate_cpu *u = this_cpu()->user;

	if (in_gate(f) || u->nmi.busy || !entries[GATE_ENTRY_NMI]) {
		pend(u, GATE_VECTOR_NMI);
		if (in_gate(f))
			leave_idle(f);
		return;
	}
	upcall(u, &u->nmi, f, GATE_VECTOR_NMI, 0, 0, GATE_ENTRY_NMI);
}

void fault(struct trap *t);
void fault(struct trap *t)
{
	struct cpu *c = this_cpu();
	struct gate_cpu *u = c->user;
	uint64_t cr2;

	if (in_gate(&t->iret))
		crash("trap inside the gate", t, NULL, 0, PLATFORM_EXIT_GATE_CRASH);
	if (!(CELL_FAULTS >> t->vector & 1))
		crash("exception that no cell can cause", t, NULL, 0, PLATFORM_EXIT_GATE_CRASH);
	cr2 = t->vector == 14 ? read_cr2() : 0;
	if (entries[GATE_ENTRY_FAULT] && !u->fault.busy) {
		upcall(u, &u->fault, &t->iret, t->vector, t->error, cr2, GATE_ENTRY_FAULT);
	} else if (entries[GATE_ENTRY_LAST] && !c->last_used) {
		c->last_used = true;
		upcall(u, &u->irq, &t->iret, t->vector, t->error, cr2, GATE_ENTRY_LAST);
	} else {
		crash("fault that no cell handles", t, NULL, 0, PLATFORM_EXIT_GATE_CRASH);
	}
}

int64_t call_register(uint64_t entry, uint64_t va, uint64_t c)
{
	if (entry >= _GATE_ENTRY_MAX)
		return -EINVAL;
	if (!is_text(va))
		return -EFAULT;
	entries[entry] = va;
	return 0;
}
