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
 *  3 read `online`; send GATE_VECTOR_FLUSH        4 on the IPI, or while it waits in the gate:
 *  5 serve itself; wait until every online          n = flush_generation; reload CR3;
 *    CPU has flushed >= g, serving meanwhile        flushed = n   (serve_flush)
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
 * the CPU's reload comes after step 1.
 */
#include "internal.h"

static uint32_t lock;
static uint64_t flush_generation;

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

void flush_alone(uint64_t va, uint64_t pages)
{
	uint64_t end = va + pages * PAGE;

	for (; va < end; va += PAGE)
		__asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

void flush(struct cpu *c)
{
	uint64_t generation = __atomic_add_fetch(&flush_generation, 1, __ATOMIC_SEQ_CST);
	uint32_t others = __atomic_load_n(&online, __ATOMIC_SEQ_CST) & ~(1u << c->index), i;

	for (i = 0; i < boot_record.cpus; i++) {
		if (others >> i & 1)
			send_ipi(i, GATE_VECTOR_FLUSH);
	}
	serve_flush(c);
	for (i = 0; i < boot_record.cpus; i++) {
		while ((others >> i & 1) &&
		       __atomic_load_n(&cpu_at(i)->flushed, __ATOMIC_ACQUIRE) < generation) {
			serve_flush(c);
			pause();
		}
	}
}
