/* SPDX-License-Identifier: MIT */
/*
 * MSI-X of one function: table and pending bits, and the capability's control word. Guarded
 * by the function's lock; a message leaves through the sink, which may be called from any
 * thread.
 */
#ifndef VMM_MSIX_H
#define VMM_MSIX_H

#include <stdbool.h>
#include <stdint.h>

#include "pci.h"

#define MSIX_VECTORS_MAX 16u
#define MSIX_ENTRY_SIZE 16u
#define MSIX_NO_VECTOR 0xffffu

/* Where interrupts go. send() writes @data to @address; result 0 or -errno. */
struct msi_sink {
	int (*send)(void *ctx, uint64_t address, uint32_t data);
	void *ctx;
};

struct msix {
	struct msi_sink sink;
	unsigned int vectors;
	unsigned int cap; /* offset of the capability */
	uint8_t table[MSIX_VECTORS_MAX * MSIX_ENTRY_SIZE];
	uint64_t pending;
	bool enabled, masked; /* copies of the control word */
};

/* Adds the capability to @f: table at @table_offset and pending bits at @pba_offset of @bar. */
void msix_init(struct msix *x, struct pci_function *f, unsigned int vectors, unsigned int bar,
	       uint32_t table_offset, uint32_t pba_offset, struct msi_sink sink);

/* To be called after configuration space was written. */
void msix_config_written(struct msix *x, const struct pci_function *f);

/* Accesses to the table, @offset + @len inside it. */
void msix_table_read(const struct msix *x, uint32_t offset, void *data, unsigned int len);
void msix_table_write(struct msix *x, uint32_t offset, const void *data, unsigned int len);

/* Sends vector @vector, or notes it as pending while masked. A vector there is not: nothing. */
void msix_raise(struct msix *x, uint16_t vector);

#endif
