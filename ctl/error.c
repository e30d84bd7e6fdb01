/* SPDX-License-Identifier: MIT */
#include "ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ctl_error_clear(struct ctl *c)
{
	for (size_t i = 0; i < c->error.n_reasons; i++)
		free(c->error.reasons[i]);
	free(c->error.reasons);
	free(c->error.code);
	free(c->error.message);
	c->error = (struct ctl_error){0};
}

int ctl_error(struct ctl *c, int status, const char *code, const char *fmt, ...)
{
	char *message = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&message, fmt, ap) < 0)
		message = NULL;
	va_end(ap);
	ctl_error_clear(c);
	c->error.status = status;
	c->error.code = strdup(code);
	c->error.message = message;
	return status;
}

void ctl_error_reason(struct ctl *c, const char *reason)
{
	char **more = reallocarray(c->error.reasons, c->error.n_reasons + 1, sizeof(*more));

	if (!more)
		return;
	c->error.reasons = more;
	more[c->error.n_reasons] = strdup(reason);
	if (more[c->error.n_reasons])
		c->error.n_reasons++;
}

int ctl_oom(struct ctl *c)
{
	return ctl_error(c, CTL_FAILED, "no-memory", "out of memory");
}

void ctl_note(const struct ctl *c, const char *fmt, ...)
{
	va_list ap;

	if (c->quiet || c->json)
		return;
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
}
