/* SPDX-License-Identifier: MIT */
/*
 * A guest with an agent that knows little: it answers Hello, powers off on Shutdown, ends as
 * told by Exec, echoes the console, and says "unsupported" to the rest. Names of ports are
 * checked, so is that interrupts come: it sleeps whenever there is nothing to do.
 */
#include "agent.h"

#include "driver.h"
#include "frame.h"
#include "theseus/platform.h"

#define QUEUE_CONTROL_RX 2u
#define QUEUE_RX(port) ((port) ? 4u : 0u)
#define QUEUE_TX(port) (QUEUE_RX(port) + 1)

/* Field numbers of theseus.Request, as the first byte of a length-delimited field's tag. */
#define TAG_HELLO 0x52u    /* 10 */
#define TAG_EXEC 0x92u     /* 18, first of two bytes: 0x92 0x01 */
#define TAG_SHUTDOWN 0xa2u /* 20: 0xa2 0x01 */

struct driver_queue queues[DRIVER_QUEUES];
static struct driver driver;
static struct frame_decoder decoder;

/* Which body the request has; the fields before it are skipped. Result: its tag's first byte. */
static uint8_t body_of(const uint8_t *p, uint32_t len, uint32_t *ret_offset)
{
	uint32_t at = 0;

	while (at + 1 < len) {
		if (p[at] == 0x0a) { /* idempotency_id */
			at += 2u + p[at + 1];
		} else if (p[at] == 0x10) { /* time_limit_ns */
			for (at++; at < len && p[at] & 0x80; at++)
				;
			at++;
		} else {
			*ret_offset = at;
			return p[at];
		}
	}
	*ret_offset = len;
	return 0;
}

static void answer(const struct frame *f, const void *payload, uint32_t len)
{
	struct frame_header h = f->header;
	uint8_t out[FRAME_HEADER_SIZE + 64];

	h.type = FRAME_RESPONSE;
	h.length = len;
	guest_check(!frame_encode_header(&h, payload, out), "cannot encode");
	memcpy(out + FRAME_HEADER_SIZE, payload, len);
	driver_send(&driver, QUEUE_TX(1), out, FRAME_HEADER_SIZE + len);
}

/* Exec{command = "x..."}: the second character chooses how the guest ends. */
static void execute(const uint8_t *p, uint32_t len)
{
	static const char no_idt[10];
	volatile uint32_t *nowhere = (volatile uint32_t *)0xd0000000u;

	guest_check(len > 6 && p[3] == 0x0a && p[5] == 'x', "unknown command");
	switch (p[6]) {
	case 'r': /* reset */
		out8(PLATFORM_PORT_RESET, 0x06);
		break;
	case 't': /* triple fault */
		__asm__ volatile("lidt %0; ud2" : : "m"(no_idt));
		break;
	case 'p': /* a panic that never ends */
		out8(PLATFORM_PORT_PVPANIC, PLATFORM_PVPANIC_PANICKED);
		break;
	case 'm': /* device memory where there is no device */
		guest_check(*nowhere == 0xffffffffu, "not all ones");
		*nowhere = 1;
		break;
	case 'c':
		guest_say("a crash record would stand here");
		guest_exit(PLATFORM_EXIT_CELL_CRASH);
	default:
		guest_exit(p[6]);
	}
}

static void request(const struct frame *f)
{
	static const uint8_t hello[] = {0x52, 0x08, 0x08, 0x01, 0x12, 0x04, 't', 'e', 's', 't'};
	static const uint8_t ok[] = {0x08, 0x00};
	static const uint8_t unsupported[] = {0x08, 0x02};
	uint32_t at;

	switch (body_of(f->payload, f->header.length, &at)) {
	case TAG_HELLO:
		answer(f, hello, sizeof(hello));
		break;
	case TAG_SHUTDOWN:
		answer(f, ok, sizeof(ok));
		guest_exit(PLATFORM_EXIT_POWEROFF);
	case TAG_EXEC:
		answer(f, ok, sizeof(ok));
		execute(f->payload + at, f->header.length - at);
		break;
	default:
		answer(f, unsupported, sizeof(unsupported));
	}
}

static void control_bytes(const uint8_t *data, size_t len)
{
	struct frame f;
	size_t taken;

	while (frame_decode(&decoder, data, len, &taken, &f)) {
		data += taken;
		len -= taken;
		if (f.header.type == FRAME_REQUEST)
			request(&f);
		else if (f.header.type == FRAME_SESSION_END)
			guest_say("a session ended");
	}
}

/* A control message of the host. */
static void told(const uint8_t *data, uint32_t len)
{
	struct virtio_console_control m;

	guest_check(len >= sizeof(m), "short control message");
	memcpy(&m, data, sizeof(m));
	if (m.event == VIRTIO_CONSOLE_PORT_ADD) {
		driver_control(&driver, m.id, VIRTIO_CONSOLE_PORT_READY, 1);
	} else if (m.event == VIRTIO_CONSOLE_PORT_NAME) {
		const char *name = m.id ? PLATFORM_CONTROL_PORT : PLATFORM_CONSOLE_PORT;
		uint32_t n = m.id ? sizeof(PLATFORM_CONTROL_PORT) : sizeof(PLATFORM_CONSOLE_PORT);

		/* QEMU counts the terminating NUL, the standard does not ask for one */
		guest_check(len - sizeof(m) >= n - 1 && !memcmp(data + sizeof(m), name, n - 1),
			    "wrong port name");
		driver_control(&driver, m.id, VIRTIO_CONSOLE_PORT_OPEN, 1);
	}
}

static bool receive(unsigned int queue)
{
	uint32_t len;
	uint16_t b;

	if (!driver_used(&driver, queue, &b, &len))
		return false;
	if (queue == QUEUE_CONTROL_RX)
		told(queues[queue].buffers[b], len);
	else if (queue == QUEUE_RX(1))
		control_bytes(queues[queue].buffers[b], len);
	else
		driver_send(&driver, QUEUE_TX(0), queues[queue].buffers[b], len);
	driver_post(&driver, queue, b, DRIVER_BUFFER, true);
	driver_kick(&driver, queue);
	return true;
}

void agent_run(void)
{
	uint32_t seen = guest_interrupts;

	frame_decoder_init(&decoder);
	driver_find(&driver, queues);
	guest_check(driver.device->max_nr_ports >= 2, "too few ports");
	driver_start(&driver);
	driver_control(&driver, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	for (;;) {
		bool work = false;

		for (unsigned int i = 0; i < DRIVER_QUEUES; i += 2)
			work |= receive(i);
		if (!work)
			guest_wait(&seen);
	}
}
