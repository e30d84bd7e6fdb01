/* SPDX-License-Identifier: MIT */
#include <theseus/virtio.h>

#include <theseus/cell.h>
#include <theseus/errno.h>

#include "transport.h"

CELL_INFO(.name = "virtio", .version = "1.0.0",
	  .summary = "virtio over PCI: features, split virtqueues, MSI-X", .safety = CELL_UNSAFE,
	  .unsafe_reason = "programs devices: their registers and doorbells are device memory",
	  .quiescence = CELL_QUIESCE_ANY);

CELL_EXPORT(virtqueue_init);
CELL_EXPORT(virtqueue_add);
CELL_EXPORT(virtqueue_kick);
CELL_EXPORT(virtqueue_publish);
CELL_EXPORT(virtqueue_get);
CELL_EXPORT(virtqueue_interrupts);
CELL_EXPORT(virtio_open);
CELL_EXPORT(virtio_queue);
CELL_EXPORT(virtio_start);
CELL_EXPORT(virtio_config_read);
CELL_EXPORT(virtio_close);

#define VIRTIO_VENDOR 0x1af4u
#define VIRTIO_DEVICE_MODERN 0x1040u /* + type */
#define VIRTIO_SPAN_MAX (256u << 10) /* mapped of one BAR at most */
#define RESET_TRIES 1000u

#define STATUS_ACKNOWLEDGE 1u
#define STATUS_DRIVER 2u
#define STATUS_DRIVER_OK 4u
#define STATUS_FEATURES_OK 8u
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
	return MAPPED_VIEW(volatile struct common_cfg, d->regions[d->common.region],
			   d->common.offset, 1);
}

/* ---- what lies where ---- */

/* All of a device that is found in its configuration space. */
struct places {
	struct virtio_part_place parts[_VIRTIO_PART_MAX];
	struct pci_msix msix;
	bool has_msix;
};

static bool complete(const struct places *p)
{
	return p->parts[VIRTIO_PART_COMMON].cap && p->parts[VIRTIO_PART_NOTIFY].cap &&
	       p->parts[VIRTIO_PART_CONFIG].cap && p->has_msix;
}

/* The first capability of a kind is the device's preference (4.1.4.1). */
static int take_cap(struct places *p, const struct pci_cap *cap)
{
	struct virtio_part_place place;
	enum virtio_part part;
	int r;

	if (cap->id == PCI_CAP_MSIX && !p->has_msix) {
		r = pci_msix_parse(cap, &p->msix);
		p->has_msix = r == 0;
		return r < 0 ? -EPROTO : 0;
	}
	if (cap->id != PCI_CAP_VENDOR)
		return 0;
	r = virtio_part_parse(cap, &part, &place);
	if (r > 0 && p->parts[part].cap == 0)
		p->parts[part] = place;
	return r < 0 ? r : 0;
}

static int find_places(const struct pci_function *f, struct places *p)
{
	struct pci_cap cap = {0};

	while (!complete(p)) {
		int r = pci_cap_next(f, PCI_CAP_ANY, &cap);

		if (r == -ENOENT)
			break;
		if (r == 0)
			r = take_cap(p, &cap);
		if (r < 0)
			return r;
	}
	return p->parts[VIRTIO_PART_COMMON].cap && p->parts[VIRTIO_PART_NOTIFY].cap && p->has_msix
		       ? 0
		       : -EOPNOTSUPP;
}

/* ---- mapping it ---- */

/* The part of a BAR that is used: [start, end), whole pages. */
struct span {
	uint32_t start, end; /* 0, 0 = none of it */
};

static void span_add(struct span *s, uint32_t offset, uint32_t bytes)
{
	uint32_t start = offset & ~(PAGE_SIZE - 1);
	uint32_t end = (offset + bytes + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);

	if (s->end == 0 || start < s->start)
		s->start = start;
	if (end > s->end)
		s->end = end;
}

#define BARS 6u

static void spans_of(const struct places *p, struct span spans[BARS])
{
	static const enum virtio_part used[] = {VIRTIO_PART_COMMON, VIRTIO_PART_NOTIFY,
						VIRTIO_PART_CONFIG};

	for (unsigned i = 0; i < ARRAY_SIZE(used); i++) {
		const struct virtio_part_place *place = &p->parts[used[i]];

		if (place->cap)
			span_add(&spans[place->bar], place->offset, place->bytes);
	}
	span_add(&spans[p->msix.bar], p->msix.offset, PCI_MSIX_ENTRY_BYTES);
}

/* The BARs in use and the notify multiplier, in one batch. */
static int read_bars(struct virtio_device *d, const struct places *p, const struct span spans[BARS],
		     paddr_t ret_bars[BARS])
{
	uint32_t values[2 * VIRTIO_REGIONS_MAX + 1];
	uint8_t offsets[2 * VIRTIO_REGIONS_MAX + 1];
	unsigned n = 0;
	int r;

	for (unsigned bar = 0; bar < BARS; bar++) {
		if (spans[bar].end == 0)
			continue;
		offsets[n++] = PCI_BAR_OFFSET(bar);
		offsets[n++] = PCI_BAR_OFFSET(bar + 1); /* after the last: not looked at */
	}
	offsets[n++] = p->parts[VIRTIO_PART_NOTIFY].cap + VIRTIO_CAP_MULTIPLIER;
	r = pci_read(&d->function, offsets, n, values);
	if (r < 0)
		return r;
	d->notify_multiplier = values[n - 1];
	n = 0;
	for (unsigned bar = 0; bar < BARS; bar++) {
		if (spans[bar].end == 0)
			continue;
		r = pci_bar_decode(bar, values[n], values[n + 1], &ret_bars[bar]);
		if (r < 0)
			return r;
		n += 2;
	}
	return 0;
}

static void place_window(struct virtio_window *w, uint8_t region, const struct span *span,
			 uint32_t offset, uint32_t bytes)
{
	*w = (struct virtio_window){region, offset - span->start, bytes};
}

static void place_windows(struct virtio_device *d, const struct places *p, unsigned bar,
			  uint8_t region, const struct span *span)
{
	struct virtio_window *const windows[_VIRTIO_PART_MAX] = {
		[VIRTIO_PART_COMMON] = &d->common,
		[VIRTIO_PART_NOTIFY] = &d->notify,
		[VIRTIO_PART_CONFIG] = &d->config,
	};

	for (unsigned i = 0; i < _VIRTIO_PART_MAX; i++) {
		const struct virtio_part_place *place = &p->parts[i];

		if (windows[i] && place->cap && place->bar == bar)
			place_window(windows[i], region, span, place->offset, place->bytes);
	}
	if (p->msix.bar == bar)
		place_window(&d->table, region, span, p->msix.offset, PCI_MSIX_ENTRY_BYTES);
}

static int map_places(struct virtio_device *d, const struct places *p)
{
	struct span spans[BARS] = {{0, 0}};
	paddr_t bars[BARS] = {{0}};
	uint8_t n = 0;
	int r;

	spans_of(p, spans);
	r = read_bars(d, p, spans, bars);
	for (unsigned bar = 0; r == 0 && bar < BARS; bar++) {
		const struct span *span = &spans[bar];
		const paddr_t pa = {bars[bar].v + span->start};

		if (span->end == 0)
			continue;
		if (span->end - span->start > VIRTIO_SPAN_MAX)
			return -EPROTO;
		r = mapped_create_device(pa, span->end - span->start, &d->regions[n]);
		if (r == 0)
			place_windows(d, p, bar, n++, span);
	}
	return r;
}

static void unmap(struct virtio_device *d)
{
	for (unsigned i = 0; i < VIRTIO_REGIONS_MAX; i++)
		mapped_drop(&d->regions[i]);
}

/* ---- life ---- */

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
	return c->device_status & STATUS_FEATURES_OK ? 0 : -EOPNOTSUPP;
}

static int route(struct virtio_device *d, const struct virtio_options *options)
{
	volatile uint64_t *entry = MAPPED_VIEW(volatile uint64_t, d->regions[d->table.region],
					       d->table.offset, 2);

	return entry ? pci_msix_route(entry, options->apic_id, options->vector) : -EPROTO;
}

static int start_device(struct virtio_device *d, const struct virtio_options *options)
{
	volatile struct common_cfg *c = common(d);
	int r;

	if (!c)
		return -EPROTO;
	r = reset(c);
	if (r < 0)
		return r;
	r = route(d, options);
	if (r < 0)
		return r;
	r = negotiate(d, c, options->features);
	if (r < 0)
		c->device_status = STATUS_FAILED;
	return r;
}

static int open_device(struct virtio_device *d, const struct virtio_options *options)
{
	struct places places = {0};
	int r;

	r = find_places(&d->function, &places);
	if (r < 0)
		return r;
	d->msix = places.msix;
	r = map_places(d, &places);
	if (r < 0)
		return r;
	r = pci_enable(&d->function, &d->msix);
	if (r < 0)
		return r;
	r = start_device(d, options);
	if (r < 0)
		(void)!pci_disable(&d->function, &d->msix);
	return r;
}

int virtio_open(const struct virtio_options *options, struct virtio_device *ret_device)
{
	struct virtio_device d = {0};
	int r = pci_find(VIRTIO_VENDOR, (uint16_t)(VIRTIO_DEVICE_MODERN + options->type),
			 options->index, &d.function);

	if (r < 0)
		return r;
	r = open_device(&d, options);
	if (r < 0) {
		unmap(&d);
		return r;
	}
	*ret_device = d;
	return 0;
}

/* Where to ring for a queue: its own place in the notify window. */
static int doorbell(const struct virtio_device *d, uint16_t notify_off, struct virtqueue *q)
{
	uint64_t at = (uint64_t)notify_off * d->notify_multiplier;

	if (at + 2 > d->notify.bytes)
		return -EPROTO;
	q->doorbell = MAPPED_VIEW(volatile uint16_t, d->regions[d->notify.region],
				  d->notify.offset + at, 1);
	return q->doorbell ? 0 : -EPROTO;
}

/* Upper halves are 0 after the reset: written only where they differ. */
static void write_address(volatile uint32_t *reg, uint64_t pa)
{
	reg[0] = (uint32_t)pa;
	if (pa >> 32)
		reg[1] = (uint32_t)(pa >> 32);
}

/* What the first queue's vector needed in the device is there for all the others. */
static int set_vector(struct virtio_device *d, volatile struct common_cfg *c)
{
	c->queue_msix_vector = 0;
	if (!d->vector_checked && c->queue_msix_vector == NO_VECTOR)
		return -EPROTO;
	d->vector_checked = true;
	return 0;
}

int virtio_queue(struct virtio_device *d, uint16_t index, uint16_t size, struct mapped ring,
		 size_t offset, struct virtqueue *ret_queue)
{
	volatile struct common_cfg *c = common(d);
	void *memory;
	paddr_t pa;
	uint16_t device_size;
	int r;

	if (!c)
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
	r = set_vector(d, c);
	if (r < 0)
		return r;
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
	return 0;
}

int virtio_config_read(const struct virtio_device *d, uint32_t offset, uint32_t *ret_value)
{
	volatile uint32_t *word;

	if (offset % 4 != 0 || offset + 4 > d->config.bytes)
		return -ERANGE;
	word = MAPPED_VIEW(volatile uint32_t, d->regions[d->config.region],
			   d->config.offset + offset, 1);
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

		if (r == 0)
			r = pci_disable(&d->function, &d->msix);
		if (r < 0)
			return r;
	}
	unmap(d);
	*d = (struct virtio_device){0};
	return 0;
}
