/* SPDX-License-Identifier: MIT */
/* board.c and end.c: ports, and why a machine ended. */
#include <stdio.h>
#include <string.h>

#include "board.h"
#include "cm.h"
#include "end.h"
#include "theseus/platform.h"

static struct guest_memory memory;
static struct board b;
static unsigned int wakes;

static void on_wake(void *ctx)
{
	(void)ctx;
	wakes++;
}

static int on_msi(void *ctx, uint64_t address, uint32_t data)
{
	(void)ctx;
	(void)address;
	(void)data;
	return 0;
}

static int set_up(void **state)
{
	static const struct machine_events events;
	struct failure f;

	(void)state;
	wakes = 0;
	return guest_memory_init(&memory, 32u << 20, 32u << 20, &f) ||
	       board_init(&b, &memory, (struct msi_sink){on_msi, NULL}, &events, on_wake, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	board_deinit(&b);
	board_deinit(&b);
	guest_memory_deinit(&memory);
	return 0;
}

static uint32_t in(uint16_t port, unsigned int size)
{
	uint32_t v = 0;

	board_io(&b, false, port, &v, size, 1);
	return v;
}

static void out(uint16_t port, uint32_t v, unsigned int size)
{
	board_io(&b, true, port, &v, size, 1);
}

static void test_ports(void **state)
{
	char text[8];

	(void)state;
	memcpy(text, "string", 6);
	board_io(&b, true, PLATFORM_PORT_COM1, text, 1, 6);
	assert_int_equal(serial_take(&b.serial, text, sizeof(text)), 6);
	assert_memory_equal(text, "string", 6);
	assert_int_equal(in(PLATFORM_PORT_COM1 + 5, 1), 0x60);
	assert_int_equal(in(PLATFORM_PORT_COM1, 2), 0xffff);
	assert_int_equal(in(0x80, 4), 0xffffffff);
	assert_int_equal(in(PLATFORM_PORT_PVPANIC, 1), 1);
	assert_int_equal(in(PLATFORM_PORT_RESET, 1), 0);
	out(PLATFORM_PORT_RESET, 2, 1);
	out(0x80, 1, 4);
	assert_false(b.ended);
	out(PLATFORM_PORT_PCI_ADDRESS, 0x80000000, 4);
	assert_int_equal(in(PLATFORM_PORT_PCI_DATA, 4), 0x00081b36);
	assert_int_equal(in(PLATFORM_PORT_PCI_DATA + 2, 4), 0xffffffff);
}

static void test_memory(void **state)
{
	uint64_t v = 0;

	(void)state;
	board_mmio(&b, false, PCI_MMIO_START + 18, &v, 2);
	assert_int_equal(v, 6); /* the console's queues */
	board_mmio(&b, false, 0xd0000000, &v, 4);
	assert_int_equal(v, 0xffffffff);
	board_mmio(&b, false, PCI_MMIO_START, &v, 3); /* no size that there is */
	assert_int_equal(v & 0xffffff, 0xffffff);
	board_mmio(&b, true, UINT64_MAX, &v, 8);
}

static void test_end(void **state)
{
	uint8_t both[2] = {PLATFORM_EXIT_CELL_CRASH, PLATFORM_EXIT_POWEROFF};

	(void)state;
	board_io(&b, true, PLATFORM_PORT_EXIT, both, 1, 2);
	assert_true(b.end_valid);
	assert_int_equal(b.end.kind, END_CODE);
	assert_int_equal(b.end.code, PLATFORM_EXIT_CELL_CRASH);
	assert_int_equal(wakes, 1);
	/* the first reason counts, and nothing else happens afterwards */
	board_end(&b, END_FORCED, -1, "too late");
	out(PLATFORM_PORT_COM1, 'x', 1);
	assert_int_equal(b.end.kind, END_CODE);
	assert_int_equal(b.serial.used, 0);
}

static void test_reset(void **state)
{
	(void)state;
	out(PLATFORM_PORT_RESET, 6, 1);
	assert_int_equal(b.end.kind, END_RESET);
}

static void test_panic(void **state)
{
	(void)state;
	out(PLATFORM_PORT_PVPANIC, 0, 1);
	assert_false(b.panicked);
	out(PLATFORM_PORT_PVPANIC, PLATFORM_PVPANIC_PANICKED, 1);
	assert_true(b.panicked);
	assert_false(b.ended); /* the crash record is still to come */
}

static void describes(enum end_kind kind, int code, enum end_status status, const char *says)
{
	struct machine_end end = {kind, code, "as the machine says"};

	assert_int_equal(end_describe(&end), status);
	assert_non_null(strstr(end.text, says));
}

static void test_statuses(void **state)
{
	(void)state;
	describes(END_CODE, 0x10, STATUS_POWEROFF, "powered off");
	describes(END_CODE, 0x11, STATUS_RESET, "restart");
	describes(END_CODE, 0x12, STATUS_GATE_CRASH, "gate");
	describes(END_CODE, 0x13, STATUS_CELL_CRASH, "cells");
	describes(END_CODE, 0x20, STATUS_TEST_OK, "passed");
	describes(END_CODE, 0x21, STATUS_TEST_FAIL, "failed");
	describes(END_CODE, 0, STATUS_UNKNOWN_CODE, "0x00");
	describes(END_CODE, 0xff, STATUS_UNKNOWN_CODE, "0xff");
	describes(END_RESET, -1, STATUS_RESET, "as the machine says");
	describes(END_TRIPLE_FAULT, -1, STATUS_TRIPLE_FAULT, "as the machine says");
	describes(END_INTERNAL_ERROR, -1, STATUS_INTERNAL_ERROR, "as the machine says");
	describes(END_CHILD_DIED, -1, STATUS_CHILD_DIED, "as the machine says");
	describes(END_PANICKED, -1, STATUS_PANICKED, "as the machine says");
	describes(END_FORCED, -1, STATUS_FORCED, "as the machine says");
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_ports), TEST(test_memory), TEST(test_end),
		TEST(test_reset), TEST(test_panic),  cmocka_unit_test(test_statuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
