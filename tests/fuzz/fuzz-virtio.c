/* SPDX-License-Identifier: MIT */
/*
 * The whole virtio-console, driven by a script: each step is 16 bytes, {what, size, offset,
 * value}. A guest may do this in any order; the device must stay within its memory and keep
 * its state machine.
 */
#include <linux/virtio_config.h>
#include <string.h>

#include "fuzz.h"
#include "virtio-console.h"

#define RAM (32ull << 20)
#define WINDOW (256u << 10)
#define BASE 0xe0000000u
#define STEPS_MAX 2000u

struct step {
	uint8_t what, size;
	uint16_t unused;
	uint32_t offset;
	uint64_t value;
};

static struct guest_memory memory;

static void on_wake(void *ctx)
{
	(void)ctx;
}

static int on_msi(void *ctx, uint64_t address, uint32_t data)
{
	(void)ctx;
	(void)data;
	return address % 3 ? 0 : -22;
}

static void on_received(void *ctx, enum guest_port port, const uint8_t *data, size_t len)
{
	static volatile uint8_t sink;

	(void)ctx;
	FUZZ_CHECK(port < _GUEST_PORT_MAX && len && len <= VIRTQUEUE_CHAIN_BYTES_MAX);
	sink = (uint8_t)(sink ^ data[0] ^ data[len - 1]);
}

static void on_writable(void *ctx, enum guest_port port)
{
	struct virtio_console *c = *(struct virtio_console **)ctx;

	FUZZ_CHECK(virtio_console_send(c, port, "some text", 9) <= 9);
}

static void on_opened(void *ctx, enum guest_port port, bool open)
{
	(void)ctx;
	(void)open;
	FUZZ_CHECK(port < _GUEST_PORT_MAX);
}

static void on_note(void *ctx, const char *text)
{
	(void)ctx;
	FUZZ_CHECK(*text);
}

static void take(struct virtio_console *c, struct pci_bus *bus, const struct step *s)
{
	static const unsigned int sizes[] = {1, 2, 4, 8};
	unsigned int len = sizes[s->size % 4];
	uint64_t value = s->value;

	switch (s->what % 8) {
	case 0:
		(void)pci_mmio_write(bus, BASE + s->offset % VIRTIO_PCI_BAR_SIZE, &value, len);
		break;
	case 1:
		(void)pci_mmio_read(bus, BASE + s->offset % VIRTIO_PCI_BAR_SIZE, &value, len);
		break;
	case 2:
		memcpy(memory.base + s->offset % (WINDOW - 8), &value, 8);
		break;
	case 3:
		virtio_console_work(c);
		break;
	case 4:
		(void)virtio_console_send(c, (enum guest_port)(s->offset % _GUEST_PORT_MAX),
					  memory.base, value % 5000);
		break;
	case 5:
		pci_io_write(bus, (uint16_t)(0xcf8 + s->offset % 8), &value, len > 4 ? 4 : len);
		break;
	case 6:
		pci_io_read(bus, (uint16_t)(0xcf8 + s->offset % 8), &value, len > 4 ? 4 : len);
		break;
	default:
		/* the usual start, so that scripts get far with few steps */
		for (unsigned int status = 0; status < 4; status++) {
			static const uint64_t values[] = {0, 1, 3, 11};
			const uint64_t features[] = {1, 2};

			for (uint64_t i = 0; status == 3 && i < 2; i++) {
				uint64_t select = 1 - i;

				(void)pci_mmio_write(bus, BASE + 8, &select, 4);
				(void)pci_mmio_write(bus, BASE + 12, &features[i], 4);
			}
			(void)pci_mmio_write(bus, BASE + 20, &values[status], 1);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct virtio_console *current;
	const struct machine_events events = {
		.ctx = &current,
		.received = on_received,
		.writable = on_writable,
		.opened = on_opened,
		.note = on_note,
	};
	struct virtio_console c;
	struct pci_bus bus = {0};
	struct failure f;

	if (!memory.base)
		FUZZ_CHECK(guest_memory_init(&memory, RAM, RAM, &f) == 0);
	memset(memory.base, 0, WINDOW);
	if (virtio_console_init(&c, &memory, BASE, (struct msi_sink){on_msi, NULL}, &events,
				on_wake, NULL) < 0)
		return 0;
	current = &c;
	bus.slots[0] = &c.vdev.pci;
	for (unsigned int i = 0; i < STEPS_MAX && size >= sizeof(struct step); i++) {
		struct step s;

		memcpy(&s, data, sizeof(s));
		data += sizeof(s);
		size -= sizeof(s);
		take(&c, &bus, &s);
		FUZZ_CHECK(!(c.vdev.status & VIRTIO_CONFIG_S_DRIVER_OK) ||
			   c.vdev.status & VIRTIO_CONFIG_S_FEATURES_OK);
	}
	virtio_console_deinit(&c);
	return 0;
}
