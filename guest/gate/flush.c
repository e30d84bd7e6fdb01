/* SPDX-License-Identifier: MIT */
/*
 * The gate's lock, and TLB shootdown.
 *
 * A change that takes rights away (unmap, protect, seal) must not be relied on before no CPU
 * can use the old translation. Shared: flush_generation, and for each CPU cpu.flushed, the
 * newest generation it has served.
 *
 *  requester                                      every other online CPU
 *  1 lock; entries become empty or limbo
 *    markers, frames limbo; unlock
 *  2 generation g = ++flush_generation
 *  3 read `online`, `idle`; send                  4 on the IPI, or while it waits in the gate:
 *    GATE_VECTOR_FLUSH to who is not idle             n = flush_generation; reload CR3;
 *  5 serve itself; wait until each of them            flushed = n   (serve_flush)
 *    has flushed >= g, serving meanwhile
 *  6 lock; limbo entries become final, frames
 *    free; unlock; return to the cell
 *
 * Invariant: cpu.flushed >= g implies that every translation this CPU holds was read from
 * the tables after step 1 of generation g. (x86 keeps stores in order, so whoever reads g
 * sees step 1, and CR3 is loaded after n was read.) Between 1 and 6 the markers and the limbo
 * state make every other call refuse the pages and frames with -EBUSY.
 *
 * No deadlock: nobody waits in step 5 with the lock held. A CPU is at CPL 3 (takes the IPI
 * whatever the cells' mask), halted in idle_wait() (the same), in a bounded call (takes the
 * IPI on return), or it spins in gate_lock(), flush() or call_cpu_start(), which serve.
 *
 * A CPU coming online sets its bit and then serves: if the requester did not see the bit,
 * the CPU's reload comes after step 1. The same for one that leaves call_idle(): it clears its
 * bit in `idle` and then serves, before it is back with the cells.
 */
#include "internal.h"

static uint32_t lock;
static uint64_t flush_generation;
static uint32_t idle; /* one bit a CPU in call_idle() */

void reload_cr3(void)
{
	__asm__ volatile("mov %0, %%cr3" : : "r"(pml4) : "memory");
}

void serve_flush(struct cpu *c)
{
	uint64_t newest = __atomic_load_n(&flush_generation, __ATOMIC_ACQUIRE);

	if (c->flushed == newest)
		return;
	reload_cr3();
	c->user->flushes++;
	__atomic_store_n(&c->flushed, newest, __ATOMIC_RELEASE);
}

void gate_lock(struct cpu *c)
{
	while (__builtin_expect(__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE), 0)) {
		do {
			serve_flush(c);
			pause();
		} while (__atomic_load_n(&lock, __ATOMIC_RELAXED));
	}
}

void gate_unlock(void)
{
	__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
}

void flush_here(uint64_t va, uint64_t pages)
{
	uint64_t end = va + pages * PAGE;

	for (; va < end; va += PAGE)
		__asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

int64_t call_idle(uint64_t a, uint64_t b, uint64_t unused)
{
	struct cpu *c = this_cpu();
	uint32_t bit = 1u << c->index;

	__atomic_or_fetch(&idle, bit, __ATOMIC_SEQ_CST);
	idle_wait(&c->user->mask);
	__atomic_and_fetch(&idle, ~bit, __ATOMIC_SEQ_CST);
	serve_flush(c);
	return 0;
}

void flush(struct cpu *c, bool done_here)
{
	uint64_t generation = __atomic_add_fetch(&flush_generation, 1, __ATOMIC_SEQ_CST);
	uint32_t others, i;

	others = __atomic_load_n(&online, __ATOMIC_SEQ_CST) &
		 ~(__atomic_load_n(&idle, __ATOMIC_SEQ_CST) | 1u << c->index);

	send_ipis(others, GATE_VECTOR_FLUSH);
	if (done_here && c->flushed == generation - 1)
		__atomic_store_n(&c->flushed, generation, __ATOMIC_RELEASE);
	serve_flush(c);
	for (i = 0; others >> i; i++) {
		while ((others >> i & 1) &&
		       __atomic_load_n(&cpu_at(i)->flushed, __ATOMIC_ACQUIRE) < generation) {
			serve_flush(c);
			pause();
		}
	}
}
