/* SPDX-License-Identifier: MIT */
/*
 * Split virtqueues (virtio 1.2, 2.7), device side. No indirect descriptors, no event index:
 * neither is offered.
 *
 * The driver is hostile. Addresses are resolved once, when the queue is enabled; every field
 * of the rings is read once and checked before use; every loop is bounded by the queue size.
 * A violation is -EINVAL for good: the caller marks the device DEVICE_NEEDS_RESET and does
 * not touch the queue again before a reset.
 *
 * A queue has no lock: its owner's lock is held around every call.
 */
#ifndef VMM_VIRTQUEUE_H
#define VMM_VIRTQUEUE_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory.h"

#define VIRTQUEUE_SIZE_MAX 256u
#define VIRTQUEUE_CHAIN_BYTES_MAX (128u << 10) /* per direction: two whole control frames */

struct virtqueue {
	/* what the driver programs before it enables the queue */
	uint16_t size;
	gpa_t desc, avail, used;
	bool enabled;

	/* valid while enabled: whole rings in RAM, checked by virtqueue_enable() */
	const volatile struct vring_desc *ring_desc;
	volatile struct vring_avail *ring_avail;
	volatile struct vring_used *ring_used;
	uint16_t next_avail, next_used;
};

struct vq_segment {
	void *data;   /* guest RAM, borrowed until the memory goes */
	uint32_t len; /* > 0 */
};

/* A descriptor chain: first what the device reads, then what it writes. */
struct vq_chain {
	uint16_t head;
	uint16_t n_read, n_write;
	uint32_t bytes_read, bytes_write; /* each at most VIRTQUEUE_CHAIN_BYTES_MAX */
	struct vq_segment segments[VIRTQUEUE_SIZE_MAX];
};

/* Back to the state after device reset: disabled, size VIRTQUEUE_SIZE_MAX, addresses 0. */
void virtqueue_reset(struct virtqueue *q);

/*
 * Checks what the driver programmed and resolves the rings.
 *
 * Result: 0; -EINVAL if the size is 0, over VIRTQUEUE_SIZE_MAX or no power of two, an address
 * is misaligned, or a ring is not wholly inside one region of RAM.
 */
int virtqueue_enable(struct virtqueue *q, const struct guest_memory *m)
	__attribute__((warn_unused_result));

/*
 * Takes the next available chain. The queue must be enabled.
 *
 * Result: 1 and *@ret_chain; 0 if there is none; -EINVAL if the driver broke the rules, then
 * nothing was taken.
 */
int virtqueue_pop(struct virtqueue *q, const struct guest_memory *m, struct vq_chain *ret_chain)
	__attribute__((warn_unused_result));

/* Hands chain @head back, @len bytes written to it. @head came from virtqueue_pop(). */
void virtqueue_push(struct virtqueue *q, uint16_t head, uint32_t len);

/* Does the driver want an interrupt for what was pushed? */
bool virtqueue_wants_interrupt(const struct virtqueue *q);

/*
 * Asks the driver to notify, or not to bother. After @on = true the queue must be looked at
 * once more: what the driver added before it saw the change came without a notification.
 */
void virtqueue_notify(struct virtqueue *q, bool on);

/* Copies up to @len bytes out of the readable part. Result: bytes copied. */
size_t vq_chain_read(const struct vq_chain *c, void *dst, size_t len);

/* Copies up to @len bytes into the writable part, from its start. Result: bytes copied. */
size_t vq_chain_write(const struct vq_chain *c, const void *src, size_t len);

#endif
