/* SPDX-License-Identifier: MIT */
/*
 * virtio-console with VIRTIO_CONSOLE_F_MULTIPORT (virtio 1.2, 5.3) and two ports: `console`
 * (a console) and `org.theseus.control.0`, in the order of enum guest_port.
 *
 * Flow control: what the guest has no buffers for is not taken (send() says how much was),
 * and what the guest sends is taken as fast as the loop turns.
 *
 * Registers: any vCPU thread. Everything below: the loop thread. Events are called without
 * any lock held.
 */
#ifndef VMM_VIRTIO_CONSOLE_H
#define VMM_VIRTIO_CONSOLE_H

#include "machine.h"
#include "virtio-pci.h"

struct virtio_console_port {
	bool open;         /* by the guest */
	uint8_t owed;      /* control messages to be sent, one bit each */
	bool wants_buffer; /* send() took less than it got */
};

struct virtio_console {
	struct virtio_pci vdev;
	void (*wake)(void *ctx); /* any thread: virtio_console_work() is wanted */
	void *wake_ctx;
	_Atomic uint32_t resets; /* by the driver, so far */

	/* loop thread only */
	const struct machine_events *events;
	uint32_t resets_seen;
	bool broken_seen;
	unsigned int notes; /* how often a broken device was reported */
	struct virtio_console_port ports[_GUEST_PORT_MAX];
	uint8_t *scratch; /* VIRTQUEUE_CHAIN_BYTES_MAX */
};

/*
 * @memory and @events are borrowed for good, @address is the preset place of BAR 0.
 * Result: 0 or -ENOMEM.
 */
int virtio_console_init(struct virtio_console *c, const struct guest_memory *memory,
			uint32_t address, struct msi_sink sink, const struct machine_events *events,
			void (*wake)(void *ctx), void *wake_ctx)
	__attribute__((warn_unused_result));

/* Also after a failed init, and twice. */
void virtio_console_deinit(struct virtio_console *c);

/* Does what the guest's notifications asked for, a bounded piece of it. */
void virtio_console_work(struct virtio_console *c);

/* As struct machine_ops: bytes the guest had buffers for; writable() follows if not all. */
size_t virtio_console_send(struct virtio_console *c, enum guest_port port, const void *data,
			   size_t len);

#endif
