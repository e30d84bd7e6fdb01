/* SPDX-License-Identifier: MIT */
/* Arithmetic between the TSC and nanoseconds: pure, saturating at the ends of time. */
#ifndef CLOCK_SCALE_H
#define CLOCK_SCALE_H

#include <theseus/cell.h>
#include <theseus/clock.h>

__extension__ typedef unsigned __int128 clock_u128;

static inline void scale_init(struct clock_page *page, uint64_t tsc_khz, uint64_t tsc_base)
{
	*page = (struct clock_page){
		.tsc_base = tsc_base,
		.ns_per_tsc = (1000000ull << 32) / tsc_khz,
		/* rounded down, so that a guess at a TSC value is never too late */
		.tsc_per_ns = (uint64_t)(((tsc_khz / 1000000) << 32) +
					 ((tsc_khz % 1000000) << 32) / 1000000),
	};
}

static inline uint64_t scale_by(uint64_t value, uint64_t factor)
{
	clock_u128 product = (clock_u128)value * factor >> 32;

	return product > UINT64_MAX ? UINT64_MAX : (uint64_t)product;
}

static inline uint64_t scale_ns_of_tsc(const struct clock_page *page, uint64_t tsc)
{
	uint64_t ns;

	if (tsc < page->tsc_base)
		return page->offset_ns;
	if (__builtin_add_overflow(scale_by(tsc - page->tsc_base, page->ns_per_tsc),
				   page->offset_ns, &ns))
		return UINT64_MAX;
	return ns;
}

/* The first TSC value with scale_ns_of_tsc() >= @ns, or one later by at most two ns and three
 * ticks. */
static inline uint64_t scale_tsc_of_ns(const struct clock_page *page, uint64_t ns)
{
	uint64_t tsc = page->tsc_base, got = page->offset_ns, step;

	if (ns == CLOCK_NEVER)
		return CLOCK_NEVER;
	/* the factors' rounding leaves a rest, which shrinks by 2^30 each time */
	while (got < ns) {
		step = scale_by(ns - got, page->tsc_per_ns);
		if (step == UINT64_MAX || __builtin_add_overflow(tsc, step + 1, &tsc))
			return CLOCK_NEVER;
		got = scale_ns_of_tsc(page, tsc);
	}
	return tsc;
}

#endif
