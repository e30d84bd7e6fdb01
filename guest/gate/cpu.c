/* SPDX-License-Identifier: MIT */
/* CPU features, what each CPU needs before it runs cells, the local APIC. */
#include "internal.h"

#define MSR_APIC_BASE 0x1b
#define MSR_X2APIC 0x800
#define MSR_TSC_DEADLINE 0x6e0
#define APIC_BASE_ENABLE 0x800
#define APIC_BASE_X2APIC 0x400

#define LAPIC_TPR 0x080
#define LAPIC_SPURIOUS 0x0f0
#define LAPIC_ICR 0x300
#define LAPIC_ICR_HIGH 0x310
#define LAPIC_LVT_TIMER 0x320
#define LAPIC_LVT_LINT0 0x350
#define LAPIC_LVT_LINT1 0x360
#define LAPIC_TIMER_INITIAL 0x380
#define LAPIC_TIMER_CURRENT 0x390
#define LAPIC_TIMER_DIVIDE 0x3e0
#define LAPIC_ENABLE 0x100
#define LVT_MASKED 0x10000
#define LVT_DEADLINE 0x40000
#define DIVIDE_BY_1 0xb
#define DIVIDE_BY_16 0x3
#define ICR_NMI 0x400
#define ICR_INIT 0x4500
#define ICR_STARTUP 0x4600

#define LAPIC_TIMER_KHZ 1000000ull /* of KVM and QEMU: platform.h */
#define START_TIMEOUT_MS 10000     /* generous: the host may be busy */
#define START_RETRY_MS 20

#define CR4_OSFXSR 0x200
#define CR4_OSXMMEXCPT 0x400
#define CR4_FSGSBASE 0x10000
#define CR4_OSXSAVE 0x40000
#define CR4_SMEP 0x100000
#define CR4_SMAP 0x200000

#define XCR0_X87_SSE 0x03u
#define XCR0_AVX 0x04u
#define XCR0_AVX512 0xe0u

uint8_t cpu_space[GATE_MAX_CPUS][CPU_BYTES] __attribute__((aligned(CPU_BYTES)));
uint64_t user_space[GATE_MAX_CPUS][2][PAGE / 8] __attribute__((aligned(PAGE)));
uint32_t online;
bool x2apic;
static bool tsc_deadline;
static uint32_t cr4;

/* The start of a CPU, one at a time (under the gate's lock). */
static struct {
	uint32_t state; /* enum start_state; the new CPU leaves STARTING, or the starter gives up */
	uint32_t cpu;
	uint64_t rip, rsp;
} start;
enum start_state { START_NONE, START_STARTING };
uint32_t ap_stack; /* start.S */

static inline void cpuid(uint32_t leaf, uint32_t regs[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(regs[0]), "=b"(regs[1]), "=c"(regs[2]), "=d"(regs[3])
			 : "a"(leaf), "c"(0));
}

static void need(bool there, const char *name, size_t len, bool *missing)
{
	if (there)
		return;
	warn("this CPU lacks ", name, len);
	*missing = true;
}

void platform_init(void)
{
	uint32_t r[4], max, features7;
	uint32_t xcr0 = XCR0_X87_SSE;
	bool missing = false, xsave;

	cpuid(0, r);
	max = r[0];
	cpuid(1, r);
	xsave = r[2] >> 26 & 1;
	x2apic = r[2] >> 21 & 1;
	tsc_deadline = r[2] >> 24 & 1;
	need(xsave, "XSAVE", 5, &missing);
	need(r[3] >> 9 & 1, "APIC", 4, &missing);
	cpuid(max >= 7 ? 7 : 0, r);
	features7 = max >= 7 ? r[1] : 0;
	need(features7 & 1, "FSGSBASE", 8, &missing);
	if (missing)
		power(PLATFORM_EXIT_GATE_CRASH);

	cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_FSGSBASE | CR4_OSXSAVE;
	if (features7 >> 7 & 1)
		cr4 |= CR4_SMEP;
	if (features7 >> 20 & 1)
		cr4 |= CR4_SMAP;
	cpuid(0xd, r);
	if (r[0] & XCR0_AVX) {
		xcr0 |= XCR0_AVX;
		if ((r[0] & XCR0_AVX512) == XCR0_AVX512)
			xcr0 |= XCR0_AVX512;
	}
	boot_record.xcr0 = xcr0;

	cpuid(0x40000000, r);
	if (r[0] >= 0x40000010 && r[0] < 0x40010000) {
		cpuid(0x40000010, r);
		boot_record.tsc_khz = r[0];
	}
}

static inline uint32_t lapic_read(uint32_t reg)
{
	if (x2apic)
		return (uint32_t)rdmsr(MSR_X2APIC + (reg >> 4));
	return *(const volatile uint32_t *)(uintptr_t)(LAYOUT_LAPIC + reg);
}

void lapic_write(uint32_t reg, uint32_t value)
{
	if (x2apic)
		wrmsr(MSR_X2APIC + (reg >> 4), value);
	else
		*(volatile uint32_t *)(uintptr_t)(LAYOUT_LAPIC + reg) = value;
}

void send_ipi(uint32_t cpu, uint32_t icr)
{
	if (x2apic) {
		wrmsr(MSR_X2APIC + (LAPIC_ICR >> 4), (uint64_t)cpu << 32 | icr);
		return;
	}
	lapic_write(LAPIC_ICR_HIGH,
		    cpu << 24); /* delivered at once: virtual LAPICs are never busy */
	lapic_write(LAPIC_ICR, icr);
}

void send_ipis(uint32_t cpus, uint32_t icr)
{
	for (uint32_t i = 0; cpus >> i; i++) {
		if (cpus >> i & 1)
			send_ipi(i, icr);
	}
}

/* TSC and LAPIC count of one moment: the tightest of a few readings. */
static void sample(uint64_t *ret_tsc, uint32_t *ret_count)
{
	uint64_t before, after, best = UINT64_MAX;
	uint32_t count;
	int i;

	for (i = 0; i < 5; i++) {
		before = rdtsc();
		count = lapic_read(LAPIC_TIMER_CURRENT);
		after = rdtsc();
		if (after - before >= best)
			continue;
		best = after - before;
		*ret_tsc = before + best / 2;
		*ret_count = count;
	}
}

/* TSC frequency against the LAPIC's clock over 1 ms. Leaves the timer to be set up. */
static void calibrate(void)
{
	uint64_t tsc0 = 0, tsc1 = 0;
	uint32_t count0 = 0, count1 = 0;

	lapic_write(LAPIC_LVT_TIMER, LVT_MASKED | GATE_VECTOR_TIMER);
	lapic_write(LAPIC_TIMER_DIVIDE, DIVIDE_BY_1);
	lapic_write(LAPIC_TIMER_INITIAL, UINT32_MAX);
	sample(&tsc0, &count0);
	while (count0 - lapic_read(LAPIC_TIMER_CURRENT) < LAPIC_TIMER_KHZ)
		pause();
	sample(&tsc1, &count1);
	lapic_write(LAPIC_TIMER_INITIAL, 0);
	boot_record.tsc_khz = (tsc1 - tsc0) * LAPIC_TIMER_KHZ / (count0 - count1);
}

/*
 * Makes this CPU what the rest of the gate takes for granted. Runs on its gate stack with
 * the GDT of start.S loaded.
 */
void cpu_init(unsigned int index)
{
	struct cpu *c = cpu_at(index);
	uint64_t tss = (uintptr_t)&c->tss;

	c->index = index;
	c->user = (struct gate_cpu *)user_space[index];
	c->user->cpu = index;
	c->user->self = GATE_CPU_AREA + index * GATE_CPU_STRIDE;
	c->user->mask = 1;
	c->tss.rsp[0] = (uintptr_t)c + CPU_BYTES;
	c->tss.ist[IST_DOUBLE_FAULT - 1] = (uintptr_t)c->stack;
	c->tss.io_map = sizeof(struct tss);
	gdt[SEL_TSS / 8 + 2 * index] = (sizeof(struct tss) - 1) | (tss & 0xffffff) << 16 |
				       0x89ull << 40 | (tss & 0xff000000) << 32;
	__asm__ volatile("lidt %0" : : "m"(idtr));
	__asm__ volatile("ltr %w0" : : "r"(SEL_TSS + 16 * index));

	__asm__ volatile("mov %0, %%cr4" : : "r"((uint64_t)cr4));
	__asm__ volatile("xsetbv" : : "a"((uint32_t)boot_record.xcr0), "c"(0), "d"(0));
	wrmsr(MSR_GS_BASE, c->user->self);

	wrmsr(MSR_APIC_BASE,
	      rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE | (x2apic ? APIC_BASE_X2APIC : 0));
	lapic_write(LAPIC_SPURIOUS, LAPIC_ENABLE | GATE_VECTOR_SPURIOUS);
	lapic_write(LAPIC_LVT_LINT0, LVT_MASKED); /* firmware leaves the 8259 on it */
	lapic_write(LAPIC_LVT_LINT1, LVT_MASKED);
	/* after LINT0: makes TCG forget a request of the 8259, which it would deliver as vector -1
	 */
	lapic_write(LAPIC_TPR, 0);
	if (!boot_record.tsc_khz)
		calibrate();
	lapic_write(LAPIC_TIMER_DIVIDE, DIVIDE_BY_16);
	lapic_write(LAPIC_LVT_TIMER, GATE_VECTOR_TIMER | (tsc_deadline ? LVT_DEADLINE : 0));
	__atomic_or_fetch(&online, 1u << index, __ATOMIC_SEQ_CST);
	c->flushed--; /* differs from the generation: reload for certain, see flush.c */
	serve_flush(c);
	c->user->flushes = 0;
}

/* ---- time ---- */

int64_t call_timer(uint64_t when, uint64_t b, uint64_t c)
{
	uint64_t now, ticks;

	if (tsc_deadline) {
		wrmsr(MSR_TSC_DEADLINE, when);
		return 0;
	}
	now = rdtsc();
	ticks = 0;
	if (when) {
		ticks = when > now ? (when - now) : 0;
		/* in units of 16 ns; longer than 2^32 of them fires early */
		if (ticks >> 40)
			ticks = 1ull << 40;
		ticks = ticks * (LAPIC_TIMER_KHZ / 16) / boot_record.tsc_khz;
		if (ticks > UINT32_MAX)
			ticks = UINT32_MAX;
		if (ticks == 0)
			ticks = 1;
	}
	lapic_write(LAPIC_TIMER_INITIAL, (uint32_t)ticks);
	return 0;
}

/* ---- other CPUs ---- */

static bool is_online(uint64_t cpu)
{
	return cpu < GATE_MAX_CPUS && (__atomic_load_n(&online, __ATOMIC_ACQUIRE) >> cpu & 1);
}

int64_t call_ipi(uint64_t cpu, uint64_t vector, uint64_t unused)
{
	struct cpu *c = this_cpu();
	uint32_t icr = (uint32_t)vector;

	if (vector == GATE_VECTOR_NMI)
		icr = ICR_NMI;
	else if (vector < GATE_VECTOR_IRQ_FIRST || vector > GATE_VECTOR_IRQ_LAST)
		return -EINVAL;
	if (cpu == GATE_IPI_OTHERS)
		send_ipis(__atomic_load_n(&online, __ATOMIC_ACQUIRE) & ~(1u << c->index), icr);
	else if (is_online(cpu))
		send_ipi((uint32_t)cpu, icr);
	else
		return -ENODEV;
	return 0;
}

/* The new CPU's own part, on its stack. Never returns. */
_Noreturn void cpu_enter(void)
{
	uint64_t rip = start.rip, rsp = start.rsp;
	uint32_t expected = START_STARTING;

	/* too late: who started it was told that it timed out */
	if (!__atomic_compare_exchange_n(&start.state, &expected, START_NONE, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		halt();
	cpu_init(start.cpu);
	enter_user(rip, rsp);
}

/* Waits until @cpu is online. A CPU that does not come is put back to waiting for SIPI. */
static int64_t await_start(struct cpu *c, uint32_t cpu)
{
	uint64_t begin = rdtsc(), passed;
	uint32_t expected;
	bool again = true;

	while (!is_online(cpu)) {
		serve_flush(c);
		pause();
		passed = rdtsc() - begin;
		if (again && passed > boot_record.tsc_khz * START_RETRY_MS) {
			/* the first one may have come before INIT was over */
			send_ipi(cpu, ICR_STARTUP | LAYOUT_AP_STUB >> 12);
			again = false;
		}
		expected = START_STARTING;
		if (passed > boot_record.tsc_khz * START_TIMEOUT_MS &&
		    __atomic_compare_exchange_n(&start.state, &expected, START_NONE, false,
						__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
			send_ipi(cpu, ICR_INIT);
			return -ETIMEDOUT;
		}
	}
	return 0;
}

int64_t call_cpu_start(uint64_t cpu, uint64_t rip, uint64_t rsp)
{
	struct cpu *c = this_cpu();
	const uint64_t *from = ap_stub;
	uint64_t *to = ram(LAYOUT_AP_STUB);
	int64_t ret = -EALREADY;

	if (cpu >= boot_record.cpus || rsp < GATE_CELL_WINDOW || rsp > GATE_DYNAMIC_END)
		return -EINVAL;
	if (!is_text(rip))
		return -EFAULT;
	gate_lock(c);
	if (!is_online(cpu)) {
		while (from < ap_stub_end)
			*to++ = *from++;
		start.cpu = (uint32_t)cpu;
		start.rip = rip;
		start.rsp = rsp;
		ap_stack = (uint32_t)(uintptr_t)cpu_at((unsigned int)cpu) + CPU_BYTES;
		__atomic_store_n(&start.state, START_STARTING, __ATOMIC_RELEASE);
		send_ipi((uint32_t)cpu, ICR_INIT);
		send_ipi((uint32_t)cpu, ICR_STARTUP | LAYOUT_AP_STUB >> 12);
		ret = await_start(c, (uint32_t)cpu);
	}
	gate_unlock();
	return ret;
}
