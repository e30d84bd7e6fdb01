/* SPDX-License-Identifier: MIT */
/*
 * Time: nanoseconds since the gate's first instruction, the same on every CPU, never
 * running backwards. Context: any, NMI handlers included; takes no lock.
 */
#ifndef THESEUS_CLOCK_H
#define THESEUS_CLOCK_H

#include <theseus/types.h>

#define CLOCK_NEVER UINT64_MAX /* a deadline that never comes */
#define CLOCK_MS 1000000ull
#define CLOCK_S 1000000000ull

/*
 * now = ((tsc - tsc_base) * ns_per_tsc >> 32) + offset_ns, while `seq` is even and the same
 * before and after. Whoever stops and restarts time (a restore) rewrites it: seq odd, fields,
 * seq even.
 */
struct clock_page {
	uint32_t seq;
	uint32_t reserved;
	uint64_t tsc_base;
	uint64_t ns_per_tsc; /* 32.32 fixed point */
	uint64_t tsc_per_ns; /* 32.32 fixed point */
	uint64_t offset_ns;
};

uint64_t clock_now_ns(void);
/*
 * The same for accounts, in half the time: it does not wait for what was begun before it, and
 * times of two CPUs may be out of order, and so a little behind what clock_now_ns() said.
 */
uint64_t clock_rough_ns(void);

/* TSC value at which clock_now_ns() reaches @ns, never too early; CLOCK_NEVER stays. */
uint64_t clock_tsc_of_ns(uint64_t ns);
/* Time at which the TSC had or will have the value @tsc. */
uint64_t clock_ns_of_tsc(uint64_t tsc);

/* Deadline @ns from now; CLOCK_NEVER when that is past the end of time. */
uint64_t clock_after(uint64_t ns);

/*
 * Compares this CPU's TSC with the newest one that any CPU passed here. Called on either
 * side of what orders two CPUs (a CPU is started, it runs, its start returns): if one TSC is
 * behind another, clock_now_ns() keeps time from running backwards at the price of a shared
 * word. Context: any.
 */
void clock_sync_point(void);

/* Frequency of the TSC in kHz. */
uint64_t clock_tsc_khz(void);

#endif
