/* SPDX-License-Identifier: MIT */
#include "rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

int rundir_name_ok(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t len = strlen(name);

	return len && len <= RUNDIR_NAME_MAX && strspn(name, allowed) == len && name[0] != '.' &&
	       name[0] != '-';
}

/* Makes @path and what is above it, as far as missing. */
static int make_dirs(char *path, struct failure *f)
{
	for (char *p = path + 1;; p++) {
		char c = *p;

		if (c != '/' && c)
			continue;
		*p = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return failure(f, -errno, "cannot make the directory %s: %s", path,
				       strerror(errno));
		*p = c;
		if (!c)
			return 0;
	}
}

/* @out = BASE/theseus/NAME, made. */
static int make_base(char *out, size_t size, const char *base, const char *name, struct failure *f)
{
	int n = snprintf(out, size, "%s/theseus/%s", base, name);

	if (n < 0 || (size_t)n >= size)
		return failure(f, -ENAMETOOLONG, "the directory name %s/theseus/%s is too long",
			       base, name);
	return make_dirs(out, f);
}

static int runtime_dir(struct rundir *d, const char *name, struct failure *f)
{
	const char *base = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");

	if (!base || base[0] != '/')
		return failure(f, -ENOENT,
			       "XDG_RUNTIME_DIR is not set: log in through a session "
			       "manager, or set it to a directory that only you can reach");
	return make_base(d->dir, sizeof(d->dir), base, name, f);
}

int rundir_log_path(const char *name, char ret_path[PATH_MAX], struct failure *f)
{
	const char *base = geteuid() == 0 ? "/var/lib" : getenv("XDG_STATE_HOME");
	char dir[PATH_MAX - 16], fallback[PATH_MAX - 64];
	int r;

	if (!base || base[0] != '/') {
		const char *home = getenv("HOME");

		if (!home || (size_t)snprintf(fallback, sizeof(fallback), "%s/.local/state",
					      home) >= sizeof(fallback))
			return failure(f, -ENOENT,
				       "neither XDG_STATE_HOME nor HOME is set; say where "
				       "the log shall be with --log");
		base = fallback;
	}
	r = make_base(dir, sizeof(dir), base, name, f);
	if (r < 0)
		return r;
	(void)snprintf(ret_path, PATH_MAX, "%s/vmm.log", dir);
	return 0;
}

static long read_pid(int fd)
{
	char text[32] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return 0;
	return strtol(text, NULL, 10);
}

static int write_pid(struct rundir *d, struct failure *f)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

	if (ftruncate(d->lock_fd, 0) < 0 || pwrite(d->lock_fd, text, (size_t)n, 0) != n)
		return failure(f, -EIO, "cannot write %s: %s", d->pid, strerror(errno));
	return 0;
}

/*
 * The lock is on the file that the path names now: whoever ends removes the file before it
 * lets go, so a lock on a file without a name means to try again.
 */
static int take_lock(struct rundir *d, const char *name, struct failure *f)
{
	for (;;) {
		struct stat held, named;
		int fd = open(d->pid, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0 && errno == ENOENT && mkdir(d->dir, 0700) == 0)
			continue; /* the one before us has just removed the directory */
		if (fd < 0)
			return failure(f, -errno, "cannot open %s: %s", d->pid, strerror(errno));
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			int e = errno;

			if (e == EWOULDBLOCK)
				(void)failure(f, 0,
					      "a VM named %s runs already (pid %ld); stop it or "
					      "take another --name",
					      name, read_pid(fd));
			else
				(void)failure(f, 0, "cannot lock %s: %s", d->pid, strerror(e));
			(void)close(fd);
			return e == EWOULDBLOCK ? -EBUSY : -e;
		}
		if (fstat(fd, &held) == 0 && stat(d->pid, &named) == 0 &&
		    held.st_ino == named.st_ino && held.st_dev == named.st_dev) {
			d->lock_fd = fd;
			return 0;
		}
		(void)close(fd);
	}
}

static int listen_on(struct rundir *d, struct failure *f)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	mode_t mask;
	int fd, r;

	if (strlen(d->sock) >= sizeof(a.sun_path))
		return failure(f, -ENAMETOOLONG,
			       "the socket's path %s is longer than %zu bytes; give "
			       "a shorter one with --socket",
			       d->sock, sizeof(a.sun_path) - 1);
	strcpy(a.sun_path, d->sock);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return failure(f, -errno, "cannot make a socket: %s", strerror(errno));
	(void)unlink(d->sock); /* stale: the lock is ours */
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&a, sizeof(a));
	(void)umask(mask);
	if (r == 0)
		r = listen(fd, BACKLOG);
	if (r < 0) {
		r = failure(f, -errno, "cannot listen on %s: %s", d->sock, strerror(errno));
		(void)close(fd);
		return r;
	}
	d->listen_fd = fd;
	return 0;
}

int rundir_claim(struct rundir *d, const char *name, const char *socket, struct failure *f)
{
	int r;

	d->lock_fd = d->listen_fd = -1;
	r = runtime_dir(d, name, f);
	if (r < 0)
		return r;
	(void)snprintf(d->pid, sizeof(d->pid), "%s/pid", d->dir);
	if (socket)
		(void)snprintf(d->sock, sizeof(d->sock), "%s", socket);
	else
		(void)snprintf(d->sock, sizeof(d->sock), "%s/sock", d->dir);
	r = take_lock(d, name, f);
	if (r < 0)
		return r;
	r = write_pid(d, f);
	if (r == 0)
		r = listen_on(d, f);
	if (r < 0)
		rundir_release(d);
	return r;
}

void rundir_release(struct rundir *d)
{
	if (d->listen_fd >= 0)
		(void)close(d->listen_fd);
	d->listen_fd = -1;
	if (d->lock_fd < 0)
		return;
	(void)unlink(d->sock);
	(void)unlink(d->pid);
	(void)rmdir(d->dir);
	(void)close(d->lock_fd);
	d->lock_fd = -1;
}
