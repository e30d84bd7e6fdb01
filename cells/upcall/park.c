/* SPDX-License-Identifier: MIT */
/*
 * Parking. A round: the parker takes `owner`, publishes a new number in `round` and sends the
 * IPI; each other CPU, in its interrupt at depth 0, says where its stack stands, stores that
 * number in parked[] and spins until `round` is another one; leaving, it serialises and clears
 * parked[]. The parker is done when all stored it, and has let go when all cleared it, so rounds
 * never overlap.
 */
#include <theseus/clock.h>
#include <theseus/gate-call.h>

#include "internal.h"

CELL_EXPORT(cpu_park_others);
CELL_EXPORT(cpu_release_others);
CELL_EXPORT(cpu_park_times);

void upcall_park_here(void)
{
	struct upcall_park *park = &upcall_state()->park;
	uint32_t *mine = &park->parked[percpu_cpu()];
	uint32_t round = __atomic_load_n(&park->round, __ATOMIC_ACQUIRE);
	uint64_t zero = 0;

	if (round == 0)
		return; /* it gave up meanwhile */
	__atomic_compare_exchange_n(&park->times.first_parked, &zero, clock_now_ns(), false,
				    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	upcall_park_spin(&park->round, round, mine);
	__atomic_store_n(mine, 0, __ATOMIC_RELEASE);
}

void upcall_park_lock(void)
{
	struct upcall_park *park = &upcall_state()->park;

	while (__atomic_exchange_n(&park->owner, 1, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
}

void upcall_park_unlock(void)
{
	__atomic_store_n(&upcall_state()->park.owner, 0, __ATOMIC_RELEASE);
}

static void release(struct upcall_park *park)
{
	__atomic_store_n(&park->round, 0, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < GATE_MAX_CPUS; i++) {
		while (__atomic_load_n(&park->parked[i], __ATOMIC_ACQUIRE))
			__builtin_ia32_pause();
	}
}

static int wait_parked(struct upcall_park *park, uint32_t others, uint64_t deadline,
		       unsigned *ret_cpu)
{
	for (unsigned i = 0; i < GATE_MAX_CPUS; i++) {
		if (!(others >> i & 1))
			continue;
		while (__atomic_load_n(&park->parked[i], __ATOMIC_ACQUIRE) != park->round) {
			if (clock_now_ns() >= deadline) {
				*ret_cpu = i;
				return -ETIMEDOUT;
			}
			__builtin_ia32_pause();
		}
	}
	return 0;
}

int cpu_park_others(uint64_t limit_ns, unsigned *ret_cpu)
{
	struct upcall_state *s = upcall_state();
	struct upcall_park *park = &s->park;
	uint64_t deadline = clock_after(limit_ns);
	uint32_t others;
	int r = 0;

	if (__atomic_exchange_n(&park->owner, 1, __ATOMIC_ACQUIRE))
		return -EBUSY;
	upcall_mask();
	others = __atomic_load_n(&s->online, __ATOMIC_ACQUIRE) & ~(1u << percpu_cpu());
	park->times = (struct cpu_park_times){.first_parked = 0};
	if (++park->rounds == 0)
		park->rounds = 1;
	__atomic_store_n(&park->round, park->rounds, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < GATE_MAX_CPUS && r >= 0; i++) {
		if (others >> i & 1)
			r = irq_send(i, UPCALL_VECTOR_PARK);
	}
	if (r >= 0)
		r = wait_parked(park, others, deadline, ret_cpu);
	if (r >= 0) {
		park->parker = percpu_cpu() + 1;
		park->times.last_parked = clock_now_ns();
		if (park->times.first_parked == 0)
			park->times.first_parked = park->times.last_parked;
		return 0;
	}
	release(park);
	upcall_park_unlock();
	upcall_unmask();
	return r;
}

void cpu_release_others(void)
{
	struct upcall_park *park = &upcall_state()->park;

	park->parker = 0;
	release(park);
	park->times.released = clock_now_ns();
	upcall_park_unlock();
	upcall_unmask();
}

void upcall_park_fault(void)
{
	struct upcall_park *park = &upcall_state()->park;

	if (park->parker != percpu_cpu() + 1)
		return;
	park->parker = 0;
	release(park);
	upcall_park_unlock();
}

void cpu_park_times(struct cpu_park_times *ret_times)
{
	*ret_times = upcall_state()->park.times;
}
