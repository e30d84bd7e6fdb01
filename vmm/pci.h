/* SPDX-License-Identifier: MIT */
/*
 * One PCI bus behind configuration mechanism #1 (ports 0xcf8, 0xcfc..0xcff), type 0
 * functions with 32-bit memory BARs that are preset: no firmware assigns them.
 *
 * Each function has its own lock, held around every call of its ops; configuration space is
 * guarded by it too. Functions are attached before the first vCPU runs and stay. The access
 * functions run on any vCPU thread.
 */
#ifndef VMM_PCI_H
#define VMM_PCI_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCI_SLOTS 32u
#define PCI_CONFIG_SIZE 256u
#define PCI_BARS 6u
#define PCI_MMIO_START 0xe0000000u /* where preset BARs lie: in the hole below 4 GiB */

struct pci_function;

struct pci_ops {
	/* Called before @len bytes at @offset of config are read, after they were written. */
	void (*config_read)(struct pci_function *f, unsigned int offset, unsigned int len);
	void (*config_written)(struct pci_function *f, unsigned int offset, unsigned int len);
	/* @len is 1, 2, 4 or 8 and the access lies inside the BAR. */
	void (*bar_read)(struct pci_function *f, unsigned int bar, uint32_t offset, void *data,
			 unsigned int len);
	void (*bar_write)(struct pci_function *f, unsigned int bar, uint32_t offset,
			  const void *data, unsigned int len);
};

struct pci_function {
	pthread_mutex_t lock;
	const struct pci_ops *ops; /* any member may be NULL */

	/* under lock */
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t writable[PCI_CONFIG_SIZE]; /* mask of the bits that the guest may change */
	uint32_t bar_size[PCI_BARS];       /* bytes, power of two; 0 = no such BAR */
	unsigned int last_cap;             /* config offset of the newest capability */
};

struct pci_bus {
	struct pci_function *slots[PCI_SLOTS]; /* borrowed */
	_Atomic uint32_t address;
};

struct pci_id {
	uint16_t vendor, device;
	uint16_t subsystem_vendor, subsystem;
	uint32_t class_code; /* class << 16 | subclass << 8 | interface */
	uint8_t revision;
};

void pci_function_init(struct pci_function *f, const struct pci_id *id, const struct pci_ops *ops);
void pci_function_deinit(struct pci_function *f);

/* Adds BAR @bar of @size bytes (power of two, at least 16) at @address (aligned to it). */
void pci_function_add_bar(struct pci_function *f, unsigned int bar, uint32_t address,
			  uint32_t size);

/*
 * Appends a capability of @len bytes (its id and contents in @cap; the next pointer is filled
 * in). Result: its offset in configuration space.
 */
unsigned int pci_function_add_cap(struct pci_function *f, const void *cap, unsigned int len);

/* Makes @len bytes of configuration space at @offset writable in the bits of @mask. */
void pci_function_set_writable(struct pci_function *f, unsigned int offset, const void *mask,
			       unsigned int len);

/* Little-endian access to configuration space; the caller holds the lock or is the only one. */
uint32_t pci_config_get(const struct pci_function *f, unsigned int offset, unsigned int len);
void pci_config_set(struct pci_function *f, unsigned int offset, uint32_t value, unsigned int len);

/* The bridge at 00:00.0 that makes a driver believe there is a bus. */
void pci_host_bridge_init(struct pci_function *f);

/* Access to ports 0xcf8..0xcff, @len 1, 2 or 4. A read of what is not there gives all ones. */
void pci_io_read(struct pci_bus *bus, uint16_t port, void *data, unsigned int len);
void pci_io_write(struct pci_bus *bus, uint16_t port, const void *data, unsigned int len);

/* Access to device memory. Result: whether a BAR holds [@address, @address + @len). */
bool pci_mmio_read(struct pci_bus *bus, uint64_t address, void *data, unsigned int len);
bool pci_mmio_write(struct pci_bus *bus, uint64_t address, const void *data, unsigned int len);

#endif
