/* SPDX-License-Identifier: MIT */
#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void fd_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

#define OWNED_FD __attribute__((cleanup(fd_close))) int

void str_free(char **s)
{
	free(*s);
}

int file_read(const char *path, size_t max, uint8_t **ret_data, size_t *ret_size)
{
	OWNED_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	size_t size = 0;
	struct stat st;
	uint8_t *data;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	if ((uint64_t)st.st_size > max)
		return -EFBIG;
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		return -ENOMEM;
	while (size < (size_t)st.st_size) {
		ssize_t n = read(fd, data + size, (size_t)st.st_size - size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int r = -errno;

			free(data);
			return r;
		}
		if (n == 0)
			break; /* it shrank meanwhile: what is there is the file */
		size += (size_t)n;
	}
	data[size] = 0;
	*ret_data = data;
	*ret_size = size;
	return 0;
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

static int write_to(const char *path, const void *data, size_t size)
{
	OWNED_FD fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

	return fd < 0 ? -errno : write_all(fd, data, size);
}

static int write_beside(const char *path, const void *data, size_t size)
{
	__attribute__((cleanup(str_free))) char *temp = NULL;
	OWNED_FD fd = -1;
	int r;

	if (asprintf(&temp, "%s.XXXXXX", path) < 0) {
		temp = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = write_all(fd, data, size);
	if (r == 0 && fchmod(fd, 0644) < 0)
		r = -errno;
	if (r == 0 && rename(temp, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(temp);
	return r;
}

int file_write(const char *path, const void *data, size_t size)
{
	__attribute__((cleanup(str_free))) char *real = realpath(path, NULL);
	struct stat st;

	if (!real || stat(real, &st) < 0 || S_ISREG(st.st_mode))
		return write_beside(real ? real : path, data, size);
	return S_ISDIR(st.st_mode) ? -EISDIR : write_to(real, data, size);
}

int file_update(const char *path, const void *data, size_t size)
{
	__attribute__((cleanup(str_free))) char *old = NULL;
	uint8_t *bytes;
	size_t old_size;

	if (file_read(path, size, &bytes, &old_size) == 0) {
		old = (char *)bytes;
		if (old_size == size && (!size || memcmp(old, data, size) == 0))
			return 0;
	}
	return file_write(path, data, size);
}

char *temp_dir(void)
{
	const char *base = getenv("TMPDIR");
	char *path;

	if (asprintf(&path, "%s/theseus-XXXXXX", base && *base ? base : "/tmp") < 0) {
		errno = ENOMEM;
		return NULL;
	}
	if (!mkdtemp(path)) {
		int e = errno;

		free(path);
		errno = e;
		return NULL;
	}
	return path;
}

void temp_dir_remove(char *path)
{
	DIR *dir = path ? opendir(path) : NULL;
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		(void)unlinkat(dirfd(dir), e->d_name, 0); /* refuses . and .. */
	if (dir)
		(void)closedir(dir);
	if (path)
		(void)rmdir(path);
	free(path);
}

static int spawn(char *const argv[], int out, pid_t *ret_pid)
{
	extern char **environ;
	posix_spawn_file_actions_t fa;
	int r = posix_spawn_file_actions_init(&fa);

	if (r)
		return -r;
	r = posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&fa, out, 1);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&fa, out, 2);
	if (!r)
		r = posix_spawnp(ret_pid, argv[0], &fa, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&fa);
	return -r;
}

int child_run(char *const argv[], struct buf *output)
{
	int fds[2], status, r;
	char piece[4096];
	ssize_t n;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	r = spawn(argv, fds[1], &pid);
	(void)close(fds[1]);
	if (r < 0) {
		(void)close(fds[0]);
		return r;
	}
	while ((n = read(fds[0], piece, sizeof(piece))) != 0) {
		if (n > 0)
			buf_put(output, piece, (size_t)n);
		else if (errno != EINTR)
			break;
	}
	(void)close(fds[0]);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
