/* SPDX-License-Identifier: MIT */
/*
 * ABI between the gate (CPL 0) and everything else (CPL 3). Self-contained: C99 headers
 * only; the assembly of the gate uses the offsets asserted at the end.
 *
 * Invariants the gate keeps, whatever a cell does (each has a test that tries to break it):
 *  G1 a RAM frame is free, a page table, the gate's own, in limbo, or mapped for cells at
 *     exactly one page;
 *  G2 no page a cell sees is writable and executable; live text changes by GATE_PATCH only;
 *  G3 the first 1 MiB and all gate memory are out of reach for cells;
 *  G4 a call is served only from text that was granted it at seal;
 *  G5 every argument is range-checked, a refused call changes nothing, work is bounded;
 *  G6 a trap inside the gate ends the VM with PLATFORM_EXIT_GATE_CRASH and a crash record.
 *
 * Calling: `int3` with rax = GATE_MAGIC | number, rdi, rsi, rdx = arguments; rax = result,
 * negative = -errno, nothing was changed. All other registers keep their values. Longer
 * arguments lie in this CPU's argument page, which the gate reaches through its own alias;
 * it never dereferences a cell's address. The caller must stay on one CPU from filling the
 * argument page to the call: mask upcalls around both. An `int3` without GATE_MAGIC is a
 * breakpoint and becomes a fault upcall (vector 3).
 */
#ifndef THESEUS_GATE_H
#define THESEUS_GATE_H

#include <stddef.h>
#include <stdint.h>

#define GATE_ABI 1
#define GATE_PAGE_SIZE 4096u
#define GATE_MAX_CPUS 16u
#define GATE_PHYS_MAX (8ull << 30) /* RAM at and above this address is left unused, so is 3..4 GiB */

/* ---- address map: [start, end) ---- */
#define GATE_CELL_WINDOW 0x600000000000ull /* cells: text, rodata, GOT, state */
#define GATE_CELL_WINDOW_END 0x600080000000ull
#define GATE_CPU_AREA 0x608000000000ull /* struct gate_cpu of CPU n at + n * GATE_CPU_STRIDE */
#define GATE_CPU_STRIDE 0x4000ull       /* page 0: gate_cpu, page 1: argument page, 2..3 unmapped */
#define GATE_BOOT_RECORD 0x608010000000ull /* struct boot_record, read-only for cells */
#define GATE_SEED 0x610000000000ull     /* the seed's image, at most 2 MiB; gone after boot */
#define GATE_DYNAMIC 0x620000000000ull  /* everything that `mapped` hands out */
#define GATE_DYNAMIC_END 0x630000000000ull

/* ---- calls ---- */
#define GATE_MAGIC 0x74680000u /* in rax, with the number in the low 16 bits */

enum gate_nr {
	/*
	 * Runs of pages. rdi = number of `struct gate_run` in the argument page, at most
	 * GATE_RUNS_MAX, together at most GATE_PAGES_MAX pages. Result: pages done; less
	 * than asked when a later run is bad (the bad run is untouched: call again with it
	 * first to learn its error), negative when the first one is.
	 */
	GATE_MAP = 1,     /* frames must be free, pages empty; -EBUSY while either is in limbo */
	GATE_UNMAP = 2,   /* returns after every online CPU has flushed: frames and pages are free */
	GATE_PROTECT = 3, /* data pages only, between READ and READ|WRITE; flushed as above */
	GATE_SEAL = 4,    /* RW pages of the cell window, once, to TEXT (R-X, with grants) or RODATA */
	/*
	 * rdi = number of `struct gate_patch` in the argument page, at most
	 * GATE_PATCHES_MAX. Sealed pages only (-EFAULT). Nothing is written unless all old
	 * values match (-ESTALE). Other CPUs that may run the text must be parked. Result:
	 * the number of records.
	 */
	GATE_PATCH = 5,
	/*
	 * rdi = frame address: becomes a page table for good (cleared by the gate). For when
	 * GATE_MAP says -ENOMEM: each 2 MiB of address space takes one, each 1 GiB another.
	 */
	GATE_TABLE = 6,
	GATE_FRAME_STATE = 7, /* rdi = frame address; result: enum gate_frame_state */
	/*
	 * rdi = cpu, rsi = rip, rdx = rsp (CPL 3; other registers 0). Starts masked, depth 1.
	 * Returns when it is online; -ETIMEDOUT after 10 s, -EALREADY.
	 */
	GATE_CPU_START = 8,
	GATE_IPI = 9,      /* rdi = cpu or GATE_IPI_OTHERS, rsi = vector or GATE_VECTOR_NMI */
	/*
	 * rdi = TSC value at which GATE_VECTOR_TIMER fires once; 0 = off. Where there is no TSC
	 * deadline it is exact to 16 ns, and fires early if it is more than 68 s away: look at
	 * the time and arm it again.
	 */
	GATE_TIMER = 10,
	GATE_IDLE = 11,    /* halts until an interrupt is pending; returns at once if one is */
	GATE_PORT = 12,    /* rdi = number of `struct gate_port` in the argument page */
	GATE_REGISTER = 13, /* rdi = enum gate_entry, rsi = address of text; for all CPUs */
	GATE_POWER = 14,   /* rdi = enum platform_exit but GATE_CRASH; does not return */
	GATE_CRASH = 15,   /* argument page: NUL-terminated text for the crash record; does not return */
	GATE_SEED_DONE = 16, /* unmaps the seed's image; result: its frames' first address in the
	                        argument page as struct gate_run {va, pa, pages}; once */
	_GATE_NR_MAX,
};

#define GATE_RUNS_MAX 128u
#define GATE_PAGES_MAX 512u
#define GATE_PATCHES_MAX 64u
#define GATE_PORTS_MAX 64u
#define GATE_IPI_OTHERS UINT64_MAX

/* Which calls a text page may make: bits of the seal's grants (G4). */
enum gate_grant {
	GATE_GRANT_MEMORY = 1 << 0, /* MAP UNMAP PROTECT TABLE FRAME_STATE SEED_DONE */
	GATE_GRANT_TEXT = 1 << 1,   /* SEAL PATCH */
	GATE_GRANT_CPU = 1 << 2,    /* CPU_START REGISTER */
	GATE_GRANT_SCHED = 1 << 3,  /* IPI TIMER IDLE */
	GATE_GRANT_PORT = 1 << 4,   /* PORT */
	GATE_GRANT_POWER = 1 << 5,  /* POWER CRASH */
	GATE_GRANT_ALL = (1 << 6) - 1,
};

enum gate_run_flags {
	GATE_RUN_WRITE = 1 << 0,  /* MAP, PROTECT: writable; reading is always allowed */
	GATE_RUN_DEVICE = 1 << 1, /* MAP: uncached; `pa` must not be RAM, the LAPIC or the gate's */
	GATE_RUN_TEXT = 1 << 2,   /* SEAL: to R-X; grants in bits 8..15 */
	GATE_RUN_RODATA = 1 << 3, /* SEAL: to R-- for good (GATE_PATCH may change it) */
};
#define GATE_RUN_GRANTS(g) ((uint32_t)(g) << 8)

struct gate_run {
	uint64_t va;    /* IN: page-aligned */
	uint64_t pa;    /* IN: MAP, page-aligned. OUT: UNMAP, the frame of the run's first page */
	uint32_t pages; /* IN: 1..GATE_PAGES_MAX */
	uint32_t flags; /* IN: enum gate_run_flags */
};

struct gate_patch {
	uint64_t va;   /* IN: any alignment, also across a page boundary */
	uint32_t from; /* IN: bytes that must stand there, little-endian */
	uint32_t to;   /* IN */
};

/* Ports: PCI configuration (0xcf8, 0xcfc..0xcff) and COM1. */
struct gate_port {
	uint16_t port;  /* IN */
	uint8_t width;  /* IN: 1, 2, 4 */
	uint8_t write;  /* IN: 0 reads */
	uint32_t value; /* IN for writes, OUT for reads */
};

enum gate_frame_state {
	GATE_FRAME_FREE = 0,
	GATE_FRAME_MAPPED = 1,
	GATE_FRAME_LIMBO = 2,
	GATE_FRAME_TABLE = 3,
	GATE_FRAME_GATE = 4,
	GATE_FRAME_NOT_RAM = 5,
	_GATE_FRAME_STATE_MAX,
};

enum gate_entry {
	GATE_ENTRY_IRQ = 0,
	GATE_ENTRY_FAULT = 1,
	GATE_ENTRY_NMI = 2,
	/*
	 * A fault while the fault slot is busy, or no fault entry is registered: called once a
	 * CPU, then G6. Its frame is in the irq slot, over what was there; the fault slot still
	 * holds the first fault.
	 */
	GATE_ENTRY_LAST = 3,
	_GATE_ENTRY_MAX,
};

/* ---- interrupts ---- */
#define GATE_VECTOR_NMI 2u
#define GATE_VECTOR_IRQ_FIRST 0x40u /* devices and IPIs of cells: FIRST..LAST */
#define GATE_VECTOR_IRQ_LAST 0xdfu
#define GATE_VECTOR_TIMER 0xe0u
#define GATE_VECTOR_FLUSH 0xf0u     /* the gate's own TLB shootdown; never seen by cells */
#define GATE_VECTOR_SPURIOUS 0xffu

/* What the gate writes for an upcall. GPRs are not here: they still hold the task's values. */
struct gate_frame {
	uint64_t rip, rflags, rsp;
	uint64_t vector;
	uint64_t error;    /* 0 where the CPU pushes none */
	uint64_t cr2;      /* page faults only */
	uint32_t old_mask; /* gate_cpu.mask before the gate raised it */
	uint32_t busy;     /* set by the gate, cleared by the entry once it has copied the rest */
};

/*
 * One a CPU, at GS:0 of that CPU, read-write for cells. Order of an upcall:
 *   gate: frame to the slot, mask += 1, MSR_GS_BASE = this block, iret to the entry with
 *         RSP, RFLAGS (except TF, AC, DF cleared) and GPRs as they were;
 *   entry: moves below the red zone, copies the slot, clears busy, works, restores, and
 *         returns without the gate (popfq; ret $128).
 *
 * mask: bits 0..30 = depth, bit 31 = "something is pending". Changed by single GS-relative
 * instructions only. An interrupt that finds depth != 0 (or no irq entry registered) sets
 * its bit in pending[] and bit 31 of mask; whoever brings the depth to 0 and sees bit 31
 * takes the bits of pending[] (with `lock`-free `btr`s: the gate runs on this same CPU) and
 * handles them as if they came now. Faults are delivered at any depth.
 */
struct gate_cpu {
	uint32_t mask;
	uint32_t cpu;         /* index, also its APIC id */
	uint64_t self;        /* address of this block */
	uint64_t pending[4];  /* one bit a vector; vector 2 = NMI was taken in the gate */
	struct gate_frame irq, fault, nmi;
	uint64_t flushes;     /* shootdowns served by this CPU, counted by the gate */
	uint8_t reserved[256 - 48 - 3 * 56 - 8]; /* the gate's, for later */
	uint8_t cells[4096 - 256]; /* laid out by the SDK: percpu.h */
};

#define GATE_MASK_PENDING 0x80000000u

/* ---- boot record v1 ---- */
#define GATE_BOOT_MAGIC 0x5448424fu
#define GATE_BOOT_RANGES 16u
#define GATE_CMDLINE_MAX 1024u

struct gate_range {
	uint64_t start, end; /* physical, [start, end), page-aligned */
};

struct boot_record {
	uint32_t magic;      /* GATE_BOOT_MAGIC */
	uint32_t version;    /* 1 */
	uint32_t cpus;       /* started or startable: 1..GATE_MAX_CPUS */
	uint32_t flags;      /* reserved, 0 */
	uint64_t tsc_khz;
	uint64_t tsc_start;  /* TSC at the gate's first instruction */
	uint64_t tsc_cells;  /* TSC at the drop to CPL 3 */
	uint64_t xcr0;       /* features enabled; XSAVE area size by CPUID.0DH */
	struct gate_range free[GATE_BOOT_RANGES]; /* RAM that is neither the gate's nor the bundle's */
	struct gate_range bundle; /* page-aligned cover of modlist[0]; free for GATE_MAP, read-only use */
	uint64_t bundle_offset;   /* of the bundle's first byte in it */
	uint64_t bundle_size;     /* bytes; 0 = none was given */
	uint64_t seed_phys;       /* where the seed's image lies, GATE_SEED its address */
	uint64_t seed_size;       /* bytes */
	char build_id[48];        /* NUL-terminated hex */
	char cmdline[GATE_CMDLINE_MAX]; /* NUL-terminated; cut if longer */
};

#if !defined(__ASSEMBLER__) && defined(__x86_64__)
/*
 * One gate call. Result: >= 0 or -errno, see enum gate_nr.
 * The red zone is safe: int3 enters CPL 0 on the gate's own stack.
 */
#ifdef __clang__
__attribute__((annotate("theseus.unsafe:gate"))) /* CELL_UNSAFE_CALL() of types.h */
#endif
static inline int64_t gate_call(enum gate_nr nr, uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t ret = GATE_MAGIC | (uint64_t)nr;
	__asm__ volatile("int3" : "+a"(ret) : "D"(a), "S"(b), "d"(c) : "memory", "cc");
	return (int64_t)ret;
}
#endif

_Static_assert(sizeof(struct gate_run) == 24, "ABI");
_Static_assert(sizeof(struct gate_patch) == 16, "ABI");
_Static_assert(sizeof(struct gate_port) == 8, "ABI");
_Static_assert(sizeof(struct gate_frame) == 56, "ABI");
_Static_assert(sizeof(struct gate_cpu) == GATE_PAGE_SIZE, "ABI");
_Static_assert(offsetof(struct gate_cpu, cells) == 256, "ABI");
_Static_assert(sizeof(struct boot_record) <= GATE_PAGE_SIZE, "ABI: one page");
_Static_assert(sizeof(struct gate_run) * GATE_RUNS_MAX <= GATE_PAGE_SIZE, "argument page");
_Static_assert(sizeof(struct gate_patch) * GATE_PATCHES_MAX <= GATE_PAGE_SIZE, "argument page");

#endif
