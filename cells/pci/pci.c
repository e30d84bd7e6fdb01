/* SPDX-License-Identifier: MIT */
#include "pci-internal.h"

#include <theseus/cell.h>
#include <theseus/errno.h>
#include <theseus/gate-call.h>

CELL_INFO(.name = "pci", .version = "1.0.0", .summary = "PCI functions, BARs and MSI-X",
	  .grants = GATE_GRANT_PORT, .safety = CELL_UNSAFE,
	  .unsafe_reason = "reads configuration space through ports, and writes MSI-X entries into "
			   "device memory",
	  .quiescence = CELL_QUIESCE_IDLE);

CELL_STATE(struct pci_state, pci) = {.n_buses = 1};

CELL_EXPORT(pci_find);
CELL_EXPORT(pci_read);
CELL_EXPORT(pci_write);
CELL_EXPORT(pci_cap_next);
CELL_EXPORT(pci_bar_decode);
CELL_EXPORT(pci_msix_parse);
CELL_EXPORT(pci_msix_route);
CELL_EXPORT(pci_enable);
CELL_EXPORT(pci_disable);

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
