/* SPDX-License-Identifier: MIT */
#include "board.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "metrics.h"
#include "theseus/platform.h"

#define SLOT_CONSOLE 1u
#define RESET_NOW 0x04u /* in the reset control register: bit 2 goes from 0 to 1 */

int board_init(struct board *b, const struct guest_memory *memory, struct msi_sink sink,
	       const struct machine_events *events, void (*wake)(void *ctx), void *wake_ctx)
{
	int r;

	*b = (struct board){.wake = wake, .wake_ctx = wake_ctx};
	r = serial_init(&b->serial, wake, wake_ctx);
	if (r < 0)
		return r;
	r = virtio_console_init(&b->console, memory, PCI_MMIO_START, sink, events, wake, wake_ctx);
	if (r < 0) {
		serial_deinit(&b->serial);
		return r;
	}
	pci_host_bridge_init(&b->bridge);
	b->pci.slots[0] = &b->bridge;
	b->pci.slots[SLOT_CONSOLE] = &b->console.vdev.pci;
	return 0;
}

void board_deinit(struct board *b)
{
	if (b->pci.slots[0])
		pci_function_deinit(&b->bridge);
	b->pci = (struct pci_bus){0};
	virtio_console_deinit(&b->console);
	serial_deinit(&b->serial);
}

void board_end(struct board *b, enum end_kind kind, int code, const char *fmt, ...)
{
	va_list ap;

	if (atomic_exchange(&b->ended, true))
		return;
	b->end.kind = kind;
	b->end.code = code;
	va_start(ap, fmt);
	(void)vsnprintf(b->end.text, sizeof(b->end.text), fmt, ap);
	va_end(ap);
	atomic_store(&b->end_valid, true);
	b->wake(b->wake_ctx);
}

static bool in(uint16_t port, uint16_t first, unsigned int n)
{
	return port >= first && port - first < (int)n;
}

static void io_read(struct board *b, uint16_t port, uint8_t *data, unsigned int size)
{
	memset(data, 0xff, size);
	if (in(port, PLATFORM_PORT_COM1, SERIAL_PORTS) && size == 1)
		*data = serial_read(&b->serial, port - PLATFORM_PORT_COM1);
	else if (port == PLATFORM_PORT_RESET && size == 1)
		*data = 0;
	else if (in(port, PLATFORM_PORT_PCI_ADDRESS, 8))
		pci_io_read(&b->pci, port, data, size);
	else if (port == PLATFORM_PORT_PVPANIC)
		*data = PLATFORM_PVPANIC_PANICKED;
	else
		metrics_add(METRIC_IO_UNKNOWN, 1);
}

static void panicked(struct board *b, uint8_t value)
{
	if (!(value & PLATFORM_PVPANIC_PANICKED))
		return;
	atomic_store(&b->panicked, true);
	b->wake(b->wake_ctx);
}

static void io_write(struct board *b, uint16_t port, const uint8_t *data, unsigned int size)
{
	if (in(port, PLATFORM_PORT_COM1, SERIAL_PORTS) && size == 1)
		serial_write(&b->serial, port - PLATFORM_PORT_COM1, *data);
	else if (port == PLATFORM_PORT_EXIT)
		board_end(b, END_CODE, *data, "the guest wrote 0x%02x to its exit port", *data);
	else if (port == PLATFORM_PORT_RESET && size == 1) {
		if (*data & RESET_NOW)
			board_end(b, END_RESET, -1, "the guest reset itself");
	} else if (in(port, PLATFORM_PORT_PCI_ADDRESS, 8))
		pci_io_write(&b->pci, port, data, size);
	else if (port == PLATFORM_PORT_PVPANIC)
		panicked(b, *data);
	else
		metrics_add(METRIC_IO_UNKNOWN, 1);
}

void board_io(struct board *b, bool write, uint16_t port, void *data, unsigned int size,
	      unsigned int count)
{
	uint8_t *bytes = data;

	for (unsigned int i = 0; i < count && !atomic_load(&b->ended); i++, bytes += size) {
		if (write)
			io_write(b, port, bytes, size);
		else
			io_read(b, port, bytes, size);
	}
}

void board_mmio(struct board *b, bool write, uint64_t address, void *data, unsigned int size)
{
	bool known = false;

	if (size != 1 && size != 2 && size != 4 && size != 8)
		memset(data, 0xff, write ? 0 : size);
	else if (write)
		known = pci_mmio_write(&b->pci, address, data, size);
	else
		known = pci_mmio_read(&b->pci, address, data, size);
	if (!known)
		metrics_add(METRIC_IO_UNKNOWN, 1);
}
