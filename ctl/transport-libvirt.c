/* SPDX-License-Identifier: MIT */
/*
 * A channel or console of a libvirt domain as a stream. libvirt's own event loop runs only
 * inside libvirt_wait(): there it serves the connection, its keepalive and the stream.
 *
 * Opening and closing talk to a daemon in calls that have no time limit of their own. They run in a
 * thread that is waited for up to a deadline; if it is missed, the thread and what it holds
 * are left to the end of the process, which is near.
 */
#include "transport.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "ctl.h"
#include "libvirt.h"
#include "util.h"

#define DEFAULT_URI "qemu:///system"
#define CHANNEL_NAME "org.theseus.control.0"
#define KEEPALIVE_SECONDS 5
#define KEEPALIVE_TRIES 3
#define WATCHES_MAX 4
#define CLOSE_LIMIT_NS NS_PER_SEC

struct transport_libvirt {
	struct transport base;
	virConnectPtr conn;
	virDomainPtr domain;
	virStreamPtr stream;
	int events;   /* what the stream's callback reported */
	bool watched; /* the stream has a callback */
	bool timed_out;
	bool stopped;                    /* the domain */
	struct transport_watch *watches; /* of the wait that runs */
	size_t n_watches;
};

/* ---- a libvirt call with a time limit ---- */

struct job {
	pthread_mutex_t lock;
	pthread_cond_t done_cond;
	bool done, abandoned;
	int (*fn)(struct job *job); /* 0 or an exit status with code and message set */
	int result;
	const char *code;
	char message[400];

	char *uri, *domain_name;
	enum transport_domain_end end;
	virConnectPtr conn;
	virDomainPtr domain;
	virStreamPtr stream;
};

static void job_drop_libvirt(struct job *job)
{
	if (job->stream)
		(void)virStreamFree(job->stream);
	if (job->domain)
		(void)virDomainFree(job->domain);
	if (job->conn)
		(void)virConnectClose(job->conn);
	job->stream = NULL;
	job->domain = NULL;
	job->conn = NULL;
}

static void job_release(struct job *job)
{
	job_drop_libvirt(job);
	free(job->uri);
	free(job->domain_name);
	free(job);
}

static void *job_thread(void *arg)
{
	struct job *job = arg;
	bool abandoned;
	int r = job->fn(job);

	(void)pthread_mutex_lock(&job->lock);
	job->result = r;
	job->done = true;
	abandoned = job->abandoned;
	(void)pthread_cond_signal(&job->done_cond);
	(void)pthread_mutex_unlock(&job->lock);
	if (abandoned)
		job_release(job);
	return NULL;
}

static struct job *job_new(const char *uri, const char *domain)
{
	struct job *job = calloc(1, sizeof(*job));
	pthread_condattr_t attr;

	if (!job)
		return NULL;
	(void)pthread_mutex_init(&job->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&job->done_cond, &attr);
	(void)pthread_condattr_destroy(&attr);
	job->uri = strdup(uri ? uri : DEFAULT_URI);
	job->domain_name = strdup(domain);
	if (job->uri && job->domain_name)
		return job;
	job_release(job);
	return NULL;
}

/* Runs @job. On success it is the caller's again, else it is gone and @c's error is set. */
static int job_run(struct ctl *c, struct job *job, uint64_t limit_ns)
{
	uint64_t deadline = now_ns() + limit_ns;
	struct timespec ts = {.tv_sec = (time_t)(deadline / NS_PER_SEC),
			      .tv_nsec = (long)(deadline % NS_PER_SEC)};
	char limit[FORMAT_MAX];
	pthread_t thread;
	int r = pthread_create(&thread, NULL, job_thread, job);

	if (r) {
		job_release(job);
		(void)ctl_error(c, CTL_FAILED, "system", "no thread: %s", strerror(r));
		return CTL_FAILED;
	}
	(void)pthread_mutex_lock(&job->lock);
	while (!job->done && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&job->done_cond, &job->lock, &ts);
	if (!job->done) {
		job->abandoned = true;
		(void)pthread_detach(thread);
		(void)ctl_error(c, CTL_NO_VM, "no-answer", "libvirt (%s) does not answer in %s",
				job->uri, format_ns(limit_ns, limit));
		(void)pthread_mutex_unlock(&job->lock);
		return CTL_NO_VM;
	}
	(void)pthread_mutex_unlock(&job->lock);
	(void)pthread_join(thread, NULL);
	r = job->result;
	if (r) {
		(void)ctl_error(c, r, job->code, "%s", job->message);
		job_release(job);
	}
	return r;
}

static int job_fail(struct job *job, int status, const char *code, const char *what)
{
	virErrorPtr e = virGetLastError();

	job->code = code;
	(void)snprintf(job->message, sizeof(job->message), "%s: %s", what,
		       e && e->message ? e->message : "libvirt gave no reason");
	return status;
}

static int job_find_domain(struct job *job)
{
	job->conn = virConnectOpen(job->uri);
	if (!job->conn)
		return job_fail(job, CTL_NO_VM, "libvirt", job->uri);
	job->domain = virDomainLookupByName(job->conn, job->domain_name);
	if (!job->domain)
		return job_fail(job, CTL_NO_VM, "no-such-vm", job->domain_name);
	if (virDomainIsActive(job->domain) == 1)
		return 0;
	job->code = "no-such-vm";
	(void)snprintf(job->message, sizeof(job->message),
		       "%s: the domain does not run (\"virsh start %s\" starts it)",
		       job->domain_name, job->domain_name);
	return CTL_NO_VM;
}

/*
 * The alias of the domain's virtio console in @buf; "" if it has none. A serial console, which
 * libvirt would take by default, is not the guest's but COM1.
 */
static void find_console(virDomainPtr domain, char *buf, size_t size)
{
	static const char alias[] = "<alias name='";
	char *xml = virDomainGetXMLDesc(domain, 0);

	buf[0] = '\0';
	for (char *at = xml; at && (at = strstr(at, "<console "));) {
		char *end = strstr(at, "</console>"), *name;

		if (!end)
			break;
		*end = '\0';
		name = strstr(at, "<target type='virtio'") ? strstr(at, alias) : NULL;
		if (name && !buf[0])
			(void)snprintf(buf, size, "%.*s",
				       (int)strcspn(name + sizeof(alias) - 1, "'"),
				       name + sizeof(alias) - 1);
		at = end + 1;
	}
	free(xml);
}

static int open_console(struct job *job)
{
	char name[80];

	find_console(job->domain, name, sizeof(name));
	return virDomainOpenConsole(job->domain, name[0] ? name : NULL, job->stream,
				    VIR_DOMAIN_CONSOLE_SAFE);
}

static int job_open(struct job *job)
{
	int r = job_find_domain(job);

	if (r)
		return r;
	job->stream = virStreamNew(job->conn, VIR_STREAM_NONBLOCK);
	if (!job->stream)
		return job_fail(job, CTL_FAILED, "libvirt", "stream");
	if (job->end == TRANSPORT_DOMAIN_CONSOLE)
		r = open_console(job);
	else
		r = virDomainOpenChannel(job->domain, CHANNEL_NAME, job->stream, 0);
	if (!r)
		return 0;
	/* libvirt has no code of its own for a channel that is in use. */
	if (virGetLastErrorCode() == VIR_ERR_OPERATION_FAILED) {
		job->code = "busy";
		(void)snprintf(
			job->message, sizeof(job->message),
			"%s: another client is connected, and libvirt serves one at a time (%s)",
			job->domain_name, virGetLastErrorMessage());
		return CTL_FAILED;
	}
	return job_fail(job, CTL_FAILED, "libvirt", job->domain_name);
}

/* An end that waits for the daemon, which may wait for a guest that reads no more. */
static int job_close(struct job *job)
{
	(void)virStreamAbort(job->stream);
	job_drop_libvirt(job);
	return 0;
}

static int job_destroy(struct job *job)
{
	int r = job_find_domain(job);

	if (!r && virDomainDestroy(job->domain))
		r = job_fail(job, CTL_FAILED, "libvirt", job->domain_name);
	return r;
}

/* ---- the stream ---- */

static void on_stream(virStreamPtr stream, int events, void *opaque)
{
	struct transport_libvirt *t = opaque;

	(void)stream;
	t->events |= events;
}

static void on_timeout(int timer, void *opaque)
{
	struct transport_libvirt *t = opaque;

	(void)timer;
	t->timed_out = true;
}

static void on_watch(int watch, int fd, int events, void *opaque)
{
	struct transport_libvirt *t = opaque;

	(void)watch;
	(void)events;
	for (size_t i = 0; i < t->n_watches; i++)
		if (t->watches[i].fd == fd)
			t->watches[i].ready = true;
}

/* Milliseconds of libvirt's timer, rounded up; -1 = never. */
static int timer_ms(uint64_t deadline_ns)
{
	uint64_t now = now_ns(), ms;

	if (deadline_ns == UINT64_MAX)
		return -1;
	ms = deadline_ns > now ? (deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS : 0;
	return ms > 86400000 ? 86400000 : (int)ms;
}

static bool watch_ready(const struct transport_libvirt *t)
{
	for (size_t i = 0; i < t->n_watches; i++)
		if (t->watches[i].ready)
			return true;
	return false;
}

static int arm_stream(struct transport_libvirt *t, unsigned int want)
{
	int events = VIR_STREAM_EVENT_ERROR | VIR_STREAM_EVENT_HANGUP;

	if (want & TRANSPORT_READ)
		events |= VIR_STREAM_EVENT_READABLE;
	if (want & TRANSPORT_WRITE)
		events |= VIR_STREAM_EVENT_WRITABLE;
	t->events = 0;
	if (t->watched)
		return virStreamEventUpdateCallback(t->stream, events) ? -EIO : 0;
	if (virStreamEventAddCallback(t->stream, events, on_stream, t, NULL))
		return -EIO;
	t->watched = true;
	return 0;
}

/* Turns libvirt's loop until something of @t happened. Result: 0 or -EIO. */
static int turn(struct transport_libvirt *t)
{
	while (!t->events && !t->timed_out && !watch_ready(t)) {
		if (virEventRunDefaultImpl())
			return -EIO;
		if (virConnectIsAlive(t->conn) != 1)
			return -EIO;
	}
	return 0;
}

static int libvirt_wait(struct transport *base, unsigned int want, struct transport_watch *watches,
			size_t n_watches, uint64_t deadline_ns)
{
	struct transport_libvirt *t = (struct transport_libvirt *)base;
	int handles[WATCHES_MAX], timer, ready = 0, r;

	if (n_watches > WATCHES_MAX)
		return -EINVAL;
	r = arm_stream(t, want);
	if (r)
		return r;
	t->watches = watches;
	t->n_watches = n_watches;
	t->timed_out = false;
	for (size_t i = 0; i < n_watches; i++)
		handles[i] = virEventAddHandle(watches[i].fd,
					       VIR_EVENT_HANDLE_READABLE | VIR_EVENT_HANDLE_HANGUP,
					       on_watch, t, NULL);
	timer = virEventAddTimeout(timer_ms(deadline_ns), on_timeout, t, NULL);
	r = timer < 0 ? -EIO : turn(t);
	if (timer >= 0)
		(void)virEventRemoveTimeout(timer);
	for (size_t i = 0; i < n_watches; i++)
		if (handles[i] >= 0)
			(void)virEventRemoveHandle(handles[i]);
	t->n_watches = 0;
	if (r)
		return r;
	if (t->events &
	    (VIR_STREAM_EVENT_READABLE | VIR_STREAM_EVENT_ERROR | VIR_STREAM_EVENT_HANGUP))
		ready |= TRANSPORT_READ;
	if (t->events & (VIR_STREAM_EVENT_WRITABLE | VIR_STREAM_EVENT_ERROR))
		ready |= TRANSPORT_WRITE;
	if (!ready && t->timed_out)
		return -ETIMEDOUT;
	return ready;
}

static ssize_t libvirt_read(struct transport *base, void *buf, size_t len)
{
	struct transport_libvirt *t = (struct transport_libvirt *)base;
	int n = virStreamRecv(t->stream, buf, len);

	if (n == -2)
		return -EAGAIN;
	return n < 0 ? -EIO : n;
}

static ssize_t libvirt_write(struct transport *base, const void *buf, size_t len)
{
	struct transport_libvirt *t = (struct transport_libvirt *)base;
	int n = virStreamSend(t->stream, buf, len);

	if (n == -2)
		return -EAGAIN;
	return n < 0 ? -EIO : n;
}

static void libvirt_close(struct transport *base)
{
	struct transport_libvirt *t = (struct transport_libvirt *)base;
	struct job *job = job_new(NULL, "");
	struct ctl nobody = {0};

	if (t->watched)
		(void)virStreamEventRemoveCallback(t->stream);
	/* Without memory for an orderly end the process's end has to do. */
	if (job) {
		job->fn = job_close;
		job->conn = t->conn;
		job->domain = t->domain;
		job->stream = t->stream;
		if (!job_run(&nobody, job, CLOSE_LIMIT_NS))
			job_release(job);
		ctl_error_clear(&nobody);
	}
	free(t);
}

static const struct transport_ops libvirt_ops = {
	.wait = libvirt_wait,
	.read = libvirt_read,
	.write = libvirt_write,
	.close = libvirt_close,
};

static void ignore_error(void *opaque, virErrorPtr e)
{
	(void)opaque;
	(void)e; /* libvirt would print it to stderr; it is reported once, by ctl_error() */
}

static void libvirt_setup(void)
{
	static bool done;

	if (!done) {
		virSetErrorFunc(NULL, ignore_error);
		(void)virEventRegisterDefaultImpl();
		done = true;
	}
}

int transport_open_domain(struct ctl *c, const char *uri, const char *domain,
			  enum transport_domain_end end, uint64_t limit_ns,
			  struct transport **ret_transport)
{
	struct transport_libvirt *t = calloc(1, sizeof(*t));
	struct job *job = job_new(uri, domain);
	int r;

	if (!t || !job) {
		if (job)
			job_release(job);
		free(t);
		return ctl_oom(c);
	}
	libvirt_setup();
	job->fn = job_open;
	job->end = end;
	r = job_run(c, job, limit_ns);
	if (r) {
		free(t);
		return r;
	}
	t->base.ops = &libvirt_ops;
	t->conn = job->conn;
	t->domain = job->domain;
	t->stream = job->stream;
	job->conn = NULL;
	job->domain = NULL;
	job->stream = NULL;
	job_release(job);
	/* A daemon that hangs is noticed by the loop of libvirt_wait(). */
	(void)virConnectSetKeepAlive(t->conn, KEEPALIVE_SECONDS, KEEPALIVE_TRIES);
	*ret_transport = &t->base;
	return 0;
}

int domain_destroy(struct ctl *c, const char *uri, const char *domain, uint64_t limit_ns)
{
	struct job *job = job_new(uri, domain);
	int r;

	if (!job)
		return ctl_oom(c);
	libvirt_setup();
	job->fn = job_destroy;
	r = job_run(c, job, limit_ns);
	if (!r)
		job_release(job);
	return r;
}

static int on_lifecycle(virConnectPtr conn, virDomainPtr domain, int event, int detail,
			void *opaque)
{
	struct transport_libvirt *t = opaque;

	(void)conn;
	(void)domain;
	(void)detail;
	t->stopped |= event == VIR_DOMAIN_EVENT_STOPPED;
	return 0;
}

int domain_wait_off(struct transport *base, uint64_t deadline_ns)
{
	struct transport_libvirt *t = (struct transport_libvirt *)base;
	int timer, watch, r = 0;

	if (base->ops != &libvirt_ops)
		return -EINVAL;
	t->timed_out = false;
	watch = virConnectDomainEventRegisterAny(t->conn, t->domain, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
						 VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), t, NULL);
	timer = virEventAddTimeout(timer_ms(deadline_ns), on_timeout, t, NULL);
	if (watch < 0 || timer < 0)
		r = -EIO;
	/* Asked anew each time: the event may be older than the watch, or its domain gone. */
	while (!r && !t->stopped && virDomainIsActive(t->domain) == 1) {
		if (virEventRunDefaultImpl())
			r = -EIO;
		else if (t->timed_out)
			r = -ETIMEDOUT;
	}
	/* The event comes before libvirt is done with the domain: a question waits for that. */
	if (!r)
		(void)virDomainIsActive(t->domain);
	if (timer >= 0)
		(void)virEventRemoveTimeout(timer);
	if (watch >= 0)
		(void)virConnectDomainEventDeregisterAny(t->conn, watch);
	return r;
}

void domain_get_info(const struct transport *base, struct domain_info *info)
{
	const struct transport_libvirt *t = (const struct transport_libvirt *)base;
	virDomainInfo vi;
	char *xml;

	*info = (struct domain_info){.accel = "unknown"};
	if (base->ops != &libvirt_ops)
		return;
	if (!virDomainGetInfo(t->domain, &vi)) {
		info->memory_bytes = (uint64_t)vi.memory << 10;
		info->cpus = vi.nrVirtCpu;
	}
	xml = virDomainGetXMLDesc(t->domain, 0);
	if (xml && strstr(xml, "<domain type='kvm'"))
		info->accel = "kvm";
	else if (xml && strstr(xml, "<domain type='qemu'"))
		info->accel = "tcg";
	free(xml);
}
