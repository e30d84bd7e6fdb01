/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <string.h>

/* Pages of one set of owners are made in the order of CPUs: the last one says that all are there.
 */
static bool all_there(const struct accounts *a, uint32_t owner)
{
	return __atomic_load_n(&a->pages[owner / ACCOUNTS_PER_PAGE][a->cpus - 1], __ATOMIC_ACQUIRE);
}

int account_prepare(struct blocks *b, uint32_t owner)
{
	struct accounts *a = &b->accounts;
	struct account **pages = a->pages[owner / ACCOUNTS_PER_PAGE];

	for (uint32_t cpu = 0; !all_there(a, owner); cpu++) {
		struct account *page, *none = NULL;

		if (__atomic_load_n(&pages[cpu], __ATOMIC_RELAXED))
			continue;
		page = page_alloc(b);
		if (!page)
			return -ENOMEM;
		memset(page, 0, PAGE_SIZE);
		if (!__atomic_compare_exchange_n(&pages[cpu], &none, page, false, __ATOMIC_RELEASE,
						 __ATOMIC_RELAXED))
			page_free(b, page);
	}
	return 0;
}

void account_add(struct blocks *b, uint32_t owner, int64_t bytes, int64_t objects)
{
	upcall_mask();
	account_change(account_there(&b->accounts, heap_this_cpu(), owner), bytes, objects);
	upcall_unmask();
}

void account_sum(struct blocks *b, uint32_t owner, struct heap_stats *stats)
{
	if (!all_there(&b->accounts, owner))
		return;
	for (uint32_t cpu = 0; cpu < b->accounts.cpus; cpu++) {
		const struct account *a = account_there(&b->accounts, cpu, owner);

		stats->bytes += (uint64_t)__atomic_load_n(&a->bytes, __ATOMIC_RELAXED);
		stats->objects += (uint64_t)__atomic_load_n(&a->objects, __ATOMIC_RELAXED);
	}
}
