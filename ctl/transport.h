/* SPDX-License-Identifier: MIT */
/*
 * A byte stream to a VM: theseus-vmm's operator socket, or a channel or console of a libvirt
 * domain. Reads and writes never block; transport_wait() does, with a deadline.
 */
#ifndef THESEUS_CTL_TRANSPORT_H
#define THESEUS_CTL_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ctl;
struct transport;

enum transport_ready {
	TRANSPORT_READ = 1 << 0, /* bytes, the end or an error are there to be read */
	TRANSPORT_WRITE = 1 << 1,
};

/* Another descriptor to wait for: input from it. */
struct transport_watch {
	int fd;
	bool ready; /* OUT */
};

struct transport_ops {
	int (*wait)(struct transport *t, unsigned int want, struct transport_watch *watches,
		    size_t n_watches, uint64_t deadline_ns);
	ssize_t (*read)(struct transport *t, void *buf, size_t len);
	ssize_t (*write)(struct transport *t, const void *buf, size_t len);
	void (*close)(struct transport *t);
};

/* Embedded in the implementations as first member. */
struct transport {
	const struct transport_ops *ops;
};

/*
 * Connects to the Unix socket @path. Result: 0, or an exit status with @c's error set:
 * CTL_NO_VM when nobody listens there.
 */
int transport_open_unix(struct ctl *c, const char *path, struct transport **ret_transport);

/* Takes over the connected stream socket @fd. NULL when out of memory: @fd is still open. */
struct transport *transport_from_fd(int fd);

/* The process at the other end of a Unix transport, or -errno. */
pid_t transport_peer(const struct transport *t);

enum transport_domain_end {
	TRANSPORT_DOMAIN_CONTROL, /* the channel org.theseus.control.0 */
	TRANSPORT_DOMAIN_CONSOLE,
};

/*
 * Opens an end of the running libvirt domain @domain. Result: 0, or an exit status with @c's
 * error set. Takes at most @limit_ns, whatever libvirt does. One at a time in a process.
 */
int transport_open_domain(struct ctl *c, const char *uri, const char *domain,
			  enum transport_domain_end end, uint64_t limit_ns,
			  struct transport **ret_transport);

/*
 * Waits until the stream is ready for one of @want (enum transport_ready, may be 0) or a
 * watch is ready. @deadline_ns is monotonic; UINT64_MAX = none.
 * Result: enum transport_ready bits (0 if only a watch is), -ETIMEDOUT, or another -errno.
 */
int transport_wait(struct transport *t, unsigned int want, struct transport_watch *watches,
		   size_t n_watches, uint64_t deadline_ns);

/* Result: bytes, 0 = the other side has closed (read only), -EAGAIN, or another -errno. */
ssize_t transport_read(struct transport *t, void *buf, size_t len);
ssize_t transport_write(struct transport *t, const void *buf, size_t len);

/* NULL is fine. */
void transport_close(struct transport *t);

/* Writes all of @len bytes. Result: 0, -ETIMEDOUT, or another -errno. */
int transport_write_all(struct transport *t, const void *buf, size_t len, uint64_t deadline_ns);

#endif
