/* SPDX-License-Identifier: MIT */
#include "reasons.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void reasons_done(struct reasons *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->text[i]);
	*r = (struct reasons){0};
}

int reasons_add(struct reasons *r, const char *code, const char *fmt, ...)
{
	char text[REASON_BYTES];
	va_list ap;

	if (!r)
		return -EPERM;
	if (!r->code[0])
		(void)snprintf(r->code, sizeof(r->code), "%s", code);
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (size_t n = strlen(text); n && text[n - 1] == '\n'; n--)
		text[n - 1] = 0; /* what other programs say ends in one */
	if (r->n == REASONS_MAX || !(r->text[r->n] = strdup(text)))
		r->more++;
	else
		r->n++;
	return -EPERM;
}

const char *reasons_first(const struct reasons *r)
{
	if (r->n)
		return r->text[0];
	return r->more ? "out of memory" : "";
}
