/* SPDX-License-Identifier: MIT */
#include "serial.h"

#include <errno.h>
#include <linux/serial_reg.h>
#include <stdlib.h>
#include <string.h>

#include "metrics.h"

int serial_init(struct serial *s, void (*wake)(void *ctx), void *wake_ctx)
{
	*s = (struct serial){.wake = wake, .wake_ctx = wake_ctx, .divisor = {12, 0}};
	s->ring = malloc(SERIAL_RING);
	if (!s->ring)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	return 0;
}

void serial_deinit(struct serial *s)
{
	if (!s->ring)
		return;
	pthread_mutex_destroy(&s->lock);
	free(s->ring);
	s->ring = NULL;
}

uint8_t serial_read(struct serial *s, unsigned int reg)
{
	uint8_t v = 0;

	pthread_mutex_lock(&s->lock);
	switch (reg) {
	case UART_RX:
		v = s->lcr & UART_LCR_DLAB ? s->divisor[0] : 0;
		break;
	case UART_IER:
		v = s->lcr & UART_LCR_DLAB ? s->divisor[1] : s->ier;
		break;
	case UART_IIR:
		v = UART_IIR_NO_INT;
		break;
	case UART_LCR:
		v = s->lcr;
		break;
	case UART_MCR:
		v = s->mcr;
		break;
	case UART_LSR:
		v = UART_LSR_TEMT | UART_LSR_THRE;
		break;
	case UART_MSR:
		v = UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
		break;
	case UART_SCR:
		v = s->scratch;
		break;
	}
	pthread_mutex_unlock(&s->lock);
	return v;
}

/* Result: whether the loop thread has to be told. The lock is held. */
static int transmit(struct serial *s, uint8_t value)
{
	metrics_add(METRIC_SERIAL_BYTES, 1);
	if (s->used == SERIAL_RING) {
		metrics_add(METRIC_SERIAL_LOST, 1);
		return 0;
	}
	s->ring[(s->start + s->used) % SERIAL_RING] = value;
	return s->used++ == 0;
}

void serial_write(struct serial *s, unsigned int reg, uint8_t value)
{
	int tell = 0;

	pthread_mutex_lock(&s->lock);
	switch (reg) {
	case UART_TX:
		if (s->lcr & UART_LCR_DLAB)
			s->divisor[0] = value;
		else
			tell = transmit(s, value);
		break;
	case UART_IER:
		if (s->lcr & UART_LCR_DLAB)
			s->divisor[1] = value;
		else
			s->ier = value & 0x0f;
		break;
	case UART_LCR:
		s->lcr = value;
		break;
	case UART_MCR:
		s->mcr = value & 0x1f;
		break;
	case UART_SCR:
		s->scratch = value;
		break;
	}
	pthread_mutex_unlock(&s->lock);
	if (tell)
		s->wake(s->wake_ctx);
}

size_t serial_take(struct serial *s, void *data, size_t len)
{
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = s->used < len ? s->used : len;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)data)[i] = s->ring[(s->start + i) % SERIAL_RING];
	s->start = (s->start + n) % SERIAL_RING;
	s->used -= n;
	pthread_mutex_unlock(&s->lock);
	return n;
}
