/* SPDX-License-Identifier: MIT */
#include "clients.h"

#include <stdio.h>
#include <string.h>

#define DIRECTORY "/clients"

static void path_of(unsigned client, unsigned file, char path[48])
{
	snprintf(path, 48, DIRECTORY "/%u-%u", client, file);
}

static uint8_t byte_of(unsigned client, unsigned file, uint32_t version, unsigned at)
{
	return (uint8_t)(client * 31 + file * 7 + version * 13 + at * 3 + at / 256);
}

static void failed(struct client *me, int64_t error)
{
	if (me->errors++ == 0)
		me->error = error;
}

static int64_t open_one(struct client *me, unsigned client, unsigned file)
{
	struct object_owner owner = {CELL_SELF, task_id(task_self())};
	char path[48];

	path_of(client, file, path);
	return vfs_open(path, VFS_READ | VFS_WRITE | VFS_CREATE, owner, &me->files[file]);
}

static int64_t write_one(struct client *me, unsigned client, unsigned file)
{
	int64_t r = vfs_seek(me->files[file], 0, VFS_FROM_START);

	for (unsigned i = 0; i < CLIENT_BYTES; i++)
		me->buf[i] = byte_of(client, file, me->versions[file], i);
	if (r == 0)
		r = vfs_write(me->files[file], me->buf, CLIENT_BYTES);
	return r < 0 ? r : r == CLIENT_BYTES ? 0 : -EIO;
}

static int64_t check_one(struct client *me, unsigned client, unsigned file)
{
	int64_t r = vfs_seek(me->files[file], 0, VFS_FROM_START);

	memset(me->buf, 0, CLIENT_BYTES);
	if (r == 0)
		r = vfs_read(me->files[file], me->buf, CLIENT_BYTES);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < CLIENT_BYTES; i++) {
		if (me->buf[i] != byte_of(client, file, me->versions[file], i)) {
			me->wrong++;
			return 0;
		}
	}
	return 0;
}

int64_t clients_run(struct clients *c, uint64_t arg)
{
	unsigned client = (unsigned)arg % CLIENTS_MAX;
	struct client *me = &c->client[client];
	unsigned file = me->next;
	int64_t r;

	if (__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE) || me->errors)
		return me->errors ? me->error : 0;
	if (me->opened < CLIENT_FILES) {
		r = open_one(me, client, me->opened);
		if (r == 0)
			r = write_one(me, client, me->opened);
		if (r < 0)
			failed(me, r);
		else
			__atomic_add_fetch(&me->opened, 1, __ATOMIC_RELEASE);
		return TASK_AGAIN;
	}
	r = check_one(me, client, file);
	me->versions[file]++;
	if (r == 0)
		r = write_one(me, client, file);
	if (r < 0)
		failed(me, r);
	me->next = (file + 1) % CLIENT_FILES;
	__atomic_add_fetch(&me->rounds, 1, __ATOMIC_RELAXED);
	return TASK_AGAIN;
}

int clients_start(struct clients *c, struct task_ops_h entry, unsigned n)
{
	const struct task_attr attr = {.name = "file client"};
	int r = vfs_mkdir(DIRECTORY);

	for (c->n = 0; c->n < n && r == 0; c->n++)
		r = task_spawn(&attr, entry, c->n, &c->client[c->n].task);
	if (r < 0 && c->n > 0)
		c->n--; /* that one was not started */
	return r;
}

void clients_sum(const struct clients *c, struct clients_sum *ret_sum)
{
	*ret_sum = (struct clients_sum){.slowest = UINT64_MAX};
	for (unsigned i = 0; i < c->n; i++) {
		const struct client *one = &c->client[i];
		uint64_t rounds = __atomic_load_n(&one->rounds, __ATOMIC_RELAXED);

		ret_sum->open += __atomic_load_n(&one->opened, __ATOMIC_ACQUIRE);
		ret_sum->rounds += rounds;
		ret_sum->wrong += one->wrong;
		ret_sum->errors += one->errors;
		if (ret_sum->error == 0)
			ret_sum->error = one->error;
		if (rounds < ret_sum->slowest)
			ret_sum->slowest = rounds;
	}
}

/* Their files are closed by the ledger: they belong to the tasks. */
int clients_stop(struct clients *c)
{
	struct task_exit exit;
	char path[48];
	int first = 0, r;

	__atomic_store_n(&c->stop, 1, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < c->n; i++) {
		r = task_join(c->client[i].task, CLOCK_NEVER, &exit);
		if (r == 0 && exit.end != TASK_COMPLETED)
			r = -EFAULT;
		first = first ? first : r;
		for (unsigned file = 0; file < c->client[i].opened; file++) {
			path_of(i, file, path);
			r = vfs_unlink(path);
			first = first ? first : r;
		}
	}
	r = vfs_rmdir(DIRECTORY);
	return first ? first : r;
}
