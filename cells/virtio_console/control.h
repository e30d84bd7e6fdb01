/* SPDX-License-Identifier: MIT */
/*
 * The control messages of a multiport console and what they make of the ports: no device,
 * no memory, tested on the host.
 */
#ifndef CONSOLE_CONTROL_H
#define CONSOLE_CONTROL_H

#include <theseus/types.h>

#define CONSOLE_PORTS_MAX 4u
#define CONSOLE_NAME_MAX 64u

enum console_event {
	CONSOLE_DEVICE_READY = 0,
	CONSOLE_PORT_ADD = 1,
	CONSOLE_PORT_REMOVE = 2,
	CONSOLE_PORT_READY = 3,
	CONSOLE_CONSOLE_PORT = 4,
	CONSOLE_RESIZE = 5,
	CONSOLE_PORT_OPEN = 6,
	CONSOLE_PORT_NAME = 7,
};

struct console_message {
	uint32_t id;
	uint16_t event, value;
};
_Static_assert(sizeof(struct console_message) == 8, "virtio 1.2, 5.3.6.2");

struct console_port {
	bool present;
	bool host_open;
	uint32_t opens;
	char name[CONSOLE_NAME_MAX]; /* "" until the device told it; "console" for a console without one */
};

/*
 * Takes one message of the device, @len bytes at @data (hostile, already copied), into
 * @ports (CONSOLE_PORTS_MAX). Result: 1 and *@ret_reply is to be sent back; 0 nothing to
 * send; -EPROTO the message makes no sense and was ignored.
 */
int console_control(struct console_port *ports, const void *data, size_t len,
		    struct console_message *ret_reply) MUST_USE;

#endif
