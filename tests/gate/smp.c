/* SPDX-License-Identifier: MIT */
/* Two CPUs: start, IPI, NMI, idle, and G1/G3 under concurrency (limbo, shootdown). */
#include "payload.h"

#define DYN GATE_DYNAMIC
#define PING 0x70
#define PONG 0x71
#define RUN 0x72

/* What CPU 1 is to do, and what it did: written by one side each. */
static void (*volatile job)(void);
static volatile uint64_t jobs_given, jobs_done, progress, flag;
static volatile uint64_t up;

static void other_cpu(void)
{
	uint64_t done = 0;

	up = cpu_index();
	for (;;) {
		wait_for(&jobs_given, done + 1);
		if (jobs_given == done)
			continue;
		job();
		jobs_done = ++done;
	}
}

static void give(void (*fn)(void))
{
	job = fn;
	progress = 0;
	flag = 0;
	jobs_given++;
}

static bool wait_done(void)
{
	return wait_for(&jobs_done, jobs_given);
}

/* ---- start ---- */

static void start(void)
{
	EXPECT(BOOT->cpus, 2);
	EXPECT(gate_call(GATE_IPI, 1, PING, 0), -ENODEV);
	EXPECT(start_cpu(1, other_cpu), 0);
	CHECK(wait_for(&up, 1));
	EXPECT(cpu_block(1)->mask, 1);
	EXPECT(cpu_block(1)->cpu, 1);
	EXPECT(start_cpu(1, other_cpu), -EALREADY);
	EXPECT(start_cpu(0, other_cpu), -EALREADY);
}

/* ---- interrupts ---- */

static void unmask_and_wait(void)
{
	unmask();
	wait_for(&flag, 1);
	mask();
}

static void ipi(void)
{
	give(unmask_and_wait);
	EXPECT(gate_call(GATE_IPI, 1, PING, 0), 0);
	CHECK(wait_for(&interrupts[1][PING], 1));
	EXPECT(gate_call(GATE_IPI, GATE_IPI_OTHERS, PONG, 0), 0);
	CHECK(wait_for(&interrupts[1][PONG], 1));
	EXPECT(interrupts[0][PONG], 0);
	flag = 1;
	CHECK(wait_done());
}

static void wait_flag(void)
{
	progress = 1;
	wait_for(&flag, 1);
}

/* An NMI reaches a CPU whatever its mask. */
static void nmi(void)
{
	EXPECT(gate_call(GATE_REGISTER, GATE_ENTRY_NMI, (uint64_t)nmi_entry, 0), 0);
	give(wait_flag);
	wait_for(&progress, 1);
	EXPECT(gate_call(GATE_IPI, 1, GATE_VECTOR_NMI, 0), 0);
	CHECK(wait_for(&interrupts[1][2], 1));
	EXPECT(gate_call(GATE_IPI, GATE_IPI_OTHERS, GATE_VECTOR_NMI, 0), 0);
	CHECK(wait_for(&interrupts[1][2], 2));
	EXPECT(cpu_block(1)->mask, 1);
	flag = 1;
	CHECK(wait_done());
}

static void halt_once(void)
{
	progress = 1;
	gate_call(GATE_IDLE, 0, 0, 0);
	progress = 2;
	unmask();
	mask();
}

/* Idle CPUs: an IPI and an NMI wake them; a flush waits until they wake. */
static void idle(void)
{
	volatile uint64_t *flushes = &cpu_block(1)->flushes;
	uint64_t before, pa = take_frames(1), nmis = interrupts[1][2], i;

	give(halt_once);
	wait_for(&progress, 1);
	before = *flushes;
	for (i = 0; i < 50; i++) {
		run_call(GATE_MAP, DYN, pa, 1, GATE_RUN_WRITE);
		run_call(GATE_UNMAP, DYN, 0, 1, 0);
	}
	EXPECT(*flushes - before, 0);
	EXPECT(progress, 1);
	EXPECT(gate_call(GATE_IPI, 1, PING, 0), 0);
	CHECK(wait_done());
	EXPECT(*flushes - before, 1);
	EXPECT(interrupts[1][PING], 2);

	give(halt_once);
	wait_for(&progress, 1);
	EXPECT(gate_call(GATE_IPI, 1, GATE_VECTOR_NMI, 0), 0);
	CHECK(wait_done());
	EXPECT(interrupts[1][2], nmis + 1);
}

#define ROUNDS 1000

static void ponger(void)
{
	while (interrupts[1][RUN] < ROUNDS) {
		gate_call(GATE_IDLE, 0, 0, 0);
		unmask();
		mask();
		gate_call(GATE_IPI, 0, RUN, 0);
	}
}

/* Two CPUs that sleep for each other: a lost wake-up would stop them. */
static void ping_pong(void)
{
	uint64_t i;

	give(ponger);
	for (i = 1; i <= ROUNDS; i++) {
		gate_call(GATE_IPI, 1, RUN, 0);
		while (interrupts[0][RUN] < i) {
			gate_call(GATE_IDLE, 0, 0, 0);
			unmask();
			mask();
		}
	}
	CHECK(wait_done());
	EXPECT(interrupts[0][RUN], ROUNDS);
	EXPECT(interrupts[1][RUN], ROUNDS);
}

/* ---- shootdown ---- */

static volatile uint64_t violations;

/* Reads until it faults. Reading after CPU 0 was told that nobody can is a violation. */
static void reader(uint64_t va)
{
	uint64_t told;

	for (;;) {
		told = flag;
		(void)*(volatile uint64_t *)va;
		violations += told;
		progress++;
	}
}

static void writer(uint64_t va)
{
	uint64_t told;

	for (;;) {
		told = flag;
		*(volatile uint64_t *)va = progress;
		violations += told;
		progress++;
	}
}

static volatile uint64_t target, fault_vector, fault_address;

static void victim(void (*fn)(uint64_t))
{
	struct gate_frame f = {0};

	fault_vector = attempt(fn, target, &f) - 1;
	fault_address = f.cr2;
}

static void victim_reader(void)
{
	victim(reader);
}

static void victim_writer(void)
{
	victim(writer);
}

/* Idle between two reads: what it read before must not be found in its TLB after. */
static void read_idle_read(uint64_t va)
{
	(void)*(volatile uint64_t *)va;
	progress = 1;
	gate_call(GATE_IDLE, 0, 0, 0);
	(void)*(volatile uint64_t *)va;
	violations++;
}

static void victim_idles(void)
{
	victim(read_idle_read);
	unmask();
	mask();
}

static void shootdown_while_idle(void)
{
	uint64_t pa = take_frames(1), i;

	target = DYN;
	for (i = 0; i < 20; i++) {
		run_call(GATE_MAP, DYN, pa, 1, GATE_RUN_WRITE);
		give(victim_idles);
		CHECK(wait_for(&progress, 1));
		if (run_call(GATE_UNMAP, DYN, 0, 1, 0) != 1)
			break;
		if (run_call(GATE_MAP, DYN + PAGE, pa, 1, GATE_RUN_WRITE) != 1)
			break;
		gate_call(GATE_IPI, 1, PING, 0);
		if (!wait_done() || fault_vector != 14 || fault_address != DYN)
			break;
		run_call(GATE_UNMAP, DYN + PAGE, 0, 1, 0);
	}
	EXPECT(i, 20);
	EXPECT(violations, 0);
}

static void shootdown(void)
{
	uint64_t pa = take_frames(2), i;

	target = DYN;
	for (i = 0; i < 20; i++) {
		run_call(GATE_MAP, DYN, pa, 1, GATE_RUN_WRITE);
		give(victim_reader);
		while (progress < 1000)
			__builtin_ia32_pause();
		if (run_call(GATE_UNMAP, DYN, 0, 1, 0) != 1)
			break;
		flag = 1;
		/* the frame is at once somebody else's */
		if (run_call(GATE_MAP, DYN + PAGE, pa, 1, GATE_RUN_WRITE) != 1)
			break;
		if (!wait_done() || fault_vector != 14 || fault_address != DYN)
			break;
		run_call(GATE_UNMAP, DYN + PAGE, 0, 1, 0);
	}
	EXPECT(i, 20);
	EXPECT(violations, 0);
	for (i = 0; i < 20; i++) {
		run_call(GATE_MAP, DYN, pa, 1, GATE_RUN_WRITE);
		give(victim_writer);
		while (progress < 1000)
			__builtin_ia32_pause();
		if (run_call(GATE_PROTECT, DYN, 0, 1, 0) != 1)
			break;
		flag = 1;
		if (!wait_done() || fault_vector != 14 || fault_address != DYN)
			break;
		run_call(GATE_UNMAP, DYN, 0, 1, 0);
	}
	EXPECT(i, 20);
	/* sealing takes write access from the other CPU before anybody can execute */
	target = GATE_CELL_WINDOW;
	for (i = 0; i < 20; i++) {
		run_call(GATE_MAP, target, pa, 1, GATE_RUN_WRITE);
		give(victim_writer);
		while (progress < 1000)
			__builtin_ia32_pause();
		if (run_call(GATE_SEAL, target, 0, 1, i % 2 ? GATE_RUN_TEXT : GATE_RUN_RODATA) != 1)
			break;
		flag = 1;
		if (!wait_done() || fault_vector != 14 || fault_address != target)
			break;
		run_call(GATE_UNMAP, target, 0, 1, 0);
	}
	EXPECT(i, 20);
	EXPECT(violations, 0);
}

/* ---- limbo ---- */

static uint64_t limbo_pa;
static volatile uint64_t seen_busy, seen_state, seen_twice;

/* Keeps trying to get CPU 0's frame, and its page, while CPU 0 maps and unmaps them. */
static void thief(void)
{
	int64_t ret;
	uint64_t i;

	while (!flag) {
		ret = run_call(GATE_MAP, DYN + 64 * PAGE, limbo_pa, 1, GATE_RUN_WRITE);
		if (ret == 1) {
			/* ours alone: CPU 0 cannot have it now */
			*(volatile uint64_t *)(DYN + 64 * PAGE) = 1;
			seen_twice += *(volatile uint64_t *)(DYN + 64 * PAGE) != 1;
			run_call(GATE_UNMAP, DYN + 64 * PAGE, 0, 1, 0);
		}
		seen_busy += ret == -EBUSY;
		seen_twice += ret != 1 && ret != -EBUSY && ret != -EEXIST;
		seen_state += gate_call(GATE_FRAME_STATE, limbo_pa, 0, 0) == GATE_FRAME_LIMBO;
		progress++;
		/* leaves room for CPU 0 to have it, now shorter, now longer */
		for (i = progress % 64 * 16; i; i--)
			__builtin_ia32_pause();
	}
}

static void limbo(void)
{
	volatile uint64_t *page = (volatile uint64_t *)DYN;
	uint64_t i, rounds = 0, refused = 0, end = __builtin_ia32_rdtsc() + BOOT->tsc_khz * 60000;
	int64_t ret;

	limbo_pa = take_frames(1);
	give(thief);
	/* until the other CPU has met limbo often enough to mean something; seldom longer than 1 s */
	for (i = 0; __builtin_ia32_rdtsc() < end && (rounds < 200 || !seen_busy || !seen_state); i++) {
		ret = run_call(GATE_MAP, DYN, limbo_pa, 1, GATE_RUN_WRITE);
		refused += ret == -EBUSY || ret == -EEXIST;
		if (ret != 1)
			continue;
		page[0] = 2;
		seen_twice += page[0] != 2;
		if (run_call(GATE_UNMAP, DYN, 0, 1, 0) != 1)
			seen_twice++;
		rounds++;
	}
	flag = 1;
	CHECK(wait_done());
	EXPECT(seen_twice, 0);
	CHECK(seen_busy > 0);
	CHECK(seen_state > 0);
	CHECK(rounds >= 200);
	CHECK(progress > 0 && refused + rounds == i);
	EXPECT(gate_call(GATE_FRAME_STATE, limbo_pa, 0, 0), GATE_FRAME_FREE);
}

/* ---- both at once ---- */

#define FRAMES 32
static uint64_t crowd_pa, crowd_errors[2], crowd_won[2];

/* Grabs frames of a shared pool, marks them, checks its marks, gives them back. */
static void crowd(uint64_t cpu)
{
	uint64_t base = DYN + 0x400000 * (1 + cpu), got[FRAMES] = {0}, round, i;
	uint32_t seed = 12345 + (uint32_t)cpu;

	for (round = 0; round < 400; round++) {
		for (i = 0; i < 8; i++) {
			uint64_t n;

			seed = seed * 1103515245 + 12345;
			n = seed >> 16 & (FRAMES - 1);
			if (got[n] || run_call(GATE_MAP, base + n * PAGE, crowd_pa + n * PAGE, 1,
					       GATE_RUN_WRITE) != 1)
				continue;
			got[n] = 1;
			crowd_won[cpu]++;
			*(volatile uint64_t *)(base + n * PAGE) = cpu << 32 | n;
		}
		for (i = 0; i < FRAMES; i++) {
			if (!got[i])
				continue;
			if (*(volatile uint64_t *)(base + i * PAGE) != (cpu << 32 | i))
				crowd_errors[cpu]++;
			if ((seed >> (i % 8 + 8) & 1) == 0 && round != 399)
				continue;
			if (run_call(GATE_UNMAP, base + i * PAGE, 0, 1, 0) != 1)
				crowd_errors[cpu]++;
			got[i] = 0;
		}
	}
}

static void crowd_other(void)
{
	crowd(1);
}

static void both(void)
{
	uint64_t i, unfree = 0;

	crowd_pa = take_frames(FRAMES);
	give(crowd_other);
	crowd(0);
	CHECK(wait_done());
	EXPECT(crowd_errors[0], 0);
	EXPECT(crowd_errors[1], 0);
	CHECK(crowd_won[0] > 100 && crowd_won[1] > 100);
	for (i = 0; i < FRAMES; i++)
		unfree += gate_call(GATE_FRAME_STATE, crowd_pa + i * PAGE, 0, 0) != GATE_FRAME_FREE;
	EXPECT(unfree, 0);
}

void payload_main(void)
{
	faults_init();
	EXPECT(gate_call(GATE_REGISTER, GATE_ENTRY_IRQ, (uint64_t)irq_entry, 0), 0);
	start();
	ipi();
	nmi();
	idle();
	ping_pong();
	shootdown();
	shootdown_while_idle();
	limbo();
	both();
}
