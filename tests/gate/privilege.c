/* SPDX-License-Identifier: MIT */
/* G3 and what CPL 3 must not do: forbidden memory, privileged instructions, ports, bad calls. */
#include "payload.h"

#define VICTIM(name, code)                                                     \
	static void name(uint64_t arg)                                         \
	{                                                                      \
		__asm__ volatile(code                                          \
				 :                                             \
				 : "a"(arg), "c"(0), "d"(0), "b"(&buffer)      \
				 : "memory");                                  \
	}

static uint8_t buffer[16];

VICTIM(do_cli, "cli")
VICTIM(do_sti, "sti")
VICTIM(do_hlt, "hlt")
VICTIM(do_read_cr0, "mov %%cr0, %%rax")
VICTIM(do_read_cr3, "mov %%cr3, %%rax")
VICTIM(do_write_cr3, "mov %%rax, %%cr3")
VICTIM(do_write_cr4, "mov %%rax, %%cr4")
VICTIM(do_write_dr7, "mov %%rax, %%dr7")
VICTIM(do_rdmsr, "mov $0xc0000080, %%ecx\n\trdmsr")
VICTIM(do_wrmsr, "mov $0xc0000101, %%ecx\n\twrmsr")
VICTIM(do_lgdt, "lgdt (%%rbx)")
VICTIM(do_lidt, "lidt (%%rbx)")
VICTIM(do_ltr, "mov $0x40, %%eax\n\tltr %%ax")
VICTIM(do_invlpg, "invlpg (%%rbx)")
VICTIM(do_wbinvd, "wbinvd")
VICTIM(do_xsetbv, "mov $3, %%eax\n\txsetbv")
VICTIM(do_swapgs, "swapgs")
VICTIM(do_sysretq, "sysretq")
VICTIM(do_int80, "int $0x80")
VICTIM(do_int2, "int $2")
VICTIM(do_int14, "int $14")
VICTIM(do_int_flush, "int $0xf0")
VICTIM(do_ud2, "ud2")
VICTIM(do_inb, "in %%dx, %%al")

static void do_out(uint64_t port)
{
	__asm__ volatile("outb %%al, %%dx" : : "a"(0), "d"(port));
}

static void do_far_jump(uint64_t selector)
{
	struct {
		uint64_t offset;
		uint16_t selector;
	} __attribute__((packed)) target = {(uint64_t)do_ud2, (uint16_t)selector};

	__asm__ volatile(".byte 0x48\n\tljmp *%0" : : "m"(target));
}

static void do_ss(uint64_t selector)
{
	__asm__ volatile("mov %w0, %%ss" : : "r"(selector));
}

static void do_iopl(uint64_t flags)
{
	__asm__ volatile("push %0\n\tpopfq" : : "r"(flags) : "cc");
}

static void privileged(void)
{
	static void (*const general[])(uint64_t) = {
		do_cli,	   do_sti,    do_hlt,	 do_read_cr0, do_read_cr3, do_write_cr3,
		do_write_cr4, do_write_dr7, do_rdmsr, do_wrmsr,	   do_lgdt,	do_lidt,
		do_ltr,	   do_invlpg, do_wbinvd, do_xsetbv,   do_swapgs,
		do_sysretq, do_int80,  do_int2,   do_int14,	 do_int_flush,
	};
	static const uint16_t ports[] = {0x20, 0x21, 0x3f8, 0x3fd, 0xf4, 0x505, 0xcf8, 0xcf9, 0xcfc, 0xffff};
	struct gate_frame f;
	unsigned int i;
	uint64_t got;

	/* #GP, or #UD where the host's KVM says so; either way an upcall and no effect */
	for (i = 0; i < sizeof(general) / sizeof(general[0]); i++) {
		got = attempt(general[i], 0, &f);
		CHECK(got == 1 + 13 || got == 1 + 6);
		CHECK(f.rip >= (uint64_t)general[i] && f.rip < (uint64_t)general[i] + 64);
	}
	for (i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		EXPECT(attempt(do_out, ports[i], NULL), 1 + 13);
	EXPECT(attempt(do_inb, 0, NULL), 1 + 13);
	EXPECT(attempt(do_ud2, 0, &f), 1 + 6);
	EXPECT(f.error, 0);
	/* selectors of ring 0, of 32-bit code, of a TSS */
	CHECK(attempt(do_far_jump, 0x10, NULL) == 1 + 13);
	CHECK(attempt(do_far_jump, 0x08, NULL) == 1 + 13);
	/* where the host's KVM is PVM its own 32-bit code segment is there: some fault follows */
	CHECK(attempt(do_far_jump, 0x23, NULL) != 0);
	CHECK(attempt(do_far_jump, 0x40, NULL) != 0);
	CHECK(attempt(do_ss, 0x18, NULL) == 1 + 13);
	/* popf cannot raise IOPL or mask interrupts, nor do the odd flags hurt the gate */
	EXPECT(attempt(do_iopl, 0x3202, NULL), 0);
	EXPECT(attempt(do_cli, 0, NULL), 1 + 13);
	EXPECT(attempt(do_out, 0xf4, NULL), 1 + 13);
}

/* AC, DF, NT and TF set by a cell when it enters the gate. */
static void odd_flags(void)
{
	static const uint64_t flags[] = {0x40202, 0x602, 0x4202, 0x44602, 0x200ed7 & ~0x100ull};
	unsigned int i;
	uint64_t after;
	int64_t ret;

	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		__asm__ volatile("push %2\n\tpopfq\n\tint3\n\tpushfq\n\tpop %1\n\tpush $0x202\n\tpopfq"
				 : "=a"(ret), "=&r"(after)
				 : "r"(flags[i]), "a"(GATE_MAGIC | GATE_FRAME_STATE), "D"(0)
				 : "memory", "cc");
		EXPECT(ret, GATE_FRAME_GATE);
		EXPECT(after & 0x40ed5, flags[i] & 0x40ed5); /* NT does not survive on PVM */
	}
}

/* G3: addresses that no cell may read, write or run. */
static void forbidden_memory(void)
{
	static const uint64_t addresses[] = {
		0, 0x500, 0x7c00, 0x8000, 0xb8000, 0xfffff, 0x100000, /* low memory */
		0x200000, 0x206000, 0x208000, 0x20a000, 0x300000, 0x500000, /* the gate */
		0xfee00000, 0xfee000b0, 0xc0000000, /* the LAPIC */
		0x700000000000, 0x700000008000, 0x700000200000, 0x701000000000, /* the alias */
		0x780000000000, 0x783c1e0f0000, 0x7fffffffe000, /* the self-map */
		GATE_CPU_AREA + 2 * PAGE, GATE_CPU_AREA + 3 * PAGE, GATE_BOOT_RECORD + PAGE,
		GATE_CELL_WINDOW, GATE_DYNAMIC, GATE_SEED - PAGE, GATE_SEED + 0x1ff000,
	};
	static const uint64_t non_canonical[] = {0x800000000000, 0xffff7fffffffffff, 1ull << 62};
	struct gate_frame f;
	unsigned int i;

	for (i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		EXPECT(attempt(touch_read, addresses[i], &f), 1 + 14);
		EXPECT(f.cr2, addresses[i]);
		EXPECT(f.error & ~1ull, 4);
		EXPECT(attempt(touch_write, addresses[i], &f), 1 + 14);
		EXPECT(f.error & ~1ull, 6);
		EXPECT(attempt(touch_run, addresses[i], &f), 1 + 14);
		EXPECT(f.rip, addresses[i]);
	}
	for (i = 0; i < sizeof(non_canonical) / sizeof(non_canonical[0]); i++) {
		EXPECT(attempt(touch_read, non_canonical[i], NULL), 1 + 13);
		EXPECT(attempt(touch_run, non_canonical[i], NULL), 1 + 13);
	}
}

/* G5: the calls that take numbers rather than runs. */
static void bad_numbers(void)
{
	static const uint64_t bad_text[] = {
		0, 0x200000, 0x700000200000, 0x800000000000, ~0ull, GATE_CPU_AREA, GATE_DYNAMIC,
		GATE_CELL_WINDOW, GATE_CELL_WINDOW_END, GATE_SEED + 0x200000, GATE_SEED - 1,
	};
	static const uint64_t bad_vectors[] = {0, 1, 3, 0x20, 0x3f, 0xe0, 0xf0, 0xff, 0x100, 0x102, ~0ull};
	uint64_t text = (uint64_t)irq_entry, stack = GATE_SEED + 0x1000;
	unsigned int i;

	for (i = 0; i < sizeof(bad_text) / sizeof(bad_text[0]); i++) {
		EXPECT(gate_call(GATE_REGISTER, GATE_ENTRY_IRQ, bad_text[i], 0), -EFAULT);
		EXPECT(gate_call(GATE_CPU_START, 0, bad_text[i], stack), -EFAULT);
	}
	EXPECT(gate_call(GATE_REGISTER, GATE_ENTRY_IRQ, (uint64_t)buffer, 0), -EFAULT);
	EXPECT(gate_call(GATE_REGISTER, _GATE_ENTRY_MAX, text, 0), -EINVAL);
	EXPECT(gate_call(GATE_REGISTER, ~0ull, text, 0), -EINVAL);
	EXPECT(gate_call(GATE_CPU_START, BOOT->cpus, text, stack), -EINVAL);
	EXPECT(gate_call(GATE_CPU_START, ~0ull, text, stack), -EINVAL);
	EXPECT(gate_call(GATE_CPU_START, 1ull << 32, text, stack), -EINVAL);
	EXPECT(gate_call(GATE_CPU_START, 0, text, 0), -EINVAL);
	EXPECT(gate_call(GATE_CPU_START, 0, text, 0x800000000000), -EINVAL);
	EXPECT(gate_call(GATE_CPU_START, 0, text, ~0ull), -EINVAL);
	EXPECT(gate_call(GATE_CPU_START, 0, text, stack), -EALREADY);
	for (i = 0; i < sizeof(bad_vectors) / sizeof(bad_vectors[0]); i++)
		EXPECT(gate_call(GATE_IPI, 0, bad_vectors[i], 0), -EINVAL);
	EXPECT(gate_call(GATE_IPI, 15, 0x40, 0), -ENODEV);
	EXPECT(gate_call(GATE_IPI, GATE_MAX_CPUS, 0x40, 0), -ENODEV);
	EXPECT(gate_call(GATE_IPI, 32, 0x40, 0), -ENODEV);
	EXPECT(gate_call(GATE_IPI, 1ull << 32, 0x40, 0), -ENODEV);
	EXPECT(gate_call(GATE_IPI, GATE_IPI_OTHERS - 1, 0x40, 0), -ENODEV);
	EXPECT(gate_call(GATE_POWER, 0, 0, 0), -EINVAL);
	EXPECT(gate_call(GATE_POWER, PLATFORM_EXIT_GATE_CRASH, 0, 0), -EINVAL);
	EXPECT(gate_call(GATE_POWER, 0x110, 0, 0), -EINVAL);
	EXPECT(gate_call(GATE_POWER, ~0ull, 0, 0), -EINVAL);
}

static int64_t port_call(uint16_t port, uint8_t width, uint8_t write, uint32_t value)
{
	*(struct gate_port *)arguments(0) = (struct gate_port){port, width, write, value};
	return gate_call(GATE_PORT, 1, 0, 0);
}

static void ports(void)
{
	static const struct {
		uint16_t port;
		uint8_t width, write;
		int8_t want;
	} bad[] = {
		{0xf4, 1, 1, -EPERM},	{0x505, 1, 1, -EPERM},	{0xcf9, 1, 1, -EPERM},
		{0xcf8, 1, 1, -EINVAL}, {0xcf8, 2, 0, -EINVAL}, {0xcfd, 4, 0, -EPERM},
		{0xcff, 2, 0, -EPERM},	{0xcfb, 1, 0, -EPERM},	{0xd00, 1, 0, -EPERM},
		{0x3f7, 1, 0, -EPERM},	{0x400, 1, 0, -EPERM},	{0x3f8, 2, 1, -EINVAL},
		{0x3f8, 4, 1, -EINVAL}, {0xcfc, 3, 0, -EINVAL}, {0xcfc, 0, 0, -EINVAL},
		{0xcfc, 8, 0, -EINVAL}, {0xcfc, 1, 2, -EINVAL}, {0x20, 1, 0, -EPERM},
		{0xffff, 4, 0, -EPERM}, {0, 1, 0, -EPERM},
	};
	struct gate_port *p = arguments(0);
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		EXPECT(port_call(bad[i].port, bad[i].width, bad[i].write, 0), bad[i].want);
	EXPECT(gate_call(GATE_PORT, 0, 0, 0), -EINVAL);
	EXPECT(gate_call(GATE_PORT, GATE_PORTS_MAX + 1, 0, 0), -EINVAL);
	/* COM1's scratch register keeps what is written to it ... */
	EXPECT(port_call(0x3ff, 1, 1, 0x5a), 1);
	EXPECT(port_call(0x3ff, 1, 0, 0xffffffff), 1);
	EXPECT(p->value, 0x5a);
	/* ... and a batch with a bad record at its end does nothing */
	p[0] = (struct gate_port){0x3ff, 1, 1, 0xa5};
	p[1] = (struct gate_port){0xf4, 1, 1, PLATFORM_EXIT_TEST_OK};
	EXPECT(gate_call(GATE_PORT, 2, 0, 0), -EPERM);
	EXPECT(port_call(0x3ff, 1, 0, 0), 1);
	EXPECT(p->value, 0x5a);
	/* configuration space: address register, data by byte, word, long */
	p[0] = (struct gate_port){0xcf8, 4, 1, 0x80000000};
	p[1] = (struct gate_port){0xcfc, 4, 0, 0};
	p[2] = (struct gate_port){0xcfc, 2, 0, 0};
	p[3] = (struct gate_port){0xcfe, 2, 0, 0};
	p[4] = (struct gate_port){0xcff, 1, 0, 0};
	EXPECT(gate_call(GATE_PORT, 5, 0, 0), 5);
	CHECK(p[1].value == (p[2].value | p[3].value << 16));
	CHECK(p[4].value == p[1].value >> 24);
}

void payload_main(void)
{
	faults_init();
	privileged();
	odd_flags();
	forbidden_memory();
	bad_numbers();
	ports();
}
