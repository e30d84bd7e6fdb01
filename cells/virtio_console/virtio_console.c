/* SPDX-License-Identifier: MIT */
#include <theseus/virtio_console.h>

#include <string.h>

#include <theseus/errno.h>
#include <theseus/log.h>
#include <theseus/upcall.h>

#include "device.h"

CELL_INFO(.name = "virtio_console", .version = "1.0.0",
	  .summary = "byte streams to the host over a virtio console", .safety = CELL_UNSAFE,
	  .unsafe_reason = "tells a device at which physical addresses to read and write",
	  .quiescence = CELL_QUIESCE_IDLE);

CELL_CONSUMES(console_client_ops);

CELL_EXPORT(console_attach);
CELL_EXPORT(console_link_state);
CELL_EXPORT(console_receive);
CELL_EXPORT(console_send);
CELL_EXPORT(console_drained);

CELL_STATE(struct console_state, console);

/* Which port it was for is cheaper to ask than to find out here. */
static void handle_irq(unsigned vector)
{
	struct console_client_ops_h clients[CONSOLE_LINKS_MAX];

	(void)vector;
	spin_lock_as(&console.lock, console_all);
	for (unsigned i = 0; i < CONSOLE_LINKS_MAX; i++)
		clients[i] = console.links[i].client;
	spin_unlock_as(&console.lock, console_all);
	for (unsigned i = 0; i < CONSOLE_LINKS_MAX; i++) {
		const struct console_client_ops *ops = console_client_ops_get(clients[i]);

		if (ops)
			ops->event();
	}
}
CELL_PROVIDE(irq_ops, virtio_console) = {.handle = handle_irq};

/* Without a console the system runs, unheard: COM1 says so. */
static int console_init(const struct cell_boot *boot)
{
	unsigned vector;
	int r = irq_attach(IFACE(irq_ops, virtio_console), &vector);

	(void)boot;
	if (r < 0)
		return r;
	spin_unshared(console_all); /* until it is present */
	r = console_device_open(&console, (uint8_t)vector);
	if (r < 0) {
		log_write(LOG_WARNING, CELL_SELF, "no virtio console (%d): no control channel", r);
		irq_detach(vector);
		return 0;
	}
	console.present = true;
	log_write(LOG_INFO, CELL_SELF, "virtio console at %u:%u.%u, %u ports, vector %#x",
		  console.device.function.bus, console.device.function.slot,
		  console.device.function.fn, console.n_ports, vector);
	return 0;
}
CELL_PROVIDE(cell_ops, virtio_console) = {.init = console_init};

static int link_find(const char *name) REQUIRES(console_all)
{
	int free = -ENOSPC;

	for (int i = (int)CONSOLE_LINKS_MAX - 1; i >= 0; i--) {
		if (strcmp(console.links[i].name, name) == 0)
			return -EEXIST;
		if (console.links[i].name[0] == '\0')
			free = i;
	}
	return free;
}

static int link_memory(unsigned pages, struct console_link *l)
{
	size_t bytes = 2ul * pages * PAGE_SIZE;
	OWNED(mapped_drop) struct mapped region = {0};
	paddr_t pa;
	int r = mapped_create(MAPPED_DMA, bytes, &region);

	if (r < 0)
		return r;
	r = mapped_phys(region, 0, &pa);
	if (r < 0)
		return r;
	l->pa = pa.v;
	l->memory = MAPPED_VIEW(uint8_t, region, 0, bytes);
	if (!l->memory)
		return -EINVAL;
	l->region = TAKE(region);
	return 0;
}

int console_attach(const char *name, struct console_client_ops_h client, unsigned pages,
		   unsigned *ret_link)
{
	struct console_link link = {.client = client, .pages = pages, .port = -1};
	int i, r;

	if (pages == 0 || pages > CONSOLE_LINK_PAGES_MAX || name[0] == '\0')
		return -EINVAL;
	if (strlcpy(link.name, name, sizeof(link.name)) >= sizeof(link.name))
		return -EINVAL;
	if (!console.present)
		return -ENODEV;
	r = link_memory(pages, &link);
	if (r < 0)
		return r;
	link.tx_free = (1u << pages) - 1;
	spin_lock_as(&console.lock, console_all);
	i = link_find(name);
	if (i >= 0) {
		console.links[i] = link;
		console_pump(&console);
	}
	spin_unlock_as(&console.lock, console_all);
	if (i < 0) {
		mapped_drop(&link.region);
		return i;
	}
	*ret_link = (unsigned)i;
	return 0;
}

/* Hears the device out and finds the link. Result: 0; -EINVAL, -EIO. */
static int enter(unsigned link, struct console_link **ret_link) REQUIRES(console_all)
{
	if (link >= CONSOLE_LINKS_MAX || !console.present)
		return -EINVAL;
	console_pump(&console);
	if (console.broken)
		return -EIO;
	if (console.links[link].name[0] == '\0')
		return -EINVAL;
	*ret_link = &console.links[link];
	return 0;
}

int console_link_state(unsigned link, struct console_link_state *ret_state)
{
	struct console_link *l;
	int r;

	spin_lock_as(&console.lock, console_all);
	r = enter(link, &l);
	if (r == 0) {
		*ret_state = (struct console_link_state){0};
		if (l->port >= 0) {
			ret_state->open = console.ports[l->port].host_open;
			ret_state->opens = console.ports[l->port].opens;
		}
	}
	spin_unlock_as(&console.lock, console_all);
	return r;
}

/* A device that keeps handing out empty pages is left alone after a round of them. */
#define PAGES_A_CALL (2u * PORT_QUEUE_SIZE)

static size_t receive(struct console_link *l, uint8_t *buf, size_t len, uint32_t *ret_opens)
	REQUIRES(console_all)
{
	size_t done = 0;

	for (unsigned i = 0; i < PAGES_A_CALL && done < len && !console.broken; i++) {
		size_t n;

		if (!l->rx_held)
			console_rx_take(&console, l);
		if (!l->rx_held || (done > 0 && l->rx_opens != *ret_opens))
			break;
		*ret_opens = l->rx_opens;
		n = l->rx_len - l->rx_at;
		if (n > len - done)
			n = len - done;
		memcpy(buf + done, l->memory + (size_t)l->rx_page * PAGE_SIZE + l->rx_at, n);
		l->rx_at += (uint32_t)n;
		done += n;
		if (l->rx_at == l->rx_len)
			console_rx_give(&console, l);
	}
	if (done == 0)
		virtqueue_interrupts(&console.rx[l->port], true);
	virtqueue_kick(&console.rx[l->port]);
	return done;
}

int console_receive(unsigned link, void *buf, size_t len, uint32_t *ret_opens)
{
	struct console_link *l;
	int r;

	if (len > INT32_MAX)
		return -EINVAL;
	spin_lock_as(&console.lock, console_all);
	r = enter(link, &l);
	if (r == 0 && l->port >= 0)
		r = (int)receive(l, buf, len, ret_opens);
	spin_unlock_as(&console.lock, console_all);
	return r;
}

static size_t fill_pages(struct console_link *l, const uint8_t *data, size_t len)
	REQUIRES(console_all)
{
	size_t done = 0;

	while (done < len && l->tx_free != 0) {
		uint32_t page = (uint32_t)__builtin_ctz(l->tx_free);
		size_t at = (l->pages + (size_t)page) * PAGE_SIZE;
		size_t n = len - done < PAGE_SIZE ? len - done : PAGE_SIZE;
		struct virtqueue_piece piece = {{l->pa + at}, (uint32_t)n};

		memcpy(l->memory + at, data + done, n);
		if (virtqueue_add(&console.tx[l->port], &piece, 1, 0, page) < 0)
			break;
		l->tx_free &= ~(1u << page);
		done += n;
	}
	return done;
}

static size_t send(struct console_link *l, const uint8_t *data, size_t len)
	REQUIRES(console_all)
{
	struct virtqueue *q = &console.tx[l->port];
	size_t done;

	console_tx_reclaim(&console, l);
	done = fill_pages(l, data, len);
	if (done < len) {
		/* wait for room, and look again for what came back before that was seen */
		virtqueue_interrupts(q, true);
		l->tx_blocked = true;
		console_tx_reclaim(&console, l);
		done += fill_pages(l, data + done, len - done);
	} else if (l->tx_blocked) {
		virtqueue_interrupts(q, false);
		l->tx_blocked = false;
	}
	virtqueue_kick(q);
	return done;
}

int console_send(unsigned link, const void *data, size_t len)
{
	struct console_link *l;
	int r;

	if (len > INT32_MAX)
		return -EINVAL;
	spin_lock_as(&console.lock, console_all);
	r = enter(link, &l);
	if (r == 0 && (l->port < 0 || !console.ports[l->port].host_open))
		r = -EPIPE;
	if (r == 0)
		r = (int)send(l, data, len);
	spin_unlock_as(&console.lock, console_all);
	return r;
}

static bool drained(struct console_link *l) REQUIRES(console_all)
{
	const uint32_t all = (1u << l->pages) - 1;

	console_tx_reclaim(&console, l);
	if (l->tx_free == all)
		return true;
	virtqueue_interrupts(&console.tx[l->port], true);
	l->tx_blocked = true;
	console_tx_reclaim(&console, l);
	return l->tx_free == all;
}

int console_drained(unsigned link)
{
	struct console_link *l;
	int r;

	spin_lock_as(&console.lock, console_all);
	r = enter(link, &l);
	if (r == 0)
		r = l->port < 0 ? -EPIPE : drained(l);
	spin_unlock_as(&console.lock, console_all);
	return r;
}
