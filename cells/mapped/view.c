/* SPDX-License-Identifier: MIT */
#include "internal.h"

/* ---- views: without the lock, for interrupt handlers too ---- */

struct snapshot {
	enum mapped_kind kind;
	uint64_t start, bytes;
	struct run first;
};

/*
 * What is known of a region. A drop changes the generation before anything else, so if it
 * is the same before and after, what was read in between belongs together.
 */
static int snapshot(struct mapped region, struct snapshot *ret)
{
	struct extent *e = extent_find(region.slot);

	if (!e || __atomic_load_n(&e->generation, __ATOMIC_ACQUIRE) != region.generation)
		return -ESTALE;
	if (e->use != EXTENT_LIVE && e->use != EXTENT_BUSY)
		return -ESTALE;
	*ret = (struct snapshot){e->kind, body_start(e), body_pages(e) * PAGE_SIZE, e->runs[0]};
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (__atomic_load_n(&e->generation, __ATOMIC_RELAXED) != region.generation)
		return -ESTALE;
	return 0;
}

int mapped_view(struct mapped region, size_t offset, size_t len, size_t align, void **ret_view)
{
	struct snapshot s;
	int r;

	r = snapshot(region, &s);
	if (r < 0)
		return r;
	if (offset > s.bytes || len > s.bytes - offset)
		return -ERANGE;
	if (align == 0 || (align & (align - 1)) != 0 || ((s.start + offset) & (align - 1)) != 0)
		return -EINVAL;
	*ret_view = (void *)(uintptr_t)(s.start + offset);
	return 0;
}
CELL_EXPORT(mapped_view);

int mapped_phys(struct mapped region, size_t offset, paddr_t *ret_pa)
{
	struct snapshot s;
	int r;

	r = snapshot(region, &s);
	if (r < 0)
		return r;
	if (s.kind != MAPPED_DMA)
		return -EINVAL;
	if (offset >= s.bytes)
		return -ERANGE;
	ret_pa->v = ((uint64_t)s.first.frame << PAGE_SHIFT) + offset;
	return 0;
}
CELL_EXPORT(mapped_phys);

int mapped_info(struct mapped region, struct mapped_info *ret_info)
{
	struct snapshot s;
	int r;

	r = snapshot(region, &s);
	if (r < 0)
		return r;
	*ret_info = (struct mapped_info){s.kind, {s.start}, s.bytes};
	return 0;
}
CELL_EXPORT(mapped_info);

void mapped_stats(struct mapped_stats *ret_stats)
{
	slots_lock();
	*ret_stats = *extent_stats();
	slots_unlock();
}
CELL_EXPORT(mapped_stats);
