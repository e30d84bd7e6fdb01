/* SPDX-License-Identifier: MIT */
/* Files of a tmpfs, as /dev/shm is one: param bytes each. */
#include "linux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define BYTES_MAX 65536u

static char path[64];
static char data[BYTES_MAX];

static int path_init(const struct bench *b)
{
	(void)snprintf(path, sizeof(path), "/dev/shm/theseus-bench-%d", (int)getpid());
	return b->param > BYTES_MAX ? -EINVAL : 0;
}

static int make(void)
{
	int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

/* Created and closed, with nothing in it; deleted untimed. */
static int create_run(struct bench *b)
{
	int r = path_init(b);

	while (!r && bench_more(b)) {
		uint64_t start = bench_start();
		int fd = make();

		if (fd < 0)
			return fd;
		(void)close(fd);
		bench_stop(b, start);
		(void)unlink(path);
	}
	return r;
}

static int delete_run(struct bench *b)
{
	int r = path_init(b);

	while (!r && bench_more(b)) {
		int fd = make();
		uint64_t start;

		if (fd < 0)
			return fd;
		(void)close(fd);
		start = bench_start();
		(void)unlink(path);
		bench_stop(b, start);
	}
	return r;
}

/* From the start of an open file that has its size already. */
static int transfer(struct bench *b, ssize_t (*move)(int fd, size_t n))
{
	int r = path_init(b), fd = r ? r : make();

	if (fd < 0)
		return fd;
	if (write(fd, data, b->param) != (ssize_t)b->param)
		r = -EIO;
	while (!r && bench_more(b)) {
		uint64_t start = bench_start();

		if (move(fd, b->param) != (ssize_t)b->param)
			r = -EIO;
		bench_stop(b, start);
	}
	(void)close(fd);
	(void)unlink(path);
	return r;
}

/* Two calls, as in the guest, whose files have no pwrite(). */
static ssize_t move_in(int fd, size_t n)
{
	return lseek(fd, 0, SEEK_SET) ? -1 : write(fd, data, n);
}

static ssize_t move_out(int fd, size_t n)
{
	return lseek(fd, 0, SEEK_SET) ? -1 : read(fd, data, n);
}

static int write_run(struct bench *b)
{
	return transfer(b, move_in);
}

static int read_run(struct bench *b)
{
	return transfer(b, move_out);
}

const struct linux_row file_rows[] = {
	{"tmpfs-create", create_run},
	{"tmpfs-write", write_run},
	{"tmpfs-read", read_run},
	{"tmpfs-delete", delete_run},
	{NULL},
};
