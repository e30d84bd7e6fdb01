/* SPDX-License-Identifier: MIT */
#include "payload.h"

_Noreturn void seed_start(void);

uint64_t attempt_raw(void (*fn)(uint64_t), uint64_t arg);
void interrupt_handler(uint64_t vector);
void nmi_handler(uint64_t vector);

volatile uint64_t interrupts[GATE_MAX_CPUS][256];
void (*volatile on_interrupt)(uint64_t vector);

static uint32_t output_lock;
static unsigned int results, failures;
static uint64_t frames_next;
static uint8_t stacks[GATE_MAX_CPUS][16384] __attribute__((aligned(16)));

/* ---- output ---- */

/* The argument page is left as a test prepared it. */
static void put_bytes(const char *text, unsigned int n)
{
	struct gate_port *p = arguments(cpu_index()), saved[GATE_PORTS_MAX];
	unsigned int i;

	for (i = 0; i < n; i++) {
		saved[i] = p[i];
		p[i] = (struct gate_port){PLATFORM_PORT_COM1, 1, 1, (uint8_t)text[i]};
	}
	gate_call(GATE_PORT, n, 0, 0);
	for (i = 0; i < n; i++)
		p[i] = saved[i];
}

void say(const char *text)
{
	unsigned int n;

	for (; *text; text += n) {
		for (n = 0; n < GATE_PORTS_MAX && text[n];)
			n++;
		put_bytes(text, n);
	}
}

void say_hex(uint64_t value)
{
	char digits[19] = "0x";
	unsigned int n = 2;
	int shift;

	for (shift = 60; shift && !(value >> shift); shift -= 4)
		;
	for (; shift >= 0; shift -= 4)
		digits[n++] = "0123456789abcdef"[value >> shift & 15];
	digits[n] = '\0';
	say(digits);
}

static void say_number(unsigned int value)
{
	if (value >= 10)
		say_number(value / 10);
	say((char[]){(char)('0' + value % 10), '\0'});
}

static void lock_output(void)
{
	while (__atomic_exchange_n(&output_lock, 1, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
}

static void head(bool ok, const char *what)
{
	results++;
	if (!ok)
		failures++;
	say(ok ? "ok " : "not ok ");
	say_number(results);
	say(" - ");
	say(what);
}

static void tail(const char *file, int line)
{
	say(" (");
	say(file);
	say(":");
	say_number((unsigned int)line);
	say(")\n");
}

void result(bool ok, const char *what, const char *file, int line)
{
	lock_output();
	head(ok, what);
	if (ok)
		say("\n");
	else
		tail(file, line);
	__atomic_store_n(&output_lock, 0, __ATOMIC_RELEASE);
}

void result_equal(int64_t got, int64_t want, const char *what, const char *file, int line)
{
	lock_output();
	head(got == want, what);
	if (got == want) {
		say("\n");
	} else {
		say(": got ");
		say_hex((uint64_t)got);
		say(", not ");
		say_hex((uint64_t)want);
		tail(file, line);
	}
	__atomic_store_n(&output_lock, 0, __ATOMIC_RELEASE);
}

void plan(void)
{
	say("1..");
	say_number(results);
	say("\n");
}

_Noreturn void finish(void)
{
	plan();
	for (;;)
		gate_call(GATE_POWER, failures ? PLATFORM_EXIT_TEST_FAIL : PLATFORM_EXIT_TEST_OK, 0, 0);
}

/* ---- calls ---- */

int64_t run_call(enum gate_nr nr, uint64_t va, uint64_t pa, uint32_t pages, uint32_t flags)
{
	*(struct gate_run *)arguments(cpu_index()) = (struct gate_run){va, pa, pages, flags};
	return gate_call(nr, 1, 0, 0);
}

int64_t patch_call(uint64_t va, uint32_t from, uint32_t to)
{
	*(struct gate_patch *)arguments(cpu_index()) = (struct gate_patch){va, from, to};
	return gate_call(GATE_PATCH, 1, 0, 0);
}

uint64_t take_frames(uint64_t pages)
{
	const struct gate_range *largest = &BOOT->free[0];
	unsigned int i;
	uint64_t pa;

	for (i = 1; i < GATE_BOOT_RANGES; i++) {
		if (BOOT->free[i].end - BOOT->free[i].start > largest->end - largest->start)
			largest = &BOOT->free[i];
	}
	if (!frames_next)
		frames_next = largest->start;
	pa = frames_next;
	frames_next += pages * PAGE;
	if (frames_next > largest->end) {
		say("Bail out! no frames left\n");
		failures++;
		finish();
	}
	return pa;
}

/* ---- faults ---- */

void faults_init(void)
{
	EXPECT(gate_call(GATE_REGISTER, GATE_ENTRY_FAULT, (uint64_t)fault_entry, 0), 0);
}

uint64_t attempt(void (*fn)(uint64_t), uint64_t arg, struct gate_frame *ret_frame)
{
	uint64_t ret = attempt_raw(fn, arg);

	if (ret && ret_frame)
		*ret_frame = *(const struct gate_frame *)(const void *)(cpu_block(cpu_index())->cells + 8);
	return ret;
}

void touch_read(uint64_t va)
{
	uint8_t value;

	__asm__ volatile("movb (%1), %0" : "=r"(value) : "r"(va) : "memory");
}

void touch_write(uint64_t va)
{
	__asm__ volatile("movb $0, (%0)" : : "r"(va) : "memory");
}

void touch_run(uint64_t va)
{
	__asm__ volatile("call *%0" : : "r"(va) : "memory", "rax", "rcx", "rdx");
}

/* ---- interrupts ---- */

static void handle(uint64_t vector)
{
	interrupts[cpu_index()][vector]++;
	if (on_interrupt)
		on_interrupt(vector);
}

static bool take_pending(uint64_t *ret_vector)
{
	struct gate_cpu *c = cpu_block(cpu_index());
	uint64_t i;
	bool was;

	for (i = 0; i < 256; i++) {
		__asm__ volatile("btrq %2, %1" : "=@ccc"(was), "+m"(c->pending[i / 64]) : "r"(i % 64));
		if (was) {
			*ret_vector = i;
			return true;
		}
	}
	return false;
}

void unmask(void)
{
	uint64_t vector;
	uint32_t left;

	for (;;) {
		__asm__ volatile("andl $0x7fffffff, %%gs:0" : : : "memory");
		while (take_pending(&vector))
			handle(vector);
		__asm__ volatile("decl %%gs:0\n\tmovl %%gs:0, %0" : "=r"(left) : : "memory");
		if (!(left & GATE_MASK_PENDING) || (left & ~GATE_MASK_PENDING))
			return;
		__asm__ volatile("incl %%gs:0" : : : "memory");
	}
}

void mask(void)
{
	__asm__ volatile("incl %%gs:0" : : : "memory");
}

void interrupt_handler(uint64_t vector)
{
	handle(vector);
	unmask();
}

void nmi_handler(uint64_t vector)
{
	interrupts[cpu_index()][vector]++;
	__asm__ volatile("decl %%gs:0" : : : "memory");
}

/* ---- other CPUs ---- */

int64_t start_cpu(unsigned int cpu, void (*fn)(void))
{
	return gate_call(GATE_CPU_START, cpu, (uint64_t)fn, (uint64_t)&stacks[cpu][sizeof(stacks[cpu]) - 8]);
}

bool wait_for(const volatile uint64_t *word, uint64_t want)
{
	uint64_t end = __builtin_ia32_rdtsc() + BOOT->tsc_khz * 40000; /* a busy host */

	while (*word != want) {
		if (__builtin_ia32_rdtsc() > end)
			return false;
		__builtin_ia32_pause();
	}
	return true;
}

_Noreturn void seed_start(void)
{
	payload_main();
	finish();
}
