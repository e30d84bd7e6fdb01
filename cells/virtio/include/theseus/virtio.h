/* SPDX-License-Identifier: MIT */
/*
 * virtio over PCI, modern transport (virtio 1.2, 4.1), MSI-X only.
 *
 * Order: virtio_open, virtio_interrupt, virtio_queue for each queue, virtio_start; at the
 * end virtio_close. Device memory costs about 115 us an access on a PVM host, so only what
 * the standard asks for is read and written, and never on a hot path but the doorbell.
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

/* A piece of a BAR, mapped. */
struct virtio_window {
	struct mapped region; /* owned */
	uint32_t offset;      /* in the region */
	uint32_t bytes;
};

struct virtio_device {
	struct pci_function function;
	struct pci_msix msix;
	struct virtio_window common, notify, config; /* config: 0 bytes if there is none */
	uint32_t notify_multiplier;
	uint64_t features; /* agreed on */
	uint16_t n_queues; /* that the device has */
};

/*
 * Finds the @index-th device of @type (VIRTIO_ID_*), resets it and agrees on VERSION_1 and
 * those of @features that it offers. Undo: virtio_close().
 * Result: 0; -ENOENT no such device; -EPROTO its capabilities make no sense; -EOPNOTSUPP it
 * is no modern device; -ETIMEDOUT it does not reset; or of pci and mapped.
 */
int virtio_open(uint16_t type, uint32_t index, uint64_t features, struct virtio_device *ret_device)
	MUST_USE;

/* All queues set up from now on interrupt CPU @apic_id with @vector. */
int virtio_interrupt(struct virtio_device *d, uint32_t apic_id, uint8_t vector) MUST_USE;

/*
 * Sets queue @index up with at most @size descriptors. The ring lies at @offset of the DMA
 * region @ring, VIRTQUEUE_BYTES(size) bytes, zeroed, 16-byte aligned; borrowed until
 * virtio_close(). Result: 0; -ENOENT the device has no such queue; -EPROTO; -EINVAL.
 */
int virtio_queue(struct virtio_device *d, uint16_t index, uint16_t size, struct mapped ring,
		 size_t offset, struct virtqueue *ret_queue) MUST_USE;

/* The device may work from now on. Result: 0, -EIO (it set DEVICE_NEEDS_RESET or FAILED). */
int virtio_start(struct virtio_device *d) MUST_USE;

/* 32-bit field of the device's configuration. Result: 0, -ERANGE. */
int virtio_config_read(const struct virtio_device *d, uint32_t offset, uint32_t *ret_value) MUST_USE;

/*
 * Resets the device and drops what was mapped. Only after 0 may DMA memory be freed:
 * -ETIMEDOUT means that the device goes on, and its memory has to stay.
 */
int virtio_close(struct virtio_device *d) MUST_USE;

#endif
