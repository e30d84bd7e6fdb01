/* SPDX-License-Identifier: MIT */
#include "transport.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl.h"
#include "util.h"

#define WATCHES_MAX 4

struct transport_unix {
	struct transport base;
	int fd;
};

static int fd_of(const struct transport *t)
{
	return ((const struct transport_unix *)t)->fd;
}

static int unix_wait(struct transport *t, unsigned int want, struct transport_watch *watches,
		     size_t n_watches, uint64_t deadline_ns)
{
	struct pollfd fds[1 + WATCHES_MAX] = {{.fd = fd_of(t)}};

	if (n_watches > WATCHES_MAX)
		return -EINVAL;
	if (want & TRANSPORT_READ)
		fds[0].events |= POLLIN;
	if (want & TRANSPORT_WRITE)
		fds[0].events |= POLLOUT;
	for (size_t i = 0; i < n_watches; i++)
		fds[1 + i] = (struct pollfd){.fd = watches[i].fd, .events = POLLIN};
	for (;;) {
		uint64_t now = now_ns(), left = deadline_ns > now ? deadline_ns - now : 0;
		struct timespec ts = {.tv_sec = (time_t)(left / NS_PER_SEC),
				      .tv_nsec = (long)(left % NS_PER_SEC)};
		int n = ppoll(fds, 1 + n_watches, deadline_ns == UINT64_MAX ? NULL : &ts, NULL);
		int ready = 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ETIMEDOUT;
		for (size_t i = 0; i < n_watches; i++)
			watches[i].ready = fds[1 + i].revents != 0;
		if (fds[0].revents & (POLLIN | POLLHUP | POLLERR))
			ready |= TRANSPORT_READ;
		if (fds[0].revents & (POLLOUT | POLLERR))
			ready |= TRANSPORT_WRITE;
		return ready;
	}
}

static ssize_t unix_read(struct transport *t, void *buf, size_t len)
{
	ssize_t n = recv(fd_of(t), buf, len, MSG_DONTWAIT);

	return n < 0 ? -errno : n;
}

static ssize_t unix_write(struct transport *t, const void *buf, size_t len)
{
	ssize_t n = send(fd_of(t), buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	return n < 0 ? -errno : n;
}

static void unix_close(struct transport *t)
{
	(void)close(fd_of(t));
	free(t);
}

static const struct transport_ops unix_ops = {
	.wait = unix_wait,
	.read = unix_read,
	.write = unix_write,
	.close = unix_close,
};

struct transport *transport_from_fd(int fd)
{
	struct transport_unix *t = malloc(sizeof(*t));

	if (!t)
		return NULL;
	*t = (struct transport_unix){.base = {.ops = &unix_ops}, .fd = fd};
	return &t->base;
}

pid_t transport_peer(const struct transport *t)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (t->ops != &unix_ops)
		return -EOPNOTSUPP;
	if (getsockopt(fd_of(t), SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return -errno;
	return cred.pid > 0 ? cred.pid : -ESRCH;
}

/*
 * A path longer than sun_path is reached through its directory's descriptor.
 * Result: 0 or -errno.
 */
static int connect_path(int fd, const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	CLEANUP_FD int dir = -1;

	if (strlen(path) < sizeof(sa.sun_path)) {
		memcpy(sa.sun_path, path, strlen(path) + 1);
	} else {
		const char *slash = strrchr(path, '/');
		CLEANUP_FREE char *parent = slash ? strndup(path, (size_t)(slash - path)) : NULL;
		int n;

		if (!parent)
			return -ENAMETOOLONG;
		dir = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return -errno;
		n = snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/%s", dir,
			     slash + 1);
		if (n < 0 || (size_t)n >= sizeof(sa.sun_path))
			return -ENAMETOOLONG;
	}
	/* Unix sockets connect at once, or wait for the backlog: SO_SNDTIMEO bounds that. */
	return connect(fd, (struct sockaddr *)&sa, sizeof(sa)) ? -errno : 0;
}

int transport_open_unix(struct ctl *c, const char *path, struct transport **ret_transport)
{
	CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval limit = {.tv_sec = 5};
	struct transport *t;
	int r;

	if (fd < 0)
		return ctl_error(c, CTL_FAILED, "system", "no socket: %s", strerror(errno));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	r = connect_path(fd, path);
	if (r == -ENOENT || r == -ECONNREFUSED || r == -ENOTDIR)
		return ctl_error(c, CTL_NO_VM, "no-such-vm",
				 "no VM listens on %s (\"theseusctl ls\" lists those that run)",
				 path);
	if (r == -EAGAIN)
		return ctl_error(c, CTL_NO_VM, "no-answer", "%s: theseus-vmm takes no connection",
				 path);
	if (r)
		return ctl_error(c, CTL_FAILED, "connect", "%s: %s", path, strerror(-r));
	t = transport_from_fd(fd);
	if (!t)
		return ctl_oom(c);
	fd = -1;
	*ret_transport = t;
	return 0;
}
