/* SPDX-License-Identifier: MIT */
/*
 * A queue whose rings and registers are the input: 26 bytes of registers (size, then the
 * three addresses), the rest is guest memory from address 0.
 */
#include <string.h>

#include "fuzz.h"
#include "virtqueue.h"

#define RAM (32ull << 20)
#define WINDOW (64u << 10)

static struct guest_memory memory;

static void check_chain(const struct vq_chain *c)
{
	uint64_t read = 0, written = 0;

	for (unsigned int i = 0; i < c->n_read + c->n_write; i++) {
		const uint8_t *at = c->segments[i].data;

		FUZZ_CHECK(c->segments[i].len);
		FUZZ_CHECK(at >= memory.base && at < memory.base + RAM);
		FUZZ_CHECK(c->segments[i].len <= (uint64_t)(memory.base + RAM - at));
		if (i < c->n_read)
			read += c->segments[i].len;
		else
			written += c->segments[i].len;
	}
	FUZZ_CHECK(read == c->bytes_read && read <= VIRTQUEUE_CHAIN_BYTES_MAX);
	FUZZ_CHECK(written == c->bytes_write && written <= VIRTQUEUE_CHAIN_BYTES_MAX);
}

static void drive(struct virtqueue *q)
{
	static uint8_t bytes[VIRTQUEUE_CHAIN_BYTES_MAX];
	struct vq_chain c;

	for (unsigned int i = 0; i < 2 * VIRTQUEUE_SIZE_MAX; i++) {
		int r = virtqueue_pop(q, &memory, &c);

		FUZZ_CHECK(r == 0 || r == 1 || r == -22);
		if (r <= 0)
			break;
		FUZZ_CHECK(c.head < q->size);
		check_chain(&c);
		FUZZ_CHECK(vq_chain_read(&c, bytes, sizeof(bytes)) == c.bytes_read);
		FUZZ_CHECK(vq_chain_write(&c, bytes, i % 300) <= c.bytes_write);
		virtqueue_push(q, c.head, c.bytes_write);
		virtqueue_notify(q, i & 1);
		(void)virtqueue_wants_interrupt(q);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct virtqueue q;
	struct failure f;
	size_t n;

	if (size < 26)
		return 0;
	if (!memory.base)
		FUZZ_CHECK(guest_memory_init(&memory, RAM, RAM, &f) == 0);
	virtqueue_reset(&q);
	memcpy(&q.size, data, 2);
	memcpy(&q.desc, data + 2, 8);
	memcpy(&q.avail, data + 10, 8);
	memcpy(&q.used, data + 18, 8);
	n = size - 26 < WINDOW ? size - 26 : WINDOW;
	memcpy(memory.base, data + 26, n);
	memset(memory.base + n, 0, WINDOW - n);
	if (virtqueue_enable(&q, &memory) == 0)
		drive(&q);
	return 0;
}
