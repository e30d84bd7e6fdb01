/* SPDX-License-Identifier: MIT */
#include "device.h"

#include <string.h>

#include <theseus/errno.h>

#define F_MULTIPORT (1ull << 1)
#define CONFIG_MAX_PORTS 4u /* offset in the device's configuration */

#define QUEUE_CONTROL_RX 2u
#define QUEUE_CONTROL_TX 3u

#define RING_STRIDE 1024u
#define RINGS (2u + 2u * CONSOLE_PORTS_MAX)
_Static_assert(VIRTQUEUE_BYTES(CONTROL_QUEUE_SIZE) <= RING_STRIDE, "rings do not overlap");
_Static_assert(VIRTQUEUE_BYTES(PORT_QUEUE_SIZE) <= RING_STRIDE, "rings do not overlap");

/* The control memory: input buffers, then one slot for each message on its way out. */
#define CONTROL_TX_OFFSET (CONTROL_QUEUE_SIZE * CONTROL_BUFFER_BYTES)
#define CONTROL_BYTES (CONTROL_TX_OFFSET + CONTROL_QUEUE_SIZE * sizeof(struct console_message))
#define CONTROL_OFFSET (RINGS * RING_STRIDE)
_Static_assert(CONTROL_QUEUE_SIZE == 32, "control_tx_free is a word");

static uint16_t queue_rx(unsigned port)
{
	return (uint16_t)(port == 0 ? 0 : 2 + 2 * port);
}

/* ---- control messages ---- */

static int control_offer(struct console_state *s, unsigned slot) REQUIRES(console_all)
{
	struct virtqueue_piece piece = {{s->control_pa + slot * CONTROL_BUFFER_BYTES},
					CONTROL_BUFFER_BYTES};

	return virtqueue_add(&s->control_rx, &piece, 0, 1, slot);
}

/* A device that takes no messages gets none: the port stays as it is. */
static void control_send(struct console_state *s, struct console_message m) REQUIRES(console_all)
{
	struct virtqueue_piece piece = {{0}, sizeof(m)};
	uint64_t token;
	uint32_t len, slot;
	size_t at;

	while (virtqueue_get(&s->control_tx, &token, &len) > 0)
		s->control_tx_free |= 1u << token;
	if (s->control_tx_free == 0)
		return;
	slot = (uint32_t)__builtin_ctz(s->control_tx_free);
	at = CONTROL_TX_OFFSET + slot * sizeof(m);
	memcpy(s->control_memory + at, &m, sizeof(m));
	piece.pa.v = s->control_pa + at;
	if (virtqueue_add(&s->control_tx, &piece, 1, 0, slot) == 0)
		s->control_tx_free &= ~(1u << slot);
}

static int rx_offer(struct console_state *s, struct console_link *l, uint16_t page)
	REQUIRES(console_all)
{
	struct virtqueue_piece piece = {{l->pa + (uint64_t)page * PAGE_SIZE}, PAGE_SIZE};

	return virtqueue_add(&s->rx[l->port], &piece, 0, 1, page);
}

static void bind(struct console_state *s, struct console_link *l, unsigned port)
	REQUIRES(console_all)
{
	l->port = (int)port;
	for (uint16_t i = 0; i < l->pages; i++) {
		if (rx_offer(s, l, i) < 0)
			s->broken = true;
	}
	virtqueue_interrupts(&s->tx[port], false);
	virtqueue_kick(&s->rx[port]);
	control_send(s, (struct console_message){port, CONSOLE_PORT_OPEN, 1});
}

static void bind_links(struct console_state *s) REQUIRES(console_all)
{
	for (unsigned i = 0; i < CONSOLE_LINKS_MAX; i++) {
		struct console_link *l = &s->links[i];

		for (unsigned p = 0; l->name[0] && l->port < 0 && p < s->n_ports; p++) {
			if (s->ports[p].present && strcmp(s->ports[p].name, l->name) == 0)
				bind(s, l, p);
		}
	}
}

static void control_take(struct console_state *s, uint64_t slot, uint32_t len) REQUIRES(console_all)
{
	uint8_t copy[CONTROL_BUFFER_BYTES];
	struct console_message reply;

	memcpy(copy, s->control_memory + slot * CONTROL_BUFFER_BYTES, len);
	if (console_control(s->ports, copy, len, &reply) > 0 && reply.id < s->n_ports)
		control_send(s, reply);
	if (control_offer(s, (unsigned)slot) < 0)
		s->broken = true;
}

void console_pump(struct console_state *s)
{
	uint64_t slot;
	uint32_t len;

	/* a device that never stops sending is heard again at the next call */
	for (unsigned n = 0; n < 2 * CONTROL_QUEUE_SIZE; n++) {
		int r = virtqueue_get(&s->control_rx, &slot, &len);

		if (r < 0)
			s->broken = true;
		if (r <= 0)
			break;
		control_take(s, slot, len);
	}
	bind_links(s);
	virtqueue_kick(&s->control_rx);
	virtqueue_kick(&s->control_tx);
}

/* ---- bytes ---- */

void console_rx_take(struct console_state *s, struct console_link *l)
{
	struct virtqueue *q = &s->rx[l->port];
	uint64_t page;
	uint32_t len;
	int r = virtqueue_get(q, &page, &len);

	if (r == 0) {
		/* quiet: ask for an interrupt, then look again for what came before that was seen */
		virtqueue_interrupts(q, true);
		r = virtqueue_get(q, &page, &len);
	}
	if (r < 0)
		s->broken = true;
	if (r <= 0)
		return;
	virtqueue_interrupts(q, false);
	/* the host says that it opened before it sends: that message is there by now */
	console_pump(s);
	l->rx_held = true;
	l->rx_page = (uint16_t)page;
	l->rx_at = 0;
	l->rx_len = len;
	l->rx_opens = s->ports[l->port].opens;
}

void console_rx_give(struct console_state *s, struct console_link *l)
{
	l->rx_held = false;
	if (rx_offer(s, l, l->rx_page) < 0)
		s->broken = true;
}

void console_tx_reclaim(struct console_state *s, struct console_link *l)
{
	uint64_t page;
	uint32_t len;
	int r;

	while ((r = virtqueue_get(&s->tx[l->port], &page, &len)) > 0)
		l->tx_free |= 1u << page;
	if (r < 0)
		s->broken = true;
}

/* ---- the device ---- */

static int set_up_queues(struct console_state *s) REQUIRES(console_all)
{
	uint32_t max_ports;
	int r = virtio_config_read(&s->device, CONFIG_MAX_PORTS, &max_ports);

	if (r < 0)
		return r;
	s->n_ports = max_ports < CONSOLE_PORTS_MAX ? max_ports : CONSOLE_PORTS_MAX;
	r = virtio_queue(&s->device, QUEUE_CONTROL_RX, CONTROL_QUEUE_SIZE, s->memory, 0,
			 &s->control_rx);
	if (r < 0)
		return r;
	r = virtio_queue(&s->device, QUEUE_CONTROL_TX, CONTROL_QUEUE_SIZE, s->memory, RING_STRIDE,
			 &s->control_tx);
	for (unsigned p = 0; r == 0 && p < s->n_ports; p++) {
		size_t at = (2 + 2 * p) * RING_STRIDE;

		r = virtio_queue(&s->device, queue_rx(p), PORT_QUEUE_SIZE, s->memory, at, &s->rx[p]);
		if (r == 0)
			r = virtio_queue(&s->device, (uint16_t)(queue_rx(p) + 1), PORT_QUEUE_SIZE,
					 s->memory, at + RING_STRIDE, &s->tx[p]);
	}
	return r;
}

static int allocate(struct console_state *s) REQUIRES(console_all)
{
	paddr_t pa;
	int r;

	r = mapped_create(MAPPED_DMA, CONTROL_OFFSET + CONTROL_BYTES, &s->memory);
	if (r < 0)
		return r;
	s->control_memory = MAPPED_VIEW(uint8_t, s->memory, CONTROL_OFFSET, CONTROL_BYTES);
	r = mapped_phys(s->memory, CONTROL_OFFSET, &pa);
	if (r < 0 || !s->control_memory)
		return -EINVAL;
	s->control_pa = pa.v;
	return 0;
}

static int start(struct console_state *s) REQUIRES(console_all)
{
	int r;

	if (!(s->device.features & F_MULTIPORT))
		return -EOPNOTSUPP;
	r = set_up_queues(s);
	if (r < 0)
		return r;
	for (unsigned i = 0; r == 0 && i < s->control_rx.size; i++)
		r = control_offer(s, i);
	if (r < 0)
		return r;
	virtqueue_interrupts(&s->control_tx, false);
	r = virtio_start(&s->device);
	if (r < 0)
		return r;
	s->control_tx_free = s->control_tx.size < 32 ? (1u << s->control_tx.size) - 1 : UINT32_MAX;
	virtqueue_publish(&s->control_rx); /* the message that says we are ready rings for it */
	control_send(s, (struct console_message){0, CONSOLE_DEVICE_READY, 1});
	virtqueue_kick(&s->control_tx);
	return 0;
}

int console_device_open(struct console_state *s, uint8_t vector)
{
	const struct virtio_options options = {
		.type = VIRTIO_ID_CONSOLE, .features = F_MULTIPORT, .vector = vector};
	int r = virtio_open(&options, &s->device);

	if (r < 0)
		return r == -ENOENT ? -ENODEV : r;
	r = allocate(s);
	if (r == 0)
		r = start(s);
	if (r < 0) {
		/* a device that does not reset keeps its memory: it may still write there */
		if (virtio_close(&s->device) == 0)
			mapped_drop(&s->memory);
		return r;
	}
	return 0;
}
