/* SPDX-License-Identifier: MIT */
/*
 * A guest that breaks every rule of its queues, one at a time. After each the device must
 * need a reset, and work again after one. Then garbage goes to all other registers. In the
 * end it behaves as agent.c, to show that theseus-vmm still does its work.
 */
#include <linux/pci_regs.h>

#include "agent.h"
#include "theseus/platform.h"

#define TX 1u /* queue of the console port that the device reads from */
#define CONTROL_TX 3u

static struct driver driver;
static uint32_t interrupts;

static void expect_broken(const char *what)
{
	while (!(driver.common->device_status & VIRTIO_CONFIG_S_NEEDS_RESET))
		guest_wait(&interrupts);
	driver_begin(&driver);
	guest_check(!(driver.common->device_status & VIRTIO_CONFIG_S_NEEDS_RESET), what);
}

static struct driver_queue *live(void)
{
	interrupts = guest_interrupts;
	driver_start(&driver);
	return &queues[TX];
}

static void offer(struct driver_queue *q, uint16_t head, uint16_t count)
{
	q->avail.ring[q->avail.idx % DRIVER_RING] = head;
	__atomic_store_n(&q->avail.idx, (uint16_t)(q->avail.idx + count), __ATOMIC_SEQ_CST);
	driver_kick(&driver, TX);
}

static struct vring_desc good(void)
{
	return (struct vring_desc){.addr = (uintptr_t)queues[TX].buffers[0], .len = 16};
}

/* ---- descriptors ---- */

static void bad_descriptor(const char *what, struct vring_desc d)
{
	struct driver_queue *q = live();

	q->desc[0] = d;
	q->desc[1] = good();
	offer(q, 0, 1);
	expect_broken(what);
}

static void descriptors(void)
{
	struct vring_desc d = good();

	d.addr = 0xd0000000u;
	bad_descriptor("address without RAM", d);
	d.addr = UINT64_MAX - 7;
	bad_descriptor("address that wraps", d);
	d = good();
	d.len = UINT32_MAX;
	bad_descriptor("huge length", d);
	d.len = 0;
	bad_descriptor("no length", d);
	d = good();
	d.flags = VRING_DESC_F_INDIRECT;
	bad_descriptor("indirect", d);
	d.flags = VRING_DESC_F_NEXT;
	d.next = 0;
	bad_descriptor("loop", d);
	d.next = DRIVER_RING;
	bad_descriptor("next outside the table", d);
	d.flags = VRING_DESC_F_NEXT | VRING_DESC_F_WRITE;
	d.next = 1;
	bad_descriptor("readable after writable", d);
}

static void long_chain(void)
{
	struct driver_queue *q = live();

	for (uint16_t i = 0; i < DRIVER_RING; i++) {
		q->desc[i] = good();
		q->desc[i].len = 32 << 10;
		q->desc[i].addr = 0x1000000;
		q->desc[i].flags = i + 1u < DRIVER_RING ? VRING_DESC_F_NEXT : 0;
		q->desc[i].next = (uint16_t)(i + 1);
	}
	offer(q, 0, 1);
	expect_broken("chain of 256 KiB");
}

static void rings(void)
{
	struct driver_queue *q = live();

	offer(q, DRIVER_RING, 1);
	expect_broken("head outside the table");
	q = live();
	offer(q, 0, DRIVER_RING + 1);
	expect_broken("avail index jumped");
	q = live();
	offer(q, 0, 0x8000);
	expect_broken("avail index jumped far");
}

/* ---- registers of a queue ---- */

static void refused_queue(const char *what, uint16_t size, uint64_t desc, uint64_t avail,
			  uint64_t used)
{
	driver_begin(&driver);
	driver_program_queue(&driver, TX, size, 1);
	if (desc) {
		driver.common->queue_desc_lo = (uint32_t)desc;
		driver.common->queue_desc_hi = (uint32_t)(desc >> 32);
	}
	if (avail)
		driver.common->queue_avail_lo = (uint32_t)avail;
	if (used)
		driver.common->queue_used_lo = (uint32_t)used;
	driver_enable_queue(&driver, TX);
	expect_broken(what);
}

static void queue_registers(void)
{
	refused_queue("size 0", 0, 0, 0, 0);
	refused_queue("size 3", 3, 0, 0, 0);
	refused_queue("size 512", 512, 0, 0, 0);
	refused_queue("size 32768", 0x8000, 0, 0, 0);
	refused_queue("descriptors misaligned", DRIVER_RING, 0x1000008, 0, 0);
	refused_queue("descriptors without RAM", DRIVER_RING, 0xd0000000u, 0, 0);
	refused_queue("descriptors across the end", DRIVER_RING, UINT64_MAX & ~15ull, 0, 0);
	refused_queue("avail misaligned", DRIVER_RING, 0, 0x1000001, 0);
	refused_queue("used without RAM", DRIVER_RING, 0, 0, 0xd0000000u);
}

/* A live queue's registers do not move. */
static void changes_after_activation(void)
{
	struct driver_queue *q = live();
	uint16_t buffer;
	uint32_t len;

	driver.common->queue_select = TX;
	driver.common->queue_size = 0x8000;
	driver.common->queue_desc_lo = 0xd0000000u;
	driver.common->queue_used_hi = 0xffffffffu;
	guest_check(driver.common->queue_size == DRIVER_RING, "a live queue changed its size");
	guest_check(driver.common->queue_desc_lo == (uint32_t)(uintptr_t)q->desc,
		    "a live queue moved");
	driver_post(&driver, TX, 0, 16, false);
	driver_kick(&driver, TX);
	while (!driver_used(&driver, TX, &buffer, &len))
		guest_wait(&interrupts);
}

/* ---- everything else ---- */

static void control_messages(void)
{
	static const uint8_t stump[] = {1, 0};

	(void)live();
	driver_send(&driver, CONTROL_TX, stump, sizeof(stump));
	driver_control(&driver, 77, VIRTIO_CONSOLE_PORT_OPEN, 1);
	driver_control(&driver, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_PORT_READY, 1);
	driver_control(&driver, 1, 0xffff, 0xffff);
	for (int i = 0; i < 50; i++)
		driver_control(&driver, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
}

static void device_registers(void)
{
	volatile uint32_t *word = (volatile uint32_t *)driver.common;
	uint32_t sum = 0;

	driver_begin(&driver);
	driver.common->queue_select = 0xffff;
	guest_check(!driver.common->queue_size && !driver.common->queue_enable,
		    "a queue that is none has registers");
	driver.common->queue_size = 8;
	driver.common->queue_enable = 1;
	for (unsigned int i = 0; i < 0x2000 / 4; i += 5) {
		sum += word[i];
		word[i] = 0xffffffffu - sum;
		*(volatile uint8_t *)&word[i] = 0xff;
	}
	*(volatile uint64_t *)(uintptr_t)word = UINT64_MAX;
}

static void pci_registers(void)
{
	uint32_t bar = pci_read(driver.slot, PCI_BASE_ADDRESS_0);

	for (unsigned int i = 0; i < 256; i += 4)
		pci_write(driver.slot, i, 0xffffffffu);
	for (unsigned int i = 0; i < 256; i += 4)
		pci_write(driver.slot, i, 0xa5a5a5a5u + i);
	guest_check(pci_read(driver.slot, 0) == 0x10431af4, "the identity changed");
	pci_write(driver.slot, PCI_BASE_ADDRESS_0, bar);
	pci_write(31, 0, 0);
	guest_check(pci_read(31, 0) == 0xffffffffu, "a function where none is");
}

static void ports(void)
{
	static const char text[] = "a string for COM1\n";
	const char *at = text;
	size_t n = sizeof(text) - 1;

	__asm__ volatile("rep outsb" : "+S"(at), "+c"(n) : "d"(PLATFORM_PORT_COM1) : "memory");
	for (unsigned int port = 0; port < 0x10000; port += 97) {
		if (port == PLATFORM_PORT_EXIT || port == PLATFORM_PORT_RESET)
			continue;
		(void)in32((uint16_t)port);
		out32((uint16_t)port, 0xdeadbeef);
	}
	out8(PLATFORM_PORT_PVPANIC, 0);
	out8(PLATFORM_PORT_RESET, 0x02); /* prepares a reset, is none */
}

void guest_main(void)
{
	driver_find(&driver, queues);
	descriptors();
	long_chain();
	rings();
	queue_registers();
	changes_after_activation();
	control_messages();
	device_registers();
	pci_registers();
	ports();
	guest_say("all nonsense was survived");
	agent_run();
}
