/* SPDX-License-Identifier: MIT */
/* The console device as a whole: its queues, the memory they share, the links. */
#ifndef CONSOLE_DEVICE_H
#define CONSOLE_DEVICE_H

#include <theseus/spinlock.h>
#include <theseus/virtio.h>
#include <theseus/virtio_console.h>

#include "control.h"

#define CONTROL_QUEUE_SIZE 32u
#define PORT_QUEUE_SIZE 16u
#define CONTROL_BUFFER_BYTES 128u /* a message with the longest name */

struct console_link {
	char name[CONSOLE_NAME_MAX]; /* "" = the slot is free */
	struct console_client_ops_h client;
	unsigned pages;
	struct mapped region;  /* `pages` of input, then `pages` of output */
	uint8_t *memory;
	uint64_t pa;
	int port;              /* -1 = not bound yet */
	uint32_t tx_free;      /* bit n: output page n is ours */
	bool tx_blocked;       /* the client waits for room */

	/* the input page that is being read */
	bool rx_held;
	uint16_t rx_page;
	uint32_t rx_at, rx_len;
	uint32_t rx_opens;     /* opening that its bytes belong to */
};

SPINLOCK_ROLE(console_all);

struct console_state {
	struct spinlock lock; /* console_all */
	bool present; /* set once at boot; until then nobody else looks at the rest */
	bool broken GUARDED_BY(console_all);
	struct virtio_device device GUARDED_BY(console_all);
	struct mapped memory GUARDED_BY(console_all); /* DMA: the rings, then what control messages lie in */
	uint8_t *control_memory GUARDED_BY(console_all);
	uint64_t control_pa GUARDED_BY(console_all);
	uint32_t control_tx_free GUARDED_BY(console_all); /* bit n: reply slot n is ours */
	unsigned n_ports GUARDED_BY(console_all); /* that have queues */
	struct virtqueue control_rx GUARDED_BY(console_all), control_tx GUARDED_BY(console_all);
	struct virtqueue rx[CONSOLE_PORTS_MAX] GUARDED_BY(console_all);
	struct virtqueue tx[CONSOLE_PORTS_MAX] GUARDED_BY(console_all);
	struct console_port ports[CONSOLE_PORTS_MAX] GUARDED_BY(console_all);
	struct console_link links[CONSOLE_LINKS_MAX] GUARDED_BY(console_all);
};

/* Finds and starts the device, which nobody else uses yet. Result: 0; -ENODEV there is none; or what went wrong. */
int console_device_open(struct console_state *s, uint8_t vector) MUST_USE REQUIRES(console_all);

/* ---- under the lock ---- */

/* Takes the device's control messages, answers them, binds links to ports that turned up. */
void console_pump(struct console_state *s) REQUIRES(console_all);

/* Gives the next input page of the link's port to read, if there is one. */
void console_rx_take(struct console_state *s, struct console_link *l) REQUIRES(console_all);
/* Gives the input page back that was read; the doorbell is the caller's. */
void console_rx_give(struct console_state *s, struct console_link *l) REQUIRES(console_all);
/* Takes back output pages that the device is done with. */
void console_tx_reclaim(struct console_state *s, struct console_link *l) REQUIRES(console_all);

#endif
