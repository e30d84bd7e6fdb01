/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <string.h>

static uint64_t *page_of(const struct blocks *b, unsigned cpu, uint32_t owner)
{
	return __atomic_load_n(&b->caches[cpu].accounts[owner / ACCOUNTS_PER_PAGE],
			       __ATOMIC_ACQUIRE);
}

/* Pages for one set of owners are made in the order of CPUs: the last says that all are there. */
static bool all_there(const struct blocks *b, uint32_t owner)
{
	return page_of(b, b->cpus - 1, owner);
}

int account_prepare(struct blocks *b, uint32_t owner)
{
	for (uint32_t cpu = 0; !all_there(b, owner); cpu++) {
		uint64_t *page, *none = NULL;

		if (page_of(b, cpu, owner))
			continue;
		page = page_alloc(b);
		if (!page)
			return -ENOMEM;
		memset(page, 0, PAGE_SIZE);
		if (!__atomic_compare_exchange_n(
			    &b->caches[cpu].accounts[owner / ACCOUNTS_PER_PAGE], &none, page, false,
			    __ATOMIC_RELEASE, __ATOMIC_RELAXED))
			page_free(b, page);
	}
	return 0;
}

void account_add(struct blocks *b, uint32_t owner, uint64_t change)
{
	upcall_mask();
	page_of(b, heap_this_cpu(), owner)[owner % ACCOUNTS_PER_PAGE] += change;
	upcall_unmask();
}

void account_sum(struct blocks *b, uint32_t owner, struct heap_stats *stats)
{
	uint64_t sum = 0;

	if (!all_there(b, owner))
		return;
	for (uint32_t cpu = 0; cpu < b->cpus; cpu++)
		sum += __atomic_load_n(&page_of(b, cpu, owner)[owner % ACCOUNTS_PER_PAGE],
				       __ATOMIC_RELAXED);
	/* one CPU's free may be seen without another's allocation that it undoes */
	if ((int64_t)sum < 0)
		return;
	stats->bytes += sum & (ACCOUNT_OBJECT - 1);
	stats->objects += sum / ACCOUNT_OBJECT;
}

void account_sum_all(struct blocks *b, struct heap_stats *stats)
{
	uint32_t next;

	for (uint32_t owner = OWNER_NOBODY + 1; owner < OWNERS; owner = next) {
		next = all_there(b, owner) ? owner + 1
					   : (owner / ACCOUNTS_PER_PAGE + 1) * ACCOUNTS_PER_PAGE;
		account_sum(b, owner, stats);
	}
}
