/* SPDX-License-Identifier: MIT */
/*
 * virtio-console.c and virtio-pci.c, driven through the device's registers as a guest would,
 * with guest memory that is ours.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <linux/virtio_pci.h>
#include <string.h>

#include "cm.h"
#include "virtio-console.h"

#define MIB (1ull << 20)
#define BASE 0xe0000000u
#define RING 8u
#define QUEUE_AT(i) (0x100000u + 0x10000u * (i)) /* rings and buffers of queue i */
#define BUFFER_AT(i, b) (QUEUE_AT(i) + 0x4000 + 0x1000 * (b))

#define RX0 0u
#define TX0 1u
#define CONTROL_RX 2u
#define CONTROL_TX 3u
#define RX1 4u

static struct guest_memory memory;
static struct virtio_console console;
static struct pci_bus bus;
static unsigned int wakes, interrupts, opens, closes, writables, notes;
static uint32_t last_data;
static uint8_t received[4096];
static size_t received_len;

static void on_wake(void *ctx)
{
	(void)ctx;
	wakes++;
}

static int on_msi(void *ctx, uint64_t address, uint32_t data)
{
	(void)ctx;
	(void)address;
	interrupts++;
	last_data = data;
	return 0;
}

static void on_received(void *ctx, enum guest_port port, const uint8_t *data, size_t len)
{
	(void)ctx;
	(void)port;
	assert_true(received_len + len <= sizeof(received));
	memcpy(received + received_len, data, len);
	received_len += len;
}

static void on_writable(void *ctx, enum guest_port port)
{
	(void)ctx;
	(void)port;
	writables++;
}

static void on_opened(void *ctx, enum guest_port port, bool open)
{
	(void)ctx;
	(void)port;
	if (open)
		opens++;
	else
		closes++;
}

static void on_note(void *ctx, const char *text)
{
	(void)ctx;
	assert_non_null(strstr(text, "virtio-console"));
	notes++;
}

static const struct machine_events events = {
	.received = on_received, .writable = on_writable, .opened = on_opened, .note = on_note};

static int set_up(void **state)
{
	struct failure f;

	(void)state;
	wakes = interrupts = opens = closes = writables = notes = 0;
	received_len = 0;
	if (guest_memory_init(&memory, 32 * MIB, 32 * MIB, &f) < 0)
		return -1;
	bus = (struct pci_bus){0};
	if (virtio_console_init(&console, &memory, BASE, (struct msi_sink){on_msi, NULL}, &events,
				on_wake, NULL) < 0)
		return -1;
	bus.slots[1] = &console.vdev.pci;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	virtio_console_deinit(&console);
	virtio_console_deinit(&console);
	guest_memory_deinit(&memory);
	return 0;
}

/* ---- registers ---- */

static uint32_t config(unsigned int offset, unsigned int len)
{
	const uint32_t address = 0x80000800u | (offset & 0xfc);
	uint32_t v = 0;

	pci_io_write(&bus, 0xcf8, &address, 4);
	pci_io_read(&bus, (uint16_t)(0xcfc + (offset & 3)), &v, len);
	return v;
}

static void config_set(unsigned int offset, uint32_t v, unsigned int len)
{
	const uint32_t address = 0x80000800u | (offset & 0xfc);

	pci_io_write(&bus, 0xcf8, &address, 4);
	pci_io_write(&bus, (uint16_t)(0xcfc + (offset & 3)), &v, len);
}

static uint64_t get(uint32_t offset, unsigned int len)
{
	uint64_t v = 0;

	assert_true(pci_mmio_read(&bus, BASE + offset, &v, len));
	return v;
}

static void put(uint32_t offset, uint64_t v, unsigned int len)
{
	assert_true(pci_mmio_write(&bus, BASE + offset, &v, len));
}

/* Where a capability's structure lies in BAR 0. */
static uint32_t structure(uint8_t type, uint32_t *ret_cap)
{
	for (uint32_t cap = config(PCI_CAPABILITY_LIST, 1); cap; cap = config(cap + 1, 1)) {
		if (config(cap, 1) != PCI_CAP_ID_VNDR || config(cap + 3, 1) != type)
			continue;
		*ret_cap = cap;
		return config(cap + 8, 4);
	}
	fail_msg("no capability of type %u", type);
	return 0;
}

static uint8_t status(void)
{
	return (uint8_t)get(VIRTIO_PCI_COMMON_STATUS, 1);
}

static void features_ok(void)
{
	put(VIRTIO_PCI_COMMON_STATUS, 0, 1);
	put(VIRTIO_PCI_COMMON_STATUS, 1, 1);
	put(VIRTIO_PCI_COMMON_STATUS, 3, 1);
	put(VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	put(VIRTIO_PCI_COMMON_GF, 1, 4);
	put(VIRTIO_PCI_COMMON_GFSELECT, 0, 4);
	put(VIRTIO_PCI_COMMON_GF, 1u << VIRTIO_CONSOLE_F_MULTIPORT, 4);
	put(VIRTIO_PCI_COMMON_STATUS, 11, 1);
	assert_int_equal(status(), 11);
}

static void program_queue(unsigned int i)
{
	memset(guest_memory_at(&memory, GPA(QUEUE_AT(i)), 0x4000), 0, 0x4000);
	put(VIRTIO_PCI_COMMON_Q_SELECT, i, 2);
	put(VIRTIO_PCI_COMMON_Q_SIZE, RING, 2);
	put(VIRTIO_PCI_COMMON_Q_MSIX, 1, 2);
	put(VIRTIO_PCI_COMMON_Q_DESCLO, QUEUE_AT(i), 8);
	put(VIRTIO_PCI_COMMON_Q_AVAILLO, QUEUE_AT(i) + 0x1000, 4);
	put(VIRTIO_PCI_COMMON_Q_USEDLO, QUEUE_AT(i) + 0x2000, 4);
	put(VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
}

static void start(void)
{
	const uint32_t entry[4] = {0xfee00000, 0, 0x40, 0};

	features_ok();
	for (unsigned int v = 0; v < 2; v++)
		for (unsigned int i = 0; i < 4; i++)
			put(0x1000 + 16 * v + 4 * i, i == 2 ? entry[i] + v : entry[i], 4);
	config_set(config(PCI_CAPABILITY_LIST, 1) + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE, 2);
	put(VIRTIO_PCI_COMMON_MSIX, 0, 2);
	for (unsigned int i = 0; i < 6; i++)
		program_queue(i);
	put(VIRTIO_PCI_COMMON_STATUS, 15, 1);
	assert_int_equal(status(), 15);
	virtio_console_work(&console);
}

/* ---- queues ---- */

static struct vring_avail *avail(unsigned int i)
{
	return guest_memory_at(&memory, GPA(QUEUE_AT(i) + 0x1000), 0x1000);
}

static struct vring_used *used(unsigned int i)
{
	return guest_memory_at(&memory, GPA(QUEUE_AT(i) + 0x2000), 0x1000);
}

static void kick(unsigned int i)
{
	uint32_t cap;
	uint32_t notify = structure(VIRTIO_PCI_CAP_NOTIFY_CFG, &cap);

	put(notify + i * config(cap + 16, 4), i, 2);
}

static void post(unsigned int i, uint16_t b, uint32_t len, uint16_t flags)
{
	struct vring_desc *d = guest_memory_at(&memory, GPA(QUEUE_AT(i)), 16 * RING);

	d[b] = (struct vring_desc){.addr = BUFFER_AT(i, b), .len = len, .flags = flags};
	avail(i)->ring[avail(i)->idx % RING] = b;
	avail(i)->idx++;
}

static void *buffer(unsigned int i, uint16_t b)
{
	return guest_memory_at(&memory, GPA(BUFFER_AT(i, b)), 0x1000);
}

static void guest_control(uint32_t id, uint16_t event, uint16_t value)
{
	const struct virtio_console_control m = {.id = id, .event = event, .value = value};

	memcpy(buffer(CONTROL_TX, 0), &m, sizeof(m));
	post(CONTROL_TX, 0, sizeof(m), 0);
	kick(CONTROL_TX);
	virtio_console_work(&console);
}

static void expect_control(unsigned int at, uint32_t id, uint16_t event, const char *name)
{
	const struct vring_used_elem *e = &used(CONTROL_RX)->ring[at % RING];
	struct virtio_console_control m;

	assert_true(used(CONTROL_RX)->idx > at);
	memcpy(&m, buffer(CONTROL_RX, (uint16_t)e->id), sizeof(m));
	assert_int_equal(m.id, id);
	assert_int_equal(m.event, event);
	assert_int_equal(m.value, 1);
	assert_int_equal(e->len, sizeof(m) + strlen(name));
	assert_memory_equal((char *)buffer(CONTROL_RX, (uint16_t)e->id) + sizeof(m), name,
			    strlen(name));
}

/* ---- tests ---- */

static void test_registers(void **state)
{
	uint32_t cap, device;

	(void)state;
	assert_int_equal(config(0, 4), 0x10431af4);
	assert_int_equal(structure(VIRTIO_PCI_CAP_COMMON_CFG, &cap), 0);
	device = structure(VIRTIO_PCI_CAP_DEVICE_CFG, &cap);
	assert_int_equal(get(device + 4, 4), 2); /* max_nr_ports */
	assert_int_equal(get(device + 100, 4), 0);
	assert_int_equal(get(VIRTIO_PCI_COMMON_NUMQ, 2), 6);
	put(VIRTIO_PCI_COMMON_DFSELECT, 0, 4);
	assert_int_equal(get(VIRTIO_PCI_COMMON_DF, 4), 1u << VIRTIO_CONSOLE_F_MULTIPORT);
	put(VIRTIO_PCI_COMMON_DFSELECT, 1, 4);
	assert_int_equal(get(VIRTIO_PCI_COMMON_DF, 4), 1);
	put(VIRTIO_PCI_COMMON_DFSELECT, 2, 4);
	assert_int_equal(get(VIRTIO_PCI_COMMON_DF, 4), 0);
	put(VIRTIO_PCI_COMMON_Q_SELECT, 6, 2);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
	put(VIRTIO_PCI_COMMON_Q_SELECT, 5, 2);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_SIZE, 2), VIRTQUEUE_SIZE_MAX);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
	put(VIRTIO_PCI_COMMON_MSIX, 500, 2);
	assert_int_equal(get(VIRTIO_PCI_COMMON_MSIX, 2), 0xffff);
}

/* The window in configuration space reads and writes the same registers. */
static void test_config_window(void **state)
{
	uint32_t cap;

	(void)state;
	(void)structure(VIRTIO_PCI_CAP_PCI_CFG, &cap);
	config_set(cap + 4, 0, 1);
	config_set(cap + 8, VIRTIO_PCI_COMMON_NUMQ, 4);
	config_set(cap + 12, 2, 4);
	assert_int_equal(config(cap + 16, 2), 6);
	config_set(cap + 8, VIRTIO_PCI_COMMON_STATUS, 4);
	config_set(cap + 12, 1, 4);
	config_set(cap + 16, 1, 1);
	assert_int_equal(status(), 1);
	/* windows that are none: another BAR, an odd size, outside, misaligned */
	config_set(cap + 4, 1, 1);
	config_set(cap + 16, 0, 1);
	config_set(cap + 4, 0, 1);
	config_set(cap + 12, 3, 4);
	config_set(cap + 16, 0, 1);
	config_set(cap + 12, 4, 4);
	config_set(cap + 8, VIRTIO_PCI_BAR_SIZE - 2, 4);
	config_set(cap + 16, 0, 1);
	config_set(cap + 8, 0xffffffff, 4);
	config_set(cap + 16, 0, 1);
	assert_int_equal(status(), 1);
}

static void test_status_order(void **state)
{
	(void)state;
	put(VIRTIO_PCI_COMMON_STATUS, 2, 1); /* a driver without having been seen */
	assert_int_equal(status(), 0);
	put(VIRTIO_PCI_COMMON_STATUS, 1, 1);
	put(VIRTIO_PCI_COMMON_STATUS, 3, 1);
	put(VIRTIO_PCI_COMMON_STATUS, 1, 1); /* bits do not go away one by one */
	assert_int_equal(status(), 3);
	put(VIRTIO_PCI_COMMON_STATUS, 15, 1); /* no features yet: VERSION_1 is a must */
	assert_int_equal(status(), 3);
	put(VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	put(VIRTIO_PCI_COMMON_GF, 3, 4); /* one that was not offered */
	put(VIRTIO_PCI_COMMON_STATUS, 11, 1);
	assert_int_equal(status(), 3);
	put(VIRTIO_PCI_COMMON_GF, 1, 4);
	put(VIRTIO_PCI_COMMON_STATUS, 11, 1);
	assert_int_equal(status(), 11);
	put(VIRTIO_PCI_COMMON_GF, 0, 4); /* too late to change */
	assert_int_equal(get(VIRTIO_PCI_COMMON_GF, 4), 1);
	put(VIRTIO_PCI_COMMON_STATUS, 0x4b, 1); /* NEEDS_RESET is not the driver's */
	assert_int_equal(status(), 11);
	put(VIRTIO_PCI_COMMON_STATUS, 0, 1);
	assert_int_equal(status(), 0);
	assert_int_equal(get(VIRTIO_PCI_COMMON_GF, 4), 0);
}

/* Queue registers are closed before FEATURES_OK, after enabling, and after DRIVER_OK. */
static void test_queue_registers(void **state)
{
	(void)state;
	put(VIRTIO_PCI_COMMON_Q_SELECT, 0, 2);
	put(VIRTIO_PCI_COMMON_Q_SIZE, 4, 2);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_SIZE, 2), VIRTQUEUE_SIZE_MAX);
	features_ok();
	program_queue(0);
	put(VIRTIO_PCI_COMMON_Q_SIZE, 0x8000, 2);
	put(VIRTIO_PCI_COMMON_Q_DESCHI, 1, 4);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_SIZE, 2), RING);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_DESCHI, 4), 0);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	put(VIRTIO_PCI_COMMON_STATUS, 15, 1);
	put(VIRTIO_PCI_COMMON_Q_SELECT, 1, 2);
	put(VIRTIO_PCI_COMMON_Q_SIZE, 4, 2);
	put(VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_SIZE, 2), VIRTQUEUE_SIZE_MAX);
	assert_int_equal(get(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	assert_int_equal(status(), 15);
}

static void test_refused_queue(void **state)
{
	(void)state;
	features_ok();
	put(VIRTIO_PCI_COMMON_Q_SELECT, 0, 2);
	put(VIRTIO_PCI_COMMON_Q_SIZE, 3, 2);
	put(VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	assert_int_equal(status(), 11 | 0x40);
	put(VIRTIO_PCI_COMMON_STATUS, 15, 1);
	assert_int_equal(status(), 11 | 0x40);
	virtio_console_work(&console);
	assert_int_equal(notes, 1);
	start();
	virtio_console_work(&console);
	assert_int_equal(notes, 1);
}

static void test_ports(void **state)
{
	(void)state;
	start();
	for (uint16_t b = 0; b < 4; b++)
		post(CONTROL_RX, b, 0x1000, VRING_DESC_F_WRITE);
	kick(CONTROL_RX);
	guest_control(VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	assert_int_equal(used(CONTROL_RX)->idx, 2);
	expect_control(0, 0, VIRTIO_CONSOLE_PORT_ADD, "");
	expect_control(1, 1, VIRTIO_CONSOLE_PORT_ADD, "");
	assert_true(interrupts > 0);
	assert_int_equal(last_data, 0x41);
	/* three messages are due, two buffers are there: the rest waits for more */
	guest_control(0, VIRTIO_CONSOLE_PORT_READY, 1);
	assert_int_equal(used(CONTROL_RX)->idx, 4);
	expect_control(2, 0, VIRTIO_CONSOLE_CONSOLE_PORT, "");
	expect_control(3, 0, VIRTIO_CONSOLE_PORT_NAME, "console");
	post(CONTROL_RX, 0, 0x1000, VRING_DESC_F_WRITE);
	kick(CONTROL_RX);
	virtio_console_work(&console);
	expect_control(4, 0, VIRTIO_CONSOLE_PORT_OPEN, "");
	assert_int_equal(opens, 0);
	guest_control(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	guest_control(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	assert_int_equal(opens, 1);
	guest_control(1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	assert_int_equal(closes, 1);
	guest_control(7, VIRTIO_CONSOLE_PORT_OPEN, 1); /* no such port */
	guest_control(0, 999, 1);
	assert_int_equal(opens, 1);
	assert_int_equal(status(), 15);
}

static void test_from_guest(void **state)
{
	(void)state;
	start();
	memcpy(buffer(TX0, 0), "hello ", 6);
	memcpy(buffer(TX0, 1), "host", 4);
	post(TX0, 0, 6, 0);
	post(TX0, 1, 4, 0);
	kick(TX0);
	assert_int_equal(received_len, 0); /* the loop thread's work, not the vCPU's */
	virtio_console_work(&console);
	assert_int_equal(received_len, 10);
	assert_memory_equal(received, "hello host", 10);
	assert_int_equal(used(TX0)->idx, 2);
	assert_int_equal(used(TX0)->flags, 0); /* idle: it wants to be notified */
	assert_true(get(0x400, 1) & 1);
	assert_int_equal(get(0x400, 1), 0); /* reading the ISR cleared it */
}

static void test_to_guest(void **state)
{
	static const char text[] = "0123456789";

	(void)state;
	start();
	assert_int_equal(virtio_console_send(&console, GUEST_PORT_CONTROL, text, 10), 0);
	guest_control(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	assert_int_equal(virtio_console_send(&console, GUEST_PORT_CONTROL, text, 10), 0);
	post(RX1, 0, 4, VRING_DESC_F_WRITE);
	post(RX1, 1, 4, VRING_DESC_F_WRITE);
	kick(RX1);
	virtio_console_work(&console);
	assert_int_equal(writables, 1);
	assert_int_equal(virtio_console_send(&console, GUEST_PORT_CONTROL, text, 10), 8);
	assert_int_equal(used(RX1)->idx, 2);
	assert_memory_equal(buffer(RX1, 0), "0123", 4);
	assert_memory_equal(buffer(RX1, 1), "4567", 4);
	post(RX1, 0, 100, VRING_DESC_F_WRITE);
	kick(RX1);
	virtio_console_work(&console);
	assert_int_equal(writables, 2);
	assert_int_equal(virtio_console_send(&console, GUEST_PORT_CONTROL, text + 8, 2), 2);
	assert_int_equal(used(RX1)->ring[2].len, 2);
	/* satisfied: buffers that come now need no notification */
	assert_int_equal(used(RX1)->flags, VRING_USED_F_NO_NOTIFY);
}

static void test_broken(void **state)
{
	(void)state;
	start();
	guest_control(0, VIRTIO_CONSOLE_PORT_OPEN, 1);
	interrupts = 0;
	post(TX0, 0, 0, 0); /* no length */
	kick(TX0);
	virtio_console_work(&console);
	assert_int_equal(status(), 15 | 0x40);
	assert_int_equal(interrupts, 1);
	assert_int_equal(last_data, 0x40); /* the configuration vector */
	assert_int_equal(notes, 1);
	/* nothing moves any more */
	post(RX0, 0, 100, VRING_DESC_F_WRITE);
	kick(RX0);
	virtio_console_work(&console);
	assert_int_equal(virtio_console_send(&console, GUEST_PORT_CONSOLE, "x", 1), 0);
	assert_int_equal(used(RX0)->idx, 0);
	/* until the driver starts over */
	start();
	assert_int_equal(closes, 1);
	memcpy(buffer(TX0, 0), "again", 5);
	post(TX0, 0, 5, 0);
	kick(TX0);
	virtio_console_work(&console);
	assert_memory_equal(received, "again", 5);
}

/* A driver that resets between a notification and the work on it: the old queue is left alone. */
static void test_reset_races_work(void **state)
{
	(void)state;
	start();
	guest_control(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	post(TX0, 0, 6, 0);
	kick(TX0);
	put(VIRTIO_PCI_COMMON_STATUS, 0, 1);
	assert_int_equal(virtio_console_send(&console, GUEST_PORT_CONTROL, "x", 1), 0);
	virtio_console_work(&console);
	assert_int_equal(used(TX0)->idx, 0);
	assert_int_equal(received_len, 0);
	assert_int_equal(closes, 1);
	assert_int_equal(status(), 0);
}

/* A guest that breaks the device again and again fills no log. */
static void test_notes_are_bounded(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 100; i++) {
		start();
		post(TX0, 0, 0, 0);
		kick(TX0);
		virtio_console_work(&console);
	}
	assert_in_range(notes, 1, 10);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_registers),        TEST(test_config_window),     TEST(test_status_order),
		TEST(test_queue_registers),  TEST(test_refused_queue),     TEST(test_ports),
		TEST(test_from_guest),       TEST(test_to_guest),          TEST(test_broken),
		TEST(test_reset_races_work), TEST(test_notes_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
