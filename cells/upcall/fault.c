/* SPDX-License-Identifier: MIT */
/*
 * Faults. The handler runs on the CPU's fault stack, masked, with the slot still busy (a
 * fault of its own goes to the last-resort entry). It records what happened and goes on on
 * the stack that faulted, below it, which is unwound from there (unwind.c).
 */
#include <stdio.h>
#include <string.h>
#include <theseus/clock.h>
#include <theseus/gate-call.h>
#include <theseus/loader.h>
#include <theseus/notice.h>
#include <theseus/switch.h>
#include <theseus/trap.h>

#include "internal.h"

CELL_EXPORT(upcall_fault_count);
CELL_EXPORT(upcall_fault_get);
CELL_EXPORT(upcall_fault_report);
CELL_EXPORT(upcall_crash);
CELL_CONSUMES(notice_ops);

#define VECTOR_UD 6
#define VECTOR_PF 14
#define FRAMES_REPORTED 8u /* a line of the log each */
#define NOTICE_ERROR 0     /* LOG_ERROR of a cell that comes later */

static const char *vector_name(uint32_t vector)
{
	static const char *const names[] = {
		"divide error",
		"debug",
		"NMI",
		"breakpoint",
		"overflow",
		"bound range",
		"invalid opcode",
		"no FPU",
		"double fault",
		"",
		"invalid TSS",
		"segment not present",
		"stack segment",
		"general protection",
		"page fault",
		"",
		"x87 error",
		"alignment check",
		"machine check",
		"SIMD error",
	};

	return vector < ARRAY_SIZE(names) ? names[vector] : "exception";
}

static void locate(struct upcall_fault *fault)
{
	struct loader_location location;

	if (loader_locate(fault->rip, &location) < 0)
		return;
	memcpy(fault->cell, location.cell, sizeof(fault->cell));
	memcpy(fault->function, location.function, sizeof(fault->function));
	fault->offset = location.offset;
}

/* How many bytes follow from @text on where a reason may lie: in read-only data, in the stack. */
static size_t text_bytes(const struct upcall_fault *fault, uint64_t text)
{
	const struct task_head *task = percpu_read(task);

	if (task && text >= fault->rsp && text >= task->stack_start && text < task->stack_end)
		return task->stack_end - text;
	return loader_rodata_at(text);
}

/* Copies the reason that somebody claims to be at @text. Result: false if it cannot be. */
static bool copy_reason(const struct upcall_fault *fault, uint64_t text, char *ret_text,
			size_t size)
{
	size_t bytes = text_bytes(fault, text), n = 0;
	const char *from = (const char *)(uintptr_t)text;

	while (n < size - 1 && n < bytes && from[n] >= ' ' && from[n] <= '~') {
		ret_text[n] = from[n];
		n++;
	}
	ret_text[n] = '\0';
	return bytes > 0;
}

static void find_reason(struct upcall_fault *fault)
{
	const uint8_t *at = (const uint8_t *)(uintptr_t)fault->rip;
	static const char trap[] = "trap: ";
	const char *reason = vector_name(fault->vector);

	if (fault->vector == VECTOR_UD && fault->regs[0] == TRAP_MAGIC) {
		memcpy(fault->reason, trap, sizeof(trap));
		if (copy_reason(fault, fault->regs[5], fault->reason + sizeof(trap) - 1,
				sizeof(fault->reason) - sizeof(trap) + 1)) /* rdi */
			return;
	} else if (fault->vector == VECTOR_UD && fault->cell[0] && at[0] == 0x0f && at[1] == 0x0b) {
		reason = "undefined behaviour";
	} else if (fault->stack_overflow) {
		reason = "stack overflow";
	}
	strlcpy(fault->reason, reason, sizeof(fault->reason));
}

/* The page fault is in the guard below @task's stack. */
static bool is_overflow(const struct task_head *task, const struct gate_frame *frame)
{
	return task && frame->vector == VECTOR_PF && frame->cr2 < task->stack_start &&
	       task->stack_start - frame->cr2 <= MAPPED_STACK_GUARD_PAGES * PAGE_SIZE;
}

static void describe(struct upcall_fault *fault, const struct gate_frame *frame,
		     const struct upcall_regs *regs)
{
	const struct task_head *task = percpu_read(task);

	*fault = (struct upcall_fault){
		.time_ns = clock_now_ns(),
		.rip = frame->rip,
		.rsp = frame->rsp,
		.rflags = frame->rflags,
		.cr2 = frame->cr2,
		.error = frame->error,
		.regs = {regs->rax, regs->rbx, regs->rcx, regs->rdx, regs->rsi, regs->rdi,
			 regs->rbp, regs->r8, regs->r9, regs->r10, regs->r11, regs->r12, regs->r13,
			 regs->r14, regs->r15},
		.vector = (uint32_t)frame->vector,
		.cpu = percpu_cpu(),
		.outcome = UPCALL_LANDED,
		.stack_overflow = is_overflow(task, frame),
	};
	if (task) {
		fault->task = task->id;
		memcpy(fault->task_name, task->name, sizeof(fault->task_name));
	}
	locate(fault);
	find_reason(fault);
}

static uint64_t record(const struct upcall_fault *fault)
{
	struct upcall_state *s = upcall_state();
	uint64_t id;

	spin_lock(&s->fault_lock);
	id = ++s->fault_count;
	s->faults[id % UPCALL_FAULTS_MAX] = *fault;
	s->faults[id % UPCALL_FAULTS_MAX].id = id;
	spin_unlock(&s->fault_lock);
	return id;
}

bool upcall_fault_in_entry(void)
{
	const struct gate_frame *frame = &percpu_self()->fault;
	struct task_head *task = percpu_read(task);

	if (!is_overflow(task, frame) || reserve_take(task, UPCALL_RESERVE_INTERRUPT_PAGES) < 0)
		return false;
	/* it returns by way of its stack */
	return frame->rsp <= task->stack_end &&
	       frame->rsp >= task->stack_start + UPCALL_RETURN_BYTES;
}

/*
 * An interrupt or NMI whose entry found no room, though the stack was extended or could not be,
 * was not handled: the interrupt becomes pending again, so that landing takes it.
 */
static void put_back(struct gate_cpu *cpu)
{
	if (cpu->irq.busy) {
		__asm__ volatile("btsq %1, %0"
				 : "+m"(cpu->pending)
				 : "r"(cpu->irq.vector & 0xff)
				 : "memory", "cc");
		__asm__ volatile("orl %0, %%gs:0" ::"i"(GATE_MASK_PENDING) : "memory", "cc");
		cpu->irq.busy = 0;
	}
	if (cpu->nmi.busy) {
		__asm__ volatile("incl %%gs:%c0" ::"i"(PERCPU_OFFSET(nmis)) : "memory", "cc");
		cpu->nmi.busy = 0;
	}
}

static void print(const struct upcall_fault *f, char *ret_text, size_t size)
{
	snprintf(ret_text, size,
		 "%s in %s:%s+0x%llx (rip 0x%llx rsp 0x%llx cr2 0x%llx error 0x%llx) task %s "
		 "cpu %u",
		 f->reason, f->cell[0] ? f->cell : "?", f->function, (unsigned long long)f->offset,
		 (unsigned long long)f->rip, (unsigned long long)f->rsp, (unsigned long long)f->cr2,
		 (unsigned long long)f->error, f->task ? f->task_name : "-", f->cpu);
}

static void crash_with(const struct upcall_fault *fault, const char *why)
{
	char text[400], what[300];

	print(fault, what, sizeof(what));
	snprintf(text, sizeof(text), "%s: %s", why, what);
	gate_crash(text);
}

/* What would go on must be sure to: its frame on its stack. */
static const char *cannot_land(const struct percpu_landing *landing)
{
	const struct task_head *task = percpu_read(task);
	uint64_t at = (uintptr_t)landing;

	if (!task)
		return "fault before there are tasks";
	if (!landing)
		return "fault in a task that nothing protects";
	if (at < task->stack_start || at > task->stack_end - sizeof(*landing) || landing->rsp != at)
		return "fault with a damaged stack";
	return NULL;
}

/*
 * The registers to unwind from. An interrupt or NMI whose entry hit the guard page has not
 * begun: it is the interrupted code that has no stack left, and whose registers still stand.
 */
static void registers(const struct gate_cpu *cpu, const struct upcall_regs *regs,
		      struct unwind_regs *ret_regs)
{
	const struct gate_frame *frame = &cpu->fault;

	if (cpu->irq.busy)
		frame = &cpu->irq;
	else if (cpu->nmi.busy)
		frame = &cpu->nmi;
	*ret_regs = (struct unwind_regs){
		.rax = regs->rax,
		.rdx = regs->rdx,
		.rcx = regs->rcx,
		.rbx = regs->rbx,
		.rsi = regs->rsi,
		.rdi = regs->rdi,
		.rbp = regs->rbp,
		.r8 = regs->r8,
		.r9 = regs->r9,
		.r10 = regs->r10,
		.r11 = regs->r11,
		.r12 = regs->r12,
		.r13 = regs->r13,
		.r14 = regs->r14,
		.r15 = regs->r15,
		.rip = frame->rip,
		.rsp = frame->rsp,
	};
}

/* A wild call or jump: as if the caller had stopped at its call, whose return address is there. */
static void step_back(const struct task_head *task, struct unwind_regs *regs)
{
	uint64_t sp = regs->rsp, pc;

	if (unwind_covers(regs->rip) || sp < task->stack_start || sp > task->stack_end - 8 ||
	    sp % 8)
		return;
	pc = *(const uint64_t *)(uintptr_t)sp;
	if (!unwind_covers(pc - 1))
		return;
	regs->rip = pc - 1;
	regs->rsp += 8;
}

#define RED_ZONE_BYTES 128u

/* Where on the task's stack there is room to unwind what stands at @sp; NULL: nowhere. */
static struct upcall_start *place(struct task_head *task, uint64_t sp)
{
	uint64_t at = ((sp - RED_ZONE_BYTES) & ~15ull) - sizeof(struct upcall_start);
	uint64_t need = UNWIND_STACK_BYTES;

	if (sp > task->stack_end || sp % 8)
		return NULL;
	if (at < task->stack_start + need && reserve_take(task, UPCALL_RESERVE_PAGES) < 0)
		return NULL;
	return at < task->stack_start + need ? NULL : (struct upcall_start *)(uintptr_t)at;
}

/* Leaves the fault stack for good. */
static __attribute__((noreturn)) void go_on(struct upcall_start *start)
{
	__asm__ volatile("mov %0, %%rsp\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "call upcall_unwind_fault\n\t"
			 "ud2"
			 :
			 : "D"(start)
			 : "memory");
	__builtin_unreachable();
}

void upcall_fault(const struct upcall_regs *regs)
{
	struct gate_cpu *cpu = percpu_self();
	struct percpu_landing *landing = percpu_read(landing);
	const char *why = cannot_land(landing);
	struct upcall_start *start = NULL;
	struct upcall_fault fault;
	struct unwind_regs from;
	bool again;
	uint64_t id;

	describe(&fault, &cpu->fault, regs);
	if (why)
		crash_with(&fault, why);
	registers(cpu, regs, &from);
	step_back(percpu_read(task), &from);
	put_back(cpu);
	again = landing->unwinding;
	upcall_unwind_begin(landing, -EFAULT, 0);
	id = record(&fault);
	landing->value = id;
	upcall_park_fault();
	if (!again)
		start = place(percpu_read(task), from.rsp);
	cpu->fault.busy = 0;
	if (!start)
		upcall_unwind_failed(landing);
	start->regs = from;
	start->fault = id;
	go_on(start);
}

void upcall_fault_trace(uint64_t id, const struct unwind_regs *regs)
{
	const struct task_head *task = percpu_read(task);
	struct upcall_state *s = upcall_state();
	uint64_t pcs[UPCALL_FAULT_FRAMES];
	struct upcall_fault *fault = &s->faults[id % UPCALL_FAULTS_MAX];
	unsigned n =
		unwind_backtrace(regs, task->stack_start, task->stack_end, pcs, ARRAY_SIZE(pcs));

	spin_lock(&s->fault_lock);
	if (fault->id == id) {
		memcpy(fault->frames, pcs, n * sizeof(pcs[0]));
		fault->n_frames = n;
	}
	spin_unlock(&s->fault_lock);
}

void upcall_last(void)
{
	const struct gate_cpu *cpu = percpu_self();
	char text[200];

	/* the newer frame lies in the irq slot; nothing that could fault again is called */
	snprintf(text, sizeof(text),
		 "fault in the fault handler: vector %u rip 0x%llx cr2 0x%llx, after vector %u rip "
		 "0x%llx cr2 0x%llx",
		 (unsigned)cpu->irq.vector, (unsigned long long)cpu->irq.rip,
		 (unsigned long long)cpu->irq.cr2, (unsigned)cpu->fault.vector,
		 (unsigned long long)cpu->fault.rip, (unsigned long long)cpu->fault.cr2);
	gate_crash(text);
}

uint64_t upcall_fault_count(void)
{
	return __atomic_load_n(&upcall_state()->fault_count, __ATOMIC_ACQUIRE);
}

int upcall_fault_get(uint64_t id, struct upcall_fault *ret_fault)
{
	struct upcall_state *s = upcall_state();
	int r = -ENOENT;

	spin_lock(&s->fault_lock);
	if (id != 0 && s->faults[id % UPCALL_FAULTS_MAX].id == id) {
		*ret_fault = s->faults[id % UPCALL_FAULTS_MAX];
		r = 0;
	}
	spin_unlock(&s->fault_lock);
	return r;
}

void upcall_fault_report(uint64_t id)
{
	const struct notice_ops *ops;
	struct upcall_fault fault;
	struct notice_ops_h log;
	char text[300];
	int n;

	if (upcall_fault_get(id, &fault) < 0 || iface_find("notice_ops", "log", &log.h) < 0)
		return;
	ops = notice_ops_get(log);
	if (!ops)
		return;
	n = snprintf(text, sizeof(text), "fault %llu: ", (unsigned long long)id);
	print(&fault, text + n, sizeof(text) - (size_t)n);
	ops->notice(NOTICE_ERROR, CELL_SELF, text);
	for (uint32_t i = 1; i < fault.n_frames && i <= FRAMES_REPORTED; i++) {
		struct loader_location at;

		if (loader_locate(fault.frames[i], &at) < 0)
			snprintf(text, sizeof(text), "  from 0x%llx",
				 (unsigned long long)fault.frames[i]);
		else
			snprintf(text, sizeof(text), "  from %s:%s+0x%llx", at.cell,
				 at.function[0] ? at.function : "?", (unsigned long long)at.offset);
		ops->notice(NOTICE_ERROR, CELL_SELF, text);
	}
}

void upcall_crash(const char *text)
{
	gate_crash(text);
}
