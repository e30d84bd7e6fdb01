/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "internal.h"

static unsigned signals;

void task_event_signal(struct task_event *event)
{
	(void)event;
	signals++;
}

static uint32_t slots[4];

static struct channel make(enum channel_kind kind, uint32_t senders, uint32_t receivers)
{
	signals = 0;
	return (struct channel){
		.kind = kind,
		.ring = {.slots = (uint8_t *)slots, .bytes = sizeof(slots[0]), .length = 4},
		.n_ends = {senders, receivers}};
}

/*
 * @record waits on @side, with @message if it sends. The tests are the only thread: REQUIRES stands
 * for a lock that keeps nobody out.
 */
static void wait_on(struct channel *channel, struct record *record, enum side side,
		    uint32_t message) REQUIRES(channel_slot)
{
	*record = (struct record){.state = RECORD_WAITING, .n = 1};
	record->own = (struct link){
		.record = record, .end = {.end = END_MAKE(side, 0, 1)}, .message = record->message};
	memcpy(record->message, &message, sizeof(message));
	transfer_link(channel, &record->own);
}

/* One that has just entered stands in the list until it has been told the same, and left. */
static void test_disconnect_is_told_beside_one_that_waits(void **state) REQUIRES(channel_slot)
{
	struct channel channel = make(CHANNEL_ASYNC, 0, 2);
	struct record other;
	uint32_t message = 7, got = 0;

	(void)state;
	wait_on(&channel, &other, RECEIVING, 0);
	assert_int_equal(transfer_receive(&channel, &got), -EPIPE);
	transfer_wake(&channel, RECEIVING, NULL);
	assert_int_equal(other.state, RECORD_AGAIN);
	/* what was sent before comes first */
	ring_push(&channel.ring, &message);
	assert_int_equal(transfer_receive(&channel, &got), 0);
	assert_int_equal(got, 7);
	assert_int_equal(transfer_receive(&channel, &got), -EPIPE);
	channel.n_ends[RECEIVING] = 0;
	assert_int_equal(transfer_send(&channel, &message), -EPIPE);
}

static void test_nobody_overtakes(void **state) REQUIRES(channel_slot)
{
	struct channel channel = make(CHANNEL_RENDEZVOUS, 2, 2);
	struct record first, second;
	uint32_t message = 7, got = 0;

	(void)state;
	wait_on(&channel, &first, RECEIVING, 0);
	wait_on(&channel, &second, RECEIVING, 0);
	assert_int_equal(transfer_receive(&channel, &got), -EAGAIN);
	assert_int_equal(transfer_send(&channel, &message), 0);
	assert_int_equal(first.state, RECORD_DONE);
	assert_int_equal(second.state, RECORD_WAITING);
	assert_memory_equal(first.message, &message, sizeof(message));
	assert_int_equal(channel.given, 1);
	assert_int_equal(signals, 1);
}

static void test_who_has_ended_is_passed_over(void **state) REQUIRES(channel_slot)
{
	struct channel channel = make(CHANNEL_RENDEZVOUS, 2, 2);
	struct record first, second;
	uint32_t got = 0;

	(void)state;
	wait_on(&channel, &first, SENDING, 1);
	wait_on(&channel, &second, SENDING, 2);
	first.state = RECORD_CLOSED;
	assert_int_equal(transfer_receive(&channel, &got), 0);
	assert_int_equal(got, 2);
	assert_int_equal(second.state, RECORD_DONE);
	assert_int_equal(transfer_receive(&channel, &got), -EAGAIN);
}

static struct record *ends_at_copy;
static uint32_t *buffer; /* a page, which the first copy to it faults in */

static void on_copy(int signal)
{
	(void)signal;
	(void)mprotect(buffer, 4096, PROT_READ | PROT_WRITE);
	ends_at_copy->state = RECORD_CLOSED;
}

/* The only sender ends while its message is copied: nothing was received. */
static void test_a_failed_receive_changes_nothing(void **state) REQUIRES(channel_slot)
{
	struct channel channel = make(CHANNEL_RENDEZVOUS, 1, 1);
	struct sigaction action = {.sa_handler = on_copy}, before;
	struct record sender;

	(void)state;
	wait_on(&channel, &sender, SENDING, 1);
	ends_at_copy = &sender;
	buffer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(buffer, MAP_FAILED);
	*buffer = 99;
	assert_int_equal(mprotect(buffer, 4096, PROT_NONE), 0);
	assert_int_equal(sigaction(SIGSEGV, &action, &before), 0);
	assert_int_equal(transfer_receive(&channel, buffer), -EAGAIN);
	assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
	assert_int_equal(sender.state, RECORD_CLOSED);
	assert_int_equal(*buffer, 99);
	assert_int_equal(munmap(buffer, 4096), 0);
}

/* What is queued and what is given together find room in the ring: all of it could come back. */
static void test_given_messages_keep_their_room(void **state) REQUIRES(channel_slot)
{
	struct channel channel = make(CHANNEL_ASYNC, 1, 1);
	struct record waiting, sender;
	uint32_t message = 0, got = 0;

	(void)state;
	wait_on(&channel, &waiting, RECEIVING, 0);
	for (message = 0; message < 4; message++)
		assert_int_equal(transfer_send(&channel, &message), 0);
	assert_int_equal(channel.given, 1);
	assert_int_equal(channel.ring.count, 3);
	assert_int_equal(transfer_send(&channel, &message), -EAGAIN);
	wait_on(&channel, &sender, SENDING, 4);
	transfer_serve(&channel);
	assert_int_equal(sender.state, RECORD_WAITING);
	/* the receiver ended: the message is the first again */
	transfer_unlink(&channel, &waiting.own);
	ring_push_front(&channel.ring, waiting.message);
	channel.given--;
	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(transfer_receive(&channel, &got), 0);
		assert_int_equal(got, i);
	}
	assert_int_equal(sender.state, RECORD_DONE);
	assert_int_equal(transfer_receive(&channel, &got), -EAGAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_disconnect_is_told_beside_one_that_waits),
		cmocka_unit_test(test_nobody_overtakes),
		cmocka_unit_test(test_who_has_ended_is_passed_over),
		cmocka_unit_test(test_a_failed_receive_changes_nothing),
		cmocka_unit_test(test_given_messages_keep_their_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
