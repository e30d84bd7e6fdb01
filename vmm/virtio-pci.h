/* SPDX-License-Identifier: MIT */
/*
 * virtio over PCI, modern only (virtio 1.2, 4.1): capabilities, the registers of BAR 0, the
 * device status state machine, MSI-X. A device is a struct that embeds this one.
 *
 * Registers are accessed by vCPU threads under pci.lock. Queues are worked on by the loop
 * thread, which takes the same lock around each look at a queue; a reset by the driver is
 * therefore complete when its register write returns.
 */
#ifndef VMM_VIRTIO_PCI_H
#define VMM_VIRTIO_PCI_H

#include "memory.h"
#include "msix.h"
#include "pci.h"
#include "virtqueue.h"

#define VIRTIO_PCI_QUEUES_MAX 8u
#define VIRTIO_PCI_BAR_SIZE 0x2000u

struct virtio_pci;

struct virtio_ops {
	uint16_t type;       /* VIRTIO_ID_* */
	uint32_t class_code; /* PCI class, as in struct pci_id */
	unsigned int queues;
	uint64_t features;        /* besides VIRTIO_F_VERSION_1 */
	unsigned int config_size; /* bytes of device configuration */
	/* Under pci.lock. Reads outside config_size never get here. */
	void (*config_read)(struct virtio_pci *v, uint32_t offset, void *data, unsigned int len);
	void (*reset)(struct virtio_pci *v); /* queues are already reset */
	/* Any thread, without the lock: work for the loop thread has come up. */
	void (*wake)(struct virtio_pci *v);
};

struct virtio_pci {
	struct pci_function pci; /* its lock guards all below, except where said */
	struct msix msix;
	const struct virtio_ops *ops;
	const struct guest_memory *memory;

	uint32_t device_feature_select, driver_feature_select;
	uint64_t driver_features;
	uint8_t status;
	uint8_t isr;
	uint16_t config_vector;
	uint16_t queue_select;
	uint16_t queue_vectors[VIRTIO_PCI_QUEUES_MAX];
	struct virtqueue queues[VIRTIO_PCI_QUEUES_MAX];
	unsigned int cfg_cap; /* config offset of the PCI configuration access capability */

	_Atomic uint32_t kicked; /* queues notified and not yet looked at; no lock */
};

/* @address: preset place of BAR 0. @memory, @ops: borrowed for good. */
void virtio_pci_init(struct virtio_pci *v, const struct virtio_ops *ops,
		     const struct guest_memory *memory, uint32_t address, struct msi_sink sink);
void virtio_pci_deinit(struct virtio_pci *v);

static inline void virtio_pci_lock(struct virtio_pci *v)
{
	pthread_mutex_lock(&v->pci.lock);
}

static inline void virtio_pci_unlock(struct virtio_pci *v)
{
	pthread_mutex_unlock(&v->pci.lock);
}

/* ---- the rest under the lock ---- */

/* Queue @i if the driver has made it live and nothing is broken, else NULL. */
struct virtqueue *virtio_pci_queue(struct virtio_pci *v, unsigned int i);

/* Tells the driver that queue @i has used buffers, if it wants to know. */
void virtio_pci_interrupt(struct virtio_pci *v, unsigned int i);

/* The driver broke the rules: the device stands still until it is reset. */
void virtio_pci_break(struct virtio_pci *v);

/* Notes that queue @i wants to be looked at (again). Any thread, with or without the lock. */
void virtio_pci_kick(struct virtio_pci *v, unsigned int i);

#endif
