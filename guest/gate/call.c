/* SPDX-License-Identifier: MIT */
/* Gate calls: who may make them (G4), and port I/O. */
#include "internal.h"

int64_t call_port(uint64_t n, uint64_t b, uint64_t unused)
{
	struct cpu *c = this_cpu();
	struct gate_port *args = args_of(c), *p;
	uint64_t i;

	if (n - 1 >= GATE_PORTS_MAX)
		return -EINVAL;
	for (i = 0; i < n; i++) {
		p = &c->ports[i];
		*p = *(volatile struct gate_port *)&args[i];
		if (p->write > 1 || (p->width != 1 && p->width != 2 && p->width != 4))
			return -EINVAL;
		if (p->port >= PLATFORM_PORT_COM1 && p->port < PLATFORM_PORT_COM1 + 8) {
			if (p->width != 1)
				return -EINVAL;
		} else if (p->port == PLATFORM_PORT_PCI_ADDRESS) {
			if (p->width != 4)
				return -EINVAL;
		} else if (p->port < PLATFORM_PORT_PCI_DATA ||
			   p->port + p->width > PLATFORM_PORT_PCI_DATA + 4) {
			return -EPERM;
		}
	}
	for (i = 0; i < n; i++) {
		p = &c->ports[i];
		if (p->write && p->width == 1)
			__asm__ volatile("outb %b0, %w1" : : "a"(p->value), "Nd"(p->port));
		else if (p->write && p->width == 2)
			__asm__ volatile("outw %w0, %w1" : : "a"(p->value), "Nd"(p->port));
		else if (p->write)
			__asm__ volatile("outl %0, %w1" : : "a"(p->value), "Nd"(p->port));
		else if (p->width == 1)
			__asm__ volatile("inb %w1, %b0" : "=a"(p->value) : "Nd"(p->port), "0"(0));
		else if (p->width == 2)
			__asm__ volatile("inw %w1, %w0" : "=a"(p->value) : "Nd"(p->port), "0"(0));
		else
			__asm__ volatile("inl %w1, %0" : "=a"(p->value) : "Nd"(p->port));
		if (!p->write)
			args[i].value = p->value;
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
