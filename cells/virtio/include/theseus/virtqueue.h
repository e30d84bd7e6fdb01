/* SPDX-License-Identifier: MIT */
/*
 * Split virtqueues (virtio 1.2, 2.7), driver side. No indirect descriptors, no event index.
 *
 * The device is not trusted with the ring's bookkeeping: chains, tokens and lengths are kept
 * here, not read back from shared memory. What it reports is checked; a report that cannot
 * be true breaks the queue for good (-EIO), and its owner resets the device.
 *
 * Storage of the queue and of its ring is the owner's; the ring lies in a MAPPED_DMA region
 * that is freed only after the device was reset. No lock: the owner's is held around calls.
 */
#ifndef THESEUS_VIRTQUEUE_H
#define THESEUS_VIRTQUEUE_H

#include <theseus/types.h>

#define VIRTQUEUE_SIZE_MAX 64u

#define VIRTQ_DESC_F_NEXT 1u
#define VIRTQ_DESC_F_WRITE 2u
#define VIRTQ_AVAIL_F_NO_INTERRUPT 1u
#define VIRTQ_USED_F_NO_NOTIFY 1u

struct virtq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};
struct virtq_avail {
	uint16_t flags, idx;
	uint16_t ring[];
};
struct virtq_used_elem {
	uint32_t id, len;
};
struct virtq_used {
	uint16_t flags, idx;
	struct virtq_used_elem ring[];
};

struct virtqueue {
	uint16_t size; /* a power of two */
	uint16_t index;
	uint16_t n_free;
	uint16_t free_head; /* first of n_free descriptors, linked by chain[].next */
	uint16_t avail_idx; /* as last published */
	uint16_t kicked_idx;
	uint16_t used_idx;  /* next to look at */
	bool broken;

	volatile struct virtq_desc *desc;
	volatile struct virtq_avail *avail;
	volatile struct virtq_used *used;
	volatile uint16_t *doorbell; /* device memory; NULL until the transport set it */

	struct {
		uint64_t token;
		uint32_t writable; /* bytes that the device may have written */
		uint16_t next;
		uint16_t count; /* descriptors of the chain that starts here; 0 = none does */
	} chain[VIRTQUEUE_SIZE_MAX];
};

/* One physically contiguous piece of a buffer. */
struct virtqueue_piece {
	paddr_t pa;
	uint32_t len; /* > 0 */
};

/* Offsets of the rings' parts from the start of their memory. */
#define VIRTQUEUE_AVAIL_OFFSET(size) (16u * (size))
#define VIRTQUEUE_USED_OFFSET(size) ((18u * (size) + 6u + 3u) & ~3u)
/* Bytes of ring memory for a queue of @size descriptors; memory is 16-byte aligned. */
#define VIRTQUEUE_BYTES(size) (VIRTQUEUE_USED_OFFSET(size) + 8u * (size) + 6u)

/*
 * @ring: VIRTQUEUE_BYTES(size) zeroed bytes, borrowed for the queue's life.
 * Result: 0; -EINVAL for a size that is no power of two in 1..VIRTQUEUE_SIZE_MAX.
 */
int virtqueue_init(struct virtqueue *q, uint16_t index, uint16_t size, void *ring) MUST_USE;

/*
 * Offers a chain: @n_out pieces that the device reads, then @n_in that it writes (together
 * at least one). @token comes back from virtqueue_get(). The device learns of it at the next
 * virtqueue_kick(). Result: 0; -ENOSPC no room; -EINVAL; -EIO broken.
 */
int virtqueue_add(struct virtqueue *q, const struct virtqueue_piece *pieces, unsigned n_out,
		  unsigned n_in, uint64_t token) MUST_USE;

/* Publishes what was added, and rings the doorbell if the device asks for it. */
void virtqueue_kick(struct virtqueue *q);
/* Publishes alone: for a device that will look at the queue before it needs it. */
void virtqueue_publish(struct virtqueue *q);

/*
 * Takes the next chain that the device is done with. *@ret_len: bytes it says to have
 * written, at most what the chain holds. Result: 1, 0 (none), -EIO (broken).
 */
int virtqueue_get(struct virtqueue *q, uint64_t *ret_token, uint32_t *ret_len) MUST_USE;

/*
 * Asks the device to interrupt for used chains, or not to. A hint only. After @on the queue
 * must be looked at once more.
 */
void virtqueue_interrupts(struct virtqueue *q, bool on);

#endif
