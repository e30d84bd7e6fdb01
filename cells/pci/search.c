/* SPDX-License-Identifier: MIT */
/*
 * The search for functions: a few slots a step, so that who finds its device early does not
 * pay for the rest of the bus. A step either probes slots or looks at the headers of what
 * the last probe found (more functions, a bus behind a bridge).
 */
#include "pci-internal.h"

#include <theseus/errno.h>

#define SLOTS_A_STEP 4u
#define SLOTS 32u
_Static_assert(SLOTS % SLOTS_A_STEP == 0, "a bus is searched in whole steps");

#define REG_ID 0x00u
#define REG_HEADER 0x0cu
#define REG_BUSES 0x18u
#define HEADER_MULTI 0x80u

static void found(struct pci_state *s, uint32_t address, uint32_t id)
{
	if ((id & 0xffff) == 0xffff || (id & 0xffff) == 0 || s->n_functions == PCI_FUNCTIONS_MAX)
		return;
	s->functions[s->n_functions++] = (struct pci_function){
		.bus = address >> 16 & 0xff,
		.slot = address >> 11 & 31,
		.fn = address >> 8 & 7,
		.vendor = id & 0xffff,
		.device = (uint16_t)(id >> 16),
	};
}

static int probe_slots(struct pci_state *s)
{
	uint32_t addresses[SLOTS_A_STEP], ids[SLOTS_A_STEP];
	int r;

	for (unsigned i = 0; i < SLOTS_A_STEP; i++)
		addresses[i] = pci_address(s->buses[s->bus], s->slot + i, 0, REG_ID);
	r = pci_read_batch(addresses, SLOTS_A_STEP, ids);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < SLOTS_A_STEP; i++)
		found(s, addresses[i], ids[i]);
	s->slot += SLOTS_A_STEP;
	return 1;
}

static int probe_functions(struct pci_state *s, const struct pci_function *f)
{
	uint32_t addresses[7], ids[7];
	int r;

	for (unsigned i = 0; i < 7; i++)
		addresses[i] = pci_address(f->bus, f->slot, i + 1, REG_ID);
	r = pci_read_batch(addresses, 7, ids);
	for (unsigned i = 0; r >= 0 && i < 7; i++)
		found(s, addresses[i], ids[i]);
	return r;
}

/* Bus numbers are the firmware's; one that was seen already would make the search go round. */
static void bus_add(struct pci_state *s, uint8_t bus)
{
	for (uint32_t i = 0; i < s->n_buses; i++) {
		if (s->buses[i] == bus)
			return;
	}
	if (s->n_buses < PCI_BUSES_MAX)
		s->buses[s->n_buses++] = bus;
}

static int look_at_headers(struct pci_state *s)
{
	uint32_t addresses[2 * SLOTS_A_STEP], values[2 * SLOTS_A_STEP];
	unsigned n = s->n_functions - s->n_headed;
	int r;

	if (n == 0)
		return 0;
	if (n > SLOTS_A_STEP)
		n = SLOTS_A_STEP;
	for (unsigned i = 0; i < n; i++) {
		struct pci_function *f = &s->functions[s->n_headed + i];

		addresses[2 * i] = pci_address(f->bus, f->slot, f->fn, REG_HEADER);
		addresses[2 * i + 1] = pci_address(f->bus, f->slot, f->fn, REG_BUSES);
	}
	r = pci_read_batch(addresses, 2 * n, values);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < n; i++) {
		struct pci_function *f = &s->functions[s->n_headed];
		uint8_t header = values[2 * i] >> 16 & 0xff;

		f->header = header & 0x7f;
		if (f->header == 1)
			bus_add(s, values[2 * i + 1] >> 8 & 0xff);
		s->n_headed++;
		if ((header & HEADER_MULTI) && f->fn == 0) {
			r = probe_functions(s, f);
			if (r < 0)
				return r;
		}
	}
	return 1;
}

int pci_search_step(struct pci_state *s)
{
	if (s->n_headed < s->n_functions)
		return look_at_headers(s);
	if (s->slot < SLOTS)
		return probe_slots(s);
	if (s->bus + 1 < s->n_buses) {
		s->bus++;
		s->slot = 0;
		return probe_slots(s);
	}
	return 0;
}
