/* SPDX-License-Identifier: MIT */
#ifndef PCI_INTERNAL_H
#define PCI_INTERNAL_H

#include <theseus/pci.h>
#include <theseus/spinlock.h>

#define PCI_FUNCTIONS_MAX 64u
#define PCI_BUSES_MAX 16u

struct pci_state {
	struct spinlock ports; /* 0xcf8 and 0xcfc: one access at a time in the machine */

	/*
	 * The search so far. One searcher at a time (`searching`): boot and commands only.
	 * Functions are numbered in the order found; buses behind bridges queue up.
	 */
	uint32_t searching;
	uint8_t buses[PCI_BUSES_MAX];
	uint32_t n_buses, bus; /* bus: index of the one being searched */
	uint32_t slot;         /* next slot to probe on it, 32 = done */
	uint32_t n_functions;
	uint32_t n_headed; /* functions whose header was looked at */
	struct pci_function functions[PCI_FUNCTIONS_MAX];
};

/*
 * One gate call. The latch at 0xcf8 is one for all CPUs: a lock is held around both halves of
 * every access. Result: 0 or -errno.
 */
int pci_ports(struct gate_port *ports, unsigned n) MUST_USE;

/* The value for port 0xcf8. */
uint32_t pci_address(unsigned bus, unsigned slot, unsigned fn, unsigned offset);

/* Reads @n registers, each named by its whole address, in one gate call. */
int pci_read_batch(const uint32_t *addresses, unsigned n, uint32_t *ret_values) MUST_USE;

/*
 * One more batch of the search. Result: 1, 0 when everything was searched, -errno.
 * @s is the state of one searcher: not locked here.
 */
int pci_search_step(struct pci_state *s) MUST_USE;

#endif
