/* SPDX-License-Identifier: MIT */
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t wall_time_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

static int digits(const char **s, uint64_t *ret_value)
{
	const char *p = *s;
	uint64_t v = 0;

	if (*p < '0' || *p > '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return -EINVAL;
	*s = p;
	*ret_value = v;
	return 0;
}

int parse_number(const char *s, uint64_t *ret_value)
{
	uint64_t v;

	if (digits(&s, &v) || *s)
		return -EINVAL;
	*ret_value = v;
	return 0;
}

int parse_duration(const char *s, uint64_t *ret_ns)
{
	static const struct {
		const char *suffix;
		uint64_t ns;
	} units[] = {
		{"", NS_PER_SEC},         {"ns", 1},         {"us", NS_PER_US},
		{"ms", NS_PER_MS},        {"s", NS_PER_SEC}, {"m", 60 * NS_PER_SEC},
		{"h", 3600 * NS_PER_SEC},
	};
	uint64_t v;

	if (digits(&s, &v))
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(s, units[i].suffix))
			continue;
		if (v > DURATION_MAX_NS / units[i].ns)
			return -EINVAL;
		*ret_ns = v * units[i].ns;
		return 0;
	}
	return -EINVAL;
}

const char *format_ns(uint64_t ns, char buf[FORMAT_MAX])
{
	double v = (double)ns;

	if (ns < NS_PER_US)
		(void)snprintf(buf, FORMAT_MAX, "%llu ns", (unsigned long long)ns);
	else if (ns < NS_PER_MS)
		(void)snprintf(buf, FORMAT_MAX, "%.1f us", v / 1e3);
	else if (ns < NS_PER_SEC)
		(void)snprintf(buf, FORMAT_MAX, "%.2f ms", v / 1e6);
	else if (ns < 60 * NS_PER_SEC)
		(void)snprintf(buf, FORMAT_MAX, "%.2f s", v / 1e9);
	else
		(void)snprintf(buf, FORMAT_MAX, "%lluh%02llum%02llus",
			       (unsigned long long)(ns / NS_PER_SEC / 3600),
			       (unsigned long long)(ns / NS_PER_SEC / 60 % 60),
			       (unsigned long long)(ns / NS_PER_SEC % 60));
	return buf;
}

const char *format_bytes(uint64_t bytes, char buf[FORMAT_MAX])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double v = (double)bytes;
	size_t u = 0;

	for (; v >= 1024 && u < 4; u++)
		v /= 1024;
	(void)snprintf(buf, FORMAT_MAX, u ? "%.1f %s" : "%.0f %s", v, units[u]);
	return buf;
}

char *hex(const void *data, size_t len)
{
	static const char digit[] = "0123456789abcdef";
	const uint8_t *p = data;
	char *s = malloc(2 * len + 1);

	if (!s)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		s[2 * i] = digit[p[i] >> 4];
		s[2 * i + 1] = digit[p[i] & 15];
	}
	s[2 * len] = '\0';
	return s;
}

/* Length of the UTF-8 sequence at @p that may be shown as it is, 0 if there is none. */
static size_t utf8_printable(const uint8_t *p, size_t len)
{
	uint32_t min, v;
	size_t n;

	if (p[0] < 0x80)
		return p[0] >= 0x20 && p[0] != 0x7f;
	if (p[0] >= 0xc2 && p[0] <= 0xdf) {
		n = 2;
		min = 0xa0; /* C1 controls are not text */
		v = p[0] & 0x1f;
	} else if ((p[0] & 0xf0) == 0xe0) {
		n = 3;
		min = 0x800;
		v = p[0] & 0x0f;
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		n = 4;
		min = 0x10000;
		v = p[0] & 0x07;
	} else {
		return 0;
	}
	if (n > len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (p[i] & 0x3f);
	}
	if (v < min || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
		return 0;
	/* Marks that reorder or hide text could make one line look like another. */
	if ((v >= 0x200b && v <= 0x200f) || (v >= 0x2028 && v <= 0x202e) ||
	    (v >= 0x2060 && v <= 0x2069) || v == 0xfeff)
		return 0;
	return n;
}

char *clean_text(const void *data, size_t len, bool lines)
{
	const uint8_t *p = data;
	char *s = malloc(3 * len + 1), *out = s;

	if (!s)
		return NULL;
	for (size_t i = 0; i < len;) {
		size_t n = utf8_printable(p + i, len - i);

		if (!n && lines && (p[i] == '\n' || p[i] == '\t'))
			n = 1;
		if (n) {
			memcpy(out, p + i, n);
			out += n;
			i += n;
		} else {
			memcpy(out, "\xef\xbf\xbd", 3);
			out += 3;
			i++;
		}
	}
	*out = '\0';
	return s;
}

int read_file(const char *path, size_t max, uint8_t **ret_data, size_t *ret_len)
{
	CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	CLEANUP_FREE uint8_t *data = NULL;
	size_t len = 0, size = 0;

	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t n;

		if (len == size) {
			uint8_t *more;

			if (len > max)
				return -EFBIG;
			size = size ? 2 * size : 65536;
			more = realloc(data, size);
			if (!more)
				return -ENOMEM;
			data = more;
		}
		n = read(fd, data + len, size - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	if (len > max)
		return -EFBIG;
	*ret_data = data;
	*ret_len = len;
	data = NULL;
	return 0;
}

void free_ptr(void *p)
{
	free(*(void **)p);
}

void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}
