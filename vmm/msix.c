/* SPDX-License-Identifier: MIT */
#include "msix.h"

#include <assert.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "metrics.h"

void msix_init(struct msix *x, struct pci_function *f, unsigned int vectors, unsigned int bar,
	       uint32_t table_offset, uint32_t pba_offset, struct msi_sink sink)
{
	const uint16_t control = PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL;
	uint8_t cap[PCI_CAP_MSIX_SIZEOF] = {PCI_CAP_ID_MSIX};
	uint32_t table = table_offset | bar, pba = pba_offset | bar;

	assert(vectors && vectors <= MSIX_VECTORS_MAX);
	*x = (struct msix){.sink = sink, .vectors = vectors};
	cap[PCI_MSIX_FLAGS] = (uint8_t)(vectors - 1);
	memcpy(cap + PCI_MSIX_TABLE, &table, 4);
	memcpy(cap + PCI_MSIX_PBA, &pba, 4);
	x->cap = pci_function_add_cap(f, cap, sizeof(cap));
	pci_function_set_writable(f, x->cap + PCI_MSIX_FLAGS, &control, sizeof(control));
	for (unsigned int i = 0; i < vectors; i++)
		x->table[i * MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL] =
			PCI_MSIX_ENTRY_CTRL_MASKBIT;
}

static uint32_t entry_word(const struct msix *x, unsigned int vector, unsigned int offset)
{
	uint32_t v;

	memcpy(&v, x->table + vector * MSIX_ENTRY_SIZE + offset, 4);
	return v;
}

static bool deliverable(const struct msix *x, unsigned int vector)
{
	return x->enabled && !x->masked &&
	       !(entry_word(x, vector, PCI_MSIX_ENTRY_VECTOR_CTRL) & PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

static void send(struct msix *x, unsigned int vector)
{
	uint64_t address = entry_word(x, vector, PCI_MSIX_ENTRY_LOWER_ADDR) |
			   (uint64_t)entry_word(x, vector, PCI_MSIX_ENTRY_UPPER_ADDR) << 32;

	metrics_add(METRIC_INTERRUPTS, 1);
	if (x->sink.send(x->sink.ctx, address, entry_word(x, vector, PCI_MSIX_ENTRY_DATA)) < 0)
		metrics_add(METRIC_INTERRUPTS_REFUSED, 1);
}

static void send_pending(struct msix *x)
{
	for (unsigned int i = 0; i < x->vectors; i++) {
		if (x->pending & 1ull << i && deliverable(x, i)) {
			x->pending &= ~(1ull << i);
			send(x, i);
		}
	}
}

void msix_config_written(struct msix *x, const struct pci_function *f)
{
	uint32_t control = pci_config_get(f, x->cap + PCI_MSIX_FLAGS, 2);

	x->enabled = control & PCI_MSIX_FLAGS_ENABLE;
	x->masked = control & PCI_MSIX_FLAGS_MASKALL;
	send_pending(x);
}

void msix_table_read(const struct msix *x, uint32_t offset, void *data, unsigned int len)
{
	assert(offset + len <= x->vectors * MSIX_ENTRY_SIZE);
	memcpy(data, x->table + offset, len);
}

void msix_table_write(struct msix *x, uint32_t offset, const void *data, unsigned int len)
{
	assert(offset + len <= x->vectors * MSIX_ENTRY_SIZE);
	memcpy(x->table + offset, data, len);
	send_pending(x);
}

void msix_raise(struct msix *x, uint16_t vector)
{
	if (vector >= x->vectors)
		return;
	if (deliverable(x, vector))
		send(x, vector);
	else
		x->pending |= 1ull << vector;
}
