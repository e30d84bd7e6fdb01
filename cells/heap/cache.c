/* SPDX-License-Identifier: MIT */
#include "cache.h"

#include <string.h>

/* ---- a list; in the section, or when nobody else uses it ---- */

static void list_init(struct blocks *b, struct cache_list *l)
{
	l->room = &b->nothing;
	l->bytes = 0;
	l->ready = l->room + 1;
#if HEAP_CHECKS == CHECKS_SAFE
	l->waiting = l->ready;
#endif
	*freed(l) = l->ready;
	l->end = l->ready;
}

/* The list moves into more room than it has. Whoever calls this drops the old one. */
static void list_move(struct cache_list *l, void **room, uint64_t bytes)
{
	void **old = l->room;

	memcpy(room, old, (size_t)(l->end - old) * sizeof(*room));
	l->ready = room + (l->ready - old);
#if HEAP_CHECKS == CHECKS_SAFE
	l->waiting = room + (l->waiting - old);
	l->freed = room + (l->freed - old);
#endif
	l->end = room + (bytes - BLOCK_HEADER) / sizeof(*room);
	l->room = room;
	l->bytes = bytes;
}

/* Safe builds: blocks that were freed become ready, but for the newest @keep, without a gap. */
static void ripen(struct cache_list *l, size_t keep)
{
#if HEAP_CHECKS == CHECKS_SAFE
	size_t n = (size_t)(l->freed - l->waiting);

	memmove(l->ready, l->waiting, n * sizeof(*l->ready));
	l->freed = l->ready + n;
	if (n > keep)
		l->ready = l->freed - keep;
	l->waiting = l->ready;
#else
	(void)l;
	(void)keep;
#endif
}

/* Adds a chain of @n blocks. Result: false if it has some by now, or no room. */
static bool list_fill(struct cache_list *l, void *chain, unsigned n)
{
	ripen(l, QUARANTINE);
	if (l->ready[-1] || n > l->end - *freed(l))
		return false;
#if HEAP_CHECKS == CHECKS_SAFE
	memmove(l->waiting + n, l->waiting, (size_t)(l->freed - l->waiting) * sizeof(*l->ready));
	l->waiting += n;
	l->freed += n;
#endif
	for (void *p = chain; p; p = *link_of(p))
		*l->ready++ = p;
	return true;
}

/* Up to @max blocks that are ready, as a chain. Result: how many. */
static unsigned list_take(struct cache_list *l, unsigned max, void **ret_chain)
{
	unsigned n = 0;

	*ret_chain = NULL;
	while (n < max && l->ready[-1]) {
		void *p = *--l->ready;

		*link_of(p) = *ret_chain;
		*ret_chain = p;
		n++;
	}
	return n;
}

/* ---- this CPU's list ---- */

/* NULL while caches are closed. */
static struct cache_list *my_list(struct blocks *b, unsigned cls)
{
	struct cache *c = this_cache();

	return c == &b->closed ? NULL : &c->lists[cls];
}

#define ROOM_FIRST 512u

/* For the addresses of up to 128 KiB of small blocks, 64 KiB of others. */
static uint64_t room_max(unsigned cls)
{
	return cls < 8 ? 8192 : cls < 16 ? 1024 : ROOM_FIRST;
}

/* What a list grows to. */
static uint64_t room_after(unsigned cls, uint64_t bytes)
{
	if (bytes == 0)
		return ROOM_FIRST;
	return bytes * 4 < room_max(cls) ? bytes * 4 : room_max(cls);
}

static void room_drop(struct blocks *b, void **room, uint64_t bytes)
{
	if (bytes == 0)
		return;
	set_free(room);
	block_give(b, class_of(bytes), room);
}

/* More room than @bytes for the list. Result: false if memory is out. */
static bool room_add(struct blocks *b, unsigned cls, uint64_t bytes)
{
	uint64_t more = room_after(cls, bytes);
	void **room = block_take(b, class_of(more));
	struct cache_list *l;

	if (!room)
		return false;
	section_begin();
	l = my_list(b, cls); /* of another CPU by now, perhaps */
	if (l && l->bytes < more) {
		struct cache_list old = *l;

		list_move(l, room, more);
		room = old.room;
		more = old.bytes;
	}
	section_end();
	room_drop(b, room, more);
	return true;
}

void cache_refill(struct blocks *b, unsigned cls)
{
	struct cache_list *l;
	void *chain = NULL;
	bool needed, room;
	unsigned n;

	section_begin();
	l = my_list(b, cls);
	if (l)
		ripen(l, QUARANTINE);
	needed = l && !l->ready[-1];
	room = l && l->bytes > 0;
	section_end();
	if (!needed || (!room && !room_add(b, cls, 0)))
		return;
	n = class_take(b, cls, CHAIN_FULL, &chain);
	section_begin();
	l = my_list(b, cls);
	if (l && list_fill(l, chain, n))
		chain = NULL;
	section_end();
	if (chain)
		class_give(b, cls, chain);
}

/* Gives blocks of a full list to others. Result: whether it had any that are ready. */
static bool list_spill(struct blocks *b, unsigned cls)
{
	struct cache_list *l;
	void *chain = NULL;
	unsigned n = 0;

	section_begin();
	l = my_list(b, cls);
	if (l)
		n = list_take(l, chain_max(cls), &chain);
	section_end();
	if (n == chain_max(cls))
		class_give_full(b, cls, chain);
	else
		class_give(b, cls, chain);
	return n > 0;
}

void cache_shrink(struct blocks *b, unsigned cls)
{
	for (;;) {
		struct cache_list *l;
		uint64_t bytes = 0;
		bool full = false;

		section_begin();
		l = my_list(b, cls);
		if (l) {
			ripen(l, QUARANTINE);
			full = *freed(l) == l->end;
			bytes = l->bytes;
		}
		section_end();
		if (!full)
			return;
		if (bytes < room_max(cls) && room_add(b, cls, bytes))
			continue;
		if (!list_spill(b, cls))
			return;
	}
}

/* ---- all caches ---- */

#if __STDC_HOSTED__
static bool in_section(unsigned cpu)
{
	return __atomic_load_n(&heap_cpu(cpu)->inside, __ATOMIC_SEQ_CST);
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
		__atomic_store_n(heap_percpu(cpu), &b->closed, __ATOMIC_SEQ_CST);
	mapped_fence();
	for (unsigned cpu = 0; cpu < b->cpus; cpu++) {
		while (in_section(cpu))
			__builtin_ia32_pause();
	}
}

static void caches_open(struct blocks *b)
{
	for (unsigned cpu = 0; cpu < b->cpus; cpu++)
		__atomic_store_n(heap_percpu(cpu), &b->caches[cpu], __ATOMIC_RELEASE);
}

/* What is ready, looked at: other lists and slabs trust it. */
static void ready_drain(struct blocks *b, struct cache_list *l, unsigned cls)
{
	void *chain;

	while (list_take(l, chain_max(cls), &chain) > 0) {
		for (void *p = chain; p; p = *link_of(p))
			check_free(p);
		class_give(b, cls, chain);
	}
}

static void list_drain(struct blocks *b, struct cache_list *l, unsigned cls)
{
	ready_drain(b, l, cls);
	ripen(l, 0);
	ready_drain(b, l, cls);
	room_drop(b, l->room, l->bytes);
	list_init(b, l);
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
	for (unsigned cls = 0; cls < CLASSES_CACHED; cls++) {
		list_init(b, &b->closed.lists[cls]);
		for (unsigned cpu = 0; cpu < cpus; cpu++)
			list_init(b, &b->caches[cpu].lists[cls]);
	}
	caches_open(b);
}
