/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <theseus/errno.h>

#include "control.h"

static struct console_port ports[CONSOLE_PORTS_MAX];
static struct console_message reply;

static int setup(void **state)
{
	(void)state;
	memset(ports, 0, sizeof(ports));
	memset(&reply, 0, sizeof(reply));
	return 0;
}

/* Each message in a block of its own size, so that a sanitizer sees a read past it. */
static int take_bytes(const void *bytes, size_t len)
{
	void *copy = malloc(len ? len : 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	r = console_control(ports, copy, len, &reply);
	free(copy);
	return r;
}

static int take(uint32_t id, uint16_t event, uint16_t value)
{
	const struct console_message m = {id, event, value};

	return take_bytes(&m, sizeof(m));
}

static int take_name(uint32_t id, const char *name, size_t len)
{
	uint8_t bytes[8 + 200];
	const struct console_message m = {id, CONSOLE_PORT_NAME, 1};

	memcpy(bytes, &m, sizeof(m));
	memcpy(bytes + sizeof(m), name, len);
	return take_bytes(bytes, sizeof(m) + len);
}

static void a_port_is_added_named_and_opened(void **state)
{
	(void)state;
	assert_int_equal(take(1, CONSOLE_PORT_ADD, 1), 1);
	assert_int_equal(reply.id, 1);
	assert_int_equal(reply.event, CONSOLE_PORT_READY);
	assert_int_equal(reply.value, 1);
	assert_int_equal(take_name(1, "control", 7), 0);
	assert_string_equal(ports[1].name, "control");
	assert_int_equal(take_name(1, "control", 8), 0); /* with its NUL */
	assert_string_equal(ports[1].name, "control");
	assert_int_equal(take(1, CONSOLE_CONSOLE_PORT, 1), 0);
	assert_int_equal(take(1, CONSOLE_RESIZE, 0), 0);
	assert_false(ports[1].host_open);
	assert_int_equal(take(1, CONSOLE_PORT_OPEN, 1), 0);
	assert_true(ports[1].host_open);
	assert_int_equal(ports[1].opens, 1);
}

static void a_console_without_a_name_gets_one(void **state)
{
	(void)state;
	assert_int_equal(take(0, CONSOLE_CONSOLE_PORT, 1), 0); /* not added */
	assert_string_equal(ports[0].name, "");
	assert_int_equal(take(0, CONSOLE_PORT_ADD, 1), 1);
	assert_int_equal(take(0, CONSOLE_CONSOLE_PORT, 1), 0);
	assert_string_equal(ports[0].name, "console");
	assert_int_equal(take_name(0, "other", 5), 0);
	assert_int_equal(take(0, CONSOLE_CONSOLE_PORT, 1), 0);
	assert_string_equal(ports[0].name, "other");
}

static void openings_are_counted(void **state)
{
	(void)state;
	assert_int_equal(take(0, CONSOLE_PORT_ADD, 1), 1);
	for (unsigned i = 1; i < 4; i++) {
		assert_int_equal(take(0, CONSOLE_PORT_OPEN, 1), 0);
		assert_int_equal(take(0, CONSOLE_PORT_OPEN, 1), 0);
		assert_int_equal(ports[0].opens, i);
		assert_int_equal(take(0, CONSOLE_PORT_OPEN, 0), 0);
	}
	assert_int_equal(take(0, CONSOLE_PORT_OPEN, 1), 0);
	assert_int_equal(take(0, CONSOLE_PORT_REMOVE, 1), 0);
	assert_false(ports[0].present);
	assert_false(ports[0].host_open);
	assert_int_equal(ports[0].opens, 4); /* another opening later is another peer */
}

static void ports_without_queues_are_left_alone(void **state)
{
	(void)state;
	assert_int_equal(take(CONSOLE_PORTS_MAX, CONSOLE_PORT_ADD, 1), 0);
	assert_int_equal(take(UINT32_MAX, CONSOLE_PORT_ADD, 1), 0);
	assert_int_equal(take(UINT32_MAX, CONSOLE_PORT_OPEN, 1), 0);
}

static void nonsense_is_refused(void **state)
{
	char name[CONSOLE_NAME_MAX];

	(void)state;
	memset(name, 'x', sizeof(name));
	assert_int_equal(take_bytes("1234567", 7), -EPROTO);
	assert_int_equal(take_bytes("", 0), -EPROTO);
	assert_int_equal(take(0, CONSOLE_PORT_OPEN, 1), -EPROTO); /* not added */
	assert_int_equal(take_name(0, "early", 5), -EPROTO);
	assert_int_equal(take(0, CONSOLE_PORT_ADD, 1), 1);
	assert_int_equal(take(0, CONSOLE_PORT_OPEN, 2), -EPROTO);
	assert_int_equal(take(0, CONSOLE_DEVICE_READY, 1), -EPROTO); /* ours to say */
	assert_int_equal(take(0, 999, 1), -EPROTO);
	assert_int_equal(take_name(0, "", 0), -EPROTO);
	assert_int_equal(take_name(0, "\0\0", 2), -EPROTO);
	assert_int_equal(take_name(0, "in\0side", 7), -EPROTO);
	assert_int_equal(take_name(0, name, sizeof(name)), -EPROTO);
	assert_int_equal(take_name(0, name, sizeof(name) - 1), 0);
}

#define CASE(fn) cmocka_unit_test_setup(fn, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_port_is_added_named_and_opened),
		CASE(a_console_without_a_name_gets_one),
		CASE(openings_are_counted),
		CASE(ports_without_queues_are_left_alone),
		CASE(nonsense_is_refused),
	};

	return cmocka_run_group_tests_name("console-control", tests, NULL, NULL);
}
