/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <theseus/errno.h>
#include <theseus/virtqueue.h>

#define SIZE 8u

struct fixture {
	struct virtqueue q;
	uint16_t doorbell;
	uint16_t device_avail; /* next entry that the model device takes */
	_Alignas(16) uint8_t ring[VIRTQUEUE_BYTES(SIZE)];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f || virtqueue_init(&f->q, 5, SIZE, f->ring) < 0)
		return -1;
	f->q.doorbell = &f->doorbell;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static struct virtqueue_piece piece(uint64_t pa, uint32_t len)
{
	return (struct virtqueue_piece){{pa}, len};
}

static int add_in(struct virtqueue *q, uint32_t len, uint64_t token)
{
	struct virtqueue_piece p = piece(0x1000 + token, len);

	return virtqueue_add(q, &p, 0, 1, token);
}

/* The model device: takes the next available head, or -1. */
static int device_take(struct fixture *f)
{
	if (f->device_avail == f->q.avail->idx)
		return -1;
	return f->q.avail->ring[f->device_avail++ & (SIZE - 1)];
}

static void device_put(struct fixture *f, uint32_t id, uint32_t len)
{
	uint16_t at = f->q.used->idx;

	f->q.used->ring[at & (SIZE - 1)].id = id;
	f->q.used->ring[at & (SIZE - 1)].len = len;
	f->q.used->idx = (uint16_t)(at + 1);
}

static void refuses_bad_sizes(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(virtqueue_init(&f->q, 0, 0, f->ring), -EINVAL);
	assert_int_equal(virtqueue_init(&f->q, 0, 3, f->ring), -EINVAL);
	assert_int_equal(virtqueue_init(&f->q, 0, VIRTQUEUE_SIZE_MAX * 2, f->ring), -EINVAL);
}

static void a_chain_is_laid_out_as_the_device_expects(void **state)
{
	struct fixture *f = *state;
	struct virtqueue_piece p[] = {piece(0x1000, 10), piece(0x2000, 20), piece(0x3000, 30)};
	int head;

	assert_int_equal(virtqueue_add(&f->q, p, 1, 2, 77), 0);
	assert_int_equal(device_take(f), -1); /* not published before the kick */
	virtqueue_kick(&f->q);
	assert_int_equal(f->doorbell, 5);
	head = device_take(f);
	assert_true(head >= 0);
	for (unsigned i = 0, at = (unsigned)head; i < 3; i++) {
		assert_int_equal(f->q.desc[at].addr, p[i].pa.v);
		assert_int_equal(f->q.desc[at].len, p[i].len);
		assert_int_equal(f->q.desc[at].flags & VIRTQ_DESC_F_WRITE,
				 i == 0 ? 0 : VIRTQ_DESC_F_WRITE);
		assert_int_equal(f->q.desc[at].flags & VIRTQ_DESC_F_NEXT,
				 i == 2 ? 0 : VIRTQ_DESC_F_NEXT);
		at = f->q.desc[at].next;
	}
}

static void tokens_come_back_in_the_devices_order(void **state)
{
	struct fixture *f = *state;
	uint64_t token;
	uint32_t len;
	int first, second;

	assert_int_equal(virtqueue_get(&f->q, &token, &len), 0);
	assert_int_equal(add_in(&f->q, 100, 1), 0);
	assert_int_equal(add_in(&f->q, 100, 2), 0);
	virtqueue_kick(&f->q);
	first = device_take(f);
	second = device_take(f);
	device_put(f, (uint32_t)second, 100);
	device_put(f, (uint32_t)first, 7);
	assert_int_equal(virtqueue_get(&f->q, &token, &len), 1);
	assert_int_equal(token, 2);
	assert_int_equal(len, 100);
	assert_int_equal(virtqueue_get(&f->q, &token, &len), 1);
	assert_int_equal(token, 1);
	assert_int_equal(len, 7);
	assert_int_equal(virtqueue_get(&f->q, &token, &len), 0);
	assert_int_equal(f->q.n_free, SIZE);
}

static void a_full_queue_refuses_and_recovers(void **state)
{
	struct fixture *f = *state;
	uint64_t token;
	uint32_t len;

	for (unsigned round = 0; round < 70000 / SIZE; round++) {
		for (unsigned i = 0; i < SIZE; i++)
			assert_int_equal(add_in(&f->q, 64, i), 0);
		assert_int_equal(add_in(&f->q, 64, 99), -ENOSPC);
		virtqueue_kick(&f->q);
		for (unsigned i = 0; i < SIZE; i++)
			device_put(f, (uint32_t)device_take(f), 1);
		for (unsigned i = 0; i < SIZE; i++) {
			assert_int_equal(virtqueue_get(&f->q, &token, &len), 1);
			assert_int_equal(token, i);
		}
	}
}

static void no_doorbell_when_the_device_polls(void **state)
{
	struct fixture *f = *state;

	f->q.used->flags = VIRTQ_USED_F_NO_NOTIFY;
	assert_int_equal(add_in(&f->q, 64, 1), 0);
	virtqueue_kick(&f->q);
	assert_int_equal(f->doorbell, 0);
	f->q.used->flags = 0;
	virtqueue_kick(&f->q); /* nothing new: no doorbell either */
	assert_int_equal(f->doorbell, 0);
	assert_int_equal(add_in(&f->q, 64, 2), 0);
	virtqueue_publish(&f->q);
	assert_int_equal(f->q.avail->idx, 2);
	assert_int_equal(f->doorbell, 0);
	virtqueue_interrupts(&f->q, false);
	assert_int_equal(f->q.avail->flags, VIRTQ_AVAIL_F_NO_INTERRUPT);
	virtqueue_interrupts(&f->q, true);
	assert_int_equal(f->q.avail->flags, 0);
}

static void refuses_bad_buffers(void **state)
{
	struct fixture *f = *state;
	struct virtqueue_piece none = piece(0x1000, 0);
	struct virtqueue_piece many[SIZE + 1];
	struct virtqueue_piece huge[] = {piece(0, UINT32_MAX), piece(0, UINT32_MAX)};

	for (unsigned i = 0; i <= SIZE; i++)
		many[i] = piece(0x1000, 1);
	assert_int_equal(virtqueue_add(&f->q, &none, 1, 0, 0), -EINVAL);
	assert_int_equal(virtqueue_add(&f->q, many, 0, 0, 0), -EINVAL);
	assert_int_equal(virtqueue_add(&f->q, many, SIZE + 1, 0, 0), -EINVAL);
	assert_int_equal(virtqueue_add(&f->q, many, UINT32_MAX, 2, 0), -EINVAL);
	assert_int_equal(virtqueue_add(&f->q, many, SIZE, 1, 0), -ENOSPC);
	assert_int_equal(virtqueue_add(&f->q, huge, 0, 2, 0), -EINVAL);
	assert_int_equal(f->q.n_free, SIZE);
}

static void expect_broken(struct fixture *f)
{
	uint64_t token = 42;
	uint32_t len = 42;

	assert_int_equal(virtqueue_get(&f->q, &token, &len), -EIO);
	assert_int_equal(token, 42);
	assert_int_equal(virtqueue_get(&f->q, &token, &len), -EIO);
	assert_int_equal(add_in(&f->q, 1, 1), -EIO);
	f->doorbell = 0;
	virtqueue_kick(&f->q);
	assert_int_equal(f->doorbell, 0);
}

static void a_head_out_of_range_breaks_the_queue(void **state)
{
	device_put(*state, SIZE, 0);
	expect_broken(*state);
}

static void a_head_never_offered_breaks_the_queue(void **state)
{
	device_put(*state, 3, 0);
	expect_broken(*state);
}

static void a_head_used_twice_breaks_the_queue(void **state)
{
	struct fixture *f = *state;
	uint64_t token;
	uint32_t len;
	int head;

	assert_int_equal(add_in(&f->q, 64, 1), 0);
	virtqueue_kick(&f->q);
	head = device_take(f);
	device_put(f, (uint32_t)head, 1);
	device_put(f, (uint32_t)head, 1);
	assert_int_equal(virtqueue_get(&f->q, &token, &len), 1);
	expect_broken(f);
}

static void a_middle_of_a_chain_is_no_head(void **state)
{
	struct fixture *f = *state;
	struct virtqueue_piece p[] = {piece(0x1000, 10), piece(0x2000, 20)};

	assert_int_equal(virtqueue_add(&f->q, p, 0, 2, 1), 0);
	virtqueue_kick(&f->q);
	device_put(f, f->q.desc[device_take(f)].next, 1);
	expect_broken(f);
}

static void an_index_too_far_ahead_breaks_the_queue(void **state)
{
	struct fixture *f = *state;

	f->q.used->idx = SIZE + 1;
	expect_broken(f);
}

static void a_length_too_long_is_cut_to_the_buffer(void **state)
{
	struct fixture *f = *state;
	uint64_t token;
	uint32_t len;

	assert_int_equal(add_in(&f->q, 64, 1), 0);
	virtqueue_kick(&f->q);
	device_put(f, (uint32_t)device_take(f), UINT32_MAX);
	assert_int_equal(virtqueue_get(&f->q, &token, &len), 1);
	assert_int_equal(len, 64);
}

static void a_device_that_rewrites_descriptors_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct virtqueue_piece p[] = {piece(0x1000, 10), piece(0x2000, 20)};
	uint64_t token;
	uint32_t len;
	int head;

	assert_int_equal(virtqueue_add(&f->q, p, 1, 1, 9), 0);
	virtqueue_kick(&f->q);
	head = device_take(f);
	memset(f->ring, 0xff, 16 * SIZE);
	device_put(f, (uint32_t)head, 20);
	assert_int_equal(virtqueue_get(&f->q, &token, &len), 1);
	assert_int_equal(token, 9);
	assert_int_equal(f->q.n_free, SIZE);
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal(add_in(&f->q, 64, i), 0);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(refuses_bad_sizes),
		CASE(a_chain_is_laid_out_as_the_device_expects),
		CASE(tokens_come_back_in_the_devices_order),
		CASE(a_full_queue_refuses_and_recovers),
		CASE(no_doorbell_when_the_device_polls),
		CASE(refuses_bad_buffers),
		CASE(a_head_out_of_range_breaks_the_queue),
		CASE(a_head_never_offered_breaks_the_queue),
		CASE(a_head_used_twice_breaks_the_queue),
		CASE(a_middle_of_a_chain_is_no_head),
		CASE(an_index_too_far_ahead_breaks_the_queue),
		CASE(a_length_too_long_is_cut_to_the_buffer),
		CASE(a_device_that_rewrites_descriptors_changes_nothing),
	};

	return cmocka_run_group_tests_name("virtqueue", tests, NULL, NULL);
}
