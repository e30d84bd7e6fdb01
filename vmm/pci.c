/* SPDX-License-Identifier: MIT */
#include "pci.h"

#include <assert.h>
#include <linux/pci_regs.h>
#include <stdatomic.h>
#include <string.h>

#include "theseus/platform.h"

#define ADDRESS_ENABLE 0x80000000u

uint32_t pci_config_get(const struct pci_function *f, unsigned int offset, unsigned int len)
{
	uint32_t v = 0;

	assert(len <= 4 && offset + len <= PCI_CONFIG_SIZE);
	memcpy(&v, f->config + offset, len);
	return v;
}

void pci_config_set(struct pci_function *f, unsigned int offset, uint32_t value, unsigned int len)
{
	assert(len <= 4 && offset + len <= PCI_CONFIG_SIZE);
	memcpy(f->config + offset, &value, len);
}

void pci_function_set_writable(struct pci_function *f, unsigned int offset, const void *mask,
			       unsigned int len)
{
	assert(offset + len <= PCI_CONFIG_SIZE);
	memcpy(f->writable + offset, mask, len);
}

void pci_function_init(struct pci_function *f, const struct pci_id *id, const struct pci_ops *ops)
{
	const uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE;

	*f = (struct pci_function){.ops = ops};
	pthread_mutex_init(&f->lock, NULL);
	pci_config_set(f, PCI_VENDOR_ID, id->vendor, 2);
	pci_config_set(f, PCI_DEVICE_ID, id->device, 2);
	pci_config_set(f, PCI_CLASS_REVISION, id->class_code << 8 | id->revision, 4);
	pci_config_set(f, PCI_SUBSYSTEM_VENDOR_ID, id->subsystem_vendor, 2);
	pci_config_set(f, PCI_SUBSYSTEM_ID, id->subsystem, 2);
	/* as after firmware: a guest need not switch decoding on, but may switch it off */
	pci_config_set(f, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	pci_function_set_writable(f, PCI_COMMAND, &command, sizeof(command));
}

void pci_function_deinit(struct pci_function *f)
{
	pthread_mutex_destroy(&f->lock);
}

void pci_function_add_bar(struct pci_function *f, unsigned int bar, uint32_t address, uint32_t size)
{
	unsigned int offset = PCI_BASE_ADDRESS_0 + 4 * bar;
	uint32_t mask = ~(size - 1);

	assert(bar < PCI_BARS && size >= 16 && !(size & (size - 1)) && !(address & ~mask));
	f->bar_size[bar] = size;
	pci_config_set(f, offset, address | PCI_BASE_ADDRESS_SPACE_MEMORY, 4);
	pci_function_set_writable(f, offset, &mask, sizeof(mask));
}

unsigned int pci_function_add_cap(struct pci_function *f, const void *cap, unsigned int len)
{
	unsigned int offset = PCI_STD_HEADER_SIZEOF;

	if (f->last_cap) {
		/* the end of the one before, found by its own length field or kind */
		offset = f->last_cap + (f->config[f->last_cap] == PCI_CAP_ID_MSIX
						? PCI_CAP_MSIX_SIZEOF
						: f->config[f->last_cap + PCI_CAP_FLAGS]);
		offset = (offset + 3) & ~3u;
	}
	assert(offset + len <= PCI_CONFIG_SIZE);
	memcpy(f->config + offset, cap, len);
	f->config[offset + PCI_CAP_LIST_NEXT] = 0;
	if (f->last_cap)
		f->config[f->last_cap + PCI_CAP_LIST_NEXT] = (uint8_t)offset;
	else
		f->config[PCI_CAPABILITY_LIST] = (uint8_t)offset;
	pci_config_set(f, PCI_STATUS, PCI_STATUS_CAP_LIST, 2);
	f->last_cap = offset;
	return offset;
}

void pci_host_bridge_init(struct pci_function *f)
{
	static const struct pci_ops none;
	static const struct pci_id id = {
		.vendor = 0x1b36, .device = 0x0008, .class_code = 0x060000, /* host bridge */
	};

	pci_function_init(f, &id, &none);
}

/* The function and offset that the address register and @port select; NULL if nothing is there. */
static struct pci_function *select_config(struct pci_bus *bus, uint16_t port, unsigned int len,
					  unsigned int *ret_offset)
{
	uint32_t address = atomic_load(&bus->address);
	unsigned int byte = port - PLATFORM_PORT_PCI_DATA;

	if (!(address & ADDRESS_ENABLE) || address & 0x00ff0700 || byte + len > 4)
		return NULL;
	*ret_offset = (address & 0xfc) + byte;
	return bus->slots[address >> 11 & 0x1f];
}

void pci_io_read(struct pci_bus *bus, uint16_t port, void *data, unsigned int len)
{
	struct pci_function *f;
	unsigned int offset;

	memset(data, 0xff, len);
	if (port < PLATFORM_PORT_PCI_DATA) {
		uint32_t address = atomic_load(&bus->address);

		if (port == PLATFORM_PORT_PCI_ADDRESS && len == 4)
			memcpy(data, &address, 4);
		return;
	}
	f = select_config(bus, port, len, &offset);
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	if (f->ops->config_read)
		f->ops->config_read(f, offset, len);
	memcpy(data, f->config + offset, len);
	pthread_mutex_unlock(&f->lock);
}

void pci_io_write(struct pci_bus *bus, uint16_t port, const void *data, unsigned int len)
{
	const uint8_t *bytes = data;
	struct pci_function *f;
	unsigned int offset;

	if (port < PLATFORM_PORT_PCI_DATA) {
		uint32_t address;

		if (port == PLATFORM_PORT_PCI_ADDRESS && len == 4) {
			memcpy(&address, data, 4);
			atomic_store(&bus->address, address);
		}
		return;
	}
	f = select_config(bus, port, len, &offset);
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	for (unsigned int i = 0; i < len; i++) {
		uint8_t mask = f->writable[offset + i];

		f->config[offset + i] =
			(uint8_t)((f->config[offset + i] & ~mask) | (bytes[i] & mask));
	}
	if (f->ops->config_written)
		f->ops->config_written(f, offset, len);
	pthread_mutex_unlock(&f->lock);
}

/* The BAR of @f that holds the access; -1 if none does. */
static int find_bar(const struct pci_function *f, uint64_t address, unsigned int len,
		    uint32_t *ret_offset)
{
	if (!(pci_config_get(f, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY))
		return -1;
	for (unsigned int bar = 0; bar < PCI_BARS; bar++) {
		uint32_t size = f->bar_size[bar];
		uint32_t start = pci_config_get(f, PCI_BASE_ADDRESS_0 + 4 * bar, 4) & ~15u;
		uint64_t offset = address - start;

		if (address >= start && offset < size && len <= size - offset) {
			*ret_offset = (uint32_t)offset;
			return (int)bar;
		}
	}
	return -1;
}

bool pci_mmio_read(struct pci_bus *bus, uint64_t address, void *data, unsigned int len)
{
	memset(data, 0xff, len);
	for (unsigned int i = 0; i < PCI_SLOTS; i++) {
		struct pci_function *f = bus->slots[i];
		uint32_t offset;
		int bar;

		if (!f)
			continue;
		pthread_mutex_lock(&f->lock);
		bar = find_bar(f, address, len, &offset);
		if (bar >= 0 && f->ops->bar_read)
			f->ops->bar_read(f, (unsigned int)bar, offset, data, len);
		pthread_mutex_unlock(&f->lock);
		if (bar >= 0)
			return true;
	}
	return false;
}

bool pci_mmio_write(struct pci_bus *bus, uint64_t address, const void *data, unsigned int len)
{
	for (unsigned int i = 0; i < PCI_SLOTS; i++) {
		struct pci_function *f = bus->slots[i];
		uint32_t offset;
		int bar;

		if (!f)
			continue;
		pthread_mutex_lock(&f->lock);
		bar = find_bar(f, address, len, &offset);
		if (bar >= 0 && f->ops->bar_write)
			f->ops->bar_write(f, (unsigned int)bar, offset, data, len);
		pthread_mutex_unlock(&f->lock);
		if (bar >= 0)
			return true;
	}
	return false;
}
