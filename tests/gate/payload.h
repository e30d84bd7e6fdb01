/* SPDX-License-Identifier: MIT */
/*
 * Support for test payloads: ring-3 programs that stand in the seed's place and try the gate.
 * Results are TAP lines on COM1 and the exit code. A payload defines payload_main().
 */
#ifndef TESTS_GATE_PAYLOAD_H
#define TESTS_GATE_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <theseus/errno.h>
#include <theseus/gate.h>
#include <theseus/platform.h>

#define PAGE 4096ull
#define BOOT ((const struct boot_record *)GATE_BOOT_RECORD)

void payload_main(void);

/* ---- output and verdict ---- */
void say(const char *text);
void say_hex(uint64_t value);
/* One TAP line. */
void result(bool ok, const char *what, const char *file, int line);
void result_equal(int64_t got, int64_t want, const char *what, const char *file, int line);
void plan(void); /* the TAP plan: no results after it */
_Noreturn void finish(void);

#define CHECK(cond) result((cond), #cond, __FILE__, __LINE__)
#define EXPECT(expr, want) result_equal((int64_t)(expr), (int64_t)(want), #expr, __FILE__, __LINE__)

/* ---- calls ---- */
static inline void *arguments(unsigned int cpu)
{
	return (void *)(GATE_CPU_AREA + cpu * GATE_CPU_STRIDE + PAGE);
}

static inline struct gate_cpu *cpu_block(unsigned int cpu)
{
	return (struct gate_cpu *)(GATE_CPU_AREA + cpu * GATE_CPU_STRIDE);
}

static inline uint32_t cpu_index(void)
{
	uint32_t index;

	__asm__ volatile("movl %%gs:4, %0" : "=r"(index));
	return index;
}

/* One run, on the CPU that calls. */
int64_t run_call(enum gate_nr nr, uint64_t va, uint64_t pa, uint32_t pages, uint32_t flags);
int64_t patch_call(uint64_t va, uint32_t from, uint32_t to);

/* Frames that nobody has yet, `pages` in a row. */
uint64_t take_frames(uint64_t pages);

/* ---- faults ---- */

/* Registers the entries below. */
void faults_init(void);

/*
 * Calls fn(arg). Result: 0, or 1 + vector of the fault that ended it; the frame is then in
 * *ret_frame (may be NULL). Callee-saved registers survive.
 */
uint64_t attempt(void (*fn)(uint64_t), uint64_t arg, struct gate_frame *ret_frame);

/* Ready-made victims for attempt(). */
void touch_read(uint64_t va);
void touch_write(uint64_t va);
void touch_run(uint64_t va);

/* ---- interrupts ---- */

extern volatile uint64_t interrupts[GATE_MAX_CPUS][256]; /* handled, by vector */
extern void (*volatile on_interrupt)(uint64_t vector); /* called masked; may be NULL */

/* Depth 0, and what is pending is handled. Interrupts arrive from here on. */
void unmask(void);
void mask(void);

/* Starts a CPU in fn on a stack of its own, masked. */
int64_t start_cpu(unsigned int cpu, void (*fn)(void));

/* Waits until *@word reads @want; false after about 40 seconds. */
bool wait_for(const volatile uint64_t *word, uint64_t want);

extern uint8_t irq_entry[], fault_entry[], nmi_entry[], last_entry[], bad_fault_entry[];

#endif
