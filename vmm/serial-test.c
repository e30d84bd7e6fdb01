/* SPDX-License-Identifier: MIT */
#include <linux/serial_reg.h>
#include <string.h>

#include "cm.h"
#include "metrics.h"
#include "serial.h"

static unsigned int wakes;

static void wake(void *ctx)
{
	(void)ctx;
	wakes++;
}

static void test_output(void **state)
{
	struct serial s;
	char text[16];

	(void)state;
	assert_int_equal(serial_init(&s, wake, NULL), 0);
	for (const char *p = "hello"; *p; p++)
		serial_write(&s, UART_TX, (uint8_t)*p);
	assert_int_equal(wakes, 1); /* once until somebody takes it */
	assert_int_equal(serial_take(&s, text, 3), 3);
	assert_memory_equal(text, "hel", 3);
	assert_int_equal(serial_take(&s, text, sizeof(text)), 2);
	assert_memory_equal(text, "lo", 2);
	assert_int_equal(serial_take(&s, text, sizeof(text)), 0);
	serial_write(&s, UART_TX, '!');
	assert_int_equal(wakes, 2);
	serial_deinit(&s);
	serial_deinit(&s);
}

static void test_registers(void **state)
{
	struct serial s;

	(void)state;
	assert_int_equal(serial_init(&s, wake, NULL), 0);
	assert_int_equal(serial_read(&s, UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
	assert_int_equal(serial_read(&s, UART_IIR), UART_IIR_NO_INT);
	assert_int_equal(serial_read(&s, UART_RX), 0);
	serial_write(&s, UART_SCR, 0x5a);
	assert_int_equal(serial_read(&s, UART_SCR), 0x5a);
	serial_write(&s, UART_LCR, UART_LCR_DLAB | 3);
	serial_write(&s, UART_DLL, 1); /* the divisor, no output */
	serial_write(&s, UART_DLM, 2);
	assert_int_equal(serial_read(&s, UART_DLL), 1);
	assert_int_equal(serial_read(&s, UART_DLM), 2);
	serial_write(&s, UART_LCR, 3);
	assert_int_equal(serial_take(&s, &(char[1]){0}, 1), 0);
	serial_write(&s, UART_IER, 0xff);
	assert_int_equal(serial_read(&s, UART_IER), 0x0f);
	serial_write(&s, UART_MCR, 0xff);
	assert_int_equal(serial_read(&s, UART_MCR), 0x1f);
	serial_write(&s, UART_LSR, 0); /* read-only */
	assert_int_equal(serial_read(&s, UART_MSR), UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS);
	serial_deinit(&s);
}

/* A guest that outruns the loop loses its newest bytes, counted; the ring stays whole. */
static void test_overrun(void **state)
{
	uint64_t lost = metrics_get(METRIC_SERIAL_LOST);
	struct serial s;
	uint8_t byte;

	(void)state;
	assert_int_equal(serial_init(&s, wake, NULL), 0);
	for (unsigned int i = 0; i < SERIAL_RING + 10; i++)
		serial_write(&s, UART_TX, (uint8_t)i);
	assert_int_equal(metrics_get(METRIC_SERIAL_LOST) - lost, 10);
	for (unsigned int i = 0; i < SERIAL_RING; i++) {
		assert_int_equal(serial_take(&s, &byte, 1), 1);
		assert_int_equal(byte, (uint8_t)i);
	}
	assert_int_equal(serial_take(&s, &byte, 1), 0);
	serial_deinit(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output),
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_overrun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
