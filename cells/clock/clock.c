/* SPDX-License-Identifier: MIT */
#include "scale.h"

CELL_INFO(.name = "clock", .version = "1.0.0", .summary = "time since boot from the TSC",
	  .safety = CELL_SAFE);

CELL_EXPORT(clock_now_ns);
CELL_EXPORT(clock_rough_ns);
CELL_EXPORT(clock_tsc_of_ns);
CELL_EXPORT(clock_ns_of_tsc);
CELL_EXPORT(clock_after);
CELL_EXPORT(clock_sync_point);
CELL_EXPORT(clock_tsc_khz);

struct clock_state {
	struct clock_page page;
	uint64_t tsc_khz;
	uint64_t newest_tsc; /* that any CPU passed clock_sync_point() with */
	uint64_t newest_ns;  /* handed out, once `guarded` */
	uint32_t guarded;    /* the CPUs' TSCs differ */
	uint32_t reserved;
};
CELL_STATE(struct clock_state, clock) = {.page = {.seq = 0}};

static uint64_t tsc_now(void)
{
	/* what was ordered before us must not be timed after us */
	__builtin_ia32_lfence();
	return __builtin_ia32_rdtsc();
}

static struct clock_page page_read(void)
{
	struct clock_page copy = {0};
	uint32_t seq;

	do {
		seq = __atomic_load_n(&clock.page.seq, __ATOMIC_ACQUIRE);
		copy.tsc_base = __atomic_load_n(&clock.page.tsc_base, __ATOMIC_RELAXED);
		copy.ns_per_tsc = __atomic_load_n(&clock.page.ns_per_tsc, __ATOMIC_RELAXED);
		copy.tsc_per_ns = __atomic_load_n(&clock.page.tsc_per_ns, __ATOMIC_RELAXED);
		copy.offset_ns = __atomic_load_n(&clock.page.offset_ns, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while ((seq & 1) || __atomic_load_n(&clock.page.seq, __ATOMIC_RELAXED) != seq);
	return copy;
}

uint64_t clock_now_ns(void)
{
	struct clock_page page = page_read();
	uint64_t ns = scale_ns_of_tsc(&page, tsc_now()), newest;

	if (__builtin_expect(!__atomic_load_n(&clock.guarded, __ATOMIC_RELAXED), 1))
		return ns;
	newest = __atomic_load_n(&clock.newest_ns, __ATOMIC_RELAXED);
	do {
		if (newest >= ns)
			return newest;
	} while (!__atomic_compare_exchange_n(&clock.newest_ns, &newest, ns, false,
					      __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	return ns;
}

uint64_t clock_rough_ns(void)
{
	struct clock_page page = page_read();

	return scale_ns_of_tsc(&page, __builtin_ia32_rdtsc());
}

uint64_t clock_tsc_of_ns(uint64_t ns)
{
	struct clock_page page = page_read();

	return scale_tsc_of_ns(&page, ns);
}

uint64_t clock_ns_of_tsc(uint64_t tsc)
{
	struct clock_page page = page_read();

	return scale_ns_of_tsc(&page, tsc);
}

uint64_t clock_after(uint64_t ns)
{
	uint64_t deadline;

	if (__builtin_add_overflow(clock_now_ns(), ns, &deadline))
		return CLOCK_NEVER;
	return deadline;
}

void clock_sync_point(void)
{
	uint64_t mine = tsc_now(), newest = __atomic_load_n(&clock.newest_tsc, __ATOMIC_ACQUIRE);

	do {
		if (newest > mine) {
			__atomic_store_n(&clock.guarded, 1, __ATOMIC_RELEASE);
			return;
		}
	} while (!__atomic_compare_exchange_n(&clock.newest_tsc, &newest, mine, false,
					      __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE));
}

uint64_t clock_tsc_khz(void)
{
	return clock.tsc_khz;
}

static int clock_init(const struct cell_boot *boot)
{
	if (boot->record->tsc_khz == 0)
		return -EINVAL;
	clock.tsc_khz = boot->record->tsc_khz;
	scale_init(&clock.page, boot->record->tsc_khz, boot->record->tsc_start);
	return 0;
}

CELL_PROVIDE(cell_ops, clock) = {.init = clock_init};
