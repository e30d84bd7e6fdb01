/* SPDX-License-Identifier: MIT */
/* Gate calls: who may make them (G4), and port I/O. */
#include "internal.h"

/* PCI configuration and COM1. */
static ALWAYS_INLINE int check_port(uint32_t port, uint32_t width, uint32_t write)
{
	if (write > 1 || (width != 1 && width != 2 && width != 4))
		return -EINVAL;
	if (port >= PLATFORM_PORT_PCI_DATA && port + width <= PLATFORM_PORT_PCI_DATA + 4)
		return 0;
	if (port == PLATFORM_PORT_PCI_ADDRESS)
		return width == 4 ? 0 : -EINVAL;
	if (port >= PLATFORM_PORT_COM1 && port < PLATFORM_PORT_COM1 + 8)
		return width == 1 ? 0 : -EINVAL;
	return -EPERM;
}

static uint32_t do_port(uint32_t key, uint32_t value)
{
	uint16_t port = (uint16_t)key;

	switch (key >> 16) {
	case 0x104:
		__asm__ volatile("outl %0, %w1" : : "a"(value), "Nd"(port));
		return value;
	case 0x102:
		__asm__ volatile("outw %w0, %w1" : : "a"(value), "Nd"(port));
		return value;
	case 0x101:
		__asm__ volatile("outb %b0, %w1" : : "a"(value), "Nd"(port));
		return value;
	}
	value = 0;
	if (key >> 16 == 4)
		__asm__ volatile("inl %w1, %0" : "+a"(value) : "Nd"(port));
	else if (key >> 16 == 2)
		__asm__ volatile("inw %w1, %w0" : "+a"(value) : "Nd"(port));
	else
		__asm__ volatile("inb %w1, %b0" : "+a"(value) : "Nd"(port));
	return value;
}

/* The first half of a struct gate_port as one word. */
#define PORT_KEY(port, width, write) ((port) | (width) << 16 | (uint32_t)(write) << 24)

int64_t call_port(uint64_t n, uint64_t b, uint64_t unused)
{
	/* most by far: a scan of the bus is hundreds of these */
	const uint32_t address = PORT_KEY(PLATFORM_PORT_PCI_ADDRESS, 4, 1);
	const uint32_t data = PORT_KEY(PLATFORM_PORT_PCI_DATA, 4, 0);
	struct cpu *c = this_cpu();
	volatile uint64_t *from = args_of(c);
	uint64_t *at, *end = c->ports + n;
	uint32_t key, value;
	int err;

	if (n - 1 >= GATE_PORTS_MAX)
		return -EINVAL;
	for (at = c->ports; at < end; at++) {
		*at = *from++;
		key = (uint32_t)*at;
		if (key == address || key == data)
			continue;
		err = check_port(key & 0xffff, key >> 16 & 0xff, key >> 24);
		if (err)
			return err;
	}
	for (from = args_of(c), at = c->ports; at < end; at++, from++) {
		key = (uint32_t)*at;
		value = (uint32_t)(*at >> 32);
		if (key == address) {
			__asm__ volatile("outl %0, %w1"
					 :
					 : "a"(value), "d"(PLATFORM_PORT_PCI_ADDRESS));
			continue;
		}
		if (key == data)
			__asm__ volatile("inl %w1, %0" : "=a"(value) : "d"(PLATFORM_PORT_PCI_DATA));
		else
			value = do_port(key, value);
		*from = key | (uint64_t)value << 32;
	}
	return (int64_t)n;
}

static const struct {
	call_fn *fn;
	uint64_t grants; /* any of these */
} calls[_GATE_NR_MAX] = {
	[GATE_MAP] = {call_map, GATE_GRANT_MEMORY},
	[GATE_UNMAP] = {call_unmap, GATE_GRANT_MEMORY},
	[GATE_PROTECT] = {call_protect, GATE_GRANT_MEMORY},
	[GATE_SEAL] = {call_seal, GATE_GRANT_TEXT},
	[GATE_PATCH] = {call_patch, GATE_GRANT_TEXT},
	[GATE_TABLE] = {call_table, GATE_GRANT_MEMORY},
	[GATE_FRAME_STATE] = {call_frame_state, GATE_GRANT_MEMORY},
	[GATE_CPU_START] = {call_cpu_start, GATE_GRANT_CPU},
	[GATE_IPI] = {call_ipi, GATE_GRANT_SCHED},
	[GATE_TIMER] = {call_timer, GATE_GRANT_SCHED},
	[GATE_IDLE] = {call_idle, GATE_GRANT_SCHED},
	[GATE_PORT] = {call_port, GATE_GRANT_PORT},
	[GATE_REGISTER] = {call_register, GATE_GRANT_CPU},
	[GATE_POWER] = {call_power, GATE_GRANT_POWER},
	[GATE_CRASH] = {call_crash, GATE_GRANT_POWER},
	[GATE_SEED_DONE] = {call_seed_done, GATE_GRANT_MEMORY},
};

/*
 * From call_entry in entry.S. @nr: low 16 bits of rax. The instruction before f->rip was
 * just executed, so its page table entry can be read without a walk; should another CPU be
 * unmapping the page, it holds no grants.
 */
int64_t gate_call_entry(uint64_t a, uint64_t b, uint64_t c, uint64_t nr, const struct iret *f);
int64_t gate_call_entry(uint64_t a, uint64_t b, uint64_t c, uint64_t nr, const struct iret *f)
{
	if (nr - 1 >= _GATE_NR_MAX - 1)
		return -ENOSYS;
	if (!(*pte_of(f->rip - 1) >> PTE_GRANT_SHIFT & calls[nr].grants))
		return -EPERM;
	return calls[nr].fn(a, b, c);
}
