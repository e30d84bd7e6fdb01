/* SPDX-License-Identifier: MIT */
/*
 * Named byte streams to the host: the ports of a virtio console (virtio 1.2, 5.3, MULTIPORT).
 *
 * A client attaches to a name; the port may turn up later, and its host side opens and
 * closes as it likes. The client's event() is called whenever something may have changed;
 * it then asks. Bytes are bounded on the way in (the host waits until they were received)
 * and on the way out (send takes what fits).
 * Context: tasks; a lock is held (upcalls masked) while bytes are copied. Never blocks.
 */
#ifndef THESEUS_VIRTIO_CONSOLE_H
#define THESEUS_VIRTIO_CONSOLE_H

#include <theseus/cell.h>

#define CONSOLE_LINKS_MAX 4u
#define CONSOLE_LINK_PAGES_MAX 8u

/* What a client provides to be told. */
struct console_client_ops {
	/* In interrupt context or a task, with no lock held: only wakes somebody. */
	void (*event)(void);
};
IFACE_DEFINE(console_client_ops);

/*
 * Attaches to the port called @name, with @pages (1..CONSOLE_LINK_PAGES_MAX) pages of buffers
 * in each direction. Stays for good, over swaps of the client too (the handle is its
 * interface's). Result: 0; -EEXIST (the name has a client), -ENOSPC, -ENODEV (there is no
 * console device), -ENOMEM, -EINVAL.
 */
int console_attach(const char *name, struct console_client_ops_h client, unsigned pages,
		   unsigned *ret_link) MUST_USE;

struct console_link_state {
	bool open;      /* the host's side is there and open */
	uint32_t opens; /* times that it opened: another number is another peer */
};
int console_link_state(unsigned link, struct console_link_state *ret_state) MUST_USE;

/*
 * Takes bytes that came in. *@ret_opens: which opening of the host they belong to; the order
 * of bytes and openings is kept. After 0 event() comes when there is more; before, it may not.
 * Result: bytes (0 = none now), -EINVAL (no such link), -EIO (the device is broken).
 */
int console_receive(unsigned link, void *buf, size_t len, uint32_t *ret_opens) MUST_USE;

/*
 * Hands bytes to the device, as many as there is room for; event() follows when there is
 * room again. Copied. Result: bytes taken, -EPIPE (not open), -EINVAL, -EIO.
 */
int console_send(unsigned link, const void *data, size_t len) MUST_USE;

/*
 * Has the device taken all that was sent? Result: 1; 0 not yet, event() follows as it goes;
 * -EPIPE, -EINVAL, -EIO.
 */
int console_drained(unsigned link) MUST_USE;

#endif
