/* SPDX-License-Identifier: MIT */
#include "virtqueue.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rings are little-endian");
_Static_assert(sizeof(struct vring_desc) == 16, "virtio 2.7.5");

void virtqueue_reset(struct virtqueue *q)
{
	*q = (struct virtqueue){.size = VIRTQUEUE_SIZE_MAX};
}

int virtqueue_enable(struct virtqueue *q, const struct guest_memory *m)
{
	size_t n = q->size;

	if (!n || n > VIRTQUEUE_SIZE_MAX || n & (n - 1))
		return -EINVAL;
	if (q->desc.v % VRING_DESC_ALIGN_SIZE || q->avail.v % VRING_AVAIL_ALIGN_SIZE ||
	    q->used.v % VRING_USED_ALIGN_SIZE)
		return -EINVAL;
	q->ring_desc = guest_memory_at(m, q->desc, n * sizeof(struct vring_desc));
	q->ring_avail = guest_memory_at(m, q->avail, sizeof(struct vring_avail) + n * 2);
	q->ring_used = guest_memory_at(
		m, q->used, sizeof(struct vring_used) + n * sizeof(struct vring_used_elem));
	if (!q->ring_desc || !q->ring_avail || !q->ring_used)
		return -EINVAL;
	q->next_avail = 0;
	q->next_used = 0;
	q->enabled = true;
	return 0;
}

/* One read of each field: the driver may rewrite the descriptor while we look. */
static struct vring_desc read_desc(const struct virtqueue *q, uint16_t i)
{
	const volatile struct vring_desc *d = &q->ring_desc[i];

	return (struct vring_desc){
		.addr = d->addr, .len = d->len, .flags = d->flags, .next = d->next};
}

static int add_segment(struct vq_chain *c, const struct guest_memory *m, const struct vring_desc *d)
{
	uint32_t *bytes = d->flags & VRING_DESC_F_WRITE ? &c->bytes_write : &c->bytes_read;
	void *data = guest_memory_at(m, GPA(d->addr), d->len);

	if (!data || d->flags & VRING_DESC_F_INDIRECT)
		return -EINVAL;
	if (c->n_write && !(d->flags & VRING_DESC_F_WRITE))
		return -EINVAL;
	if (d->len > VIRTQUEUE_CHAIN_BYTES_MAX - *bytes)
		return -EINVAL;
	*bytes += d->len;
	c->segments[c->n_read + c->n_write] = (struct vq_segment){data, d->len};
	if (d->flags & VRING_DESC_F_WRITE)
		c->n_write++;
	else
		c->n_read++;
	return 0;
}

/* Follows the chain from c->head; a loop shows as more descriptors than the queue has. */
static int walk(const struct virtqueue *q, const struct guest_memory *m, struct vq_chain *c)
{
	uint16_t i = c->head;

	for (unsigned int seen = 0; seen < q->size; seen++) {
		struct vring_desc d;
		int r;

		if (i >= q->size)
			return -EINVAL;
		d = read_desc(q, i);
		r = add_segment(c, m, &d);
		if (r < 0)
			return r;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return 0;
		i = d.next;
	}
	return -EINVAL;
}

int virtqueue_pop(struct virtqueue *q, const struct guest_memory *m, struct vq_chain *ret_chain)
{
	uint16_t idx = __atomic_load_n(&q->ring_avail->idx, __ATOMIC_ACQUIRE);
	uint16_t waiting = (uint16_t)(idx - q->next_avail);
	int r;

	if (!waiting)
		return 0;
	if (waiting > q->size)
		return -EINVAL;
	ret_chain->head = q->ring_avail->ring[q->next_avail & (q->size - 1)];
	ret_chain->n_read = ret_chain->n_write = 0;
	ret_chain->bytes_read = ret_chain->bytes_write = 0;
	r = walk(q, m, ret_chain);
	if (r < 0)
		return r;
	q->next_avail++;
	return 1;
}

void virtqueue_push(struct virtqueue *q, uint16_t head, uint32_t len)
{
	volatile struct vring_used_elem *e = &q->ring_used->ring[q->next_used & (q->size - 1)];

	e->id = head;
	e->len = len;
	q->next_used++;
	__atomic_store_n(&q->ring_used->idx, q->next_used, __ATOMIC_RELEASE);
}

bool virtqueue_wants_interrupt(const struct virtqueue *q)
{
	/* pairs with the driver's: enable interrupts, then look at used->idx once more */
	atomic_thread_fence(memory_order_seq_cst);
	return !(q->ring_avail->flags & VRING_AVAIL_F_NO_INTERRUPT);
}

void virtqueue_notify(struct virtqueue *q, bool on)
{
	q->ring_used->flags = on ? 0 : VRING_USED_F_NO_NOTIFY;
	atomic_thread_fence(memory_order_seq_cst);
}

size_t vq_chain_read(const struct vq_chain *c, void *dst, size_t len)
{
	size_t done = 0;

	for (unsigned int i = 0; i < c->n_read && done < len; i++) {
		size_t n = c->segments[i].len < len - done ? c->segments[i].len : len - done;

		memcpy((uint8_t *)dst + done, c->segments[i].data, n);
		done += n;
	}
	return done;
}

size_t vq_chain_write(const struct vq_chain *c, const void *src, size_t len)
{
	size_t done = 0;

	for (unsigned int i = c->n_read; i < c->n_read + c->n_write && done < len; i++) {
		size_t n = c->segments[i].len < len - done ? c->segments[i].len : len - done;

		memcpy(c->segments[i].data, (const uint8_t *)src + done, n);
		done += n;
	}
	return done;
}
