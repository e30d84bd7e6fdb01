/* SPDX-License-Identifier: MIT */
/* Figures: out of text, and many into one. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

#define LINE_MAX_BYTES 256

static bool take(const char *word, const char *key, uint64_t *ret_value)
{
	size_t n = strlen(key);

	return !strncmp(word, key, n) && word[n] == '=' && !parse_number(word + n + 1, ret_value);
}

int bench_parse(const char *text, const struct bench_op *op, struct bench_figures *ret_figures)
{
	struct bench_figures f = {0};
	char line[LINE_MAX_BYTES], *save = NULL;
	bool named = false, median = false, p99 = false;
	size_t len = strcspn(text, "\n");
	uint64_t param = ~op->param, ignored;

	if (len >= sizeof(line) || (text[len] && text[len + 1]))
		return -EPROTO;
	memcpy(line, text, len);
	line[len] = '\0';
	for (char *w = strtok_r(line, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		if (!strncmp(w, "bench=", 6))
			named = !strcmp(w + 6, op->name);
		else if (take(w, "bytes", &f.bytes))
			f.is_bytes = true;
		else if (take(w, "median_ps", &f.median_ps))
			median = true;
		else if (take(w, "p99_ps", &f.p99_ps))
			p99 = true;
		else if (!take(w, "param", &param) && !take(w, "n", &f.n) &&
			 !take(w, "ops", &ignored) && !take(w, "min_ps", &ignored))
			return -EPROTO;
	}
	if (!named || param != op->param || (f.is_bytes ? median || p99 : !median || !p99 || !f.n))
		return -EPROTO;
	*ret_figures = f;
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The middle one; of an even number, between the two. */
static uint64_t median_of(uint64_t *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare);
	return n % 2 ? values[n / 2] : values[n / 2 - 1] / 2 + values[n / 2] / 2;
}

struct bench_figures bench_summary(const struct bench_measure *m)
{
	struct bench_figures f = {.is_bytes = m->rounds[0].is_bytes};
	uint64_t medians[BENCH_ROUNDS_MAX], p99s[BENCH_ROUNDS_MAX], bytes[BENCH_ROUNDS_MAX];

	for (size_t i = 0; i < m->n; i++) {
		medians[i] = m->rounds[i].median_ps;
		p99s[i] = m->rounds[i].p99_ps;
		bytes[i] = m->rounds[i].bytes;
		f.n += m->rounds[i].n;
	}
	f.median_ps = median_of(medians, m->n);
	f.p99_ps = median_of(p99s, m->n);
	f.bytes = median_of(bytes, m->n);
	return f;
}

double bench_ratio(const struct bench_figures *a, const struct bench_figures *b)
{
	uint64_t x = a->is_bytes ? a->bytes : a->median_ps;
	uint64_t y = b->is_bytes ? b->bytes : b->median_ps;

	return a->is_bytes != b->is_bytes || y == 0 ? 0 : (double)x / (double)y;
}
