/* SPDX-License-Identifier: MIT */
/*
 * A virtio-console driver for test guests: finds the function, maps its registers through
 * the capabilities, and drives queues by hand, so that a test can also do it wrong.
 */
#ifndef TESTGUEST_DRIVER_H
#define TESTGUEST_DRIVER_H

#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>

#include "guest.h"

#define DRIVER_QUEUES 6u
#define DRIVER_RING 8u /* descriptors of a queue */
#define DRIVER_BUFFER 4096u

struct driver_queue {
	struct vring_desc desc[DRIVER_RING] __attribute__((aligned(16)));
	struct {
		uint16_t flags, idx, ring[DRIVER_RING];
	} avail __attribute__((aligned(2)));
	struct {
		uint16_t flags, idx;
		struct vring_used_elem ring[DRIVER_RING];
	} used __attribute__((aligned(4)));
	uint8_t buffers[DRIVER_RING][DRIVER_BUFFER];
	uint16_t seen; /* of used.idx */
	volatile uint16_t *notify;
};

struct driver {
	uint32_t slot; /* PCI address */
	volatile struct virtio_pci_common_cfg *common;
	volatile uint8_t *isr;
	volatile struct virtio_console_config *device;
	volatile uint8_t *notify;
	uint32_t notify_stride;
	volatile uint32_t *msix;     /* table */
	struct driver_queue *queues; /* DRIVER_QUEUES */
};

uint32_t pci_read(uint32_t slot, unsigned int offset);
void pci_write(uint32_t slot, unsigned int offset, uint32_t value);

/* Finds the device and its registers; fails the test if it cannot. */
void driver_find(struct driver *d, struct driver_queue *queues);

/* Reset, then features, up to FEATURES_OK. */
void driver_begin(struct driver *d);

/* Programs queue @i with @size descriptors; @vector of MSI-X. Does not enable it. */
void driver_program_queue(struct driver *d, unsigned int i, uint16_t size, uint16_t vector);
void driver_enable_queue(struct driver *d, unsigned int i);
void driver_ok(struct driver *d);

/* The whole of it: all queues live, receive buffers posted, interrupts on GUEST_VECTOR. */
void driver_start(struct driver *d);

/* Makes buffer @b of queue @i available, @len bytes of it. */
void driver_post(struct driver *d, unsigned int i, uint16_t b, uint32_t len, bool device_writes);
void driver_kick(struct driver *d, unsigned int i);

/* The next used buffer of queue @i. Result: whether there is one. */
bool driver_used(struct driver *d, unsigned int i, uint16_t *ret_buffer, uint32_t *ret_len);

/* Sends on queue @i and waits until the device has taken it. */
void driver_send(struct driver *d, unsigned int i, const void *data, uint32_t len);

/* Sends a control message. */
void driver_control(struct driver *d, uint32_t port, uint16_t event, uint16_t value);

#endif
