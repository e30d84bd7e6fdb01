/* SPDX-License-Identifier: MIT */
/*
 * The driver's side of a virtqueue against a device that writes what it likes into the ring:
 * a token comes back once for each time it was offered, lengths stay within the buffer, and
 * no descriptor is lost or used twice.
 *
 * Input: a size byte, then operations of three bytes.
 */
#include <string.h>

#include <theseus/errno.h>
#include <theseus/virtqueue.h>

#include "fuzz.h"

#define TOKENS 256u

struct run {
	struct virtqueue q;
	uint16_t doorbell;
	uint32_t offered[TOKENS]; /* buffer bytes + 1 while it is outstanding */
	uint16_t held;            /* descriptors of outstanding chains */
	uint16_t count[TOKENS];
	_Alignas(16) uint8_t ring[VIRTQUEUE_BYTES(VIRTQUEUE_SIZE_MAX)];
};

static void add(struct run *r, uint8_t token, uint8_t shape)
{
	struct virtqueue_piece pieces[8];
	unsigned n_out = shape & 3, n_in = shape >> 2 & 3;
	uint32_t writable = 0;
	int result;

	if (r->offered[token])
		return;
	for (unsigned i = 0; i < n_out + n_in; i++) {
		pieces[i] = (struct virtqueue_piece){{0x1000u * i}, 1u + (shape >> 4) * i};
		writable += i < n_out ? 0 : pieces[i].len;
	}
	result = virtqueue_add(&r->q, pieces, n_out, n_in, token);
	if (result < 0)
		return;
	FUZZ_CHECK(n_out + n_in > 0);
	r->offered[token] = writable + 1;
	r->count[token] = (uint16_t)(n_out + n_in);
	r->held = (uint16_t)(r->held + n_out + n_in);
}

static void get(struct run *r)
{
	uint64_t token = UINT64_MAX;
	uint32_t len;

	if (virtqueue_get(&r->q, &token, &len) <= 0)
		return;
	FUZZ_CHECK(token < TOKENS && r->offered[token]);
	FUZZ_CHECK(len < r->offered[token]);
	r->offered[token] = 0;
	r->held = (uint16_t)(r->held - r->count[token]);
}

/* The device says that it is done with a chain of its choice. */
static void device_put(struct run *r, uint8_t head, uint8_t len)
{
	uint16_t at = r->q.used->idx;

	r->q.used->ring[at & (r->q.size - 1)].id = head & 0x80 ? head : head % r->q.size;
	r->q.used->ring[at & (r->q.size - 1)].len = len;
	r->q.used->idx = (uint16_t)(at + 1);
}

static void act(struct run *r, const uint8_t *op)
{
	switch (op[0] % 6) {
	case 0:
		add(r, op[1], op[2]);
		break;
	case 1:
		get(r);
		break;
	case 2:
		virtqueue_kick(&r->q);
		break;
	case 3:
		device_put(r, op[1], op[2]);
		break;
	case 4:
		r->ring[(op[0] / 6u * 256u + op[1]) % VIRTQUEUE_BYTES(r->q.size)] = op[2];
		break;
	default:
		virtqueue_interrupts(&r->q, op[1] & 1);
	}
	FUZZ_CHECK(r->q.n_free + r->held == r->q.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run *r = calloc(1, sizeof(*r));

	if (!r)
		return 0;
	if (size && virtqueue_init(&r->q, 0, (uint16_t)(1u << data[0] % 7), r->ring) == 0) {
		r->q.doorbell = &r->doorbell;
		for (size_t at = 1; at + 3 <= size; at += 3)
			act(r, data + at);
	}
	free(r);
	return 0;
}
