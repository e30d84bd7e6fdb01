/* SPDX-License-Identifier: MIT */
/*
 * Frames and pages: G1 to G3. `frame_state` says what each frame of usable RAM is; a page
 * table entry says where the page lies and, by PTE_SEALED and PTE_LIMBO, what may still be
 * done with it. Both change under the gate's lock only. Page tables are never taken back, so
 * an entry, once it can be reached, stays.
 */
#include "internal.h"

#define TABLES 256 /* tables that need no frame of the cells: 512 MiB of address space */
#define TABLE_ENTRY (PTE_P | PTE_W | PTE_U)
#define CHUNK (512 * PAGE) /* what one table maps */

uint64_t pt_seed[512] __attribute__((aligned(PAGE)));
uint64_t pd_cells[2][512] __attribute__((aligned(PAGE)));
uint64_t pdpt_dynamic[2][512] __attribute__((aligned(PAGE)));
static uint64_t pool[TABLES][512] __attribute__((aligned(PAGE)));
static uint8_t frame_state[GATE_PHYS_MAX / PAGE]; /* enum gate_frame_state, of usable RAM */

/* Tables at hand: those of the pool from pool_used on, then a list through frames. */
static uint32_t tables_left = TABLES, pool_used;
static uint64_t table_list; /* physical address of the first, 0 = none; next in word 0 */

static uint64_t seed_pages; /* 0 after GATE_SEED_DONE */

/* ---- frames ---- */

static bool within(const struct gate_range *r, uint64_t pa, uint64_t bytes)
{
	return pa >= r->start && pa < r->end && bytes <= r->end - pa;
}

/* RAM that cells may have, whatever its state: all of [pa, pa + bytes) in one range. */
static bool usable(uint64_t pa, uint64_t bytes)
{
	const struct gate_range seed = {boot_record.seed_phys,
					boot_record.seed_phys + boot_record.seed_size};
	unsigned int i;

	for (i = 0; i < GATE_BOOT_RANGES; i++) {
		if (within(&boot_record.free[i], pa, bytes))
			return true;
	}
	return within(&boot_record.bundle, pa, bytes) || within(&seed, pa, bytes);
}

static enum gate_frame_state state_of(uint64_t pa)
{
	if (usable(pa, PAGE))
		return frame_state[pa / PAGE];
	if (pa < 0x100000 || (pa >= LAYOUT_BASE && pa < (uintptr_t)gate_end))
		return GATE_FRAME_GATE;
	return GATE_FRAME_NOT_RAM;
}

static int refusal(enum gate_frame_state state)
{
	switch (state) {
	case GATE_FRAME_FREE:
		return 0;
	case GATE_FRAME_MAPPED:
		return -EEXIST;
	case GATE_FRAME_LIMBO:
		return -EBUSY;
	case GATE_FRAME_TABLE:
	case GATE_FRAME_GATE:
		return -EPERM;
	default:
		return -ERANGE;
	}
}

/* 0 when all frames of the run are free. */
static int check_frames(uint64_t pa, uint64_t pages)
{
	uint64_t i;
	int err;

	if (!usable(pa, pages * PAGE)) {
		for (i = 0; i < pages; i++) {
			err = refusal(state_of(pa + i * PAGE));
			if (err)
				return err;
		}
		return 0; /* runs over the end of a range into the next */
	}
	for (i = 0; i < pages; i++) {
		if (frame_state[pa / PAGE + i])
			return refusal(frame_state[pa / PAGE + i]);
	}
	return 0;
}

/* Device memory: no RAM, not the LAPIC, not below 1 MiB, within what the CPU can address. */
static int check_device(uint64_t pa, uint64_t pages)
{
	uint32_t eax = 0x80000008, ebx, ecx = 0, edx;
	uint64_t end = pa + pages * PAGE;
	unsigned int i;

	__asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	if (pa < 0x100000 || pa >> (eax & 0xff) || (end - 1) >> (eax & 0xff))
		return -ERANGE;
	if (pa < LAYOUT_LAPIC + PAGE && end > LAYOUT_LAPIC)
		return -EPERM;
	for (i = 0; i < ram_ranges; i++) {
		if (pa < ram_map[i].end && end > ram_map[i].start)
			return -EPERM;
	}
	return 0;
}

/* ---- pages ---- */

static bool in_window(uint64_t va, uint64_t bytes)
{
	return va >= GATE_CELL_WINDOW && va < GATE_CELL_WINDOW_END &&
	       bytes <= GATE_CELL_WINDOW_END - va;
}

static bool in_dynamic(uint64_t va, uint64_t bytes)
{
	return va >= GATE_DYNAMIC && va < GATE_DYNAMIC_END && bytes <= GATE_DYNAMIC_END - va;
}

/* Table levels missing above the entry of @va, an address of cells. */
static unsigned int missing(uint64_t va)
{
	uint64_t *pde = pte_of((uintptr_t)pte_of(va)), *pdpte = pte_of((uintptr_t)pde);

	if (!(*pdpte & PTE_P))
		return 2;
	return !(*pde & PTE_P);
}

static uint64_t take_table(void)
{
	uint64_t pa;

	tables_left--;
	if (pool_used < TABLES)
		return (uintptr_t)pool[pool_used++];
	pa = table_list;
	table_list = *(uint64_t *)ram(pa);
	*(uint64_t *)ram(pa) = 0;
	return pa;
}

static void make_tables(uint64_t va)
{
	uint64_t *pde = pte_of((uintptr_t)pte_of(va)), *pdpte = pte_of((uintptr_t)pde);

	if (!(*pdpte & PTE_P))
		*pdpte = take_table() | TABLE_ENTRY;
	if (!(*pde & PTE_P))
		*pde = take_table() | TABLE_ENTRY;
}

bool is_text(uint64_t va)
{
	if (!in_window(va, 1) && (va < GATE_SEED || va >= GATE_SEED + seed_pages * PAGE))
		return false;
	if (missing(va))
		return false;
	return (*pte_of(va) & (PTE_P | PTE_NX)) == PTE_P;
}

/* ---- runs ---- */

struct run_op {
	/* Checks all of the run, then begins it: 0, or an error and nothing was changed. */
	int (*begin)(const struct gate_run *r);
	/* After every CPU has flushed; NULL if nothing is to be flushed. */
	void (*finish)(const struct gate_run *r);
};

static int check_run(const struct gate_run *r, uint64_t room)
{
	uint64_t bytes = (uint64_t)r->pages * PAGE;

	if (r->pages == 0 || r->va % PAGE)
		return -EINVAL;
	if (r->pages > room)
		return -E2BIG;
	if (!in_window(r->va, bytes) && !in_dynamic(r->va, bytes))
		return -ERANGE;
	return 0;
}

/* A run of at most 512 pages touches two tables at most. */
static bool tables_missing(const struct gate_run *r)
{
	return missing(r->va) || missing(r->va + (r->pages - 1) * PAGE);
}

static int64_t do_runs(uint64_t n, const struct run_op *op)
{
	struct cpu *c = this_cpu();
	const struct gate_run *args = args_of(c);
	uint64_t done = 0;
	unsigned int i, j;
	int err = 0;

	if (n - 1 >= GATE_RUNS_MAX)
		return -EINVAL;
	gate_lock(c);
	for (i = 0; i < n; i++) {
		struct gate_run *r = &c->runs[i];

		*r = *(const volatile struct gate_run *)&args[i];
		err = check_run(r, GATE_PAGES_MAX - done);
		if (!err)
			err = op->begin(r);
		if (err)
			break;
		done += r->pages;
	}
	if (op->finish && i) {
		gate_unlock();
		flush(c, c->runs, i);
		gate_lock(c);
		for (j = 0; j < i; j++)
			op->finish(&c->runs[j]);
	}
	gate_unlock();
	return i ? (int64_t)done : err;
}

static int check_empty(const struct gate_run *r)
{
	uint64_t va = r->va, end = va + r->pages * PAGE;
	const uint64_t *pte;

	while (va < end) {
		if (missing(va)) {
			va = (va + CHUNK) & -CHUNK;
			continue;
		}
		pte = pte_of(va);
		do {
			if (*pte)
				return *pte & PTE_P ? -EEXIST : -EBUSY;
			pte++;
			va += PAGE;
		} while (va < end && va % CHUNK);
	}
	return 0;
}

static int begin_map(const struct gate_run *r)
{
	uint64_t last = r->va + (r->pages - 1) * PAGE;
	uint64_t entry = r->pa | PTE_P | PTE_U | PTE_NX, *pte;
	unsigned int i, tables;
	int err;

	if (r->flags & ~(uint32_t)(GATE_RUN_WRITE | GATE_RUN_DEVICE) || r->pa % PAGE)
		return -EINVAL;
	if (r->flags & GATE_RUN_DEVICE) {
		if (!in_dynamic(r->va, 1))
			return -EINVAL;
		err = check_device(r->pa, r->pages);
		entry |= PTE_UC;
	} else {
		err = check_frames(r->pa, r->pages);
	}
	if (!err)
		err = check_empty(r);
	if (err)
		return err;
	tables = missing(r->va);
	if ((r->va ^ last) & -CHUNK)
		tables += missing(last);
	if (tables > tables_left)
		return -ENOMEM;
	if (tables) {
		make_tables(r->va);
		make_tables(last);
	}

	if (r->flags & GATE_RUN_WRITE)
		entry |= PTE_W;
	pte = pte_of(r->va);
	for (i = 0; i < r->pages; i++) {
		pte[i] = entry;
		entry += PAGE;
	}
	if (!(r->flags & GATE_RUN_DEVICE)) {
		for (i = 0; i < r->pages; i++)
			frame_state[r->pa / PAGE + i] = GATE_FRAME_MAPPED;
	}
	return 0;
}

/* 0 when every page of the run is mapped and has the bits @want of @mask in its entry. */
static int check_pages(const struct gate_run *r, uint64_t mask, uint64_t want)
{
	const uint64_t *pte = pte_of(r->va);
	unsigned int i;

	if (tables_missing(r))
		return -ENOENT;
	for (i = 0; i < r->pages; i++) {
		if (!(pte[i] & PTE_P))
			return pte[i] ? -EBUSY : -ENOENT;
		if ((pte[i] & mask) != want)
			return -EPERM;
	}
	return 0;
}

static void begin_unmap_pages(const struct gate_run *r)
{
	uint64_t *pte = pte_of(r->va);
	unsigned int i;

	for (i = 0; i < r->pages; i++) {
		if (!(pte[i] & PTE_UC))
			frame_state[(pte[i] & PTE_ADDR) / PAGE] = GATE_FRAME_LIMBO;
		pte[i] = (pte[i] & (PTE_ADDR | PTE_UC)) | PTE_LIMBO;
	}
}

static int begin_unmap(const struct gate_run *r)
{
	int err = r->flags ? -EINVAL : check_pages(r, 0, 0);

	if (!err)
		begin_unmap_pages(r);
	return err;
}

/* Who maps pages for somebody else need not remember their frames: they are told here. */
static void finish_unmap(const struct gate_run *r)
{
	const struct cpu *c = this_cpu();
	uint64_t *pte = pte_of(r->va);
	unsigned int i;

	((struct gate_run *)args_of(c))[r - c->runs].pa = pte[0] & PTE_ADDR;
	for (i = 0; i < r->pages; i++) {
		if (!(pte[i] & PTE_UC))
			frame_state[(pte[i] & PTE_ADDR) / PAGE] = GATE_FRAME_FREE;
		pte[i] = 0;
	}
}

static int begin_protect(const struct gate_run *r)
{
	uint64_t *pte = pte_of(r->va);
	unsigned int i;
	int err;

	if (r->flags & ~(uint32_t)GATE_RUN_WRITE)
		return -EINVAL;
	err = check_pages(r, PTE_SEALED | PTE_NX, PTE_NX);
	for (i = 0; !err && i < r->pages; i++)
		pte[i] = (pte[i] & ~(uint64_t)PTE_W) | (r->flags & GATE_RUN_WRITE ? PTE_W : 0);
	return err;
}

static void finish_protect(const struct gate_run *r)
{
	(void)r;
}

/*
 * Sealing takes the page away until all CPUs have flushed, else one CPU could still write
 * what another already executes.
 */
static int begin_seal(const struct gate_run *r)
{
	const uint32_t text = GATE_RUN_TEXT | GATE_RUN_GRANTS(GATE_GRANT_ALL);
	uint64_t *pte = pte_of(r->va);
	unsigned int i;
	int err;

	if (!in_window(r->va, 1) ||
	    (r->flags != GATE_RUN_RODATA && (r->flags | text) != text) || !(r->flags & 0xff))
		return -EINVAL;
	err = check_pages(r, PTE_SEALED | PTE_W | PTE_UC, PTE_W);
	for (i = 0; !err && i < r->pages; i++)
		pte[i] = (pte[i] & PTE_ADDR) | PTE_LIMBO;
	return err;
}

static void finish_seal(const struct gate_run *r)
{
	uint64_t *pte = pte_of(r->va), bits = PTE_P | PTE_U | PTE_SEALED;
	unsigned int i;

	if (r->flags & GATE_RUN_TEXT)
		bits |= (uint64_t)(r->flags >> 8) << PTE_GRANT_SHIFT;
	else
		bits |= PTE_NX;
	for (i = 0; i < r->pages; i++)
		pte[i] = (pte[i] & PTE_ADDR) | bits;
}

int64_t call_map(uint64_t n, uint64_t b, uint64_t c)
{
	static const struct run_op op = {begin_map, NULL};

	(void)b;
	(void)c;
	return do_runs(n, &op);
}

int64_t call_unmap(uint64_t n, uint64_t b, uint64_t c)
{
	static const struct run_op op = {begin_unmap, finish_unmap};

	(void)b;
	(void)c;
	return do_runs(n, &op);
}

int64_t call_protect(uint64_t n, uint64_t b, uint64_t c)
{
	static const struct run_op op = {begin_protect, finish_protect};

	(void)b;
	(void)c;
	return do_runs(n, &op);
}

int64_t call_seal(uint64_t n, uint64_t b, uint64_t c)
{
	static const struct run_op op = {begin_seal, finish_seal};

	(void)b;
	(void)c;
	return do_runs(n, &op);
}

/* ---- the seed ---- */

static void map_part(uint64_t from, uint64_t to, uint64_t bits)
{
	uint64_t pa = boot_record.seed_phys + (from - seed_text);
	uint8_t *state = &frame_state[pa / PAGE], *end = state + (to - from) / PAGE;
	uint64_t *pte = &pt_seed[(from - seed_text) / PAGE];

	for (bits |= pa | PTE_P | PTE_U; state < end; bits += PAGE) {
		*pte++ = bits;
		*state++ = GATE_FRAME_MAPPED;
	}
}

void map_seed(void)
{
	map_part(seed_text, seed_rodata, (uint64_t)GATE_GRANT_ALL << PTE_GRANT_SHIFT);
	map_part(seed_rodata, seed_data, PTE_NX);
	map_part(seed_data, seed_limit, PTE_NX | PTE_W);
	seed_pages = (seed_limit - seed_text) / PAGE;
}

int64_t call_seed_done(uint64_t a, uint64_t b, uint64_t unused)
{
	struct cpu *c = this_cpu();
	struct gate_run *r = &c->runs[0];

	(void)a;
	(void)b;
	(void)unused;
	gate_lock(c);
	*r = (struct gate_run){GATE_SEED, boot_record.seed_phys, (uint32_t)seed_pages, 0};
	if (!seed_pages) {
		gate_unlock();
		return -EALREADY;
	}
	seed_pages = 0;
	begin_unmap_pages(r);
	gate_unlock();
	flush(c, r, 1);
	gate_lock(c);
	finish_unmap(r);
	gate_unlock();
	*(struct gate_run *)args_of(c) = *r;
	return 0;
}

/* ---- single frames, patches ---- */

int64_t call_table(uint64_t pa, uint64_t b, uint64_t unused)
{
	struct cpu *c = this_cpu();
	uint64_t *table = ram(pa), words = PAGE / 8;
	int err;

	(void)b;
	(void)unused;
	if (pa % PAGE)
		return -EINVAL;
	gate_lock(c);
	err = check_frames(pa, 1);
	if (!err) {
		frame_state[pa / PAGE] = GATE_FRAME_TABLE;
		__asm__ volatile("rep stosq" : "+D"(table), "+c"(words) : "a"(0) : "memory");
		*(uint64_t *)ram(pa) = table_list;
		table_list = pa;
		tables_left++;
	}
	gate_unlock();
	return err;
}

int64_t call_frame_state(uint64_t pa, uint64_t b, uint64_t c)
{
	(void)b;
	(void)c;
	return pa % PAGE ? -EINVAL : (int64_t)state_of(pa);
}

/* Where the gate reaches byte @va of a sealed page, or NULL. */
static uint8_t *sealed(uint64_t va)
{
	uint64_t entry;

	if (!in_window(va, 1) || missing(va))
		return NULL;
	entry = *pte_of(va);
	if ((entry & (PTE_P | PTE_SEALED)) != (PTE_P | PTE_SEALED))
		return NULL;
	return (uint8_t *)ram(entry & PTE_ADDR) + va % PAGE;
}

static uint32_t patch_read(const struct patch_place *p)
{
	uint32_t value = 0, i;

	if (p->head == 4)
		return *(const uint32_t *)(const void *)p->at;
	for (i = 0; i < 4; i++)
		value |= (uint32_t)(i < p->head ? p->at[i] : p->tail[i - p->head]) << 8 * i;
	return value;
}

static void patch_write(const struct patch_place *p)
{
	uint32_t i;

	if (p->head == 4) {
		*(uint32_t *)(void *)p->at = p->to;
		return;
	}
	for (i = 0; i < 4; i++)
		*(i < p->head ? &p->at[i] : &p->tail[i - p->head]) = (uint8_t)(p->to >> 8 * i);
}

int64_t call_patch(uint64_t n, uint64_t b, uint64_t unused)
{
	struct cpu *c = this_cpu();
	const volatile struct gate_patch *args = args_of(c);
	uint64_t i, va;
	int64_t ret;

	(void)b;
	(void)unused;
	if (n - 1 >= GATE_PATCHES_MAX)
		return -EINVAL;
	gate_lock(c);
	ret = -EFAULT;
	for (i = 0; i < n; i++) {
		struct patch_place *p = &c->patches[i];

		va = args[i].va;
		p->to = args[i].to;
		p->head = va % PAGE > PAGE - 4 ? (uint32_t)(PAGE - va % PAGE) : 4;
		p->at = sealed(va);
		p->tail = p->head == 4 ? p->at : sealed(va + p->head);
		if (!p->at || !p->tail)
			goto out;
		if (patch_read(p) != args[i].from) {
			ret = -ESTALE;
			goto out;
		}
	}
	for (i = 0; i < n; i++)
		patch_write(&c->patches[i]);
	ret = (int64_t)n;
out:
	gate_unlock();
	return ret;
}
