/* SPDX-License-Identifier: MIT */
/*
 * The devices of a KVM machine and the dispatch of port and memory accesses to them. Also
 * the place where a machine's end is recorded: the first reason counts.
 *
 * board_io() and board_mmio() run on any vCPU thread; each device has its own lock.
 */
#ifndef VMM_BOARD_H
#define VMM_BOARD_H

#include <pthread.h>
#include <stdatomic.h>

#include "machine.h"
#include "pci.h"
#include "serial.h"
#include "virtio-console.h"

struct board {
	struct serial serial;
	struct pci_bus pci;
	struct pci_function bridge;
	struct virtio_console console;
	void (*wake)(void *ctx); /* any thread: the loop thread is wanted */
	void *wake_ctx;

	_Atomic bool ended; /* end is set, or being set; the guest must not go on */
	_Atomic bool end_valid;
	_Atomic bool panicked;
	struct machine_end end; /* once end_valid */
};

/* @memory, @events: borrowed for good. Result: 0 or -ENOMEM. */
int board_init(struct board *b, const struct guest_memory *memory, struct msi_sink sink,
	       const struct machine_events *events, void (*wake)(void *ctx), void *wake_ctx)
	__attribute__((warn_unused_result));

/* Also after a failed init, and twice. */
void board_deinit(struct board *b);

/* @count accesses of @size (1, 2, 4) bytes to @port; @data holds @count * @size bytes. */
void board_io(struct board *b, bool write, uint16_t port, void *data, unsigned int size,
	      unsigned int count);

/* An access of @size bytes (1..8) to where there is no RAM. */
void board_mmio(struct board *b, bool write, uint64_t address, void *data, unsigned int size);

/* Records why the machine ends, unless that is known already, and wakes the loop thread. */
void board_end(struct board *b, enum end_kind kind, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
