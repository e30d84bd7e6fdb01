/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PATH_BYTES 4096u
#define PREFIX_MAX 64u

struct log {
	int fd;
	uint64_t size, max_bytes;
	unsigned int files;
	char path[PATH_BYTES - 16]; /* room for the number of a rotated file */
};

static int open_file(const char *path, uint64_t *ret_size)
{
	struct stat st;
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);

	if (fd < 0)
		return -errno;
	*ret_size = fstat(fd, &st) < 0 ? 0 : (uint64_t)st.st_size;
	return fd;
}

int log_open(const char *path, uint64_t max_bytes, unsigned int files, struct log **ret_log)
{
	struct log *log = calloc(1, sizeof(*log));
	int fd;

	if (!log)
		return -ENOMEM;
	if (strlen(path) >= sizeof(log->path)) {
		free(log);
		return -ENAMETOOLONG;
	}
	fd = open_file(path, &log->size);
	if (fd < 0) {
		free(log);
		return fd;
	}
	strcpy(log->path, path);
	log->fd = fd;
	log->max_bytes = max_bytes;
	log->files = files;
	*ret_log = log;
	return 0;
}

void log_close(struct log *log)
{
	if (log)
		(void)close(log->fd);
	free(log);
}

int log_reopen(struct log *log)
{
	uint64_t size = 0;
	int fd = open_file(log->path, &size);

	if (fd < 0)
		return fd;
	/* the number stays: log_fd() was given away */
	if (dup3(fd, log->fd, O_CLOEXEC) < 0) {
		int e = errno;

		(void)close(fd);
		return -e;
	}
	(void)close(fd);
	log->size = size;
	return 0;
}

const char *log_path(const struct log *log)
{
	return log->path;
}

int log_fd(const struct log *log)
{
	return log->fd;
}

static void numbered(const struct log *log, unsigned int n, char out[PATH_BYTES])
{
	if (n)
		(void)snprintf(out, PATH_BYTES, "%s.%u", log->path, n);
	else
		(void)snprintf(out, PATH_BYTES, "%s", log->path);
}

/* If anything fails the current file simply grows on: better too large than lost. */
static void rotate(struct log *log)
{
	char from[PATH_BYTES], to[PATH_BYTES];

	for (unsigned int n = log->files - 1; n > 0; n--) {
		numbered(log, n - 1, from);
		numbered(log, n, to);
		if (rename(from, to) < 0 && errno != ENOENT)
			return;
	}
	if (log->files == 1)
		(void)unlink(log->path);
	(void)log_reopen(log);
}

static void put(struct log *log, const char *line, size_t len)
{
	if (log->size && log->size + len > log->max_bytes)
		rotate(log);
	while (len) {
		ssize_t n = write(log->fd, line, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nobody to tell: the log is where one would say it */
		log->size += (uint64_t)n;
		line += n;
		len -= (size_t)n;
	}
}

static size_t prefix(char out[PREFIX_MAX], const char *source)
{
	struct timespec now;
	struct tm tm;
	int n;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &tm);
	n = snprintf(out, PREFIX_MAX,
		     "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %.20s: ", tm.tm_year + 1900,
		     tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		     now.tv_nsec / 1000000, source);
	return n > 0 && (size_t)n < PREFIX_MAX ? (size_t)n : 0;
}

/* UTF-8 passes; what a terminal acts upon does not. */
static size_t escape(char *out, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";

	if ((c >= 0x20 && c != 0x7f) || c == '\t') {
		*out = (char)c;
		return 1;
	}
	memcpy(out, "\\x", 2);
	out[2] = hex[c >> 4];
	out[3] = hex[c & 15];
	return 4;
}

static void put_line(struct log *log, const char *source, const char *text, size_t len)
{
	char line[PREFIX_MAX + 4 * LOG_LINE_MAX + 1];
	size_t n = prefix(line, source);

	for (size_t i = 0; i < len; i++)
		n += escape(line + n, (unsigned char)text[i]);
	line[n++] = '\n';
	put(log, line, n);
}

void log_write(struct log *log, const char *source, const char *text, size_t len)
{
	do {
		size_t n = len < LOG_LINE_MAX ? len : LOG_LINE_MAX;

		put_line(log, source, text, n);
		text += n;
		len -= n;
	} while (len);
}

void log_printf(struct log *log, const char *source, const char *fmt, ...)
{
	char text[2 * LOG_LINE_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n >= 0)
		log_write(log, source, text,
			  (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

void log_stream_flush(struct log *log, struct log_stream *s)
{
	if (s->used)
		put_line(log, s->source, s->line, s->used);
	s->used = 0;
}

void log_stream_write(struct log *log, struct log_stream *s, const void *data, size_t len)
{
	const char *bytes = data;

	for (size_t i = 0; i < len; i++) {
		if (bytes[i] == '\n') {
			if (s->used && s->line[s->used - 1] == '\r')
				s->used--;
			put_line(log, s->source, s->line, s->used);
			s->used = 0;
			continue;
		}
		s->line[s->used++] = bytes[i];
		if (s->used == LOG_LINE_MAX)
			log_stream_flush(log, s);
	}
}
