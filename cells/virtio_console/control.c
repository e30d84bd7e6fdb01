/* SPDX-License-Identifier: MIT */
#include "control.h"

#include <string.h>

#include <theseus/errno.h>
#include <theseus/platform.h>

static int port_name(struct console_port *p, const char *name, size_t len)
{
	/* QEMU counts the NUL in, the standard does not */
	while (len > 0 && name[len - 1] == '\0')
		len--;
	if (len == 0 || len >= sizeof(p->name) || memchr(name, '\0', len))
		return -EPROTO;
	memcpy(p->name, name, len);
	p->name[len] = '\0';
	return 0;
}

int console_control(struct console_port *ports, const void *data, size_t len,
		    struct console_message *ret_reply)
{
	struct console_message m;
	struct console_port *p;

	if (len < sizeof(m))
		return -EPROTO;
	memcpy(&m, data, sizeof(m));
	if (m.id >= CONSOLE_PORTS_MAX)
		return 0; /* a port that we have no queues for: never made ready */
	p = &ports[m.id];
	switch (m.event) {
	case CONSOLE_PORT_ADD:
		p->present = true;
		*ret_reply = (struct console_message){m.id, CONSOLE_PORT_READY, 1};
		return 1;
	case CONSOLE_PORT_REMOVE:
		*p = (struct console_port){.opens = p->opens};
		return 0;
	case CONSOLE_PORT_NAME:
		return p->present ? port_name(p, (const char *)data + sizeof(m), len - sizeof(m))
				  : -EPROTO;
	case CONSOLE_PORT_OPEN:
		if (!p->present || m.value > 1)
			return -EPROTO;
		if (m.value && !p->host_open)
			p->opens++;
		p->host_open = m.value;
		return 0;
	case CONSOLE_CONSOLE_PORT:
		/* libvirt gives its consoles no name */
		if (p->present && !p->name[0])
			memcpy(p->name, PLATFORM_CONSOLE_PORT, sizeof(PLATFORM_CONSOLE_PORT));
		return 0;
	case CONSOLE_RESIZE:
		return 0;
	default:
		return -EPROTO;
	}
}
