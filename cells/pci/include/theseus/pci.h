/* SPDX-License-Identifier: MIT */
/*
 * PCI functions by configuration mechanism 1 (ports 0xcf8, 0xcfc), through the gate.
 *
 * The host presets the BARs (theseus-vmm itself, QEMU by its firmware). Values that come
 * from a device are bounded here: walks end, offsets stay inside the configuration space,
 * and whether memory may be mapped at a BAR is the gate's to say.
 *
 * A gate call costs about 45 us on a PVM host and each port access in it 30 us, so accesses
 * are batched and buses are searched only until what was asked for is found.
 * Context: tasks and boot; a lock is held (upcalls masked) for the length of a batch.
 */
#ifndef THESEUS_PCI_H
#define THESEUS_PCI_H

#include <theseus/mapped.h>
#include <theseus/types.h>

#define PCI_ANY 0xffffu
#define PCI_CAP_VENDOR 0x09u
#define PCI_CAP_MSIX 0x11u

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

/* Lets the function decode memory and be bus master, without legacy interrupts. */
int pci_enable(const struct pci_function *f) MUST_USE;

struct pci_cap {
	uint8_t offset, id;
	uint8_t steps;    /* of the walk so far: no list has more than fit the space */
	uint32_t data[4]; /* the registers from offset on; those past the space's end are 0 */
};

/*
 * Next capability with @id after *@cap; {0} starts at the first. Result: 0; -ENOENT at the
 * end, also of a list that loops or leaves the space; -EIO.
 */
int pci_cap_next(const struct pci_function *f, uint8_t id, struct pci_cap *cap) MUST_USE;

/* Address of a memory BAR. Result: 0; -EINVAL (index), -ENODEV (I/O, unset, or not a page's start). */
int pci_bar(const struct pci_function *f, unsigned bar, paddr_t *ret_pa) MUST_USE;

/* ---- MSI-X ---- */

struct pci_msix {
	struct pci_function function;
	struct mapped table; /* owned */
	uint32_t offset;     /* of entry 0 in `table` */
	uint16_t entries;
	uint8_t cap;         /* offset of the capability */
	uint16_t control;    /* its message control word as found */
};

/*
 * Maps the MSI-X table of @f. Undo: pci_msix_close(), which turns MSI-X off.
 * Result: 0; -ENOENT (no MSI-X), -ENODEV (its BAR), -EINVAL (hostile table), or mapped's.
 */
int pci_msix_open(const struct pci_function *f, struct pci_msix *ret_msix) MUST_USE;
void pci_msix_close(struct pci_msix *m);

/* Entry @entry interrupts CPU @apic_id with @vector from now on. Result: 0, -EINVAL. */
int pci_msix_route(struct pci_msix *m, uint16_t entry, uint32_t apic_id, uint8_t vector) MUST_USE;
/* Turns MSI-X on, after the entries in use were routed. */
int pci_msix_enable(struct pci_msix *m) MUST_USE;

#endif
