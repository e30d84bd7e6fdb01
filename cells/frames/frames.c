/* SPDX-License-Identifier: MIT */
/*
 * A bitmap of free frames up to the highest one that the boot record names, and a second
 * bitmap that says which of its words have a bit set. Both lie in frames that init takes
 * and maps for itself. Lowest address first: frames that were used before are warm, and on
 * some hosts the first touch of a new one costs more than everything else.
 */
#include <theseus/frames.h>

#include <string.h>
#include <theseus/cell.h>
#include <theseus/gate-call.h>
#include <theseus/handoff.h>
#include <theseus/ledger.h>
#include <theseus/percpu.h>
#include <theseus/spinlock.h>
#include <theseus/trap.h>

#define WORD_BITS 64u
#define RANGES_MAX 32u
#define TABLES_MAX 8u /* page tables that mapping the bitmaps may take */

/* Frames [start, end) by number. */
struct frame_range {
	uint64_t start, end;
};

SPINLOCK_ROLE(frames_all);

struct frames_state {
	struct spinlock lock; /* frames_all */
	uint32_t n_ranges GUARDED_BY(frames_all);
	/* frames that cells may use, free or not */
	struct frame_range ranges[RANGES_MAX] GUARDED_BY(frames_all);
	uint64_t *map GUARDED_BY(frames_all); /* bit set: frame is free */
	uint64_t *nonempty GUARDED_BY(frames_all); /* bit set: word of map is not 0 */
	uint64_t n_frames; /* that map covers; set once */
	uint64_t first GUARDED_BY(frames_all); /* no frame below is free */
	uint64_t total GUARDED_BY(frames_all), used GUARDED_BY(frames_all);
	uint64_t peak GUARDED_BY(frames_all);
	uint64_t tables; /* atomic */
	vaddr_t dynamic_next;
	uint64_t failing_task; /* atomic; whose allocation fails on purpose, 0 = nobody's */
	uint64_t fail_in;      /* allocations of that task from here on; 0 = it has failed */
};

CELL_INFO(.name = "frames", .version = "1.0.0", .grants = GATE_GRANT_MEMORY, .safety = CELL_UNSAFE,
	  .unsafe_reason =
		  "gives the gate frames for page tables; its first map lies where the seed put it",
	  .summary = "allocates physical frames");
CELL_STATE(struct frames_state, frames);

/* ---- bits ---- */

/* Bits [from, to) of a word; 0 <= from < to <= WORD_BITS. */
static uint64_t bits_between(uint64_t from, uint64_t to)
{
	uint64_t below_to = to == WORD_BITS ? UINT64_MAX : (1ull << to) - 1;

	return below_to & ~((1ull << from) - 1);
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void note_word(uint64_t word) REQUIRES(frames_all)
{
	uint64_t bit = 1ull << word % WORD_BITS;

	if (frames.map[word] != 0)
		frames.nonempty[word / WORD_BITS] |= bit;
	else
		frames.nonempty[word / WORD_BITS] &= ~bit;
}

/* Marks [start, end) free or used, whatever they were. */
static void mark(uint64_t start, uint64_t end, bool free) REQUIRES(frames_all)
{
	while (start < end) {
		uint64_t word = start / WORD_BITS, base = word * WORD_BITS;
		uint64_t bits = bits_between(start - base, min_u64(end - base, WORD_BITS));

		if (free)
			frames.map[word] |= bits;
		else
			frames.map[word] &= ~bits;
		note_word(word);
		start = base + WORD_BITS;
	}
}

/* First frame at or after @from that is free, or n_frames. */
static uint64_t next_free(uint64_t from) REQUIRES(frames_all)
{
	uint64_t words = (frames.n_frames + WORD_BITS - 1) / WORD_BITS;
	uint64_t word = from / WORD_BITS, bits;

	if (from >= frames.n_frames)
		return frames.n_frames;
	bits = frames.map[word] & bits_between(from % WORD_BITS, WORD_BITS);
	for (word++; bits == 0; word++) {
		if (word >= words)
			return frames.n_frames;
		bits = frames.nonempty[word / WORD_BITS] &
		       bits_between(word % WORD_BITS, WORD_BITS);
		if (bits == 0) {
			word |= WORD_BITS - 1;
			continue;
		}
		word = word / WORD_BITS * WORD_BITS + (uint64_t)__builtin_ctzll(bits);
		bits = frames.map[word];
	}
	return (word - 1) * WORD_BITS + (uint64_t)__builtin_ctzll(bits);
}

/* First frame in [from, end) that is used, or end; end <= n_frames. */
static uint64_t next_used(uint64_t from, uint64_t end) REQUIRES(frames_all)
{
	while (from < end) {
		uint64_t word = from / WORD_BITS, base = word * WORD_BITS;
		uint64_t bits = ~frames.map[word] & bits_between(from - base, WORD_BITS);

		if (bits != 0)
			return min_u64(base + (uint64_t)__builtin_ctzll(bits), end);
		from = base + WORD_BITS;
	}
	return end;
}

static bool any_free(struct frame_range r) REQUIRES(frames_all)
{
	return next_free(r.start) < r.end;
}

/* ---- ranges that cells may use ---- */

/* How much of @r the ranges know already. */
static uint64_t known_in(struct frame_range r) REQUIRES(frames_all)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < frames.n_ranges; i++) {
		uint64_t start = max_u64(r.start, frames.ranges[i].start);
		uint64_t end = min_u64(r.end, frames.ranges[i].end);

		if (start < end)
			n += end - start;
	}
	return n;
}

/* Joins @r, of which nothing is known, with the ranges. Result: 0, -ENOMEM. */
static int add_range(struct frame_range r) REQUIRES(frames_all)
{
	struct frame_range *below = NULL, *above = NULL;

	for (uint32_t i = 0; i < frames.n_ranges; i++) {
		if (frames.ranges[i].end == r.start)
			below = &frames.ranges[i];
		if (frames.ranges[i].start == r.end)
			above = &frames.ranges[i];
	}
	if (below && above) {
		below->end = above->end;
		*above = frames.ranges[--frames.n_ranges];
	} else if (below) {
		below->end = r.end;
	} else if (above) {
		above->start = r.start;
	} else if (frames.n_ranges < RANGES_MAX) {
		frames.ranges[frames.n_ranges++] = r;
	} else {
		return -ENOMEM;
	}
	frames.total += r.end - r.start;
	frames.used += r.end - r.start;
	return 0;
}

/* ---- exports ---- */

/* ---- failing on purpose ---- */

/* Id of the calling task; 0: none. */
static uint64_t this_task(void)
{
#if __STDC_HOSTED__
	return 0;
#else
	const struct task_head *task = percpu_read(task);

	return task ? task->id : 0;
#endif
}

bool frames_fail_nth(uint64_t nth)
{
	uint64_t task = this_task();
	bool failed = task != 0 && frames.failing_task == task && frames.fail_in == 0;

	frames.fail_in = nth;
	__atomic_store_n(&frames.failing_task, nth ? task : 0, __ATOMIC_RELEASE);
	return failed;
}
CELL_EXPORT(frames_fail_nth);

bool frames_fails(void)
{
	uint64_t task = __atomic_load_n(&frames.failing_task, __ATOMIC_ACQUIRE);

	if (__builtin_expect(task == 0, 1) || task != this_task() || frames.fail_in == 0)
		return false;
	return --frames.fail_in == 0;
}
CELL_EXPORT(frames_fails);

/* ---- runs ---- */

/* First run of @count free frames aligned to @align, or n_frames. */
static uint64_t find_run(uint64_t count, uint64_t align) REQUIRES(frames_all)
{
	uint64_t at = next_free(frames.first), end;

	frames.first = at;
	for (;;) {
		at = (at + align - 1) & ~(align - 1);
		if (count > frames.n_frames || at > frames.n_frames - count)
			return frames.n_frames;
		end = next_used(at, at + count);
		if (end == at + count)
			return at;
		at = next_free(end);
	}
}

int frames_alloc(uint64_t count, uint64_t align, struct frame_run *ret_run)
{
	uint64_t at = 0;
	bool found;

	if (count == 0 || align == 0 || (align & (align - 1)) != 0)
		return -EINVAL;
	if (frames_fails())
		return -ENOMEM;
	spin_lock_as(&frames.lock, frames_all);
	found = align <= frames.n_frames && (at = find_run(count, align)) < frames.n_frames;
	if (found) {
		mark(at, at + count, false);
		frames.used += count;
		frames.peak = max_u64(frames.peak, frames.used);
	}
	spin_unlock_as(&frames.lock, frames_all);
	if (!found)
		return -ENOMEM;
	*ret_run = (struct frame_run){{at << PAGE_SHIFT}, count};
	return 0;
}
CELL_EXPORT(frames_alloc);

/* Result: 0, or -EINVAL if the bitmap does not cover @run. */
static int range_of(struct frame_run run, struct frame_range *ret_range)
{
	uint64_t start = run.start.v >> PAGE_SHIFT, end;

	if (run.start.v % PAGE_SIZE != 0 || run.count == 0)
		return -EINVAL;
	if (__builtin_add_overflow(start, run.count, &end) || end > frames.n_frames)
		return -EINVAL;
	*ret_range = (struct frame_range){start, end};
	return 0;
}

static void release(struct frame_range r) REQUIRES(frames_all)
{
	mark(r.start, r.end, true);
	frames.first = min_u64(frames.first, r.start);
	frames.used -= r.end - r.start;
}

void frames_free(struct frame_run *run)
{
	struct frame_run gone = TAKE(*run);
	struct frame_range r;
	bool ok;

	if (gone.count == 0)
		return;
	if (range_of(gone, &r) < 0)
		TRAP("frames_free: not a run of frames");
	spin_lock_as(&frames.lock, frames_all);
	ok = known_in(r) == r.end - r.start && !any_free(r);
	if (ok)
		release(r);
	spin_unlock_as(&frames.lock, frames_all);
	if (!ok)
		TRAP("frames_free: frames that are not in use");
}
CELL_EXPORT(frames_free);

int frames_table(void)
{
	LEDGER_WHOLE();
	struct frame_run frame;
	int64_t r = frames_alloc(1, 1, &frame);

	if (r < 0)
		return (int)r;
	r = gate_table(frame.start.v);
	if (r < 0)
		frames_free(&frame);
	else
		__atomic_add_fetch(&frames.tables, 1, __ATOMIC_RELAXED);
	return (int)r;
}
CELL_EXPORT(frames_table);

int frames_add(struct frame_run run)
{
	struct frame_range r;
	uint64_t known;
	int res = 0;

	if (range_of(run, &r) < 0)
		return -EINVAL;
	spin_lock_as(&frames.lock, frames_all);
	known = known_in(r);
	if (any_free(r))
		res = -EEXIST;
	else if (known == 0)
		res = add_range(r);
	else if (known != r.end - r.start)
		res = -EINVAL;
	if (res == 0)
		release(r);
	spin_unlock_as(&frames.lock, frames_all);
	return res;
}
CELL_EXPORT(frames_add);

void frames_stats(struct frames_stats *ret_stats)
{
	spin_lock_as(&frames.lock, frames_all);
	*ret_stats = (struct frames_stats){
		.total = frames.total,
		.used = frames.used,
		.tables = __atomic_load_n(&frames.tables, __ATOMIC_RELAXED),
		.peak = frames.peak,
	};
	spin_unlock_as(&frames.lock, frames_all);
}
CELL_EXPORT(frames_stats);

vaddr_t frames_dynamic_next(void)
{
	return frames.dynamic_next;
}
CELL_EXPORT(frames_dynamic_next);

/* ---- init ---- */

/* End of the highest frame that may ever be added, by number. */
static uint64_t highest_frame(const struct boot_record *record)
{
	uint64_t top = max_u64(record->bundle.end, record->seed_phys + record->seed_size);

	for (unsigned i = 0; i < GATE_BOOT_RANGES; i++)
		top = max_u64(top, record->free[i].end);
	return min_u64((top + PAGE_SIZE - 1) >> PAGE_SHIFT, GATE_PHYS_MAX >> PAGE_SHIFT);
}

/*
 * Maps @pages frames from the start of @from at @va, and gives the gate the page tables it
 * asks for, taken from behind them. *from shrinks by what was taken.
 */
static int map_own(uint64_t va, uint64_t pages, struct gate_range *from)
{
	uint64_t pa = from->start;

	from->start += pages * PAGE_SIZE;
	while (pages > 0) {
		struct gate_run run = {.va = va, .pa = pa, .flags = GATE_RUN_WRITE};
		int64_t r;

		run.pages = (uint32_t)min_u64(pages, GATE_PAGES_MAX);
		r = gate_map(&run, 1);
		if (r == -ENOMEM && from->start < from->end) {
			r = gate_table(from->start);
			if (r < 0)
				return (int)r;
			from->start += PAGE_SIZE;
			frames.tables++;
			continue;
		}
		if (r <= 0)
			return r < 0 ? (int)r : -EIO;
		va += (uint64_t)r * PAGE_SIZE;
		pa += (uint64_t)r * PAGE_SIZE;
		pages -= (uint64_t)r;
	}
	return 0;
}

/* Ranges of the record are known, what the seed left of them is free. */
static int adopt_ranges(const struct boot_record *record, const struct gate_range *free, uint32_t n)
	REQUIRES(frames_all)
{
	for (unsigned i = 0; i < GATE_BOOT_RANGES; i++) {
		struct frame_range r = {
			record->free[i].start >> PAGE_SHIFT,
			min_u64(record->free[i].end >> PAGE_SHIFT, frames.n_frames)};

		if (r.start < r.end) {
			int res = add_range(r);

			if (res < 0)
				return res;
		}
	}
	for (uint32_t i = 0; i < n; i++) {
		struct frame_range r = {free[i].start >> PAGE_SHIFT, free[i].end >> PAGE_SHIFT};

		if (r.start == r.end)
			continue;
		if (r.start > r.end || known_in(r) != r.end - r.start || any_free(r))
			return -EINVAL;
		release(r);
	}
	frames.first = 0;
	frames.peak = frames.used;
	return 0;
}

static int frames_init(const struct cell_boot *boot)
{
	const struct seed_handoff *seed = boot->seed;
	struct gate_range free[GATE_BOOT_RANGES];
	uint64_t words, summary_words, pages;
	int r;

	if (!seed || seed->n_free > GATE_BOOT_RANGES)
		return -EINVAL;
	spin_unshared(frames_all); /* nobody asks for frames before there are any */
	memcpy(free, seed->free, sizeof(free));
	frames.n_frames = highest_frame(boot->record);
	words = (frames.n_frames + WORD_BITS - 1) / WORD_BITS;
	summary_words = (words + WORD_BITS - 1) / WORD_BITS;
	pages = ((words + summary_words) * sizeof(uint64_t) + PAGE_SIZE - 1) / PAGE_SIZE;
	for (uint32_t i = 0; i < seed->n_free; i++) {
		if (free[i].end - free[i].start < (pages + TABLES_MAX) * PAGE_SIZE)
			continue;
		r = map_own(seed->dynamic_next, pages, &free[i]);
		if (r < 0)
			return r;
		frames.map = (uint64_t *)(uintptr_t)seed->dynamic_next;
		frames.nonempty = frames.map + words;
		memset(frames.map, 0, pages * PAGE_SIZE);
		frames.dynamic_next.v = seed->dynamic_next + pages * PAGE_SIZE;
		return adopt_ranges(boot->record, free, seed->n_free);
	}
	return -ENOMEM;
}

CELL_PROVIDE(cell_ops, frames) = {.init = frames_init};
