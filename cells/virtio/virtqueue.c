/* SPDX-License-Identifier: MIT */
#include <theseus/virtqueue.h>

#include <theseus/errno.h>

int virtqueue_init(struct virtqueue *q, uint16_t index, uint16_t size, void *ring)
{
	uint8_t *base = ring;

	if (size == 0 || size > VIRTQUEUE_SIZE_MAX || (size & (size - 1)) != 0)
		return -EINVAL;
	*q = (struct virtqueue){
		.size = size,
		.index = index,
		.n_free = size,
		.desc = (volatile struct virtq_desc *)(void *)base,
		.avail = (volatile struct virtq_avail *)(void *)(base +
								  VIRTQUEUE_AVAIL_OFFSET(size)),
		.used = (volatile struct virtq_used *)(void *)(base + VIRTQUEUE_USED_OFFSET(size)),
	};
	for (uint16_t i = 0; i < size; i++)
		q->chain[i].next = (uint16_t)(i + 1);
	return 0;
}

int virtqueue_add(struct virtqueue *q, const struct virtqueue_piece *pieces, unsigned n_out,
		  unsigned n_in, uint64_t token)
{
	unsigned n = n_out + n_in;
	uint64_t writable = 0;
	uint16_t head, at;

	if (q->broken)
		return -EIO;
	if (n_out > q->size || n_in > q->size || n == 0)
		return -EINVAL;
	for (unsigned i = 0; i < n; i++) {
		if (pieces[i].len == 0)
			return -EINVAL;
		writable += i < n_out ? 0 : pieces[i].len;
	}
	if (writable > UINT32_MAX)
		return -EINVAL;
	if (n > q->n_free)
		return -ENOSPC;

	head = q->free_head;
	at = head;
	for (unsigned i = 0; i < n; i++) {
		volatile struct virtq_desc *d = &q->desc[at];

		d->addr = pieces[i].pa.v;
		d->len = pieces[i].len;
		d->flags = (uint16_t)((i < n_out ? 0 : VIRTQ_DESC_F_WRITE) |
				      (i + 1 < n ? VIRTQ_DESC_F_NEXT : 0));
		d->next = i + 1 < n ? q->chain[at].next : 0;
		at = q->chain[at].next;
	}
	q->free_head = at;
	q->n_free = (uint16_t)(q->n_free - n);
	q->chain[head].token = token;
	q->chain[head].writable = (uint32_t)writable;
	q->chain[head].count = (uint16_t)n;
	q->avail->ring[q->avail_idx & (q->size - 1)] = head;
	q->avail_idx++;
	return 0;
}

void virtqueue_publish(struct virtqueue *q)
{
	if (q->broken)
		return;
	/* the ring entries before the index that makes them valid */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	q->avail->idx = q->avail_idx;
	q->kicked_idx = q->avail_idx;
}

void virtqueue_kick(struct virtqueue *q)
{
	if (q->broken || q->kicked_idx == q->avail_idx)
		return;
	virtqueue_publish(q);
	/* the index before the flag is read: else both sides could believe the other saw it */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!(q->used->flags & VIRTQ_USED_F_NO_NOTIFY) && q->doorbell)
		*q->doorbell = q->index;
}

static void chain_free(struct virtqueue *q, uint16_t head)
{
	uint16_t last = head;

	for (unsigned i = 1; i < q->chain[head].count; i++)
		last = q->chain[last].next;
	q->chain[last].next = q->free_head;
	q->free_head = head;
	q->n_free = (uint16_t)(q->n_free + q->chain[head].count);
	q->chain[head].count = 0;
}

int virtqueue_get(struct virtqueue *q, uint64_t *ret_token, uint32_t *ret_len)
{
	volatile struct virtq_used_elem *elem;
	uint32_t id, len;
	uint16_t ahead;

	if (q->broken)
		return -EIO;
	ahead = (uint16_t)(q->used->idx - q->used_idx);
	if (ahead == 0)
		return 0;
	/* the entry is read after the index that makes it valid */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	elem = &q->used->ring[q->used_idx & (q->size - 1)];
	id = elem->id;
	len = elem->len;
	if (ahead > q->size || id >= q->size || q->chain[id].count == 0) {
		q->broken = true;
		return -EIO;
	}
	*ret_token = q->chain[id].token;
	*ret_len = len < q->chain[id].writable ? len : q->chain[id].writable;
	chain_free(q, (uint16_t)id);
	q->used_idx++;
	return 1;
}

void virtqueue_interrupts(struct virtqueue *q, bool on)
{
	q->avail->flags = on ? 0 : VIRTQ_AVAIL_F_NO_INTERRUPT;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}
