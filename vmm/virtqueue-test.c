/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "cm.h"
#include "virtqueue.h"

#define MIB (1ull << 20)
#define SIZE 8u
#define DESC 0x10000u
#define AVAIL 0x11000u
#define USED 0x12000u
#define DATA 0x20000u

static struct guest_memory memory;
static struct virtqueue q;
static struct vq_chain chain;
static struct vring_desc *desc;
static struct vring_avail *avail;
static struct vring_used *used;

static int set_up(void **state)
{
	struct failure f;

	(void)state;
	if (guest_memory_init(&memory, 32 * MIB, 32 * MIB, &f) < 0)
		return -1;
	desc = guest_memory_at(&memory, GPA(DESC), 4096);
	avail = guest_memory_at(&memory, GPA(AVAIL), 4096);
	used = guest_memory_at(&memory, GPA(USED), 4096);
	virtqueue_reset(&q);
	q.size = SIZE;
	q.desc = GPA(DESC);
	q.avail = GPA(AVAIL);
	q.used = GPA(USED);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	guest_memory_deinit(&memory);
	return 0;
}

static void enable(void)
{
	assert_int_equal(virtqueue_enable(&q, &memory), 0);
}

static void offer(uint16_t head)
{
	avail->ring[avail->idx % SIZE] = head;
	avail->idx++;
}

static int pop(void)
{
	return virtqueue_pop(&q, &memory, &chain);
}

static void set(unsigned int i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	desc[i] = (struct vring_desc){.addr = addr, .len = len, .flags = flags, .next = next};
}

/* ---- what virtqueue_enable() refuses ---- */

static void refused(uint16_t size, uint64_t d, uint64_t a, uint64_t u)
{
	q.size = size;
	q.desc = GPA(d);
	q.avail = GPA(a);
	q.used = GPA(u);
	assert_int_equal(virtqueue_enable(&q, &memory), -EINVAL);
	assert_false(q.enabled);
}

static void test_enable_refusals(void **state)
{
	const uint64_t end = 32 * MIB;

	(void)state;
	refused(0, DESC, AVAIL, USED);
	refused(3, DESC, AVAIL, USED);
	refused(512, DESC, AVAIL, USED);
	refused(0x8000, DESC, AVAIL, USED);
	refused(SIZE, DESC + 8, AVAIL, USED);
	refused(SIZE, DESC, AVAIL + 1, USED);
	refused(SIZE, DESC, AVAIL, USED + 2);
	refused(SIZE, end, AVAIL, USED);
	refused(SIZE, end - 16 * SIZE + 16, AVAIL, USED);
	refused(SIZE, DESC, end - 4 - 2 * SIZE + 2, USED);
	refused(SIZE, DESC, AVAIL, end - 4 - 8 * SIZE + 4);
	refused(SIZE, UINT64_MAX - 15, AVAIL, USED);
	refused(SIZE, DESC, UINT64_MAX - 1, USED);
	/* and what just fits */
	q.desc = GPA(end - 16 * SIZE);
	q.avail = GPA(AVAIL);
	q.used = GPA(end - 16 * SIZE - 4 - 8 * SIZE);
	assert_int_equal(virtqueue_enable(&q, &memory), 0);
}

static void test_reset(void **state)
{
	(void)state;
	enable();
	virtqueue_reset(&q);
	assert_false(q.enabled);
	assert_int_equal(q.size, VIRTQUEUE_SIZE_MAX);
	assert_int_equal(q.desc.v, 0);
}

/* ---- chains ---- */

static void test_chain(void **state)
{
	char text[16];

	(void)state;
	enable();
	assert_int_equal(pop(), 0);
	set(2, DATA, 4, VRING_DESC_F_NEXT, 5);
	set(5, DATA + 64, 4, VRING_DESC_F_NEXT, 1);
	set(1, DATA + 128, 8, VRING_DESC_F_WRITE, 77);
	memcpy(guest_memory_at(&memory, GPA(DATA), 4), "abcd", 4);
	memcpy(guest_memory_at(&memory, GPA(DATA + 64), 4), "efgh", 4);
	offer(2);
	assert_int_equal(pop(), 1);
	assert_int_equal(chain.head, 2);
	assert_int_equal(chain.n_read, 2);
	assert_int_equal(chain.n_write, 1);
	assert_int_equal(chain.bytes_read, 8);
	assert_int_equal(chain.bytes_write, 8);
	assert_int_equal(vq_chain_read(&chain, text, sizeof(text)), 8);
	assert_memory_equal(text, "abcdefgh", 8);
	assert_int_equal(vq_chain_read(&chain, text, 5), 5);
	assert_int_equal(vq_chain_write(&chain, "0123456789", 10), 8);
	assert_memory_equal(guest_memory_at(&memory, GPA(DATA + 128), 8), "01234567", 8);
	virtqueue_push(&q, chain.head, 8);
	assert_int_equal(used->idx, 1);
	assert_int_equal(used->ring[0].id, 2);
	assert_int_equal(used->ring[0].len, 8);
	assert_int_equal(pop(), 0);
}

/* The indices are free-running 16-bit numbers. */
static void test_wrap(void **state)
{
	(void)state;
	enable();
	set(0, DATA, 1, 0, 0);
	for (unsigned int i = 0; i < 70000; i++) {
		offer(0);
		assert_int_equal(pop(), 1);
		virtqueue_push(&q, chain.head, 0);
		assert_int_equal(used->idx, avail->idx);
	}
	for (unsigned int i = 0; i < SIZE; i++)
		offer(0);
	for (unsigned int i = 0; i < SIZE; i++)
		assert_int_equal(pop(), 1);
	assert_int_equal(pop(), 0);
}

static void broken(void)
{
	uint16_t before = q.next_avail;

	offer(0);
	assert_int_equal(pop(), -EINVAL);
	assert_int_equal(q.next_avail, before);
	avail->idx--;
}

static void test_chain_refusals(void **state)
{
	(void)state;
	enable();
	set(1, DATA, 4, 0, 0);
	set(0, 32 * MIB, 1, 0, 0);
	broken();
	set(0, 32 * MIB - 1, 2, 0, 0);
	broken();
	set(0, UINT64_MAX, 2, 0, 0);
	broken();
	set(0, DATA, 0, 0, 0);
	broken();
	set(0, DATA, UINT32_MAX, 0, 0);
	broken();
	set(0, DATA, VIRTQUEUE_CHAIN_BYTES_MAX + 1, 0, 0);
	broken();
	set(0, DATA, 4, VRING_DESC_F_INDIRECT, 0);
	broken();
	set(0, DATA, 4, VRING_DESC_F_NEXT, 0);
	broken();
	set(0, DATA, 4, VRING_DESC_F_NEXT, SIZE);
	broken();
	set(0, DATA, 4, VRING_DESC_F_NEXT, UINT16_MAX);
	broken();
	set(0, DATA, 4, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
	broken();
	/* two that are fine each, but not together */
	set(0, DATA, VIRTQUEUE_CHAIN_BYTES_MAX, VRING_DESC_F_NEXT, 1);
	broken();
	set(0, DATA, VIRTQUEUE_CHAIN_BYTES_MAX - 4, VRING_DESC_F_NEXT, 1);
	offer(0);
	assert_int_equal(pop(), 1);
}

static void test_index_refusals(void **state)
{
	(void)state;
	enable();
	set(0, DATA, 4, 0, 0);
	offer(SIZE);
	assert_int_equal(pop(), -EINVAL);
	avail->idx = SIZE + 1;
	assert_int_equal(pop(), -EINVAL);
	avail->idx = UINT16_MAX;
	assert_int_equal(pop(), -EINVAL);
	avail->idx = 0;
	assert_int_equal(pop(), 0);
}

/* What the driver writes to the registers after it enabled the queue is not looked at. */
static void test_changes_after_enable(void **state)
{
	(void)state;
	enable();
	set(0, DATA, 4, 0, 0);
	offer(0);
	q.desc = GPA(UINT64_MAX);
	q.used = GPA(3ull << 40);
	assert_int_equal(pop(), 1);
	virtqueue_push(&q, 0, 0);
	assert_int_equal(used->idx, 1);
}

static void test_notifications(void **state)
{
	(void)state;
	enable();
	assert_true(virtqueue_wants_interrupt(&q));
	avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	assert_false(virtqueue_wants_interrupt(&q));
	virtqueue_notify(&q, false);
	assert_int_equal(used->flags, VRING_USED_F_NO_NOTIFY);
	virtqueue_notify(&q, true);
	assert_int_equal(used->flags, 0);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_enable_refusals),
		TEST(test_reset),
		TEST(test_chain),
		TEST(test_wrap),
		TEST(test_chain_refusals),
		TEST(test_index_refusals),
		TEST(test_changes_after_enable),
		TEST(test_notifications),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
