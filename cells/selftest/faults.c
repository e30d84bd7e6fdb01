/* SPDX-License-Identifier: MIT */
/* What the CPU must stop: each of these ends the task that does it, and nothing else. */
#include "selftest.h"

#include <theseus/mapped.h>

#define VECTOR_BP 3u
#define VECTOR_GP 13u
#define VECTOR_PF 14u

/* The address comes from memory, so that the compiler does not know what it is. */
static volatile uint64_t *at(uint64_t address)
{
	__asm__("" : "+r"(address));
	return (volatile uint64_t *)(uintptr_t)address;
}

static void write_text(void)
{
	*at((uintptr_t)write_text) = 0;
}

static void write_rodata(void)
{
	*at((uintptr_t)fault_checks) = 0;
}

static void write_slots(void)
{
	*at(IFACE_TABLE) = 0;
}

static void write_boot_record(void)
{
	*at(GATE_BOOT_RECORD) = 0;
}

static void execute_stack(void)
{
	volatile uint8_t code[16] = {0xc3};

	((void (*)(void))(uintptr_t)at((uintptr_t)code))();
}

static void read_null(void)
{
	(void)*at(8);
}

static void read_first_mib(void)
{
	(void)*at(0x9f000);
}

static void read_gate(void)
{
	(void)*at(0x100000);
}

static void read_guard(void)
{
	struct mapped stack OWNED(mapped_drop) = {0};
	struct mapped_info info;

	if (mapped_create(MAPPED_STACK, PAGE_SIZE, &stack) == 0 && mapped_info(stack, &info) == 0)
		(void)*at(info.start.v - 8);
}

static void jump_nowhere(void)
{
	((void (*)(void))(uintptr_t)at(0x123456))();
}

static void breakpoint(void)
{
	__asm__ volatile("int3" : : "a"(0ul) : "memory");
}

static void do_cli(void)
{
	__asm__ volatile("cli");
}

static void do_hlt(void)
{
	__asm__ volatile("hlt");
}

static void do_out(void)
{
	__asm__ volatile("outb %0, %1" : : "a"((uint8_t)'x'), "Nd"((uint16_t)0x3f8));
}

static void do_in(void)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"((uint16_t)0xcfc));
}

static void read_cr3(void)
{
	uint64_t value;

	__asm__ volatile("mov %%cr3, %0" : "=r"(value));
}

static void write_cr0(void)
{
	__asm__ volatile("mov %0, %%cr0" : : "r"(0ul));
}

static void write_msr(void)
{
	__asm__ volatile("wrmsr" : : "c"(0x1bu), "a"(0u), "d"(0u));
}

static void load_idt(void)
{
	static const uint8_t descriptor[10];

	__asm__ volatile("lidt %0" : : "m"(descriptor));
}

static void flush_page(void)
{
	__asm__ volatile("invlpg (%0)" : : "r"(0x1000ul));
}

const struct fault_check fault_checks[] = {
	{"G2: writing to text faults", write_text, VECTOR_PF},
	{"G2: writing to rodata faults", write_rodata, VECTOR_PF},
	{"G2: writing to the interface slots faults", write_slots, VECTOR_PF},
	{"G2: executing the stack faults", execute_stack, VECTOR_PF},
	{"G3: reading the first page faults", read_null, VECTOR_PF},
	{"G3: reading the first MiB faults", read_first_mib, VECTOR_PF},
	{"G3: reading the gate faults", read_gate, VECTOR_PF},
	{"G3: reading a guard page faults", read_guard, VECTOR_PF},
	{"G3: writing to the boot record faults", write_boot_record, VECTOR_PF},
	{"G3: a jump to nowhere faults", jump_nowhere, VECTOR_PF},
	{"G4: an int3 that is no gate call is a breakpoint", breakpoint, VECTOR_BP},
	{"CPL 3: cli faults", do_cli, VECTOR_GP},
	{"CPL 3: hlt faults", do_hlt, VECTOR_GP},
	{"CPL 3: out faults", do_out, VECTOR_GP},
	{"CPL 3: in faults", do_in, VECTOR_GP},
	{"CPL 3: reading CR3 faults", read_cr3, VECTOR_GP},
	{"CPL 3: writing CR0 faults", write_cr0, VECTOR_GP},
	{"CPL 3: writing an MSR faults", write_msr, VECTOR_GP},
	{"CPL 3: loading an IDT faults", load_idt, VECTOR_GP},
	{"CPL 3: invlpg faults", flush_page, VECTOR_GP},
};
const unsigned n_fault_checks = ARRAY_SIZE(fault_checks);
