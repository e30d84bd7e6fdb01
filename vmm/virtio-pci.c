/* SPDX-License-Identifier: MIT */
#include "virtio-pci.h"

#include <assert.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <stdatomic.h>
#include <string.h>

#include "container-of.h"
#include "metrics.h"

/* Layout of BAR 0. The MSI-X structures have a page of their own. */
#define BAR_COMMON 0x000u
#define BAR_ISR 0x400u
#define BAR_DEVICE 0x800u
#define BAR_NOTIFY 0xc00u
#define BAR_MSIX_TABLE 0x1000u
#define BAR_MSIX_PBA 0x1800u
#define NOTIFY_STRIDE 4u
#define VECTORS (VIRTIO_PCI_QUEUES_MAX + 1) /* configuration changes, and one a queue */

#define ISR_QUEUE 1u /* beside VIRTIO_PCI_ISR_CONFIG */

#define STATUS_DRIVER_BITS                                                                         \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |      \
	 VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FAILED)

static uint64_t offered(const struct virtio_pci *v)
{
	return v->ops->features | 1ull << VIRTIO_F_VERSION_1;
}

static void reset(struct virtio_pci *v)
{
	v->device_feature_select = v->driver_feature_select = 0;
	v->driver_features = 0;
	v->status = 0;
	v->isr = 0;
	v->config_vector = MSIX_NO_VECTOR;
	v->queue_select = 0;
	for (unsigned int i = 0; i < VIRTIO_PCI_QUEUES_MAX; i++) {
		virtqueue_reset(&v->queues[i]);
		v->queue_vectors[i] = MSIX_NO_VECTOR;
	}
	atomic_store(&v->kicked, 0);
}

struct virtqueue *virtio_pci_queue(struct virtio_pci *v, unsigned int i)
{
	if (!(v->status & VIRTIO_CONFIG_S_DRIVER_OK) || v->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return NULL;
	return i < v->ops->queues && v->queues[i].enabled ? &v->queues[i] : NULL;
}

void virtio_pci_interrupt(struct virtio_pci *v, unsigned int i)
{
	if (!virtqueue_wants_interrupt(&v->queues[i]))
		return;
	v->isr |= ISR_QUEUE;
	msix_raise(&v->msix, v->queue_vectors[i]);
}

void virtio_pci_break(struct virtio_pci *v)
{
	if (v->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	metrics_add(METRIC_DEVICES_BROKEN, 1);
	v->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	if (v->status & VIRTIO_CONFIG_S_DRIVER_OK) {
		v->isr |= VIRTIO_PCI_ISR_CONFIG;
		msix_raise(&v->msix, v->config_vector);
	}
}

void virtio_pci_kick(struct virtio_pci *v, unsigned int i)
{
	atomic_fetch_or(&v->kicked, 1u << i);
	v->ops->wake(v);
}

/* ---- common configuration ---- */

static uint32_t feature_word(uint64_t features, uint32_t select)
{
	return select < 2 ? (uint32_t)(features >> (32 * select)) : 0;
}

/* The queue that queue_select names, or NULL: the guest chooses the number. */
static struct virtqueue *selected(struct virtio_pci *v)
{
	return v->queue_select < v->ops->queues ? &v->queues[v->queue_select] : NULL;
}

static void common_read(struct virtio_pci *v, uint32_t offset, void *data, unsigned int len)
{
	const struct virtqueue *q = selected(v);
	struct virtio_pci_common_cfg c = {
		.device_feature_select = v->device_feature_select,
		.device_feature = feature_word(offered(v), v->device_feature_select),
		.guest_feature_select = v->driver_feature_select,
		.guest_feature = feature_word(v->driver_features, v->driver_feature_select),
		.msix_config = v->config_vector,
		.num_queues = (uint16_t)v->ops->queues,
		.device_status = v->status,
		.queue_select = v->queue_select,
	};

	if (q) {
		c.queue_size = q->size;
		c.queue_msix_vector = v->queue_vectors[v->queue_select];
		c.queue_enable = q->enabled;
		c.queue_notify_off = v->queue_select;
		c.queue_desc_lo = (uint32_t)q->desc.v;
		c.queue_desc_hi = (uint32_t)(q->desc.v >> 32);
		c.queue_avail_lo = (uint32_t)q->avail.v;
		c.queue_avail_hi = (uint32_t)(q->avail.v >> 32);
		c.queue_used_lo = (uint32_t)q->used.v;
		c.queue_used_hi = (uint32_t)(q->used.v >> 32);
	}
	if (offset + len <= sizeof(c))
		memcpy(data, (const char *)&c + offset, len);
	else
		memset(data, 0, len);
}

static void write_features(struct virtio_pci *v, uint32_t value)
{
	unsigned int shift = 32 * v->driver_feature_select;

	if (v->driver_feature_select >= 2 || v->status & VIRTIO_CONFIG_S_FEATURES_OK)
		return;
	v->driver_features &= ~(0xffffffffull << shift);
	v->driver_features |= (uint64_t)value << shift;
}

/* Bits are only ever added, in order; 0 resets. What breaks the order is not taken over. */
static void write_status(struct virtio_pci *v, uint8_t value)
{
	uint8_t old = v->status, new = value &STATUS_DRIVER_BITS;

	if (!value) {
		reset(v);
		v->ops->reset(v);
		return;
	}
	if ((old & STATUS_DRIVER_BITS & ~new) || old & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	if (new &VIRTIO_CONFIG_S_DRIVER && !(new &VIRTIO_CONFIG_S_ACKNOWLEDGE))
		return;
	if (new &VIRTIO_CONFIG_S_FEATURES_OK && !(old & VIRTIO_CONFIG_S_FEATURES_OK) &&
	    (!(new &VIRTIO_CONFIG_S_DRIVER) || v->driver_features & ~offered(v) ||
	     !(v->driver_features & 1ull << VIRTIO_F_VERSION_1)))
		new &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
	if (new &VIRTIO_CONFIG_S_DRIVER_OK && !(new &VIRTIO_CONFIG_S_FEATURES_OK))
		new &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
	v->status = new;
	if (new & ~old & VIRTIO_CONFIG_S_DRIVER_OK)
		v->ops->wake(v);
}

/*
 * A queue's registers are open between FEATURES_OK and its enabling. Anything later would
 * change rings that were already checked.
 */
static bool queue_open(const struct virtio_pci *v, const struct virtqueue *q)
{
	const uint8_t stage = VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK |
			      VIRTIO_CONFIG_S_NEEDS_RESET;

	return q && !q->enabled && (v->status & stage) == VIRTIO_CONFIG_S_FEATURES_OK;
}

static void set_half(gpa_t *a, bool high, uint32_t value)
{
	if (high)
		a->v = (a->v & 0xffffffffu) | (uint64_t)value << 32;
	else
		a->v = (a->v & ~0xffffffffull) | value;
}

static void write_queue(struct virtio_pci *v, uint32_t offset, uint32_t value, unsigned int len)
{
	struct virtqueue *q = selected(v);

	if (!queue_open(v, q))
		return;
	if (len == 2 && offset == VIRTIO_PCI_COMMON_Q_SIZE)
		q->size = (uint16_t)value;
	else if (len == 2 && offset == VIRTIO_PCI_COMMON_Q_MSIX)
		v->queue_vectors[v->queue_select] =
			value < VECTORS ? (uint16_t)value : MSIX_NO_VECTOR;
	else if (len == 2 && offset == VIRTIO_PCI_COMMON_Q_ENABLE && value == 1) {
		if (virtqueue_enable(q, v->memory) < 0)
			virtio_pci_break(v);
	} else if (len == 4 && offset / 8 == VIRTIO_PCI_COMMON_Q_DESCLO / 8)
		set_half(&q->desc, offset == VIRTIO_PCI_COMMON_Q_DESCHI, value);
	else if (len == 4 && offset / 8 == VIRTIO_PCI_COMMON_Q_AVAILLO / 8)
		set_half(&q->avail, offset == VIRTIO_PCI_COMMON_Q_AVAILHI, value);
	else if (len == 4 && offset / 8 == VIRTIO_PCI_COMMON_Q_USEDLO / 8)
		set_half(&q->used, offset == VIRTIO_PCI_COMMON_Q_USEDHI, value);
}

static void common_write(struct virtio_pci *v, uint32_t offset, uint32_t value, unsigned int len)
{
	if (offset % len)
		return;
	if (len == 4 && offset == VIRTIO_PCI_COMMON_DFSELECT)
		v->device_feature_select = value;
	else if (len == 4 && offset == VIRTIO_PCI_COMMON_GFSELECT)
		v->driver_feature_select = value;
	else if (len == 4 && offset == VIRTIO_PCI_COMMON_GF)
		write_features(v, value);
	else if (len == 2 && offset == VIRTIO_PCI_COMMON_MSIX)
		v->config_vector = value < VECTORS ? (uint16_t)value : MSIX_NO_VECTOR;
	else if (len == 1 && offset == VIRTIO_PCI_COMMON_STATUS)
		write_status(v, (uint8_t)value);
	else if (len == 2 && offset == VIRTIO_PCI_COMMON_Q_SELECT)
		v->queue_select = (uint16_t)value;
	else
		write_queue(v, offset, value, len);
}

/* ---- BAR 0 ---- */

static void device_read(struct virtio_pci *v, uint32_t offset, void *data, unsigned int len)
{
	if (offset + len <= v->ops->config_size)
		v->ops->config_read(v, offset, data, len);
	else
		memset(data, 0, len);
}

static void msix_area_read(struct virtio_pci *v, uint32_t offset, void *data, unsigned int len)
{
	memset(data, 0, len);
	if (offset >= BAR_MSIX_PBA) {
		offset -= BAR_MSIX_PBA;
		if (offset + len <= sizeof(v->msix.pending))
			memcpy(data, (const char *)&v->msix.pending + offset, len);
	} else if (offset - BAR_MSIX_TABLE + len <= VECTORS * MSIX_ENTRY_SIZE) {
		msix_table_read(&v->msix, offset - BAR_MSIX_TABLE, data, len);
	}
}

static void bar_read(struct pci_function *f, unsigned int bar, uint32_t offset, void *data,
		     unsigned int len)
{
	struct virtio_pci *v = container_of(f, struct virtio_pci, pci);

	(void)bar;
	if (offset >= BAR_MSIX_TABLE) {
		msix_area_read(v, offset, data, len);
	} else if (offset >= BAR_NOTIFY) {
		memset(data, 0, len);
	} else if (offset >= BAR_DEVICE) {
		device_read(v, offset - BAR_DEVICE, data, len);
	} else if (offset >= BAR_ISR) {
		memset(data, 0, len);
		if (offset == BAR_ISR) {
			memcpy(data, &v->isr, 1);
			v->isr = 0;
		}
	} else {
		common_read(v, offset - BAR_COMMON, data, len);
	}
}

static void notified(struct virtio_pci *v, uint32_t offset)
{
	uint32_t queue = offset / NOTIFY_STRIDE;

	metrics_add(METRIC_NOTIFICATIONS, 1);
	if (virtio_pci_queue(v, queue))
		virtio_pci_kick(v, queue);
}

static void bar_write(struct pci_function *f, unsigned int bar, uint32_t offset, const void *data,
		      unsigned int len)
{
	struct virtio_pci *v = container_of(f, struct virtio_pci, pci);
	uint32_t value = 0;

	(void)bar;
	if (len == 8) {
		bar_write(f, bar, offset, data, 4);
		bar_write(f, bar, offset + 4, (const uint8_t *)data + 4, 4);
		return;
	}
	memcpy(&value, data, len);
	if (offset >= BAR_MSIX_TABLE) {
		offset -= BAR_MSIX_TABLE;
		if (offset % 4 == 0 && len == 4 && offset + len <= VECTORS * MSIX_ENTRY_SIZE)
			msix_table_write(&v->msix, offset, data, len);
	} else if (offset >= BAR_NOTIFY) {
		notified(v, offset - BAR_NOTIFY);
	} else if (offset < BAR_ISR) {
		common_write(v, offset - BAR_COMMON, value, len);
	}
}

/* ---- configuration space ---- */

/* The window of VIRTIO_PCI_CAP_PCI_CFG: an access to BAR 0 through configuration space. */
static bool cfg_window(const struct virtio_pci *v, uint32_t *ret_offset, uint32_t *ret_len)
{
	uint32_t bar = pci_config_get(&v->pci, v->cfg_cap + VIRTIO_PCI_CAP_BAR, 1);
	uint32_t offset = pci_config_get(&v->pci, v->cfg_cap + VIRTIO_PCI_CAP_OFFSET, 4);
	uint32_t len = pci_config_get(&v->pci, v->cfg_cap + VIRTIO_PCI_CAP_LENGTH, 4);

	if (bar || (len != 1 && len != 2 && len != 4) || offset % len ||
	    offset > VIRTIO_PCI_BAR_SIZE - len)
		return false;
	*ret_offset = offset;
	*ret_len = len;
	return true;
}

static bool is_cfg_data(const struct virtio_pci *v, unsigned int offset)
{
	unsigned int data = v->cfg_cap + sizeof(struct virtio_pci_cap);

	return offset >= data && offset < data + 4;
}

static void config_read(struct pci_function *f, unsigned int offset, unsigned int len)
{
	struct virtio_pci *v = container_of(f, struct virtio_pci, pci);
	uint32_t at, n;

	(void)len;
	if (is_cfg_data(v, offset) && cfg_window(v, &at, &n))
		bar_read(f, 0, at, f->config + v->cfg_cap + sizeof(struct virtio_pci_cap), n);
}

static void config_written(struct pci_function *f, unsigned int offset, unsigned int len)
{
	struct virtio_pci *v = container_of(f, struct virtio_pci, pci);
	uint32_t at, n;

	(void)len;
	if (is_cfg_data(v, offset) && cfg_window(v, &at, &n))
		bar_write(f, 0, at, f->config + v->cfg_cap + sizeof(struct virtio_pci_cap), n);
	msix_config_written(&v->msix, f);
}

static unsigned int add_virtio_cap(struct virtio_pci *v, uint8_t type, uint32_t offset,
				   uint32_t length, unsigned int size)
{
	struct virtio_pci_notify_cap c = {
		.cap =
			{
				.cap_vndr = PCI_CAP_ID_VNDR,
				.cap_len = (uint8_t)size,
				.cfg_type = type,
				.offset = offset,
				.length = length,
			},
	};

	if (type == VIRTIO_PCI_CAP_NOTIFY_CFG)
		c.notify_off_multiplier = NOTIFY_STRIDE;
	return pci_function_add_cap(&v->pci, &c, size);
}

static void add_caps(struct virtio_pci *v)
{
	const unsigned int plain = sizeof(struct virtio_pci_cap);
	struct virtio_pci_cfg_cap mask = {0};

	add_virtio_cap(v, VIRTIO_PCI_CAP_COMMON_CFG, BAR_COMMON,
		       sizeof(struct virtio_pci_common_cfg), plain);
	add_virtio_cap(v, VIRTIO_PCI_CAP_NOTIFY_CFG, BAR_NOTIFY, v->ops->queues * NOTIFY_STRIDE,
		       sizeof(struct virtio_pci_notify_cap));
	if (v->ops->config_size)
		add_virtio_cap(v, VIRTIO_PCI_CAP_DEVICE_CFG, BAR_DEVICE, v->ops->config_size,
			       plain);
	/* what a driver with MSI-X has no use for comes last: it need not read so far */
	add_virtio_cap(v, VIRTIO_PCI_CAP_ISR_CFG, BAR_ISR, 1, plain);
	v->cfg_cap =
		add_virtio_cap(v, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, sizeof(struct virtio_pci_cfg_cap));
	mask.cap.bar = 0xff;
	mask.cap.offset = mask.cap.length = 0xffffffffu;
	memset(mask.pci_cfg_data, 0xff, sizeof(mask.pci_cfg_data));
	pci_function_set_writable(&v->pci, v->cfg_cap, &mask, sizeof(mask));
}

void virtio_pci_init(struct virtio_pci *v, const struct virtio_ops *ops,
		     const struct guest_memory *memory, uint32_t address, struct msi_sink sink)
{
	static const struct pci_ops pci_ops = {
		.config_read = config_read,
		.config_written = config_written,
		.bar_read = bar_read,
		.bar_write = bar_write,
	};
	const struct pci_id id = {
		.vendor = 0x1af4,
		.device = (uint16_t)(0x1040 + ops->type),
		.subsystem_vendor = 0x1af4,
		.subsystem = ops->type,
		.class_code = ops->class_code,
		.revision = 1,
	};

	assert(ops->queues <= VIRTIO_PCI_QUEUES_MAX);
	*v = (struct virtio_pci){.ops = ops, .memory = memory};
	pci_function_init(&v->pci, &id, &pci_ops);
	pci_function_add_bar(&v->pci, 0, address, VIRTIO_PCI_BAR_SIZE);
	msix_init(&v->msix, &v->pci, VECTORS, 0, BAR_MSIX_TABLE, BAR_MSIX_PBA, sink);
	add_caps(v);
	reset(v);
}

void virtio_pci_deinit(struct virtio_pci *v)
{
	pci_function_deinit(&v->pci);
}
