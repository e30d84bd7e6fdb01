/* SPDX-License-Identifier: MIT */
/* Configuration space: batched accesses and the list of capabilities. */
#include "pci-internal.h"

#include <theseus/errno.h>
#include <theseus/gate.h>
#include <theseus/platform.h>

_Static_assert(2 * PCI_READ_MAX <= GATE_PORTS_MAX, "a batch is one gate call");

#define CONFIG_ENABLE 0x80000000u
#define CAPS_FIRST 0x40u /* below it lies the header */
#define CAPS_MAX ((256 - CAPS_FIRST) / 4)

#define REG_COMMAND 0x04u
#define REG_CAPS 0x34u
#define COMMAND_MEMORY (1u << 1)
#define COMMAND_MASTER (1u << 2)
#define COMMAND_NO_INTX (1u << 10)
#define STATUS_CAPS (1u << 20) /* in the register at REG_COMMAND */

#define MSIX_ENABLE 0x8000u
#define MSIX_FUNCTION_MASK 0x4000u
#define MSIX_TABLE_MAX (1u << 20) /* offset of the table in its BAR: a sane device's is small */
#define MSI_ADDRESS 0xfee00000u

uint32_t pci_address(unsigned bus, unsigned slot, unsigned fn, unsigned offset)
{
	return CONFIG_ENABLE | (bus & 0xff) << 16 | (slot & 31) << 11 | (fn & 7) << 8 |
	       (offset & 0xfc);
}

int pci_read_batch(const uint32_t *addresses, unsigned n, uint32_t *ret_values)
{
	struct gate_port ports[2 * PCI_READ_MAX];
	int r;

	if (n == 0 || n > PCI_READ_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < n; i++) {
		ports[2 * i] = (struct gate_port){PLATFORM_PORT_PCI_ADDRESS, 4, 1, addresses[i]};
		ports[2 * i + 1] = (struct gate_port){PLATFORM_PORT_PCI_DATA, 4, 0, 0};
	}
	r = pci_ports(ports, 2 * n);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < n; i++)
		ret_values[i] = ports[2 * i + 1].value;
	return 0;
}

int pci_read(const struct pci_function *f, const uint8_t *offsets, unsigned n,
	     uint32_t *ret_values)
{
	uint32_t addresses[PCI_READ_MAX];

	if (n == 0 || n > PCI_READ_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < n; i++)
		addresses[i] = pci_address(f->bus, f->slot, f->fn, offsets[i]);
	return pci_read_batch(addresses, n, ret_values);
}

int pci_write(const struct pci_function *f, uint8_t offset, uint32_t value)
{
	struct gate_port ports[2] = {
		{PLATFORM_PORT_PCI_ADDRESS, 4, 1, pci_address(f->bus, f->slot, f->fn, offset)},
		{PLATFORM_PORT_PCI_DATA, 4, 1, value},
	};

	return pci_ports(ports, 2);
}

/*
 * The command register is written without a look at it: what it held is either the reset
 * state or the same bits.
 */
static int set_up(const struct pci_function *f, uint32_t command, const struct pci_msix *m,
		  uint16_t control)
{
	/* the other halves are status, whose bits clear when written as ones, and read-only */
	struct gate_port ports[4] = {
		{PLATFORM_PORT_PCI_ADDRESS, 4, 1, pci_address(f->bus, f->slot, f->fn, REG_COMMAND)},
		{PLATFORM_PORT_PCI_DATA, 4, 1, command},
		{PLATFORM_PORT_PCI_ADDRESS, 4, 1, pci_address(f->bus, f->slot, f->fn, m->cap)},
		{PLATFORM_PORT_PCI_DATA, 4, 1, (uint32_t)control << 16},
	};

	return pci_ports(ports, 4);
}

int pci_enable(const struct pci_function *f, const struct pci_msix *m)
{
	return set_up(f, COMMAND_MEMORY | COMMAND_MASTER | COMMAND_NO_INTX, m,
		      (uint16_t)((m->control | MSIX_ENABLE) & ~MSIX_FUNCTION_MASK));
}

int pci_disable(const struct pci_function *f, const struct pci_msix *m)
{
	return set_up(f, COMMAND_NO_INTX, m, (uint16_t)(m->control & ~MSIX_ENABLE));
}

static int cap_first(const struct pci_function *f, uint8_t *ret_offset)
{
	static const uint8_t offsets[2] = {REG_COMMAND, REG_CAPS};
	uint32_t values[2];
	int r = pci_read(f, offsets, 2, values);

	if (r < 0)
		return r;
	if (!(values[0] & STATUS_CAPS))
		return -ENOENT;
	*ret_offset = values[1] & 0xfc;
	return 0;
}

static int cap_load(const struct pci_function *f, uint8_t offset, struct pci_cap *ret_cap)
{
	struct pci_cap cap = {.offset = offset};
	uint8_t offsets[ARRAY_SIZE(cap.data)];
	unsigned n = 0;
	int r;

	for (unsigned at = offset; at < 256 && n < ARRAY_SIZE(cap.data); at += 4)
		offsets[n++] = (uint8_t)at;
	r = pci_read(f, offsets, n, cap.data);
	if (r < 0)
		return r;
	cap.id = cap.data[0] & 0xff;
	*ret_cap = cap;
	return 0;
}

int pci_cap_next(const struct pci_function *f, uint8_t id, struct pci_cap *cap)
{
	struct pci_cap at = *cap;
	unsigned steps = cap->steps;
	uint8_t offset;
	int r;

	if (at.offset == 0) {
		r = cap_first(f, &offset);
		if (r < 0)
			return r;
	} else {
		offset = at.data[0] >> 8 & 0xfc;
	}
	while (offset >= CAPS_FIRST && steps++ < CAPS_MAX) {
		r = cap_load(f, offset, &at);
		if (r < 0)
			return r;
		if (id == PCI_CAP_ANY || at.id == id) {
			at.steps = (uint8_t)steps;
			*cap = at;
			return 0;
		}
		offset = at.data[0] >> 8 & 0xfc;
	}
	return -ENOENT;
}

int pci_bar_decode(unsigned bar, uint32_t low, uint32_t high, paddr_t *ret_pa)
{
	bool wide = (low & 6) == 4;
	uint64_t pa = (low & ~0xfu) | (wide ? (uint64_t)high << 32 : 0);

	if (bar > 5)
		return -EINVAL;
	if ((low & 1) || (wide && bar == 5) || pa == 0 || pa % PAGE_SIZE != 0)
		return -ENODEV;
	ret_pa->v = pa;
	return 0;
}

int pci_msix_parse(const struct pci_cap *cap, struct pci_msix *ret_msix)
{
	struct pci_msix m = {
		.cap = cap->offset,
		.control = (uint16_t)(cap->data[0] >> 16),
		.entries = (uint16_t)((cap->data[0] >> 16 & 0x7ff) + 1),
		.bar = cap->data[1] & 7,
		.offset = cap->data[1] & ~7u,
	};

	if (cap->id != PCI_CAP_MSIX || m.bar > 5 || m.offset > MSIX_TABLE_MAX)
		return -EINVAL;
	*ret_msix = m;
	return 0;
}

int pci_msix_route(volatile uint64_t *entry, uint32_t apic_id, uint8_t vector)
{
	if (apic_id > 0xff || vector < 0x20)
		return -EINVAL;
	entry[0] = MSI_ADDRESS | apic_id << 12;
	entry[1] = vector; /* and not masked */
	return 0;
}
