/* SPDX-License-Identifier: MIT */
#include "transport.h"

#include <errno.h>

int transport_wait(struct transport *t, unsigned int want, struct transport_watch *watches,
		   size_t n_watches, uint64_t deadline_ns)
{
	for (size_t i = 0; i < n_watches; i++)
		watches[i].ready = false;
	return t->ops->wait(t, want, watches, n_watches, deadline_ns);
}

ssize_t transport_read(struct transport *t, void *buf, size_t len)
{
	return t->ops->read(t, buf, len);
}

ssize_t transport_write(struct transport *t, const void *buf, size_t len)
{
	return t->ops->write(t, buf, len);
}

void transport_close(struct transport *t)
{
	if (t)
		t->ops->close(t);
}

int transport_write_all(struct transport *t, const void *buf, size_t len, uint64_t deadline_ns)
{
	const uint8_t *p = buf;

	while (len) {
		ssize_t n = transport_write(t, p, len);

		if (n == -EAGAIN) {
			int r = transport_wait(t, TRANSPORT_WRITE, NULL, 0, deadline_ns);

			if (r < 0)
				return r;
		} else if (n < 0) {
			return (int)n;
		} else {
			p += n;
			len -= (size_t)n;
		}
	}
	return 0;
}
