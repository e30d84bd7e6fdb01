/* SPDX-License-Identifier: MIT */
#include "pci-internal.h"

#include <theseus/cell.h>
#include <theseus/errno.h>
#include <theseus/gate-call.h>
#include <theseus/mapped.h>

CELL_INFO(.name = "pci", .version = "1.0.0", .summary = "PCI functions, BARs and MSI-X",
	  .grants = GATE_GRANT_PORT, .safety = CELL_UNSAFE, .quiescence = CELL_QUIESCE_IDLE);

CELL_STATE(struct pci_state, pci) = {.n_buses = 1};

CELL_EXPORT(pci_find);
CELL_EXPORT(pci_read);
CELL_EXPORT(pci_write);
CELL_EXPORT(pci_enable);
CELL_EXPORT(pci_cap_next);
CELL_EXPORT(pci_bar);
CELL_EXPORT(pci_msix_open);
CELL_EXPORT(pci_msix_close);
CELL_EXPORT(pci_msix_route);
CELL_EXPORT(pci_msix_enable);

int pci_ports(struct gate_port *ports, unsigned n)
{
	int64_t r;

	spin_lock(&pci.ports);
	r = gate_port(ports, n);
	spin_unlock(&pci.ports);
	return r < 0 ? (int)r : 0;
}

static bool matches(const struct pci_function *f, uint16_t vendor, uint16_t device)
{
	return (vendor == PCI_ANY || f->vendor == vendor) &&
	       (device == PCI_ANY || f->device == device);
}

static int search(uint16_t vendor, uint16_t device, uint32_t index, struct pci_function *ret_function)
{
	uint32_t seen = 0, at = 0;
	int r;

	for (;;) {
		for (; at < pci.n_functions; at++) {
			if (matches(&pci.functions[at], vendor, device) && seen++ == index) {
				*ret_function = pci.functions[at];
				return 0;
			}
		}
		r = pci_search_step(&pci);
		if (r < 0)
			return r;
		if (r == 0)
			return -ENOENT;
	}
}

int pci_find(uint16_t vendor, uint16_t device, uint32_t index, struct pci_function *ret_function)
{
	int r;

	if (__atomic_exchange_n(&pci.searching, 1, __ATOMIC_ACQUIRE))
		return -EBUSY;
	r = search(vendor, device, index, ret_function);
	__atomic_store_n(&pci.searching, 0, __ATOMIC_RELEASE);
	return r;
}

int pci_bar(const struct pci_function *f, unsigned bar, paddr_t *ret_pa)
{
	uint8_t offsets[2] = {(uint8_t)(0x10 + 4 * bar), (uint8_t)(0x14 + 4 * bar)};
	uint32_t values[2];
	bool wide;
	uint64_t pa;
	int r;

	if (bar > 5)
		return -EINVAL;
	r = pci_read(f, offsets, bar < 5 ? 2 : 1, values);
	if (r < 0)
		return r;
	wide = (values[0] & 6) == 4;
	if ((values[0] & 1) || (wide && bar == 5))
		return -ENODEV;
	pa = (values[0] & ~0xfu) | (wide ? (uint64_t)values[1] << 32 : 0);
	if (pa == 0 || pa % PAGE_SIZE != 0)
		return -ENODEV;
	ret_pa->v = pa;
	return 0;
}

/* ---- MSI-X ---- */

#define MSIX_ENABLE 0x8000u
#define MSIX_FUNCTION_MASK 0x4000u
#define MSIX_ENTRY_BYTES 16u
#define MSIX_TABLE_MAX (1u << 20) /* offset of the table in its BAR: a sane device's is small */
#define MSI_ADDRESS 0xfee00000u

int pci_msix_open(const struct pci_function *f, struct pci_msix *ret_msix)
{
	struct pci_msix m = {.function = *f};
	struct pci_cap cap = {0};
	uint32_t table, bytes;
	paddr_t bar;
	int r;

	r = pci_cap_next(f, PCI_CAP_MSIX, &cap);
	if (r < 0)
		return r;
	m.cap = cap.offset;
	m.control = (uint16_t)(cap.data[0] >> 16);
	m.entries = (uint16_t)((m.control & 0x7ff) + 1);
	table = cap.data[1] & ~7u;
	if (table > MSIX_TABLE_MAX)
		return -EINVAL;
	r = pci_bar(f, cap.data[1] & 7, &bar);
	if (r < 0)
		return r;
	m.offset = table % PAGE_SIZE;
	bytes = m.offset + m.entries * MSIX_ENTRY_BYTES;
	bar.v += table - m.offset;
	r = mapped_create_device(bar, bytes, &m.table);
	if (r < 0)
		return r;
	*ret_msix = m;
	return 0;
}

static int control_write(struct pci_msix *m, uint16_t control)
{
	/* the lower half of the register is read-only */
	return pci_write(&m->function, m->cap, (uint32_t)control << 16);
}

int pci_msix_route(struct pci_msix *m, uint16_t entry, uint32_t apic_id, uint8_t vector)
{
	volatile uint64_t *halves;

	if (entry >= m->entries || apic_id > 0xff || vector < 0x20)
		return -EINVAL;
	halves = MAPPED_VIEW(volatile uint64_t, m->table, m->offset + entry * MSIX_ENTRY_BYTES, 2);
	if (!halves)
		return -EINVAL;
	halves[0] = MSI_ADDRESS | apic_id << 12;
	halves[1] = vector; /* and not masked */
	return 0;
}

int pci_msix_enable(struct pci_msix *m)
{
	return control_write(m, (uint16_t)((m->control | MSIX_ENABLE) & ~MSIX_FUNCTION_MASK));
}

void pci_msix_close(struct pci_msix *m)
{
	if (m->cap != 0 && control_write(m, (uint16_t)(m->control & ~MSIX_ENABLE)) < 0)
		return; /* it may still interrupt: the table stays mapped */
	mapped_drop(&m->table);
	*m = (struct pci_msix){0};
}
