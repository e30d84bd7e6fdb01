/* SPDX-License-Identifier: MIT */
/* What is asked of libvirt beside the streams (transport.h). */
#ifndef THESEUS_CTL_LIBVIRT_H
#define THESEUS_CTL_LIBVIRT_H

#include <stdint.h>

#include "ctl.h"
#include "transport.h"

struct domain_info {
	const char *accel; /* "kvm", "tcg" or "unknown" */
	uint64_t memory_bytes;
	uint64_t cpus;
};

/* About the domain of @t, which transport_open_domain() has made. Zeros where libvirt fails. */
void domain_get_info(const struct transport *t, struct domain_info *info);

/*
 * Waits until the domain of @t is off, so that its name is free again. Result: 0, -ETIMEDOUT
 * or another -errno.
 */
int domain_wait_off(struct transport *t, uint64_t deadline_ns);

/* Ends a domain at once. Result: exit status. */
int domain_destroy(struct ctl *c, const char *uri, const char *domain, uint64_t limit_ns);

#endif
