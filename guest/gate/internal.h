/* SPDX-License-Identifier: MIT */
/*
 * The gate's own declarations. Everything here runs at CPL 0 with interrupts off (the halt
 * in idle_wait() apart), on its CPU's gate stack, with EFLAGS cleared. Memory is reached in
 * three ways only: the gate's image at its physical address, RAM through the alias, page
 * table entries through the self-map. Where CPL 0 is emulated an instruction costs about
 * 0.4 us, so the paths of calls are short rather than general.
 */
#ifndef GATE_INTERNAL_H
#define GATE_INTERNAL_H

/* ---- layout: also in tables.S, checked by guest.ld ---- */
#define LAYOUT_BASE 0x200000
#define LAYOUT_RODATA 0x206000
#define LAYOUT_DATA 0x208000
#define LAYOUT_END 0x600000 /* two page tables of identity map */
#define LAYOUT_ALIAS 0x700000000000
#define LAYOUT_SELF 0x780000000000
#define LAYOUT_LAPIC 0xfee00000
#define LAYOUT_AP_STUB 0x8000 /* real-mode page: SIPI vector 8 */

#define CPU_BYTES 8192 /* struct cpu and the stack above it */

/* Selectors as Linux has them. */
#define SEL_CODE32 0x08
#define SEL_CODE 0x10
#define SEL_DATA 0x18
#define SEL_USER_DATA 0x2b
#define SEL_USER_CODE 0x33
#define SEL_TSS 0x40 /* + 16 * cpu */

#define IST_DOUBLE_FAULT 1

#define PTE_P 0x1
#define PTE_W 0x2
#define PTE_U 0x4
#define PTE_UC 0x18 /* PWT | PCD */
#define PTE_A 0x20
/*
 * Accessed and dirty. Nobody looks at them, but where page tables are shadowed only entries
 * that have them are filled in ahead of the first access.
 */
#define PTE_AD 0x60
#define PTE_LARGE 0x80
#define PTE_OPEN 0x200  /* of cells' pages: not sealed, rights may change */
#define PTE_LIMBO 0x400 /* with P clear: in use until every CPU has flushed */
#define PTE_GRANT_SHIFT 52

#define MSR_GS_BASE 0xc0000101
#define CR0_VALUE 0x80010033 /* PG WP NE ET MP PE */
#define CR4_PAE 0x20
#define EFER_VALUE 0x900 /* LME NXE */

/* Twins of constants in headers that the assembler cannot read; asserted below. */
#define ASM_TSC_START 24
#define ASM_MAGIC 0x74680000
#define ASM_MASK_PENDING 0x80000000
#define ASM_PORT_COM1 0x3f8
#define ASM_PORT_EXIT 0xf4
#define ASM_EXIT_GATE_CRASH 0x12

#ifdef __ASSEMBLER__
#define PTE_NX (1 << 63)
#else

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <theseus/errno.h>
#include <theseus/gate.h>
#include <theseus/platform.h>

_Static_assert(ASM_TSC_START == offsetof(struct boot_record, tsc_start), "start.S");
_Static_assert(ASM_MAGIC == GATE_MAGIC, "entry.S");
_Static_assert(ASM_MASK_PENDING == GATE_MASK_PENDING, "entry.S");
_Static_assert(offsetof(struct gate_cpu, mask) == 0, "entry.S");
_Static_assert(ASM_PORT_COM1 == PLATFORM_PORT_COM1, "start.S");
_Static_assert(ASM_PORT_EXIT == PLATFORM_PORT_EXIT, "start.S");
_Static_assert(ASM_EXIT_GATE_CRASH == PLATFORM_EXIT_GATE_CRASH, "start.S");
_Static_assert(GATE_GRANT_ALL < 1 << 7, "bits 52..58 of a page table entry are ours");

#define PTE_NX (1ull << 63)
#define PTE_ADDR 0x000ffffffffff000ull
#define PAGE 4096ull
#define ALWAYS_INLINE inline __attribute__((always_inline))

/* What the CPU pushes. */
struct iret {
	uint64_t rip, cs, rflags, rsp, ss;
};

struct gprs {
	uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax;
};

/* What the entry of a fault leaves on the stack. */
struct trap {
	struct gprs gprs;
	uint64_t vector, error;
	struct iret iret;
};

struct tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t io_map;
} __attribute__((packed));

/* A word of sealed memory, as the gate reaches it. */
struct patch_place {
	uint8_t *at, *tail; /* first byte, and the first one on the next page */
	uint32_t head;      /* bytes before the tail; 4 = all */
	uint32_t to;
};

/*
 * One a CPU, CPU_BYTES-aligned; the stack grows down from its end, so the stack pointer
 * finds it. GS belongs to the cells.
 */
struct cpu {
	struct gate_cpu *user; /* this CPU's block and, one page on, its argument page */
	uint32_t index;
	bool last_used;   /* GATE_ENTRY_LAST was taken */
	uint64_t flushed; /* newest flush generation this CPU has served: see flush.c */
	union {           /* copies of the argument page, checked and then used by one call */
		struct gate_run runs[GATE_RUNS_MAX];
		struct patch_place patches[GATE_PATCHES_MAX];
		uint64_t ports[GATE_PORTS_MAX]; /* struct gate_port */
	};
	struct tss tss;
	uint8_t fault_stack[1024] __attribute__((aligned(16))); /* #DF */
	uint8_t stack[] __attribute__((aligned(16)));
};
_Static_assert(CPU_BYTES - offsetof(struct cpu, stack) >= 3840,
	       "the longest chain of calls, and an NMI in it");
_Static_assert(sizeof(struct tss) == 104, "SDM vol. 3, 8.7");
_Static_assert(offsetof(struct trap, iret) == 17 * 8, "entry.S");

static inline struct cpu *this_cpu(void)
{
	uintptr_t sp;

	__asm__("mov %%rsp, %0" : "=r"(sp));
	return (struct cpu *)(sp & -(uintptr_t)CPU_BYTES);
}

extern uint8_t cpu_space[GATE_MAX_CPUS][CPU_BYTES];

static inline struct cpu *cpu_at(unsigned int index)
{
	return (struct cpu *)(void *)cpu_space[index];
}

static inline void *args_of(const struct cpu *c)
{
	return (uint8_t *)c->user + PAGE;
}

/* ---- the machine ---- */
static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return (uint64_t)hi << 32 | lo;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

static inline uint64_t read_cr2(void)
{
	uint64_t value;

	__asm__ volatile("mov %%cr2, %0" : "=r"(value));
	return value;
}

static inline void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline _Noreturn void halt(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

static inline void pause(void)
{
	__asm__ volatile("pause" : : : "memory");
}

/* RAM through the alias; @pa was checked. */
static inline void *ram(uint64_t pa)
{
	return (void *)(LAYOUT_ALIAS + pa);
}

/*
 * Entry of the page at @va, in the lower half; applied again, of the table that this entry is
 * in. The tables above must exist.
 */
static inline uint64_t *pte_of(uint64_t va)
{
	return (uint64_t *)(LAYOUT_SELF + (va >> 9 & -8ull));
}

/* ---- tables.S, start.S, entry.S ---- */
extern uint64_t pml4[512], pt_seed[512], gdt[];
extern const struct {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed)) idtr;
extern const uint64_t seed_text, seed_rodata, seed_data, seed_limit, seed_entry, seed_rsp;
extern const uint64_t ap_stub[], ap_stub_end[]; /* the end rounded up */
extern const uint8_t build_id_note[], build_id_note_end[];
extern char gate_end[];
extern const uint8_t idle_begin[], idle_end[], idle_restart[];

/* Waits until bit 31 of *@mask is set; interrupts are taken in here, see irq(). */
void idle_wait(const volatile uint32_t *mask);
_Noreturn void enter_user(uint64_t rip, uint64_t rsp);

/* ---- console.c: COM1, crash record, the end ---- */
void put(const char *text);
void put_hex(uint64_t value);
/* One line: @text, @subject up to @len bytes. */
void warn(const char *text, const char *subject, size_t len);
/* @trap may be NULL; @text (borrowed, at most @len bytes, untrusted) too. */
_Noreturn void crash(const char *reason, const struct trap *trap, const char *text, size_t len,
		     enum platform_exit code);
_Noreturn void power(enum platform_exit code);

/* ---- cpu.c: features, per-CPU state, LAPIC, start of other CPUs ---- */
extern uint32_t online; /* one bit a CPU that runs cells */
extern bool x2apic;
void platform_init(void); /* checks the floor; CPU 0, once */
void cpu_init(unsigned int index);
_Noreturn void cpu_enter(void);
void lapic_write(uint32_t reg, uint32_t value);
void send_ipi(uint32_t cpu, uint32_t icr);
void send_ipis(uint32_t cpus, uint32_t icr); /* one bit a CPU */
#define LAPIC_EOI 0x0b0

/* ---- flush.c ---- */
void gate_lock(struct cpu *c);
void gate_unlock(void);
void serve_flush(struct cpu *c);
#define INVLPG_MAX 16 /* pages; beyond it reloading CR3 costs less */
/* On this CPU: these pages, everything. */
void flush_here(uint64_t va, uint64_t pages);
void reload_cr3(void);
/*
 * Until it returns other CPUs may use what page tables said before; then none does, nor this
 * one, for which flush_here() may have been called. Without the lock held.
 */
void flush(struct cpu *c, bool done_here);

/* ---- memory.c ---- */
void memory_init(void);    /* after the boot record's ranges are set: maps the seed */
bool is_text(uint64_t va); /* mapped for cells, executable */

/* ---- upcall.c ---- */
extern uint64_t entries[_GATE_ENTRY_MAX];

/* ---- boot.c ---- */
extern struct boot_record boot_record;
extern struct gate_range ram_map[GATE_BOOT_RANGES]; /* all RAM there is, also what is left unused */
extern unsigned int ram_ranges;

/* ---- calls: arguments as in gate.h, result >= 0 or -errno ---- */
typedef int64_t call_fn(uint64_t a, uint64_t b, uint64_t c);
call_fn call_map, call_unmap, call_protect, call_seal, call_patch, call_table, call_frame_state,
	call_seed_done, call_cpu_start, call_ipi, call_timer, call_idle, call_port, call_register,
	call_power, call_crash;

#endif
#endif
