/* SPDX-License-Identifier: MIT */
#include "soak.h"

#include <stdio.h>
#include <string.h>

#include <theseus/mapped.h>
#include <theseus/vfs.h>

#define TURNS 20u
#define OBJECT_BYTES 200u
#define FILE_PATH 40u
#define QUEUED 4u
#define EXCHANGE_NS (2 * CLOCK_MS) /* there may be nobody at the other side */

struct message {
	uint64_t word, inverse;
	char rest[48];
};

int shared_init(struct shared *shared)
{
	shared->semaphore = (struct semaphore)SEMAPHORE_INIT(SEMAPHORE_UNITS);
	for (unsigned i = 0; i < CHANNELS; i++) {
		const struct channel_attr attr = {
			.kind = i ? CHANNEL_ASYNC : CHANNEL_RENDEZVOUS,
			.bytes = sizeof(struct message),
			.capacity = i ? QUEUED : 0,
			.owner = {CELL_SELF, 0},
		};
		int r = channel_create(&attr, &shared->channels[i].send,
				       &shared->channels[i].receive);

		if (r < 0)
			return r;
	}
	return heap_type_create(CELL_SELF, "soak", OBJECT_BYTES, OBJECT_NO_OPS, &shared->type);
}

void shared_check(struct shared *shared)
{
	uint64_t left = object_count(shared->type);
	int r;

	if (shared->mutex.owner & ~SYNC_FLAGS)
		soak_wrong("the mutex is held by %llx", (unsigned long long)shared->mutex.owner);
	if (shared->rwlock.holder & ~SYNC_FLAGS)
		soak_wrong("the rwlock is held: %llx", (unsigned long long)shared->rwlock.holder);
	if (shared->spinlock.held & 1)
		soak_wrong("the spinlock is held");
	if (left)
		soak_wrong("%llu objects are left", (unsigned long long)left);
	for (unsigned i = 0; i < CHANNELS; i++) {
		if (channel_close(shared->channels[i].send) < 0 ||
		    channel_close(shared->channels[i].receive) < 0)
			soak_wrong("channel %u is gone", i);
	}
	r = heap_type_destroy(shared->type);
	if (r < 0)
		soak_wrong("the type of the objects is in use: error %d", r);
}

/* Half-changed for a moment, in which somebody else who holds the lock would see it. */
static void change(struct pair *pair, struct child *child)
{
	pair->a++;
	if (next_random(&child->random) % 4 == 0)
		task_yield();
	pair->b++;
}

static void look(const struct pair *pair, const char *lock)
{
	if (pair->a != pair->b)
		soak_wrong("%s: %llu is not %llu", lock, (unsigned long long)pair->a,
			   (unsigned long long)pair->b);
}

/* Result of a lock call: 0 to go on. @pair may be half-changed if its owner ended in between. */
static int locked(int result, struct pair *pair, const char *lock)
{
	if (result == LOCK_ABANDONED)
		pair->b = pair->a;
	else if (result == 0)
		look(pair, lock);
	else if (result != -ECANCELED)
		soak_wrong("%s: error %d", lock, result);
	return result < 0 ? result : 0;
}

static int mutex_turn(struct child *child, bool fault)
{
	struct shared *s = &soak()->shared;
	int r = mutex_lock(&s->mutex, CLOCK_NEVER);

	r = locked(r, &s->by_mutex, "mutex");
	if (r < 0)
		return r;
	OWNED(mutex_drop) __attribute__((unused)) struct mutex *held = mutex_held(&s->mutex);
	HOLDING(child);
	change(&s->by_mutex, child);
	if (fault)
		fault_now();
	return 0;
}

int64_t use_mutex(struct child *child)
{
	for (unsigned i = 0; i < TURNS; i++) {
		if (mutex_turn(child, false) < 0)
			return -ECANCELED;
	}
	return 0;
}

int64_t fault_with_mutex(struct child *child)
{
	return mutex_turn(child, true);
}

static int write_turn(struct child *child, bool fault)
{
	struct shared *s = &soak()->shared;
	int r = rwlock_write(&s->rwlock, CLOCK_NEVER);

	if (r == 0 && __atomic_exchange_n(&s->rwlock_damaged, 0, __ATOMIC_RELAXED))
		r = LOCK_ABANDONED;
	r = locked(r, &s->by_rwlock, "rwlock");
	if (r < 0)
		return r;
	OWNED(rwlock_drop)
	__attribute__((unused)) struct rwlock *held = rwlock_write_held(&s->rwlock);
	HOLDING(child);
	change(&s->by_rwlock, child);
	if (fault)
		fault_now();
	return 0;
}

static int read_turn(struct child *child)
{
	struct shared *s = &soak()->shared;
	int r = rwlock_read(&s->rwlock, CLOCK_NEVER);

	if (r < 0)
		return r;
	OWNED(rwlock_drop)
	__attribute__((unused)) struct rwlock *held = rwlock_read_held(&s->rwlock);
	HOLDING(child);
	if (r == LOCK_ABANDONED) /* it is told once, and a reader cannot repair */
		__atomic_store_n(&s->rwlock_damaged, 1, __ATOMIC_RELAXED);
	else if (!__atomic_load_n(&s->rwlock_damaged, __ATOMIC_RELAXED))
		look(&s->by_rwlock, "rwlock, read");
	if (next_random(&child->random) % 4 == 0)
		task_yield();
	return 0;
}

int64_t use_rwlock(struct child *child)
{
	for (unsigned i = 0; i < TURNS; i++) {
		if ((i % 4 == 0 ? write_turn(child, false) : read_turn(child)) < 0)
			return -ECANCELED;
	}
	return 0;
}

int64_t fault_with_rwlock(struct child *child)
{
	return write_turn(child, true);
}

/* Whoever faults here leaves the pair whole: it was taken before the fault. */
static void spin_turn(struct child *child, bool fault)
{
	struct shared *s = &soak()->shared;

	spin_lock(&s->spinlock);
	look(&s->by_spinlock, "spinlock");
	s->by_spinlock.a += child->random % 2 + 1;
	s->by_spinlock.b = s->by_spinlock.a;
	if (fault)
		fault_now();
	spin_unlock(&s->spinlock);
}

int64_t use_spinlock(struct child *child)
{
	for (unsigned i = 0; i < TURNS; i++) {
		HOLDING(child);
		spin_turn(child, false);
		if (task_kill_point())
			return -ECANCELED;
	}
	return 0;
}

int64_t fault_with_spinlock(struct child *child)
{
	HOLDING(child);
	spin_turn(child, true);
	return 0;
}

static void give_unit(struct semaphore **semaphore)
{
	if (semaphore_post(*semaphore) < 0)
		soak_wrong("the semaphore has too many units");
}

int64_t use_semaphore(struct child *child)
{
	struct semaphore *semaphore = &soak()->shared.semaphore;

	for (unsigned i = 0; i < TURNS; i++) {
		int r = semaphore_wait(semaphore, CLOCK_NEVER);

		if (r < 0)
			return r;
		OWNED(give_unit) __attribute__((unused)) struct semaphore *unit = semaphore;
		HOLDING(child);
		if (next_random(&child->random) % 4 == 0)
			task_yield();
	}
	return 0;
}

int64_t send_messages(struct child *child)
{
	for (unsigned i = 0; i < TURNS; i++) {
		uint64_t word = next_random(&child->random);
		struct message m = {.word = word, .inverse = ~word};
		HOLDING(child);
		int r = channel_send(soak()->shared.channels[word % CHANNELS].send, &m,
				     clock_after(EXCHANGE_NS));

		if (r == -ECANCELED)
			return r;
		if (r < 0 && r != -ETIMEDOUT && r != -ENOMEM)
			soak_wrong("send: error %d", r);
	}
	return 0;
}

int64_t receive_messages(struct child *child)
{
	for (unsigned i = 0; i < TURNS; i++) {
		uint64_t n = next_random(&child->random) % CHANNELS;
		struct message m = {.word = 0};
		HOLDING(child);
		int r = channel_receive(soak()->shared.channels[n].receive, &m,
					clock_after(EXCHANGE_NS));

		if (r == -ECANCELED)
			return r;
		if (r < 0 && r != -ETIMEDOUT && r != -ENOMEM)
			soak_wrong("receive: error %d", r);
		if (r == 0 && m.inverse != ~m.word)
			soak_wrong("a message was garbled");
	}
	return 0;
}

/* ---- what the ledger has to give back ---- */

/* Some end by themselves, some wait to be killed. */
static int64_t leave(struct child *child)
{
	if (next_random(&child->random) % 2)
		return 0;
	return task_sleep_until(clock_after(next_random(&child->random) % CLOCK_MS));
}

int64_t leave_objects(struct child *child)
{
	const struct object_owner owner = {CELL_SELF, task_id(task_self())};
	struct heap_type type = soak()->shared.type;

	for (unsigned i = 0; i < 8; i++) {
		struct handle h;
		int r = object_create(type, owner, &h);
		char *object;

		if (r == -ENOMEM)
			break;
		object = r == 0 ? object_get(type, h) : NULL;
		if (!object || object[OBJECT_BYTES - 1] != 0)
			soak_wrong("a new object: error %d, %s", r, object ? "not zeroed" : "none");
		else
			memset(object, 0xa5, OBJECT_BYTES);
		if (i % 3 == 0 && object_destroy(type, h) < 0)
			soak_wrong("an object of a task that runs is stale");
	}
	return leave(child);
}

int64_t leave_region(struct child *child)
{
	size_t bytes = (next_random(&child->random) % 4 + 1) * PAGE_SIZE;
	struct mapped region = {0};
	uint64_t *words;

	if (mapped_create(MAPPED_DATA, bytes, &region) < 0)
		return 0;
	if (mapped_bind(region, task_id(task_self())) < 0) {
		soak_wrong("a region cannot be bound");
		mapped_drop(&region);
		return 0;
	}
	words = MAPPED_VIEW(uint64_t, region, 0, bytes / sizeof(uint64_t));
	if (!words || words[0] != 0)
		soak_wrong("a new region is not zeroed");
	else
		words[0] = child->random;
	return leave(child);
}

static void file_path(uint64_t task, char ret_path[FILE_PATH])
{
	snprintf(ret_path, FILE_PATH, "/soak-%llx", (unsigned long long)task);
}

void shared_clean(const struct child *child, uint64_t task, bool by_ledger)
{
	struct shared *s = &soak()->shared;
	char path[FILE_PATH];

	if (roles[child->role].run == use_semaphore && by_ledger) {
		for (uint32_t i = child->released; i < child->acquired; i++)
			(void)semaphore_post(&s->semaphore);
	} else if (roles[child->role].run == leave_file) {
		file_path(task, path);
		(void)!vfs_unlink(path);
	}
}

int64_t leave_file(struct child *child)
{
	const struct object_owner owner = {CELL_SELF, task_id(task_self())};
	struct vfs_file file;
	char path[FILE_PATH], word[16] = "soak", back[16] = "";
	int64_t r;

	file_path(owner.task, path);
	r = vfs_open(path, VFS_READ | VFS_WRITE | VFS_CREATE | VFS_EXCLUSIVE, owner, &file);
	if (r == 0)
		r = vfs_unlink(path);
	if (r == 0)
		r = vfs_write(file, word, sizeof(word));
	if (r == sizeof(word))
		r = vfs_seek(file, 0, VFS_FROM_START);
	if (r == 0)
		r = vfs_read(file, back, sizeof(back));
	if (r == -ECANCELED || r == -ENOMEM || r == -ENOSPC)
		return r == -ECANCELED ? r : 0;
	if (r != sizeof(back) || memcmp(word, back, sizeof(back)) != 0)
		soak_wrong("%s: error %lld", path, (long long)r);
	return leave(child);
}
