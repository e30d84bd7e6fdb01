/* SPDX-License-Identifier: MIT */
/*
 * What cells keep in their part of this CPU's gate_cpu block (GS:256 on).
 *
 * Every access is one GS-relative instruction, so it is right wherever the task runs at that
 * moment; two accesses may be on two CPUs unless upcalls are masked around both. The layout
 * is part of the SDK's ABI: inline code of every cell depends on it (SDK_ABI).
 */
#ifndef THESEUS_PERCPU_H
#define THESEUS_PERCPU_H

#include <theseus/cell.h>

#define TASK_NAME_MAX 32u     /* bytes, NUL included */
#define SPINLOCKS_HELD_MAX 8u /* by one CPU at a time */

/* How every task record starts, so that a fault can be described without asking `task`. */
struct task_head {
	uint64_t id;                     /* task_id() of its handle; never 0 */
	uint64_t stack_start, stack_end; /* [start, end) without guard pages */
	char name[TASK_NAME_MAX];
	uint32_t unwind_failures; /* unwindings of this task that were given up */
	/* Of the upcall cell: what its stack is extended with, and by how much; 0 = nothing */
	uint16_t reserve, reserve_pages;
	/* Of other cells, all zero at first: */
	uint64_t sync[32];   /* theseus/sync.h: the locks it holds and waits for */
	uint64_t channel[2]; /* the channel cell: the record it waits with */
	uint32_t whole; /* theseus/ledger.h: scopes in which the ledger does not end it */
	uint32_t reserved;
};

/*
 * Where a fault or the end of a task goes on: pushed by switch_protect() on the stack of what
 * it protects, all zero but for the first four. The chain belongs to the task and moves with it
 * between CPUs.
 */
struct percpu_landing {
	struct percpu_landing *outer;
	uint64_t rsp;       /* as switch_protect() left it */
	uint32_t depth;     /* mask depth to return with */
	uint32_t locks;     /* percpu.locks then: a fault releases what was taken since */
	uint32_t unwinding; /* the stack is being unwound up to here */
	uint32_t frames;    /* so far */
	uint64_t value;     /* what it will land with */
	int32_t result;
	uint32_t reserved;
	uint64_t unwind[6]; /* struct unwind */
};

struct percpu {
	struct task_head *task;          /* what runs here; NULL before task_start() */
	struct percpu_landing *landing;  /* innermost one of what runs here */
	const struct iface_slot *upcall; /* slot of upcall_ops; NULL before upcall's init */
	uint64_t fault_stack;            /* top of the stack that the fault entry starts on */
	uint64_t spare_stack;            /* top; between two tasks, and of the last-resort entry */
	uint64_t parked_rsp;  /* a parked CPU's registers are on the stack from here on */
	uint64_t scratch;     /* of the fault entry; before the CPU starts: switch_cpu_entry() */
	uint32_t locks;       /* spinlocks held: how many of held[] count */
	uint32_t resched;     /* somebody else should run: looked at when upcalls end */
	uint32_t nmis;        /* NMIs taken at CPL 3 */
	uint32_t xsave_bytes; /* size of an XSAVE area for xsave_mask */
	uint32_t xsave_mask;  /* the features of boot_record.xcr0; XCR0 may have more */
	const struct iface_slot *lock_order; /* checked builds: slot of lock_order_ops; or NULL */
	void *held[SPINLOCKS_HELD_MAX];      /* struct spinlock, oldest first: theseus/spinlock.h */
	void *heap;                          /* of the heap cell: this CPU's cache of blocks */
};

#define PERCPU_OFFSET(field) (offsetof(struct gate_cpu, cells) + offsetof(struct percpu, field))

/* The same offsets for assembly: percpu-asm.h. */
_Static_assert(sizeof(struct percpu) <= sizeof(((struct gate_cpu *)NULL)->cells), "ABI: one page");
_Static_assert(PERCPU_OFFSET(task) == 256, "ABI");
_Static_assert(PERCPU_OFFSET(landing) == 264, "ABI");
_Static_assert(PERCPU_OFFSET(upcall) == 272, "ABI");
_Static_assert(PERCPU_OFFSET(fault_stack) == 280, "ABI");
_Static_assert(PERCPU_OFFSET(spare_stack) == 288, "ABI");
_Static_assert(PERCPU_OFFSET(parked_rsp) == 296, "ABI");
_Static_assert(PERCPU_OFFSET(scratch) == 304, "ABI");
_Static_assert(PERCPU_OFFSET(locks) == 312, "ABI");
_Static_assert(PERCPU_OFFSET(resched) == 316, "ABI");
_Static_assert(PERCPU_OFFSET(nmis) == 320, "ABI");
_Static_assert(PERCPU_OFFSET(xsave_bytes) == 324, "ABI");
_Static_assert(PERCPU_OFFSET(xsave_mask) == 328, "ABI");
_Static_assert(PERCPU_OFFSET(lock_order) == 336, "ABI");
_Static_assert(PERCPU_OFFSET(held) == 344, "ABI");
_Static_assert(offsetof(struct percpu_landing, rsp) == 8, "ABI");
_Static_assert(offsetof(struct percpu_landing, depth) == 16, "ABI");
_Static_assert(offsetof(struct percpu_landing, locks) == 20, "ABI");
_Static_assert(offsetof(struct percpu_landing, unwind) == 48, "16-byte aligned");
_Static_assert(sizeof(struct percpu_landing) == 96, "ABI");

/* Any CPU's block, for the few who set another CPU up. @cpu < boot_record.cpus. */
static inline CELL_UNSAFE_CALL(machine) struct gate_cpu *percpu_gate(unsigned cpu)
{
	return (struct gate_cpu *)(uintptr_t)(GATE_CPU_AREA + cpu * GATE_CPU_STRIDE);
}

static inline CELL_UNSAFE_CALL(machine) struct percpu *percpu_of(unsigned cpu)
{
	return (struct percpu *)(void *)percpu_gate(cpu)->cells;
}

#if !__STDC_HOSTED__
#define percpu_read(field)                                                                         \
	__extension__({                                                                            \
		__typeof__(((struct percpu *)NULL)->field) percpu_v_;                              \
		__asm__ volatile("mov %%gs:%c1, %0"                                                \
				 : "=r"(percpu_v_)                                                 \
				 : "i"(PERCPU_OFFSET(field))                                       \
				 : "memory");                                                      \
		percpu_v_;                                                                         \
	})

/* What makes percpu_write() count for the cell that writes. */
static inline CELL_UNSAFE_CALL(machine) void percpu_written_(void)
{
}

#define percpu_write(field, value)                                                                 \
	__extension__({                                                                            \
		percpu_written_();                                                                 \
		const __typeof__(((struct percpu *)NULL)->field) percpu_w_ = (value);              \
		__asm__ volatile("mov %0, %%gs:%c1" ::"r"(percpu_w_), "i"(PERCPU_OFFSET(field))    \
				 : "memory");                                                      \
	})

/* Index of this CPU. Stays true only while upcalls are masked. */
static inline unsigned percpu_cpu(void)
{
	uint32_t cpu;

	__asm__ volatile("mov %%gs:%c1, %0" : "=r"(cpu) : "i"(offsetof(struct gate_cpu, cpu)));
	return cpu;
}

/* This CPU's block; stays this CPU's only while upcalls are masked. Argument page: + 4096. */
static inline CELL_UNSAFE_CALL(machine) struct gate_cpu *percpu_self(void)
{
	uint64_t self;

	__asm__ volatile("mov %%gs:%c1, %0" : "=r"(self) : "i"(offsetof(struct gate_cpu, self)));
	return (struct gate_cpu *)(uintptr_t)self;
}

static inline CELL_UNSAFE_CALL(machine) void *percpu_argument_page(void)
{
	return (char *)percpu_self() + GATE_PAGE_SIZE;
}
#endif

#endif
