/* SPDX-License-Identifier: MIT */
/*
 * virtio over PCI, modern transport (virtio 1.2, 4.1), MSI-X only.
 *
 * Order: virtio_open, virtio_queue for each queue, virtio_start; at the end virtio_close.
 * Device memory costs 60 us and more an access on a PVM host, so only what the standard asks
 * for is read and written, and never on a hot path but the doorbell.
 * Context: tasks. No lock: one owner a device.
 */
#ifndef THESEUS_VIRTIO_H
#define THESEUS_VIRTIO_H

#include <theseus/mapped.h>
#include <theseus/pci.h>
#include <theseus/types.h>
#include <theseus/virtqueue.h>

#define VIRTIO_ID_CONSOLE 3u

#define VIRTIO_F_VERSION_1 (1ull << 32)

#define VIRTIO_REGIONS_MAX 4u

/* A piece of a BAR, mapped. */
struct virtio_window {
	uint8_t region;  /* index in virtio_device.regions */
	uint32_t offset; /* in it */
	uint32_t bytes;  /* 0 = the device has no such part */
};

struct virtio_device {
	struct pci_function function;
	struct pci_msix msix;
	struct mapped regions[VIRTIO_REGIONS_MAX]; /* owned; one for each BAR in use */
	struct virtio_window common, notify, config, table;
	uint32_t notify_multiplier;
	uint64_t features; /* agreed on */
	bool vector_checked; /* the device took the first queue's vector */
};

/* Which device, and how it is to interrupt. */
struct virtio_options {
	uint16_t type;     /* VIRTIO_ID_* */
	uint32_t index;    /* among those of the type */
	uint64_t features; /* wanted, besides VERSION_1 */
	uint32_t apic_id;  /* CPU and vector that all queues interrupt */
	uint8_t vector;
};

/*
 * Finds the device, resets it, routes its interrupt and agrees on VERSION_1 and those of the
 * features that it offers. @options is borrowed. Undo: virtio_close().
 * Result: 0; -ENOENT no such device; -EPROTO its capabilities make no sense; -EOPNOTSUPP it
 * is no modern device with MSI-X; -ETIMEDOUT it does not reset; or of pci and mapped.
 */
int virtio_open(const struct virtio_options *options, struct virtio_device *ret_device) MUST_USE;

/*
 * Sets queue @index up with at most @size descriptors. The ring lies at @offset of the DMA
 * region @ring, VIRTQUEUE_BYTES(size) bytes, zeroed, 16-byte aligned; borrowed until
 * virtio_close(). Result: 0; -ENOENT the device has no such queue; -EPROTO; -EINVAL.
 */
int virtio_queue(struct virtio_device *d, uint16_t index, uint16_t size, struct mapped ring,
		 size_t offset, struct virtqueue *ret_queue) MUST_USE;

/* The device may work from now on. */
int virtio_start(struct virtio_device *d) MUST_USE;

/* 32-bit field of the device's configuration. Result: 0, -ERANGE. */
int virtio_config_read(const struct virtio_device *d, uint32_t offset, uint32_t *ret_value) MUST_USE;

/*
 * Resets the device and drops what was mapped. Only after 0 may DMA memory be freed:
 * -ETIMEDOUT means that the device goes on, and its memory has to stay.
 */
int virtio_close(struct virtio_device *d) MUST_USE;

#endif
