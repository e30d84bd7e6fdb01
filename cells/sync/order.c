/* SPDX-License-Identifier: MIT */
#include "order.h"

#include <string.h>

const char *order_place(const char *path)
{
	const char *parts[2] = {path, path};

	for (const char *p = path; *p; p++) {
		if (*p == '/') {
			parts[0] = parts[1];
			parts[1] = p + 1;
		}
	}
	return parts[0];
}

uint32_t order_class(struct order_graph *graph, uint64_t address, const char *place)
{
	struct order_class *c;

	place = order_place(place);
	if (graph->n == 0)
		graph->n = 1;
	for (uint32_t i = 1; i < graph->n; i++) {
		c = &graph->classes[i];
		if (c->address == address &&
		    (address || strncmp(c->place, place, ORDER_PLACE_MAX - 1) == 0))
			return i;
	}
	if (graph->n == ORDER_CLASSES)
		return 0;
	c = &graph->classes[graph->n];
	c->address = address;
	for (size_t i = 0; i < ORDER_PLACE_MAX - 1 && place[i]; i++)
		c->place[i] = place[i];
	return graph->n++;
}

static bool has(const uint64_t *set, uint32_t i)
{
	return __atomic_load_n(&set[i / 64], __ATOMIC_RELAXED) >> (i % 64) & 1;
}

/* Is there a way from @from to @to? */
static bool reaches(const struct order_graph *graph, uint32_t from, uint32_t to)
{
	uint64_t seen[ORDER_CLASSES / 64] = {0}, todo[ORDER_CLASSES / 64] = {0};
	bool more = true;

	todo[from / 64] = 1ull << (from % 64);
	while (more) {
		more = false;
		for (uint32_t w = 0; w < ORDER_CLASSES / 64; w++) {
			while (todo[w]) {
				uint32_t at = w * 64 + (uint32_t)__builtin_ctzll(todo[w]);

				todo[w] &= todo[w] - 1;
				seen[w] |= 1ull << (at % 64);
				if (has(graph->after[at], to))
					return true;
				for (uint32_t i = 0; i < ORDER_CLASSES / 64; i++)
					todo[i] |= __atomic_load_n(&graph->after[at][i],
								   __ATOMIC_RELAXED) &
						   ~seen[i];
				more = true;
			}
		}
	}
	return false;
}

bool order_add(struct order_graph *graph, uint32_t earlier, uint32_t later)
{
	uint64_t *word = &graph->after[earlier][later / 64], bit = 1ull << (later % 64);

	if (earlier == 0 || later == 0 || __atomic_load_n(word, __ATOMIC_RELAXED) & bit)
		return true;
	/* first said, then looked: of two that contradict each other at once, one finds it */
	__atomic_or_fetch(word, bit, __ATOMIC_SEQ_CST);
	if (!reaches(graph, later, earlier))
		return true;
	__atomic_and_fetch(word, ~bit, __ATOMIC_RELAXED);
	return false;
}
