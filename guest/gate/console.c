/* SPDX-License-Identifier: MIT */
/* What the gate says by itself: warnings at boot, the crash record, the end of the VM. */
#include "internal.h"

#define COM1_LINE_STATUS (PLATFORM_PORT_COM1 + 5)
#define THR_EMPTY 0x20

static void putc(char ch)
{
	unsigned int tries = 10000; /* a lost character is better than a hung crash record */

	while (!(inb(COM1_LINE_STATUS) & THR_EMPTY) && --tries)
		pause();
	outb(PLATFORM_PORT_COM1, (uint8_t)ch);
}

void put(const char *text)
{
	while (*text)
		putc(*text++);
}

void put_hex(uint64_t value)
{
	int shift = 60;

	while (shift && !(value >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		putc("0123456789abcdef"[value >> shift & 15]);
}

void warn(const char *text, const char *subject, size_t len)
{
	put("theseus gate: ");
	put(text);
	while (len--)
		putc(*subject++);
	put("\r\n");
}

static void field(const char *name, uint64_t value)
{
	put(name);
	put(" 0x");
	put_hex(value);
}

static void put_trap(const struct trap *t)
{
	static const char *const names[] = {" r15", " r14", " r13", " r12", " rbp",
					    " rbx", " r11", " r10", " r9",  " r8",
					    " rdi", " rsi", " rdx", " rcx", " rax"};
	const uint64_t *regs = (const uint64_t *)&t->gprs, *stack;
	unsigned int i;

	field("vector:", t->vector);
	field(" error", t->error);
	field(" cr2", read_cr2());
	field("\r\nrip:", t->iret.rip);
	field(" cs", t->iret.cs);
	field(" rflags", t->iret.rflags);
	field(" rsp", t->iret.rsp);
	put("\r\nregisters:");
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		field(names[i], regs[i]);
	put("\r\n");
	/* a cell's stack is never looked at */
	stack = (const uint64_t *)t->iret.rsp;
	if ((t->iret.cs & 3) || t->iret.rsp % 8 || t->iret.rsp < (uintptr_t)cpu_space ||
	    t->iret.rsp >= (uintptr_t)cpu_space + sizeof(cpu_space))
		return;
	put("stack:");
	for (i = 0; i < 16 && (uintptr_t)(stack + i) % CPU_BYTES; i++)
		field("", stack[i]);
	put("\r\n");
}

/* Lines are prefixed, so that a cell's text cannot end or imitate the record. */
static void put_text(const char *text, size_t len)
{
	size_t i;

	put("| ");
	for (i = 0; i < len && text[i]; i++) {
		if (text[i] == '\n')
			put("\r\n| ");
		else
			putc(text[i] >= ' ' && text[i] <= '~' ? text[i] : '?');
	}
	put("\r\n");
}

_Noreturn void crash(const char *reason, const struct trap *trap, const char *text, size_t len,
		     enum platform_exit code)
{
	static uint32_t crashing;

	if (__atomic_exchange_n(&crashing, 1, __ATOMIC_ACQUIRE))
		halt(); /* another CPU reports, and ends the VM */
	put("\r\n--- theseus crash record v1 ---\r\nbuild: ");
	put(boot_record.build_id);
	field("\r\ncpu:", this_cpu()->index);
	put("\r\nreason: ");
	put(reason);
	put("\r\n");
	if (trap)
		put_trap(trap);
	if (text)
		put_text(text, len);
	put("--- end ---\r\n");
	outb(PLATFORM_PORT_PVPANIC, PLATFORM_PVPANIC_PANICKED);
	power(code);
}

_Noreturn void power(enum platform_exit code)
{
	outb(PLATFORM_PORT_EXIT, (uint8_t)code);
	if (code == PLATFORM_EXIT_POWEROFF)
		__asm__ volatile("outw %w0, %w1" : : "a"(0x2000), "d"(PLATFORM_PORT_Q35_PM1A));
	else if (code != PLATFORM_EXIT_TEST_OK && code != PLATFORM_EXIT_TEST_FAIL)
		outb(PLATFORM_PORT_RESET, 0x06);
	halt();
}

int64_t call_power(uint64_t code, uint64_t b, uint64_t c)
{
	if (code != PLATFORM_EXIT_POWEROFF && code != PLATFORM_EXIT_RESET &&
	    code != PLATFORM_EXIT_CELL_CRASH && code != PLATFORM_EXIT_TEST_OK &&
	    code != PLATFORM_EXIT_TEST_FAIL)
		return -EINVAL;
	power((enum platform_exit)code);
}

int64_t call_crash(uint64_t a, uint64_t b, uint64_t c)
{
	crash("the cells gave up", NULL, args_of(this_cpu()), PAGE, PLATFORM_EXIT_CELL_CRASH);
}
