/* SPDX-License-Identifier: MIT */
#include <theseus/virtio.h>

#include <theseus/cell.h>
#include <theseus/errno.h>

#include "transport.h"

CELL_INFO(.name = "virtio", .version = "1.0.0",
	  .summary = "virtio over PCI: features, split virtqueues, MSI-X", .safety = CELL_UNSAFE,
	  .quiescence = CELL_QUIESCE_ANY);

CELL_EXPORT(virtqueue_init);
CELL_EXPORT(virtqueue_add);
CELL_EXPORT(virtqueue_kick);
CELL_EXPORT(virtqueue_get);
CELL_EXPORT(virtqueue_interrupts);
CELL_EXPORT(virtio_open);
CELL_EXPORT(virtio_interrupt);
CELL_EXPORT(virtio_queue);
CELL_EXPORT(virtio_start);
CELL_EXPORT(virtio_config_read);
CELL_EXPORT(virtio_close);

#define VIRTIO_VENDOR 0x1af4u
#define VIRTIO_DEVICE_MODERN 0x1040u /* + type */
#define VIRTIO_CAPS_MAX 32u
#define RESET_TRIES 1000u

#define STATUS_ACKNOWLEDGE 1u
#define STATUS_DRIVER 2u
#define STATUS_DRIVER_OK 4u
#define STATUS_FEATURES_OK 8u
#define STATUS_NEEDS_RESET 64u
#define STATUS_FAILED 128u

#define NO_VECTOR 0xffffu

struct common_cfg {
	uint32_t device_feature_select, device_feature;
	uint32_t driver_feature_select, driver_feature;
	uint16_t config_msix_vector, num_queues;
	uint8_t device_status, config_generation;
	uint16_t queue_select, queue_size, queue_msix_vector, queue_enable, queue_notify_off;
	uint32_t queue_desc[2], queue_driver[2], queue_device[2];
};
_Static_assert(sizeof(struct common_cfg) == VIRTIO_COMMON_BYTES, "virtio 1.2, 4.1.4.3");

static volatile struct common_cfg *common(const struct virtio_device *d)
{
	return MAPPED_VIEW(volatile struct common_cfg, d->common.region, d->common.offset, 1);
}

static int window_open(const struct pci_function *f, const struct virtio_part_place *place,
		       struct virtio_window *ret_window)
{
	struct virtio_window w = {.offset = place->offset % PAGE_SIZE, .bytes = place->bytes};
	paddr_t pa;
	int r = pci_bar(f, place->bar, &pa);

	if (r < 0)
		return r;
	pa.v += place->offset - w.offset;
	r = mapped_create_device(pa, w.offset + w.bytes, &w.region);
	if (r < 0)
		return r;
	*ret_window = w;
	return 0;
}

static int notify_multiplier(const struct virtio_device *d, uint8_t cap, uint32_t *ret_value)
{
	uint8_t offset = (uint8_t)(cap + VIRTIO_CAP_MULTIPLIER);

	return pci_read(&d->function, &offset, 1, ret_value);
}

/* The first capability of a kind is the device's preference (4.1.4.1). */
static int find_parts(const struct pci_function *f, struct virtio_part_place *places)
{
	struct pci_cap cap = {0};
	int r = 0;

	for (unsigned i = 0; i < VIRTIO_CAPS_MAX; i++) {
		struct virtio_part_place place;
		enum virtio_part part;

		if (places[VIRTIO_PART_COMMON].cap && places[VIRTIO_PART_NOTIFY].cap &&
		    places[VIRTIO_PART_CONFIG].cap)
			return 0;
		r = pci_cap_next(f, PCI_CAP_VENDOR, &cap);
		if (r < 0)
			break;
		r = virtio_part_parse(&cap, &part, &place);
		if (r < 0)
			return r;
		if (r > 0 && places[part].cap == 0)
			places[part] = place;
	}
	if (r < 0 && r != -ENOENT)
		return r;
	return places[VIRTIO_PART_COMMON].cap && places[VIRTIO_PART_NOTIFY].cap ? 0 : -EOPNOTSUPP;
}

static int map_parts(struct virtio_device *d)
{
	struct virtio_part_place places[_VIRTIO_PART_MAX] = {{0}};
	int r = find_parts(&d->function, places);

	if (r < 0)
		return r;
	r = window_open(&d->function, &places[VIRTIO_PART_COMMON], &d->common);
	if (r < 0)
		return r;
	r = window_open(&d->function, &places[VIRTIO_PART_NOTIFY], &d->notify);
	if (r < 0)
		return r;
	if (places[VIRTIO_PART_CONFIG].cap) {
		r = window_open(&d->function, &places[VIRTIO_PART_CONFIG], &d->config);
		if (r < 0)
			return r;
	}
	return notify_multiplier(d, places[VIRTIO_PART_NOTIFY].cap, &d->notify_multiplier);
}

static void unmap_parts(struct virtio_device *d)
{
	mapped_drop(&d->common.region);
	mapped_drop(&d->notify.region);
	mapped_drop(&d->config.region);
}

/* A reset may take the device a moment (4.1.4.3.2): the status reads 0 when it is done. */
static int reset(volatile struct common_cfg *c)
{
	c->device_status = 0;
	for (unsigned i = 0; i < RESET_TRIES; i++) {
		if (c->device_status == 0)
			return 0;
	}
	return -ETIMEDOUT;
}

static int negotiate(struct virtio_device *d, volatile struct common_cfg *c, uint64_t wanted)
{
	uint64_t offered;

	c->device_status = STATUS_ACKNOWLEDGE;
	c->device_status = STATUS_ACKNOWLEDGE | STATUS_DRIVER;
	c->device_feature_select = 0;
	offered = c->device_feature;
	c->device_feature_select = 1;
	offered |= (uint64_t)c->device_feature << 32;
	if (!(offered & VIRTIO_F_VERSION_1))
		return -EOPNOTSUPP;
	d->features = offered & (wanted | VIRTIO_F_VERSION_1);
	c->driver_feature_select = 0;
	c->driver_feature = (uint32_t)d->features;
	c->driver_feature_select = 1;
	c->driver_feature = (uint32_t)(d->features >> 32);
	c->device_status = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK;
	if (!(c->device_status & STATUS_FEATURES_OK))
		return -EOPNOTSUPP;
	d->n_queues = c->num_queues;
	return 0;
}

static int open_device(struct virtio_device *d, uint64_t features)
{
	volatile struct common_cfg *c;
	int r;

	r = pci_enable(&d->function);
	if (r < 0)
		return r;
	r = map_parts(d);
	if (r < 0)
		return r;
	c = common(d);
	if (!c)
		return -EPROTO;
	r = reset(c);
	if (r < 0)
		return r;
	r = negotiate(d, c, features);
	if (r < 0)
		c->device_status = STATUS_FAILED;
	return r;
}

int virtio_open(uint16_t type, uint32_t index, uint64_t features, struct virtio_device *ret_device)
{
	struct virtio_device d = {0};
	int r = pci_find(VIRTIO_VENDOR, (uint16_t)(VIRTIO_DEVICE_MODERN + type), index,
			 &d.function);

	if (r < 0)
		return r;
	r = open_device(&d, features);
	if (r < 0) {
		unmap_parts(&d);
		return r;
	}
	*ret_device = d;
	return 0;
}

int virtio_interrupt(struct virtio_device *d, uint32_t apic_id, uint8_t vector)
{
	int r = pci_msix_open(&d->function, &d->msix);

	if (r < 0)
		return r;
	r = pci_msix_route(&d->msix, 0, apic_id, vector);
	if (r < 0)
		return r;
	return pci_msix_enable(&d->msix);
}

/* Where to ring for a queue: its own place in the notify window. */
static int doorbell(const struct virtio_device *d, uint16_t notify_off, struct virtqueue *q)
{
	uint64_t at = (uint64_t)notify_off * d->notify_multiplier;

	if (at + 2 > d->notify.bytes)
		return -EPROTO;
	q->doorbell = MAPPED_VIEW(volatile uint16_t, d->notify.region, d->notify.offset + at, 1);
	return q->doorbell ? 0 : -EPROTO;
}

/* Upper halves are 0 after the reset: written only where they differ. */
static void write_address(volatile uint32_t *reg, uint64_t pa)
{
	reg[0] = (uint32_t)pa;
	if (pa >> 32)
		reg[1] = (uint32_t)(pa >> 32);
}

int virtio_queue(struct virtio_device *d, uint16_t index, uint16_t size, struct mapped ring,
		 size_t offset, struct virtqueue *ret_queue)
{
	volatile struct common_cfg *c = common(d);
	void *memory;
	paddr_t pa;
	uint16_t device_size;
	int r;

	if (!c || index >= d->n_queues)
		return -ENOENT;
	c->queue_select = index;
	device_size = c->queue_size;
	if (device_size == 0)
		return -ENOENT;
	while (size > device_size)
		size /= 2;
	r = mapped_view(ring, offset, VIRTQUEUE_BYTES(size), 16, &memory);
	if (r < 0)
		return r;
	r = mapped_phys(ring, offset, &pa);
	if (r < 0)
		return r;
	r = virtqueue_init(ret_queue, index, size, memory);
	if (r < 0)
		return r;
	if (size != device_size)
		c->queue_size = size;
	c->queue_msix_vector = 0;
	if (c->queue_msix_vector == NO_VECTOR)
		return -EPROTO;
	write_address(c->queue_desc, pa.v);
	write_address(c->queue_driver, pa.v + VIRTQUEUE_AVAIL_OFFSET(size));
	write_address(c->queue_device, pa.v + VIRTQUEUE_USED_OFFSET(size));
	r = doorbell(d, c->queue_notify_off, ret_queue);
	if (r < 0)
		return r;
	c->queue_enable = 1;
	return 0;
}

int virtio_start(struct virtio_device *d)
{
	volatile struct common_cfg *c = common(d);

	if (!c)
		return -EIO;
	c->device_status =
		STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK;
	return c->device_status & (STATUS_NEEDS_RESET | STATUS_FAILED) ? -EIO : 0;
}

int virtio_config_read(const struct virtio_device *d, uint32_t offset, uint32_t *ret_value)
{
	volatile uint32_t *word;

	if (offset % 4 != 0 || offset + 4 > d->config.bytes)
		return -ERANGE;
	word = MAPPED_VIEW(volatile uint32_t, d->config.region, d->config.offset + offset, 1);
	if (!word)
		return -ERANGE;
	*ret_value = *word;
	return 0;
}

int virtio_close(struct virtio_device *d)
{
	volatile struct common_cfg *c = common(d);

	if (c) {
		int r = reset(c);

		if (r < 0)
			return r;
	}
	pci_msix_close(&d->msix);
	unmap_parts(d);
	*d = (struct virtio_device){0};
	return 0;
}
