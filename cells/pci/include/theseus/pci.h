/* SPDX-License-Identifier: MIT */
/*
 * PCI functions by configuration mechanism 1 (ports 0xcf8, 0xcfc), through the gate.
 *
 * The host presets the BARs (theseus-vmm itself, QEMU by its firmware). Values that come
 * from a device are bounded here: walks end, offsets stay inside the configuration space,
 * and whether memory may be mapped at a BAR is the gate's to say.
 *
 * A gate call costs about 90 us on a PVM host and each register in it 50 us, so accesses
 * are batched and buses are searched only until what was asked for is found.
 * Context: tasks and boot; a lock is held (upcalls masked) for the length of a batch.
 */
#ifndef THESEUS_PCI_H
#define THESEUS_PCI_H

#include <theseus/types.h>

#define PCI_ANY 0xffffu
#define PCI_CAP_VENDOR 0x09u
#define PCI_CAP_MSIX 0x11u
#define PCI_CAP_ANY 0xffu

struct pci_function {
	uint8_t bus, slot, fn;
	uint8_t header; /* header type: 0 device, 1 bridge */
	uint16_t vendor, device;
};

/*
 * The @index-th function with @vendor and @device (PCI_ANY = any), in bus order.
 * Result: 0; -ENOENT; -EBUSY while another task searches.
 */
int pci_find(uint16_t vendor, uint16_t device, uint32_t index, struct pci_function *ret_function) MUST_USE;

#define PCI_READ_MAX 32u

/* Reads @n (1..PCI_READ_MAX) 32-bit registers in one gate call. Result: 0, -EINVAL, -EIO. */
int pci_read(const struct pci_function *f, const uint8_t *offsets, unsigned n,
	     uint32_t *ret_values) MUST_USE;
int pci_write(const struct pci_function *f, uint8_t offset, uint32_t value) MUST_USE;

struct pci_cap {
	uint8_t offset, id;
	uint8_t steps;    /* of the walk so far: no list has more than fit the space */
	uint32_t data[4]; /* the registers from offset on; those past the space's end are 0 */
};

/*
 * Next capability with @id (PCI_CAP_ANY: any) after *@cap; {0} starts at the first. Result: 0;
 * -ENOENT at the end, also of a list that loops or leaves the space; -EIO.
 */
int pci_cap_next(const struct pci_function *f, uint8_t id, struct pci_cap *cap) MUST_USE;

/* Offset of BAR @bar, 0..5. */
#define PCI_BAR_OFFSET(bar) ((uint8_t)(0x10 + 4 * (bar)))

/*
 * Address of the memory BAR @bar from its register and the next one. Result: 0; -EINVAL
 * (index), -ENODEV (I/O, unset, or not a page's start).
 */
int pci_bar_decode(unsigned bar, uint32_t low, uint32_t high, paddr_t *ret_pa) MUST_USE;

/* ---- MSI-X ---- */

struct pci_msix {
	uint8_t cap;       /* offset of the capability */
	uint8_t bar;       /* that holds the table */
	uint16_t entries;
	uint32_t offset;   /* of the table in it, multiple of 8 */
	uint16_t control;  /* message control word as found */
};

#define PCI_MSIX_ENTRY_BYTES 16u

/* Reads a PCI_CAP_MSIX capability. Result: 0, -EINVAL (it makes no sense). */
int pci_msix_parse(const struct pci_cap *cap, struct pci_msix *ret_msix) MUST_USE;

/*
 * Makes the table entry at @entry (device memory, 16 bytes) interrupt CPU @apic_id with
 * @vector. Result: 0, -EINVAL.
 */
int pci_msix_route(volatile uint64_t *entry, uint32_t apic_id, uint8_t vector) MUST_USE;

/*
 * Lets the function decode memory and be bus master without legacy interrupts, and turns
 * MSI-X on (its entries are masked until routed). Undo: pci_disable(), after which the
 * function neither interrupts nor reaches memory.
 */
int pci_enable(const struct pci_function *f, const struct pci_msix *m) MUST_USE;
int pci_disable(const struct pci_function *f, const struct pci_msix *m) MUST_USE;

#endif
