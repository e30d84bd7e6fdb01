/* SPDX-License-Identifier: MIT */
/*
 * The 16550 on COM1, output only: the transmitter is always empty, nothing is ever received,
 * no interrupts. Bytes go to a ring that the loop thread empties; a guest that outruns it
 * loses bytes, which is counted, rather than stopping the VM.
 *
 * Register access: any vCPU thread. serial_take(): the loop thread.
 */
#ifndef VMM_SERIAL_H
#define VMM_SERIAL_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define SERIAL_PORTS 8u
#define SERIAL_RING (64u << 10)

struct serial {
	pthread_mutex_t lock;
	void (*wake)(void *ctx); /* any thread: there is something to take */
	void *wake_ctx;

	/* under lock */
	uint8_t ier, lcr, mcr, scratch, divisor[2];
	uint8_t *ring; /* SERIAL_RING bytes */
	size_t start, used;
};

/* Result: 0 or -ENOMEM. */
int serial_init(struct serial *s, void (*wake)(void *ctx), void *wake_ctx)
	__attribute__((warn_unused_result));
void serial_deinit(struct serial *s);

/* Register @reg, 0..7. */
uint8_t serial_read(struct serial *s, unsigned int reg);
void serial_write(struct serial *s, unsigned int reg, uint8_t value);

/* Moves up to @len bytes of output to @data. Result: how many. */
size_t serial_take(struct serial *s, void *data, size_t len);

#endif
