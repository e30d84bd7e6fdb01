/* SPDX-License-Identifier: MIT */
/* Upcalls on one CPU: interrupts, faults, NMI, masking, timer, idle. */
#include "payload.h"

#define TIMER GATE_VECTOR_TIMER
#define MS (BOOT->tsc_khz)

uint64_t hold_registers(const volatile uint64_t *count, uint64_t until);

static struct gate_cpu *me(void)
{
	return cpu_block(0);
}

static bool is_pending(unsigned int vector)
{
	return ((volatile uint64_t *)me()->pending)[vector / 64] >> vector % 64 & 1;
}

static volatile uint32_t *mask_word(void)
{
	return &me()->mask;
}

static uint64_t now(void)
{
	return __builtin_ia32_rdtsc();
}

static void wait_until(uint64_t tsc)
{
	while (now() < tsc)
		__builtin_ia32_pause();
}

/* Before an entry is registered everything counts as masked, at depth 0 too. */
static void unregistered(void)
{
	EXPECT(*mask_word(), 1);
	__asm__ volatile("decl %%gs:0" : : : "memory");
	EXPECT(gate_call(GATE_IPI, 0, 0x41, 0), 0);
	wait_until(now() + MS);
	EXPECT(*mask_word(), GATE_MASK_PENDING);
	CHECK(is_pending(0x41));
	__asm__ volatile("incl %%gs:0" : : : "memory");
	EXPECT(gate_call(GATE_REGISTER, GATE_ENTRY_IRQ, (uint64_t)irq_entry, 0), 0);
	EXPECT(interrupts[0][0x41], 0);
	unmask();
	EXPECT(interrupts[0][0x41], 1);
	EXPECT(*mask_word(), 0);
	CHECK(!is_pending(0x41));
}

static void masking(void)
{
	unsigned int v, right = 0;

	mask();
	mask();
	EXPECT(gate_call(GATE_IPI, 0, 0x55, 0), 0);
	while (!is_pending(0x55))
		__builtin_ia32_pause();
	EXPECT(*mask_word(), GATE_MASK_PENDING | 2);
	EXPECT(interrupts[0][0x55], 0);
	__asm__ volatile("decl %%gs:0" : : : "memory");
	EXPECT(interrupts[0][0x55], 0);
	unmask();
	EXPECT(interrupts[0][0x55], 1);

	mask();
	for (v = GATE_VECTOR_IRQ_FIRST; v <= GATE_VECTOR_IRQ_LAST; v++)
		gate_call(GATE_IPI, 0, v, 0);
	unmask();
	for (v = GATE_VECTOR_IRQ_FIRST; v <= GATE_VECTOR_IRQ_LAST; v++)
		wait_for(&interrupts[0][v], v == 0x41 || v == 0x55 ? 2 : 1);
	for (v = 0; v < 256; v++) {
		bool ours = v >= GATE_VECTOR_IRQ_FIRST && v <= GATE_VECTOR_IRQ_LAST;

		right += interrupts[0][v] == ours + (v == 0x41 || v == 0x55 ? 1u : 0u);
	}
	EXPECT(right, 256);
	EXPECT(*mask_word(), 0);
}

static void timer(void)
{
	uint64_t when;

	EXPECT(interrupts[0][TIMER], 0);
	EXPECT(gate_call(GATE_TIMER, now() + MS, 0, 0), 0);
	CHECK(wait_for(&interrupts[0][TIMER], 1));
	EXPECT(gate_call(GATE_TIMER, 1, 0, 0), 0); /* long past */
	CHECK(wait_for(&interrupts[0][TIMER], 2));
	when = now() + 20 * MS;
	EXPECT(gate_call(GATE_TIMER, when, 0, 0), 0);
	EXPECT(gate_call(GATE_TIMER, 0, 0, 0), 0);
	wait_until(when + 10 * MS);
	EXPECT(interrupts[0][TIMER], 2); /* off, and once only */
	EXPECT(gate_call(GATE_TIMER, ~0ull, 0, 0), 0); /* never, or as far as it can count */
	EXPECT(gate_call(GATE_TIMER, 0, 0, 0), 0);
	EXPECT(interrupts[0][TIMER], 2);
}

static void rearm(uint64_t vector)
{
	if (vector == TIMER)
		gate_call(GATE_TIMER, now() + MS / 8, 0, 0);
}

/* Do all registers, the flags and the red zone live through interrupts at any instruction? */
static void registers(void)
{
	uint64_t until = interrupts[0][TIMER] + 300;

	on_interrupt = rearm;
	EXPECT(gate_call(GATE_TIMER, now() + MS / 8, 0, 0), 0);
	EXPECT(hold_registers(&interrupts[0][TIMER], until), 0);
	on_interrupt = NULL;
	gate_call(GATE_TIMER, 0, 0, 0);
	CHECK(interrupts[0][TIMER] >= until);
}

static void bad_gs(uint64_t arg)
{
	__asm__ volatile("wrgsbase %0\n\tud2" : : "r"(arg));
}

/* The entry finds its CPU's block whatever the cell made of GS. */
static void gs_base(void)
{
	uint64_t before = interrupts[0][0x60], i;

	EXPECT(attempt(bad_gs, 0x1234, NULL), 1 + 6);
	EXPECT(attempt(bad_gs, 0, NULL), 1 + 6);
	mask();
	gate_call(GATE_IPI, 0, 0x60, 0);
	unmask();
	CHECK(wait_for(&interrupts[0][0x60], before + 1));
	/* the timer finds GS wrong in ring 3 (once at least of these times) */
	for (i = 0; i < 10; i++) {
		before = interrupts[0][TIMER];
		gate_call(GATE_TIMER, now() + MS, 0, 0);
		__asm__ volatile("wrgsbase %0" : : "r"(0x1000ull));
		wait_for(&interrupts[0][TIMER], before + 1);
		__asm__ volatile("wrgsbase %0" : : "r"(GATE_CPU_AREA));
	}
	EXPECT(interrupts[0][TIMER], before + 1);
}

/* ---- faults ---- */

static void divide(uint64_t zero)
{
	__asm__ volatile("xor %%edx, %%edx\n\tmov $1, %%eax\n\tdiv %0" : : "r"(zero) : "rax", "rdx");
}

static void load_ds(uint64_t selector)
{
	__asm__ volatile("mov %w0, %%ds" : : "r"(selector));
}

static void push_far(uint64_t rsp)
{
	__asm__ volatile("mov %0, %%rsp\n\tpush %%rax" : : "r"(rsp));
}

static void single_step(uint64_t flags)
{
	__asm__ volatile("push %0\n\tpopfq\n\tnop\n\tnop" : : "r"(flags) : "cc");
}

static void sse_divide(uint64_t mxcsr)
{
	uint32_t value = (uint32_t)mxcsr;

	__asm__ volatile("ldmxcsr %0\n\tpxor %%xmm0, %%xmm0\n\tpcmpeqw %%xmm1, %%xmm1\n\tpslld $25, "
			 "%%xmm1\n\tpsrld $2, %%xmm1\n\tdivps %%xmm0, %%xmm1"
			 :
			 : "m"(value));
}

static void x87_divide(uint64_t control)
{
	uint16_t value = (uint16_t)control;

	__asm__ volatile("fninit\n\tfldcw %0\n\tfld1\n\tfldz\n\tfdivrp\n\tfwait" : : "m"(value));
}

static void faults(void)
{
	uint32_t mxcsr = 0x1f80;
	struct gate_frame f;
	uint64_t vector;

	EXPECT(attempt(divide, 0, &f), 1 + 0);
	EXPECT(f.error, 0);
	EXPECT(f.old_mask, 0);
	EXPECT(*mask_word(), 0);
	mask();
	mask();
	EXPECT(attempt(touch_write, 0x12345678, &f), 1 + 14); /* delivered while masked */
	EXPECT(f.vector, 14);
	EXPECT(f.cr2, 0x12345678);
	EXPECT(f.error, 6);
	EXPECT(f.old_mask, 2);
	EXPECT(*mask_word(), 2);
	unmask();
	unmask();
	CHECK(f.rip >= (uint64_t)touch_write && f.rip < (uint64_t)touch_write + 32);
	CHECK(f.rsp > GATE_SEED && f.rsp < GATE_SEED + BOOT->seed_size);
	EXPECT(f.rflags & 0x3302, 0x202);
	EXPECT(attempt(load_ds, 0x18, &f), 1 + 13);
	EXPECT(f.error, 0x18);
	EXPECT(f.cr2, 0);
	vector = attempt(push_far, 0x800000000008, &f) - 1;
	CHECK(vector == 12 || vector == 13); /* TCG makes it #GP */
	EXPECT(f.rsp, 0x800000000008);
	EXPECT(attempt(push_far, 8, &f), 1 + 14); /* the gate never touched this stack */
	EXPECT(f.rsp, 8);
	EXPECT(attempt(single_step, 0x302, &f), 1 + 1);
	CHECK(f.rip > (uint64_t)single_step && f.rip < (uint64_t)single_step + 32);
	vector = attempt(sse_divide, 0x1f80 & ~0x200u, &f);
	CHECK(vector == 1 + 19 || vector == 0); /* TCG raises none */
	EXPECT(attempt(x87_divide, 0x37b, &f), 1 + 16);
	__asm__ volatile("fninit\n\tldmxcsr %0" : : "m"(mxcsr));
	EXPECT(attempt(touch_read, (uint64_t)&f, NULL), 0);
}

/* Sent to itself it may be taken inside the gate, then it is pending. */
static void nmi(void)
{
	EXPECT(gate_call(GATE_IPI, 0, GATE_VECTOR_NMI, 0), 0); /* no entry yet */
	while (!is_pending(2))
		__builtin_ia32_pause();
	mask();
	unmask();
	EXPECT(interrupts[0][2], 1);
	EXPECT(gate_call(GATE_REGISTER, GATE_ENTRY_NMI, (uint64_t)nmi_entry, 0), 0);
	EXPECT(gate_call(GATE_IPI, 0, GATE_VECTOR_NMI, 0), 0);
	while (!is_pending(2) && interrupts[0][2] == 1)
		__builtin_ia32_pause();
	mask();
	unmask();
	EXPECT(interrupts[0][2], 2);
}

static void idle(void)
{
	uint64_t before = interrupts[0][TIMER], i, lost = 0;

	mask();
	EXPECT(gate_call(GATE_TIMER, now() + 2 * MS, 0, 0), 0);
	EXPECT(gate_call(GATE_IDLE, 0, 0, 0), 0);
	CHECK(is_pending(TIMER));
	EXPECT(interrupts[0][TIMER], before);
	EXPECT(gate_call(GATE_IDLE, 0, 0, 0), 0); /* at once */
	unmask();
	EXPECT(interrupts[0][TIMER], before + 1);

	/* wake-ups around the moment of halting: none may be lost (the test would hang) */
	for (i = 0; i < 200; i++) {
		mask();
		gate_call(GATE_TIMER, now() + i * (MS / 4000), 0, 0);
		gate_call(GATE_IDLE, 0, 0, 0);
		lost += !is_pending(TIMER);
		unmask();
	}
	EXPECT(lost, 0);
	EXPECT(interrupts[0][TIMER], before + 201);
}

void payload_main(void)
{
	faults_init();
	unregistered();
	masking();
	timer();
	registers();
	gs_base();
	faults();
	nmi();
	idle();
	EXPECT(me()->flushes, 0);
}
