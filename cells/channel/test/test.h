/* SPDX-License-Identifier: MIT */
#ifndef CHANNEL_TEST_H
#define CHANNEL_TEST_H

#include <theseus/channel.h>
#include <theseus/sync.h>
#include <theseus/test.h>

#define ACTORS 8u
#define MESSAGES 4096u
#define NOTHING UINT64_MAX

struct message {
	uint64_t id;
	uint64_t check; /* of id */
};

static inline struct message message_of(uint64_t id)
{
	return (struct message){id, id * 0x9e3779b97f4a7c15ull};
}

/* What the tests share with their tasks; all zero when a test begins. */
struct channel_test {
	struct channel_end send[4], receive[4];
	struct task_ref tasks[ACTORS];
	int32_t results[ACTORS];
	uint64_t values[ACTORS];
	uint32_t next, garbled; /* atomic */
	struct spinlock lock;   /* in here nothing ends a task: what it did and its note of that agree */
	uint64_t trying[ACTORS];                /* senders: id + 1 of what is being sent; 0 = none */
	struct message inbox[ACTORS], other[ACTORS]; /* receivers; of id NOTHING: noted */
	uint8_t sent[MESSAGES];    /* times that a send succeeded */
	uint8_t unknown[MESSAGES]; /* its sender ended in the call */
	uint8_t seen[MESSAGES]; /* atomic: times received */
};

struct channel_test *test_state(void);
struct channel_test *test_begin(void);
/* Channel @i of the state; it belongs to this cell. */
int test_channel(unsigned i, enum channel_kind kind, uint32_t capacity) MUST_USE;
void test_close(unsigned channels);

int test_spawn(unsigned i, struct task_ops_h entry) MUST_USE;
/* Joins the first @n. Result: 0 if all completed. */
int test_join(unsigned n) MUST_USE;
/* Lets others run until @n operations wait at channel @i. */
void test_until_waiting(unsigned i, unsigned n);
void test_note(const struct message *message);

#define SOON clock_after(2000000)

#endif
