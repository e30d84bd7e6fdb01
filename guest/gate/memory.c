/* SPDX-License-Identifier: MIT */
/*
 * Frames and pages: G1 to G3. `frame_state` says what each frame of usable RAM is; a page
 * table entry says where the page lies and, by PTE_OPEN and PTE_LIMBO, what may still be
 * done with it. Both change under the gate's lock only. Page tables are never taken back, so
 * an entry, once it can be reached, stays.
 */
#include "internal.h"

#define TABLES 256 /* tables that need no frame of the cells: 512 MiB of address space */
#define TABLE_ENTRY (PTE_P | PTE_W | PTE_U | PTE_A)
#define DATA_PAGE (PTE_P | PTE_W | PTE_U | PTE_AD | PTE_OPEN | PTE_NX)
#define CHUNK (512 * PAGE) /* what one table maps */

typedef uint64_t unaligned64 __attribute__((aligned(1)));

uint64_t pt_seed[512] __attribute__((aligned(PAGE)));
uint64_t pd_cells[2][512] __attribute__((aligned(PAGE)));
uint64_t pdpt_dynamic[2][512] __attribute__((aligned(PAGE)));
static uint64_t pool[TABLES][512] __attribute__((aligned(PAGE)));
static uint8_t frame_state[GATE_PHYS_MAX / PAGE]; /* enum gate_frame_state, of usable RAM */

/* Tables at hand: those of the pool from pool_used on, then a list through frames. */
static uint32_t tables_left = TABLES, pool_used;
static uint64_t table_list; /* physical address of the first, 0 = none; next in word 0 */

/* The free ranges, the bundle and the seed of the boot record; then an empty one. */
static struct gate_range cell_ram[GATE_BOOT_RANGES + 3];
static const struct gate_range *recent = cell_ram; /* where frames were last found */

static uint64_t seed_pages; /* 0 after GATE_SEED_DONE */

/* ---- frames ---- */

static inline bool within(const struct gate_range *r, uint64_t pa, uint64_t bytes)
{
	return pa >= r->start && pa < r->end && bytes <= r->end - pa;
}

/* RAM that cells may have, whatever its state: all of [pa, pa + bytes) in one range. */
static __attribute__((noinline)) bool usable_range(uint64_t pa, uint64_t bytes)
{
	const struct gate_range *r;

	for (r = cell_ram; r->end; r++) {
		if (within(r, pa, bytes)) {
			recent = r;
			return true;
		}
	}
	return false;
}

static ALWAYS_INLINE bool usable(uint64_t pa, uint64_t bytes)
{
	return within(recent, pa, bytes) || usable_range(pa, bytes);
}

static enum gate_frame_state state_of(uint64_t pa)
{
	if (usable(pa, PAGE))
		return frame_state[pa / PAGE];
	if (pa < 0x100000 || (pa >= LAYOUT_BASE && pa < (uintptr_t)gate_end))
		return GATE_FRAME_GATE;
	return GATE_FRAME_NOT_RAM;
}

/* The same one by one: why these frames are refused, 0 if they are not. */
static __attribute__((noinline)) int frames_refused(uint64_t pa, uint64_t pages)
{
	static const int8_t errors[_GATE_FRAME_STATE_MAX] = {
		[GATE_FRAME_MAPPED] = -EEXIST,  [GATE_FRAME_LIMBO] = -EBUSY,
		[GATE_FRAME_TABLE] = -EPERM,    [GATE_FRAME_GATE] = -EPERM,
		[GATE_FRAME_NOT_RAM] = -ERANGE,
	};

	for (; pages; pages--, pa += PAGE) {
		if (errors[state_of(pa)])
			return errors[state_of(pa)];
	}
	return 0; /* all are free, in neighbouring ranges */
}

/* @step n times, eight a turn: the loop itself costs as much as the work. Changes n. */
#define EACH(n, step)                                                  \
	do {                                                           \
		for (; (n) >= 8; (n) -= 8) {                           \
			step; step; step; step; step; step; step; step; \
		}                                                      \
		for (; (n); (n)--)                                     \
			step;                                          \
	} while (0)

static ALWAYS_INLINE bool any_byte(const uint8_t *at, uint64_t n)
{
	uint64_t all = 0;

	for (; n >= 8; n -= 8, at += 8)
		all |= *(const unaligned64 *)at;
	for (; n; n--)
		all |= *at++;
	return all;
}

static ALWAYS_INLINE bool any_word(const uint64_t *at, uint64_t n)
{
	uint64_t all = 0;

	EACH(n, all |= *at++);
	return all;
}

/* 0 when all frames of the run are free. */
static ALWAYS_INLINE int check_frames(uint64_t pa, uint64_t pages)
{
	if (!usable(pa, pages * PAGE) || any_byte(&frame_state[pa / PAGE], pages))
		return frames_refused(pa, pages);
	return 0;
}

/* Device memory: no RAM, not the LAPIC, not below 1 MiB, within what the CPU can address. */
static __attribute__((noinline)) int check_device(uint64_t pa, uint64_t pages)
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

static inline bool in_window(uint64_t va)
{
	return va - GATE_CELL_WINDOW < GATE_CELL_WINDOW_END - GATE_CELL_WINDOW;
}

static inline bool in_dynamic(uint64_t va)
{
	return va - GATE_DYNAMIC < GATE_DYNAMIC_END - GATE_DYNAMIC;
}

/* Table levels missing above the entry of @va, an address of cells. */
static inline unsigned int missing(uint64_t va)
{
	uint64_t *pde = pte_of((uintptr_t)pte_of(va)), *pdpte = pte_of((uintptr_t)pde);

	if (!(*pdpte & PTE_P))
		return 2;
	return !(*pde & PTE_P);
}

/* The same for a run, which lies under two tables at most. Most follow one like them. */
static ALWAYS_INLINE unsigned int missing_for(uint64_t va, uint64_t pages)
{
	static uint64_t present; /* a CHUNK whose table is known to exist */
	uint64_t first = va / CHUNK, last = (va + (pages - 1) * PAGE) / CHUNK;
	unsigned int n;

	if (first == present && first == last)
		return 0;
	n = missing(va);
	if (first != last)
		n += missing(last * CHUNK);
	else if (!n)
		present = first;
	return n;
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
	if (!in_window(va) && va - GATE_SEED >= seed_pages * PAGE)
		return false;
	return !missing(va) && (*pte_of(va) & (PTE_P | PTE_NX)) == PTE_P;
}

/* ---- runs ---- */

/*
 * The steps of a call, for one run: check() refuses it or not (and may begin); mark() takes from
 * the cells what they must not use until all CPUs have flushed; finish() makes it final. While one
 * CPU is online nobody can see the time between, and mark() is left out. Without mark() nothing
 * needs a flush.
 */
static ALWAYS_INLINE int64_t do_runs(uint64_t n,
				     int (*check)(struct gate_run r, struct gate_run *arg),
				     void (*mark)(struct gate_run r),
				     void (*finish)(struct gate_run r, bool marked))
{
	struct cpu *c = this_cpu();
	struct gate_run *args = args_of(c);
	struct gate_run *kept = c->runs, r;
	uint64_t room = GATE_PAGES_MAX, last;
	bool alone;
	int err = 0;

	if (n - 1 >= GATE_RUNS_MAX)
		return -EINVAL;
	gate_lock(c);
	alone = online == 1;
	for (; n; n--, args++) {
		const volatile struct gate_run *shared = args; /* cells write there: read once */

		r = (struct gate_run){shared->va, shared->pa, shared->pages, shared->flags};
		last = r.va + (r.pages - 1) * PAGE;
		err = -EINVAL;
		if (r.va % PAGE || !r.pages)
			break;
		err = -E2BIG;
		if (r.pages > room)
			break;
		err = -ERANGE;
		if ((!in_dynamic(r.va) || !in_dynamic(last)) &&
		    (!in_window(r.va) || !in_window(last)))
			break;
		err = check(r, args);
		if (err)
			break;
		room -= r.pages;
		if (mark && !alone) {
			*kept++ = r;
			mark(r);
		} else {
			finish(r, false);
		}
		if (mark && GATE_PAGES_MAX - room <= INVLPG_MAX)
			flush_here(r.va, r.pages);
	}
	if (mark && alone && GATE_PAGES_MAX - room > INVLPG_MAX)
		reload_cr3();
	if (kept != c->runs) {
		gate_unlock();
		flush(c, GATE_PAGES_MAX - room <= INVLPG_MAX);
		gate_lock(c);
		while (kept-- != c->runs)
			finish(*kept, true);
	}
	gate_unlock();
	return room == GATE_PAGES_MAX ? err : (int64_t)(GATE_PAGES_MAX - room);
}

/* Why these pages cannot be mapped: 0 when all are empty, tables may be missing. */
static __attribute__((noinline)) int pages_refused(uint64_t va, uint64_t pages)
{
	const uint64_t end = va + pages * PAGE;
	const uint64_t *pte;
	uint64_t next, n;

	for (; va < end; va = next) {
		next = (va | (CHUNK - 1)) + 1;
		if (next > end)
			next = end;
		pte = pte_of(va);
		for (n = missing(va) ? 0 : (next - va) / PAGE; n; n--, pte++) {
			if (*pte)
				return *pte & PTE_P ? -EEXIST : -EBUSY;
		}
	}
	return 0;
}

static __attribute__((noinline)) int new_tables(uint64_t va, uint64_t pages)
{
	int err = pages_refused(va, pages);

	if (err)
		return err;
	if (missing_for(va, pages) > tables_left)
		return -ENOMEM;
	make_tables(va);
	make_tables(va + (pages - 1) * PAGE);
	return 0;
}

static ALWAYS_INLINE int check_map(struct gate_run r, struct gate_run *arg)
{
	int err;

	if (r.flags & ~(uint32_t)(GATE_RUN_WRITE | GATE_RUN_DEVICE) || r.pa % PAGE)
		return -EINVAL;
	if (r.flags & GATE_RUN_DEVICE)
		err = in_dynamic(r.va) ? check_device(r.pa, r.pages) : -EINVAL;
	else
		err = check_frames(r.pa, r.pages);
	if (err)
		return err;
	if (missing_for(r.va, r.pages))
		return new_tables(r.va, r.pages);
	return any_word(pte_of(r.va), r.pages) ? pages_refused(r.va, r.pages) : 0;
}

static ALWAYS_INLINE void finish_map(struct gate_run r, bool marked)
{
	uint64_t *pte = pte_of(r.va), entry = r.pa | DATA_PAGE, n = r.pages;
	uint8_t *state = &frame_state[r.pa / PAGE];

	if (!(r.flags & GATE_RUN_WRITE))
		entry &= ~(uint64_t)PTE_W;
	if (r.flags & GATE_RUN_DEVICE)
		entry |= PTE_UC;
	EACH(n, (*pte++ = entry, entry += PAGE));
	if (r.flags & GATE_RUN_DEVICE)
		return;
	for (; r.pages >= 8; r.pages -= 8, state += 8)
		*(unaligned64 *)state = 0x0101010101010101 * GATE_FRAME_MAPPED;
	for (; r.pages; r.pages--)
		*state++ = GATE_FRAME_MAPPED;
}

/* Why not all of these pages are mapped, with the bits @want. */
static __attribute__((noinline)) int pages_lack(uint64_t va, uint64_t want)
{
	const uint64_t *pte = pte_of(va);

	while ((*pte & want) == want)
		pte++;
	if (*pte & PTE_P)
		return -EPERM;
	return *pte ? -EBUSY : -ENOENT;
}

/* 0 when every page of the run is mapped and has the bits @want, PTE_P among them. */
static ALWAYS_INLINE int check_pages(struct gate_run r, uint64_t want)
{
	const uint64_t *pte = pte_of(r.va);
	uint64_t all = want, n = r.pages;

	if (missing_for(r.va, n))
		return -ENOENT;
	EACH(n, all &= *pte++);
	return all == want ? 0 : pages_lack(r.va, want);
}

static ALWAYS_INLINE void set_state(uint64_t entry, enum gate_frame_state state)
{
	if (!(entry & PTE_UC)) /* device memory has none */
		frame_state[(entry & PTE_ADDR) / PAGE] = state;
}

static ALWAYS_INLINE int check_unmap(struct gate_run r, struct gate_run *arg)
{
	int err = r.flags ? -EINVAL : check_pages(r, PTE_P);

	if (!err) /* who maps pages for somebody else need not remember their frames */
		arg->pa = *pte_of(r.va) & PTE_ADDR;
	return err;
}

static ALWAYS_INLINE void mark_unmap(struct gate_run r)
{
	uint64_t *pte = pte_of(r.va), *end = pte + r.pages;

	for (; pte < end; pte++) {
		set_state(*pte, GATE_FRAME_LIMBO);
		*pte = (*pte & (PTE_ADDR | PTE_UC)) | PTE_LIMBO;
	}
}

static ALWAYS_INLINE void finish_unmap(struct gate_run r, bool marked)
{
	uint64_t *pte = pte_of(r.va), n = r.pages;

	EACH(n, (set_state(*pte, GATE_FRAME_FREE), *pte++ = 0));
}

static ALWAYS_INLINE int check_protect(struct gate_run r, struct gate_run *arg)
{
	uint64_t *pte = pte_of(r.va), n = r.pages;
	int err = -EINVAL;

	if (!(r.flags & ~(uint32_t)GATE_RUN_WRITE))
		err = check_pages(r, PTE_P | PTE_OPEN);
	if (err)
		return err;
	if (r.flags & GATE_RUN_WRITE)
		EACH(n, *pte++ |= PTE_W);
	else
		EACH(n, *pte++ &= ~(uint64_t)PTE_W);
	return 0;
}

static ALWAYS_INLINE void no_mark(struct gate_run r)
{
}

static ALWAYS_INLINE void no_finish(struct gate_run r, bool marked)
{
}

static ALWAYS_INLINE int check_seal(struct gate_run r, struct gate_run *arg)
{
	const uint32_t text = GATE_RUN_TEXT | GATE_RUN_GRANTS(GATE_GRANT_ALL);

	if (!in_window(r.va) || (r.flags != GATE_RUN_RODATA && (r.flags | text) != text) ||
	    !(r.flags & 0xff))
		return -EINVAL;
	return check_pages(r, DATA_PAGE);
}

/* The page goes away, else one CPU could still write what another already executes. */
static ALWAYS_INLINE void mark_seal(struct gate_run r)
{
	uint64_t *pte = pte_of(r.va), n = r.pages;

	EACH(n, *pte++ ^= DATA_PAGE ^ PTE_LIMBO);
}

static ALWAYS_INLINE void finish_seal(struct gate_run r, bool marked)
{
	uint64_t *pte = pte_of(r.va), n = r.pages, bits = PTE_P | PTE_U | PTE_AD;

	bits |= r.flags & GATE_RUN_TEXT ? (uint64_t)(r.flags >> 8) << PTE_GRANT_SHIFT : PTE_NX;
	bits ^= marked ? PTE_LIMBO : DATA_PAGE;
	EACH(n, *pte++ ^= bits);
}

int64_t call_map(uint64_t n, uint64_t b, uint64_t c)
{
	return do_runs(n, check_map, NULL, finish_map);
}

int64_t call_unmap(uint64_t n, uint64_t b, uint64_t c)
{
	return do_runs(n, check_unmap, mark_unmap, finish_unmap);
}

int64_t call_protect(uint64_t n, uint64_t b, uint64_t c)
{
	return do_runs(n, check_protect, no_mark, no_finish);
}

int64_t call_seal(uint64_t n, uint64_t b, uint64_t c)
{
	return do_runs(n, check_seal, mark_seal, finish_seal);
}

/* ---- the seed ---- */

static void map_part(uint64_t from, uint64_t to, uint64_t bits)
{
	uint64_t pa = boot_record.seed_phys + (from - seed_text);
	uint8_t *state = &frame_state[pa / PAGE], *end = state + (to - from) / PAGE;
	uint64_t *pte = &pt_seed[(from - seed_text) / PAGE];

	for (bits |= pa | PTE_P | PTE_U | PTE_AD; state < end; bits += PAGE) {
		*pte++ = bits;
		*state++ = GATE_FRAME_MAPPED;
	}
}

void memory_init(void)
{
	const struct gate_range *from = boot_record.free;
	struct gate_range *to = cell_ram;

	while (from->end && from < &boot_record.free[GATE_BOOT_RANGES])
		*to++ = *from++;
	*to++ = (struct gate_range){boot_record.seed_phys,
				    boot_record.seed_phys + boot_record.seed_size};
	*to = boot_record.bundle;
	map_part(seed_text, seed_rodata, (uint64_t)GATE_GRANT_ALL << PTE_GRANT_SHIFT);
	map_part(seed_rodata, seed_data, PTE_NX);
	map_part(seed_data, seed_limit, PTE_NX | PTE_W);
	seed_pages = (seed_limit - seed_text) / PAGE;
}

int64_t call_seed_done(uint64_t a, uint64_t b, uint64_t unused)
{
	struct cpu *c = this_cpu();
	const struct gate_run r = {GATE_SEED, boot_record.seed_phys, (uint32_t)seed_pages, 0};

	gate_lock(c);
	if (!seed_pages) {
		gate_unlock();
		return -EALREADY;
	}
	seed_pages = 0;
	mark_unmap(r);
	gate_unlock();
	flush(c, false);
	gate_lock(c);
	finish_unmap(r, true);
	gate_unlock();
	*(struct gate_run *)args_of(c) = r;
	return 0;
}

/* ---- single frames, patches ---- */

int64_t call_table(uint64_t pa, uint64_t b, uint64_t unused)
{
	struct cpu *c = this_cpu();
	uint64_t *table = ram(pa), words = PAGE / 8;
	int err;

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
	return pa % PAGE ? -EINVAL : (int64_t)state_of(pa);
}

/* Where the gate reaches byte @va of a sealed page, or NULL. */
static uint8_t *sealed(uint64_t va)
{
	uint64_t entry;

	if (!in_window(va) || missing(va))
		return NULL;
	entry = *pte_of(va);
	if ((entry & (PTE_P | PTE_OPEN)) != PTE_P)
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
