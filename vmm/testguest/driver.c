/* SPDX-License-Identifier: MIT */
#include "driver.h"

#include <linux/pci_regs.h>

#include "theseus/platform.h"

#define QUEUE_CONTROL_TX 3u

uint32_t pci_read(uint32_t slot, unsigned int offset)
{
	out32(PLATFORM_PORT_PCI_ADDRESS, 0x80000000u | slot << 11 | (offset & 0xfc));
	return in32(PLATFORM_PORT_PCI_DATA) >> (8 * (offset & 3));
}

void pci_write(uint32_t slot, unsigned int offset, uint32_t value)
{
	out32(PLATFORM_PORT_PCI_ADDRESS, 0x80000000u | slot << 11 | (offset & 0xfc));
	out32(PLATFORM_PORT_PCI_DATA, value);
}

static volatile uint8_t *bar(uint32_t slot, unsigned int n)
{
	uint64_t low = pci_read(slot, PCI_BASE_ADDRESS_0 + 4 * n), high = 0;

	if ((low & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64)
		high = pci_read(slot, PCI_BASE_ADDRESS_0 + 4 * n + 4);
	guest_check(!high, "the BAR lies above 4 GiB");
	return (volatile uint8_t *)(low & ~15ull);
}

static void take_cap(struct driver *d, unsigned int cap)
{
	volatile uint8_t *at =
		bar(d->slot, pci_read(d->slot, cap + 4) & 0xff) + pci_read(d->slot, cap + 8);

	switch (pci_read(d->slot, cap + 3) & 0xff) {
	case VIRTIO_PCI_CAP_COMMON_CFG:
		d->common = (volatile void *)at;
		break;
	case VIRTIO_PCI_CAP_NOTIFY_CFG:
		d->notify = at;
		d->notify_stride = pci_read(d->slot, cap + 16);
		break;
	case VIRTIO_PCI_CAP_ISR_CFG:
		d->isr = at;
		break;
	case VIRTIO_PCI_CAP_DEVICE_CFG:
		d->device = (volatile void *)at;
		break;
	}
}

static void take_msix(struct driver *d, unsigned int cap)
{
	uint32_t table = pci_read(d->slot, cap + PCI_MSIX_TABLE);

	d->msix = (volatile void *)(bar(d->slot, table & 7) + (table & ~7u));
	pci_write(d->slot, cap, pci_read(d->slot, cap) | PCI_MSIX_FLAGS_ENABLE << 16);
}

void driver_find(struct driver *d, struct driver_queue *queues)
{
	unsigned int cap;

	*d = (struct driver){.queues = queues};
	while (pci_read(d->slot, 0) != 0x10431af4)
		guest_check(++d->slot < 32, "no virtio-console");
	pci_write(d->slot, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	for (cap = pci_read(d->slot, PCI_CAPABILITY_LIST) & 0xff; cap;
	     cap = pci_read(d->slot, cap + 1) & 0xff) {
		uint32_t id = pci_read(d->slot, cap) & 0xff;

		if (id == PCI_CAP_ID_VNDR)
			take_cap(d, cap);
		else if (id == PCI_CAP_ID_MSIX)
			take_msix(d, cap);
	}
	guest_check(d->common && d->notify && d->isr && d->device && d->msix,
		    "a capability is missing");
	for (unsigned int i = 0; i < 2; i++) {
		d->msix[4 * i] = 0xfee00000u;
		d->msix[4 * i + 1] = 0;
		d->msix[4 * i + 2] = GUEST_VECTOR;
		d->msix[4 * i + 3] = 0;
	}
}

void driver_begin(struct driver *d)
{
	d->common->device_status = 0;
	while (d->common->device_status)
		;
	d->common->device_status = VIRTIO_CONFIG_S_ACKNOWLEDGE;
	d->common->device_status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
	d->common->guest_feature_select = 0;
	d->common->guest_feature = 1u << VIRTIO_CONSOLE_F_MULTIPORT;
	d->common->guest_feature_select = 1;
	d->common->guest_feature = 1u << (VIRTIO_F_VERSION_1 - 32);
	d->common->device_status |= VIRTIO_CONFIG_S_FEATURES_OK;
	guest_check(d->common->device_status & VIRTIO_CONFIG_S_FEATURES_OK, "features refused");
	d->common->msix_config = 0;
}

void driver_program_queue(struct driver *d, unsigned int i, uint16_t size, uint16_t vector)
{
	struct driver_queue *q = &d->queues[i];

	memset(q, 0, offsetof(struct driver_queue, buffers));
	q->seen = 0;
	d->common->queue_select = (uint16_t)i;
	d->common->queue_size = size;
	d->common->queue_msix_vector = vector;
	d->common->queue_desc_lo = (uint32_t)(uintptr_t)q->desc;
	d->common->queue_desc_hi = 0;
	d->common->queue_avail_lo = (uint32_t)(uintptr_t)&q->avail;
	d->common->queue_avail_hi = 0;
	d->common->queue_used_lo = (uint32_t)(uintptr_t)&q->used;
	d->common->queue_used_hi = 0;
	q->notify = (volatile void *)(d->notify + d->common->queue_notify_off * d->notify_stride);
}

void driver_enable_queue(struct driver *d, unsigned int i)
{
	d->common->queue_select = (uint16_t)i;
	d->common->queue_enable = 1;
}

void driver_ok(struct driver *d)
{
	d->common->device_status |= VIRTIO_CONFIG_S_DRIVER_OK;
}

void driver_start(struct driver *d)
{
	driver_begin(d);
	for (unsigned int i = 0; i < DRIVER_QUEUES; i++) {
		driver_program_queue(d, i, DRIVER_RING, 1);
		driver_enable_queue(d, i);
	}
	driver_ok(d);
	for (unsigned int i = 0; i < DRIVER_QUEUES; i += 2) {
		for (uint16_t b = 0; b < DRIVER_RING; b++)
			driver_post(d, i, b, DRIVER_BUFFER, true);
		driver_kick(d, i);
	}
}

void driver_post(struct driver *d, unsigned int i, uint16_t b, uint32_t len, bool device_writes)
{
	struct driver_queue *q = &d->queues[i];

	q->desc[b] = (struct vring_desc){
		.addr = (uintptr_t)q->buffers[b],
		.len = len,
		.flags = device_writes ? VRING_DESC_F_WRITE : 0,
	};
	q->avail.ring[q->avail.idx % DRIVER_RING] = b;
	__atomic_store_n(&q->avail.idx, (uint16_t)(q->avail.idx + 1), __ATOMIC_SEQ_CST);
}

void driver_kick(struct driver *d, unsigned int i)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!(*(volatile uint16_t *)&d->queues[i].used.flags & VRING_USED_F_NO_NOTIFY))
		*d->queues[i].notify = (uint16_t)i;
}

bool driver_used(struct driver *d, unsigned int i, uint16_t *ret_buffer, uint32_t *ret_len)
{
	struct driver_queue *q = &d->queues[i];

	if (q->seen == __atomic_load_n(&q->used.idx, __ATOMIC_ACQUIRE))
		return false;
	*ret_buffer = (uint16_t)q->used.ring[q->seen % DRIVER_RING].id;
	*ret_len = q->used.ring[q->seen % DRIVER_RING].len;
	q->seen++;
	return true;
}

void driver_send(struct driver *d, unsigned int i, const void *data, uint32_t len)
{
	uint32_t seen = guest_interrupts, unused;
	uint16_t b;

	memcpy(d->queues[i].buffers[0], data, len);
	driver_post(d, i, 0, len, false);
	driver_kick(d, i);
	while (!driver_used(d, i, &b, &unused))
		guest_wait(&seen);
}

void driver_control(struct driver *d, uint32_t port, uint16_t event, uint16_t value)
{
	const struct virtio_console_control m = {.id = port, .event = event, .value = value};

	driver_send(d, QUEUE_CONTROL_TX, &m, sizeof(m));
}
