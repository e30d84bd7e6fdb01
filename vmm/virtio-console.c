/* SPDX-License-Identifier: MIT */
#include "virtio-console.h"

#include <errno.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "container-of.h"
#include "metrics.h"
#include "theseus/platform.h"

/* Queues: port 0, control, then the other ports; each a pair, receive (by the guest) first. */
#define QUEUE_CONTROL_RX 2u
#define QUEUE_CONTROL_TX 3u
#define QUEUES (2u * (_GUEST_PORT_MAX + 1))

#define NOTES_MAX 8u      /* a guest must not fill the log */
#define CHAINS_A_TURN 64u /* taken from one queue before others and the sockets get a turn */

enum owed {
	OWED_ADD = 1 << 0,
	OWED_CONSOLE = 1 << 1,
	OWED_NAME = 1 << 2,
	OWED_OPEN = 1 << 3,
};

static const char *const port_names[_GUEST_PORT_MAX] = {
	[GUEST_PORT_CONSOLE] = PLATFORM_CONSOLE_PORT,
	[GUEST_PORT_CONTROL] = PLATFORM_CONTROL_PORT,
};

static unsigned int queue_rx(enum guest_port port)
{
	return port == 0 ? 0 : 2 + 2 * (unsigned int)port;
}

static unsigned int queue_tx(enum guest_port port)
{
	return queue_rx(port) + 1;
}

/* ---- called by the transport ---- */

static void config_read(struct virtio_pci *v, uint32_t offset, void *data, unsigned int len)
{
	const struct virtio_console_config config = {.max_nr_ports = _GUEST_PORT_MAX};

	(void)v;
	memcpy(data, (const char *)&config + offset, len);
}

static void wake(struct virtio_pci *v)
{
	struct virtio_console *c = container_of(v, struct virtio_console, vdev);

	c->wake(c->wake_ctx);
}

static void reset(struct virtio_pci *v)
{
	struct virtio_console *c = container_of(v, struct virtio_console, vdev);

	atomic_fetch_add(&c->resets, 1);
	c->wake(c->wake_ctx);
}

static const struct virtio_ops ops = {
	.type = VIRTIO_ID_CONSOLE,
	.class_code = 0x078000, /* communication controller, other */
	.queues = QUEUES,
	.features = 1ull << VIRTIO_CONSOLE_F_MULTIPORT,
	.config_size = sizeof(struct virtio_console_config),
	.config_read = config_read,
	.reset = reset,
	.wake = wake,
};

int virtio_console_init(struct virtio_console *c, const struct guest_memory *memory,
			uint32_t address, struct msi_sink sink, const struct machine_events *events,
			void (*wake_up)(void *ctx), void *wake_ctx)
{
	*c = (struct virtio_console){.events = events, .wake = wake_up, .wake_ctx = wake_ctx};
	c->scratch = malloc(VIRTQUEUE_CHAIN_BYTES_MAX);
	if (!c->scratch)
		return -ENOMEM;
	virtio_pci_init(&c->vdev, &ops, memory, address, sink);
	return 0;
}

void virtio_console_deinit(struct virtio_console *c)
{
	if (!c->scratch)
		return;
	virtio_pci_deinit(&c->vdev);
	free(c->scratch);
	c->scratch = NULL;
}

/*
 * The next chain of queue @i, the lock is held. With @idle_notify the driver is asked for a
 * notification once the queue is found empty, and left alone while there is work.
 */
static int take(struct virtio_console *c, unsigned int i, bool idle_notify, struct vq_chain *chain)
{
	struct virtqueue *q = virtio_pci_queue(&c->vdev, i);
	int r;

	if (!q || atomic_load(&c->resets) != c->resets_seen)
		return 0;
	r = virtqueue_pop(q, c->vdev.memory, chain);
	if (!r && idle_notify) {
		virtqueue_notify(q, true);
		r = virtqueue_pop(q, c->vdev.memory, chain);
	}
	if (r > 0)
		virtqueue_notify(q, false);
	if (r < 0)
		virtio_pci_break(&c->vdev);
	return r > 0;
}

static void give_back(struct virtio_console *c, unsigned int i, uint16_t head, uint32_t len)
{
	virtqueue_push(&c->vdev.queues[i], head, len);
}

/* ---- the control queue ---- */

/* What the host says about @port, one message at a time; false when no buffer is there. */
static bool pay_one(struct virtio_console *c, unsigned int port, enum owed what)
{
	static const uint16_t events[] = {
		[OWED_ADD] = VIRTIO_CONSOLE_PORT_ADD,
		[OWED_CONSOLE] = VIRTIO_CONSOLE_CONSOLE_PORT,
		[OWED_NAME] = VIRTIO_CONSOLE_PORT_NAME,
		[OWED_OPEN] = VIRTIO_CONSOLE_PORT_OPEN,
	};
	struct {
		struct virtio_console_control head;
		char name[32];
	} message = {.head = {.id = port, .event = events[what], .value = 1}};
	size_t len = sizeof(message.head);
	struct vq_chain chain;

	if (!take(c, QUEUE_CONTROL_RX, true, &chain))
		return false;
	if (what == OWED_NAME) {
		strncpy(message.name, port_names[port], sizeof(message.name) - 1);
		len += strlen(message.name);
	}
	len = vq_chain_write(&chain, &message, len);
	give_back(c, QUEUE_CONTROL_RX, chain.head, (uint32_t)len);
	c->ports[port].owed &= (uint8_t)~what;
	return true;
}

static void pay(struct virtio_console *c)
{
	bool paid = false, more = true;

	virtio_pci_lock(&c->vdev);
	for (unsigned int port = 0; port < _GUEST_PORT_MAX; port++) {
		for (unsigned int what = OWED_ADD; more && what <= OWED_OPEN; what <<= 1) {
			if (!(c->ports[port].owed & what))
				continue;
			more = pay_one(c, port, (enum owed)what);
			paid |= more;
		}
	}
	if (paid)
		virtio_pci_interrupt(&c->vdev, QUEUE_CONTROL_RX);
	virtio_pci_unlock(&c->vdev);
}

/* One message of the guest, already copied. Result: 1 = the port opened, 2 = it closed. */
static int control(struct virtio_console *c, const struct virtio_console_control *m)
{
	if (m->event == VIRTIO_CONSOLE_DEVICE_READY && m->value == 1) {
		for (unsigned int i = 0; i < _GUEST_PORT_MAX; i++)
			c->ports[i].owed = OWED_ADD;
		return 0;
	}
	if (m->id >= _GUEST_PORT_MAX)
		return 0;
	if (m->event == VIRTIO_CONSOLE_PORT_READY && m->value == 1) {
		c->ports[m->id].owed |= OWED_NAME | OWED_OPEN;
		if (m->id == GUEST_PORT_CONSOLE)
			c->ports[m->id].owed |= OWED_CONSOLE;
	} else if (m->event == VIRTIO_CONSOLE_PORT_OPEN &&
		   c->ports[m->id].open != (m->value == 1)) {
		c->ports[m->id].open = m->value == 1;
		return c->ports[m->id].open ? 1 : 2;
	}
	return 0;
}

static void work_control(struct virtio_console *c)
{
	for (unsigned int n = 0; n < CHAINS_A_TURN; n++) {
		struct virtio_console_control message = {0};
		struct vq_chain chain;
		int taken, change = 0;

		virtio_pci_lock(&c->vdev);
		taken = take(c, QUEUE_CONTROL_TX, true, &chain);
		if (taken) {
			if (vq_chain_read(&chain, &message, sizeof(message)) == sizeof(message))
				change = control(c, &message);
			give_back(c, QUEUE_CONTROL_TX, chain.head, 0);
			virtio_pci_interrupt(&c->vdev, QUEUE_CONTROL_TX);
		}
		virtio_pci_unlock(&c->vdev);
		if (!taken)
			return;
		if (change)
			c->events->opened(c->events->ctx, (enum guest_port)message.id, change == 1);
	}
	virtio_pci_kick(&c->vdev, QUEUE_CONTROL_TX);
}

/* ---- the ports ---- */

static void work_tx(struct virtio_console *c, enum guest_port port)
{
	const unsigned int queue = queue_tx(port);
	struct vq_chain chain;

	for (unsigned int n = 0; n < CHAINS_A_TURN; n++) {
		size_t len = 0;
		int taken;

		virtio_pci_lock(&c->vdev);
		taken = take(c, queue, true, &chain);
		if (taken) {
			len = vq_chain_read(&chain, c->scratch, VIRTQUEUE_CHAIN_BYTES_MAX);
			give_back(c, queue, chain.head, 0);
			virtio_pci_interrupt(&c->vdev, queue);
		}
		virtio_pci_unlock(&c->vdev);
		if (!taken)
			return;
		if (len)
			c->events->received(c->events->ctx, port, c->scratch, len);
	}
	virtio_pci_kick(&c->vdev, queue);
}

static void work_rx(struct virtio_console *c, enum guest_port port)
{
	if (!c->ports[port].wants_buffer)
		return;
	c->ports[port].wants_buffer = false;
	c->events->writable(c->events->ctx, port);
}

/* The driver started afresh: whatever was open is not any more. */
static void work_reset(struct virtio_console *c)
{
	uint32_t resets = atomic_load(&c->resets);
	bool open[_GUEST_PORT_MAX];

	if (resets == c->resets_seen)
		return;
	virtio_pci_lock(&c->vdev);
	c->resets_seen = atomic_load(&c->resets);
	for (unsigned int i = 0; i < _GUEST_PORT_MAX; i++) {
		open[i] = c->ports[i].open;
		c->ports[i] = (struct virtio_console_port){0};
	}
	c->broken_seen = false;
	virtio_pci_unlock(&c->vdev);
	for (unsigned int i = 0; i < _GUEST_PORT_MAX; i++)
		if (open[i])
			c->events->opened(c->events->ctx, (enum guest_port)i, false);
}

static void report_broken(struct virtio_console *c)
{
	bool broken;

	virtio_pci_lock(&c->vdev);
	broken = c->vdev.status & VIRTIO_CONFIG_S_NEEDS_RESET;
	virtio_pci_unlock(&c->vdev);
	if (broken && !c->broken_seen && c->notes < NOTES_MAX)
		c->events->note(c->events->ctx, ++c->notes < NOTES_MAX
							? "virtio-console: the guest broke the "
							  "rules of a queue; the device needs a "
							  "reset"
							: "virtio-console: broken once more; this "
							  "is counted, but not said again");
	c->broken_seen = broken;
}

void virtio_console_work(struct virtio_console *c)
{
	uint32_t kicked;

	work_reset(c);
	kicked = atomic_exchange(&c->vdev.kicked, 0);
	if (kicked & 1u << QUEUE_CONTROL_TX)
		work_control(c);
	pay(c);
	for (unsigned int port = 0; port < _GUEST_PORT_MAX; port++) {
		if (kicked & 1u << queue_tx((enum guest_port)port))
			work_tx(c, (enum guest_port)port);
		if (kicked & 1u << queue_rx((enum guest_port)port))
			work_rx(c, (enum guest_port)port);
	}
	report_broken(c);
}

size_t virtio_console_send(struct virtio_console *c, enum guest_port port, const void *data,
			   size_t len)
{
	const unsigned int queue = queue_rx(port);
	struct vq_chain chain;
	size_t done = 0;

	virtio_pci_lock(&c->vdev);
	while (c->ports[port].open && done < len && take(c, queue, true, &chain)) {
		size_t n = vq_chain_write(&chain, (const uint8_t *)data + done, len - done);

		give_back(c, queue, chain.head, (uint32_t)n);
		done += n;
	}
	if (done)
		virtio_pci_interrupt(&c->vdev, queue);
	c->ports[port].wants_buffer = done < len;
	virtio_pci_unlock(&c->vdev);
	return done;
}
