/* SPDX-License-Identifier: MIT */
/* What calls cost, in ns: lines "# NAME NS" for the benchmark table. */
#include "payload.h"

#define ROUNDS 300
#define PAGES 64

static uint64_t ns(uint64_t tsc)
{
	return tsc * 1000000 / BOOT->tsc_khz;
}

static void number(uint64_t value)
{
	char digits[21];
	unsigned int at = 20;

	digits[at] = '\0';
	do
		digits[--at] = (char)('0' + value % 10);
	while (value /= 10);
	say(digits + at);
}

static void report(const char *name, uint64_t tsc, uint64_t count)
{
	say("# ");
	say(name);
	say(" ");
	number(ns(tsc) / count);
	say(" ns\n");
}

static uint64_t frames;

static void null_call(void)
{
	gate_call(GATE_FRAME_STATE, 1, 0, 0);
}

static void map_touch_unmap(void)
{
	run_call(GATE_MAP, GATE_DYNAMIC, frames, 1, GATE_RUN_WRITE);
	*(volatile uint64_t *)GATE_DYNAMIC = 1;
	run_call(GATE_UNMAP, GATE_DYNAMIC, 0, 1, 0);
}

static void map_unmap(void)
{
	run_call(GATE_MAP, GATE_DYNAMIC, frames, 1, GATE_RUN_WRITE);
	run_call(GATE_UNMAP, GATE_DYNAMIC, 0, 1, 0);
}

static void map_unmap_many(void)
{
	run_call(GATE_MAP, GATE_DYNAMIC, frames, PAGES, GATE_RUN_WRITE);
	run_call(GATE_UNMAP, GATE_DYNAMIC, 0, PAGES, 0);
}

static void timer(void)
{
	gate_call(GATE_TIMER, 0, 0, 0);
}

static void fault(void)
{
	attempt(touch_read, 8, NULL);
}

static void irq(void)
{
	mask();
	gate_call(GATE_IPI, 0, 0x50, 0);
	unmask();
}

static void measure(const char *name, void (*fn)(void), uint64_t per)
{
	uint64_t start, best = UINT64_MAX, i, took;

	for (i = 0; i < ROUNDS; i++) {
		start = __builtin_ia32_rdtsc();
		fn();
		took = __builtin_ia32_rdtsc() - start;
		if (took < best)
			best = took;
	}
	report(name, best, per);
}

static volatile uint64_t up, stop;

/* Spins in ring 3, then halts: what a shootdown costs in either case. */
static void other_cpu(void)
{
	up = 1;
	while (!stop)
		__builtin_ia32_pause();
	up = 2;
	for (;;)
		gate_call(GATE_IDLE, 0, 0, 0);
}

static void shootdown(void)
{
	if (BOOT->cpus < 2 || start_cpu(1, other_cpu) != 0)
		return;
	CHECK(wait_for(&up, 1));
	measure("map + unmap, 1 page, CPU 1 running", map_unmap, 1);
	stop = 1;
	CHECK(wait_for(&up, 2));
	measure("map + unmap, 1 page, CPU 1 halted", map_unmap, 1);
}

void payload_main(void)
{
	faults_init();
	EXPECT(gate_call(GATE_REGISTER, GATE_ENTRY_IRQ, (uint64_t)irq_entry, 0), 0);
	frames = take_frames(PAGES);
	report("boot of the gate", BOOT->tsc_cells - BOOT->tsc_start, 1);
	measure("null call", null_call, 1);
	measure("map + unmap, 1 page", map_unmap, 1);
	measure("map + touch + unmap, 1 page", map_touch_unmap, 1);
	measure("map + unmap, of 64 pages each", map_unmap_many, PAGES);
	measure("timer off", timer, 1);
	measure("interrupt to itself, masked", irq, 1);
	measure("fault upcall", fault, 1);
	shootdown();
}
