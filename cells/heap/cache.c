/* SPDX-License-Identifier: MIT */
#include "cache.h"

/* ---- full chains ---- */

/*
 * Besides its list a CPU keeps one full chain, so that a few frees and allocations to and fro
 * never cost more than a swap of the two.
 */
void cache_refill(struct blocks *b, unsigned cls)
{
	struct cache_list *l;
	void *chain = NULL;
	unsigned n;
	bool empty;

	section_begin();
	l = &this_cache(b)->lists[cls];
	if (!l->head && l->spare) {
		l->head = TAKE(l->spare);
		l->count = chain_max(cls);
	}
	empty = l->max > 0 && !l->head;
	section_end();
	if (!empty)
		return;
	n = class_take(b, cls, CHAIN_FULL, &chain);
	section_begin();
	l = &this_cache(b)->lists[cls]; /* of another CPU by now, perhaps */
	if (l->max > 0 && !l->head) {
		l->head = TAKE(chain);
		l->count = n;
	}
	section_end();
	if (chain)
		class_give(b, cls, chain);
}

void cache_shrink(struct blocks *b, unsigned cls)
{
	struct cache_list *l;
	void *full = NULL;

	section_begin();
	l = &this_cache(b)->lists[cls];
	if (l->max > 0 && l->count >= l->max) {
		full = l->spare;
		l->spare = TAKE(l->head);
		l->count = 0;
	}
	section_end();
	if (full)
		class_give_full(b, cls, full);
}

/* ---- all caches ---- */

#if __STDC_HOSTED__
static bool in_section(unsigned cpu)
{
	(void)cpu;
	return false; /* tests close caches when nothing else runs */
}
#else
static bool in_section(unsigned cpu)
{
	return __atomic_load_n(&percpu_gate(cpu)->mask, __ATOMIC_ACQUIRE) & 0xff0000;
}
#endif

static void caches_close(struct blocks *b)
{
	for (unsigned cpu = 0; cpu < b->cpus; cpu++)
		__atomic_store_n(&b->cache_of[cpu], &b->closed, __ATOMIC_SEQ_CST);
	mapped_fence();
	for (unsigned cpu = 0; cpu < b->cpus; cpu++) {
		while (in_section(cpu))
			__builtin_ia32_pause();
	}
}

static void caches_open(struct blocks *b)
{
	for (unsigned cpu = 0; cpu < b->cpus; cpu++)
		__atomic_store_n(&b->cache_of[cpu], &b->caches[cpu], __ATOMIC_RELEASE);
}

static void chain_drain(struct blocks *b, unsigned cls, void *chain)
{
	for (void *p = chain; p; p = *link_of(p))
		check_free(p);
	class_give(b, cls, chain);
}

static void list_drain(struct blocks *b, struct cache_list *l, unsigned cls)
{
#if HEAP_CHECKS == CHECKS_SAFE
	for (unsigned i = 0; i < QUARANTINE; i++) {
		void *p = TAKE(l->waiting[i]);

		if (p)
			list_push(l, p);
	}
#endif
	chain_drain(b, cls, TAKE(l->head));
	chain_drain(b, cls, TAKE(l->spare));
	l->count = 0;
}

static void caches_drain(struct blocks *b)
{
	for (unsigned cls = 0; cls < CLASSES_CACHED; cls++) {
		for (unsigned cpu = 0; cpu < b->cpus; cpu++)
			list_drain(b, &b->caches[cpu].lists[cls], cls);
		class_trim(b, cls);
	}
}

void cache_trim(struct blocks *b)
{
	spin_lock(&b->closing);
	if (!b->keep_closed) {
		caches_close(b);
		caches_drain(b);
		caches_open(b);
	}
	spin_unlock(&b->closing);
}

void cache_keep_closed(struct blocks *b, bool closed)
{
	spin_lock(&b->closing);
	if (closed && !b->keep_closed) {
		caches_close(b);
		caches_drain(b);
	} else if (!closed && b->keep_closed) {
		caches_open(b);
	}
	b->keep_closed = closed;
	spin_unlock(&b->closing);
}

void cache_init(struct blocks *b, unsigned cpus)
{
	b->cpus = cpus;
	for (unsigned cpu = 0; cpu < cpus; cpu++) {
		for (unsigned cls = 0; cls < CLASSES_CACHED; cls++)
			b->caches[cpu].lists[cls].max = chain_max(cls);
	}
	caches_open(b);
}
