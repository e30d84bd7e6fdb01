/* SPDX-License-Identifier: MIT */
/*
 * A running guest as the rest of theseus-vmm sees it, whoever executes it (KVM here, or a
 * QEMU child): two byte streams, a text output, an end.
 *
 * Everything here happens in the loop thread. Events are never called from inside send() or
 * stop(), except writable(), which may follow from within received() of the other port.
 */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"

enum guest_port {
	GUEST_PORT_CONSOLE = 0,
	GUEST_PORT_CONTROL = 1,
	_GUEST_PORT_MAX,
	_GUEST_PORT_INVALID = -22,
};

/* Why a machine ended. */
enum end_kind {
	END_CODE,  /* the guest wrote to PLATFORM_PORT_EXIT: end.code is the byte */
	END_RESET, /* through the reset port */
	END_TRIPLE_FAULT,
	END_INTERNAL_ERROR, /* KVM could not go on */
	END_CHILD_DIED,     /* QEMU ended by itself */
	END_PANICKED,       /* the guest said that it crashed and then did not end */
	END_FORCED,         /* by the operator */
	_END_MAX,
	_END_INVALID = -22,
};

struct machine_end {
	enum end_kind kind;
	int code;       /* the byte written to the exit port; -1 for all other kinds */
	char text[256]; /* the reason, for people */
};

struct machine_events {
	void *ctx;
	void (*received)(void *ctx, enum guest_port port, const uint8_t *data, size_t len);
	void (*writable)(void *ctx, enum guest_port port); /* send() took less than it got */
	void (*opened)(void *ctx, enum guest_port port, bool open); /* by the guest */
	void (*text)(void *ctx, const uint8_t *data, size_t len);   /* COM1 */
	void (*note)(void *ctx, const char *text);                  /* worth a line in the log */
	void (*ended)(void *ctx, const struct machine_end *end);    /* once; nothing follows */
};

struct machine {
	const struct machine_ops *ops;
};

struct machine_ops {
	/* Lets the guest run; once, after new() and after this process was confined. */
	void (*start)(struct machine *m);
	/* Result: how many bytes the guest had room for; if less than @len, writable() follows. */
	size_t (*send)(struct machine *m, enum guest_port port, const void *data, size_t len);
	/* Ends the guest at once; ended() follows with END_FORCED unless it ended by itself. */
	void (*stop)(struct machine *m);
	/* Once the loop has closed the handles, which ended() lets it; gives everything back. */
	void (*free)(struct machine *m);
	/* The host mapping of guest RAM; *@ret_size is 0 when RAM is in another process. */
	const void *(*ram)(const struct machine *m, size_t *ret_size);
};

struct machine_config {
	const char *guest;   /* path of the PVH ELF */
	const char *bundle;  /* path, or NULL */
	const char *cmdline; /* appended to what the VMM says itself; "" if none */
	unsigned int cpus;
	uint64_t memory;           /* bytes */
	int (*confine_vcpu)(void); /* first thing in a vCPU's thread; 0 or -errno */
};

#endif
