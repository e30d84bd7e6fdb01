/* SPDX-License-Identifier: MIT */
/*
 * What the guest reads of a device before it trusts it with anything: capabilities, BARs,
 * the MSI-X table's place, control messages of the console. Walks end, and what is accepted
 * stays within the bounds that the code behind relies on.
 *
 * Input: 256 bytes of configuration space, then console messages of {u8 length, bytes}.
 */
#include <string.h>

#include <theseus/errno.h>
#include <theseus/platform.h>

#include "control.h"
#include "fuzz.h"
#include "pci-internal.h"
#include "transport.h"

static uint32_t config[64];
static uint32_t latch;

int pci_ports(struct gate_port *ports, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (ports[i].port == PLATFORM_PORT_PCI_ADDRESS)
			latch = ports[i].value;
		else if (!ports[i].write)
			ports[i].value = config[latch >> 2 & 63];
	}
	return 0;
}

static void check_part(const struct pci_cap *cap)
{
	struct virtio_part_place place;
	enum virtio_part part;

	if (virtio_part_parse(cap, &part, &place) <= 0)
		return;
	FUZZ_CHECK(part > 0 && part < _VIRTIO_PART_MAX);
	FUZZ_CHECK(place.bar <= 5 && place.bytes > 0 && place.bytes <= VIRTIO_PART_BYTES_MAX);
	FUZZ_CHECK(place.offset <= VIRTIO_PART_OFFSET_MAX && place.cap >= 0x40);
}

static void walk(void)
{
	const struct pci_function f = {0};
	struct pci_cap cap = {0};
	struct pci_msix m;
	paddr_t pa;

	for (unsigned steps = 0; pci_cap_next(&f, PCI_CAP_ANY, &cap) == 0; steps++) {
		FUZZ_CHECK(steps < 64);
		check_part(&cap);
		if (pci_msix_parse(&cap, &m) == 0)
			FUZZ_CHECK(m.bar <= 5 && m.entries >= 1 && m.entries <= 2048);
	}
	for (unsigned bar = 0; bar < 6; bar++) {
		if (pci_bar_decode(bar, config[4 + bar], config[5 + bar], &pa) == 0)
			FUZZ_CHECK(pa.v != 0 && pa.v % PAGE_SIZE == 0);
	}
}

static void talk(const uint8_t *data, size_t size)
{
	struct console_port ports[CONSOLE_PORTS_MAX] = {{0}};
	struct console_message reply;

	while (size > 1) {
		size_t len = data[0] < size - 1 ? data[0] : size - 1;

		if (console_control(ports, data + 1, len, &reply) > 0)
			FUZZ_CHECK(reply.id < CONSOLE_PORTS_MAX);
		for (unsigned i = 0; i < CONSOLE_PORTS_MAX; i++)
			FUZZ_CHECK(strnlen(ports[i].name, CONSOLE_NAME_MAX) < CONSOLE_NAME_MAX);
		data += 1 + len;
		size -= 1 + len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t head = size < sizeof(config) ? size : sizeof(config);

	memset(config, 0, sizeof(config));
	memcpy(config, data, head);
	walk();
	talk(data + head, size - head);
	return 0;
}
