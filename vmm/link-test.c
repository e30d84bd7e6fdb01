/* SPDX-License-Identifier: MIT */
/* bytes.c and link.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cm.h"
#include "link.h"

static uint8_t guest[1u << 20]; /* what the guest took */
static size_t guest_used, guest_room;
static unsigned int frames;
static uint64_t last_id;

static size_t take(void *ctx, const void *data, size_t len)
{
	size_t n = len < guest_room ? len : guest_room;

	(void)ctx;
	memcpy(guest + guest_used, data, n);
	guest_used += n;
	guest_room -= n;
	return n;
}

static void frame(void *ctx, const struct frame *f)
{
	(void)ctx;
	frames++;
	last_id = f->header.request_id;
}

static const struct link_ops ops = {take, frame};
static struct link l;

static int set_up(void **state)
{
	(void)state;
	link_init(&l, &ops, NULL);
	guest_used = guest_room = 0;
	frames = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	link_deinit(&l);
	return 0;
}

static int queue(uint64_t id, uint32_t len, bool urgent)
{
	static const uint8_t payload[FRAME_PAYLOAD_MAX];
	const struct frame_header h = {.type = FRAME_REQUEST, .length = len, .request_id = id};

	return link_queue(&l, &h, payload, urgent);
}

/* The ids of all frames that the guest got, and that nothing else is between them. */
static unsigned int got(uint64_t *ids)
{
	struct frame_decoder *d = malloc(sizeof(*d));
	const uint8_t *at = guest;
	size_t left = guest_used, taken;
	unsigned int n = 0;
	struct frame f;

	assert_non_null(d);
	frame_decoder_init(d);
	while (frame_decode(d, at, left, &taken, &f)) {
		at += taken;
		left -= taken;
		ids[n++] = f.header.request_id;
	}
	assert_int_equal(d->skipped, 0);
	free(d);
	return n;
}

static void test_order(void **state)
{
	uint64_t ids[8];

	(void)state;
	assert_int_equal(queue(1, 100, false), 0);
	assert_int_equal(queue(2, 100, false), 0);
	assert_int_equal(queue(3, 10, true), 0);
	guest_room = 20; /* frame 3 has begun; a newer urgent one may not cut it */
	link_pump(&l);
	assert_int_equal(queue(4, 10, true), 0);
	guest_room = 42;
	link_pump(&l);
	guest_room = sizeof(guest) - guest_used;
	link_pump(&l);
	assert_int_equal(got(ids), 4);
	assert_int_equal(ids[0], 3);
	assert_int_equal(ids[1], 4);
	assert_int_equal(ids[2], 1);
	assert_int_equal(ids[3], 2);
}

static void test_bounds(void **state)
{
	unsigned int n = 0;

	(void)state;
	assert_int_equal(queue(0, FRAME_PAYLOAD_MAX + 1, false), -EMSGSIZE);
	while (queue(n, FRAME_PAYLOAD_MAX, false) == 0)
		n++;
	assert_true(n >= 2);
	assert_int_equal(queue(n, FRAME_PAYLOAD_MAX, false), -ENOBUFS);
	assert_int_equal(queue(n, 8, true), 0); /* the urgent queue is another */
	while (queue(n, 64, true) == 0)
		;
	assert_true(l.queue.used <= LINK_QUEUE_MAX && l.urgent.used <= LINK_URGENT_MAX);
}

/* The guest reopens its end in the middle of a frame: that frame goes, the others stay. */
static void test_closed_in_a_frame(void **state)
{
	uint64_t ids[8];

	(void)state;
	assert_int_equal(queue(1, 100, false), 0);
	assert_int_equal(queue(2, 100, false), 0);
	guest_room = 50;
	link_pump(&l);
	link_closed(&l);
	guest_used = 0;
	guest_room = sizeof(guest);
	link_pump(&l);
	assert_int_equal(got(ids), 1);
	assert_int_equal(ids[0], 2);
	link_closed(&l);
	assert_null(bytes_peek(&l.queue)); /* its memory is given back */
}

static void test_from_guest(void **state)
{
	const struct frame_header h = {.type = FRAME_RESPONSE, .request_id = 9};
	uint8_t header[FRAME_HEADER_SIZE];

	(void)state;
	assert_int_equal(frame_encode_header(&h, NULL, header), 0);
	link_received(&l, "garbage", 7);
	link_received(&l, header, 10);
	assert_int_equal(frames, 0);
	link_received(&l, header + 10, sizeof(header) - 10);
	assert_int_equal(frames, 1);
	assert_int_equal(last_id, 9);
}

static void test_bytes(void **state)
{
	struct bytes b = BYTES_INIT(10000);
	static uint8_t data[10000];

	(void)state;
	assert_int_equal(bytes_append(&b, data, 0), 0);
	assert_null(b.data);
	assert_int_equal(bytes_append(&b, data, 10001), -ENOBUFS);
	assert_int_equal(bytes_append(&b, "abc", 3), 0);
	bytes_drop(&b, 2);
	assert_int_equal(bytes_append(&b, data, 9999), 0);
	assert_int_equal(bytes_free(&b), 0);
	assert_int_equal(bytes_append(&b, "x", 1), -ENOBUFS);
	assert_int_equal(bytes_peek(&b)[0], 'c');
	bytes_drop(&b, 10000);
	assert_null(b.data);
	assert_int_equal(bytes_free(&b), 10000);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_order),      TEST(test_bounds), TEST(test_closed_in_a_frame),
		TEST(test_from_guest), TEST(test_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
