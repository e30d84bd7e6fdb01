/* SPDX-License-Identifier: MIT */
/* G1, G2, G5: runs of pages, from one CPU. */
#include "payload.h"

#define DYN GATE_DYNAMIC
#define WIN GATE_CELL_WINDOW

static int64_t frame(uint64_t pa)
{
	return gate_call(GATE_FRAME_STATE, pa, 0, 0);
}

static void map_and_unmap(void)
{
	uint64_t pa = take_frames(4);
	volatile uint64_t *page = (volatile uint64_t *)DYN;

	EXPECT(frame(pa), GATE_FRAME_FREE);
	EXPECT(run_call(GATE_MAP, DYN, pa, 2, GATE_RUN_WRITE), 2);
	EXPECT(frame(pa), GATE_FRAME_MAPPED);
	EXPECT(frame(pa + PAGE), GATE_FRAME_MAPPED);
	EXPECT(frame(pa + 2 * PAGE), GATE_FRAME_FREE);
	page[0] = 0x1234;
	page[512] = 0x5678;
	CHECK(page[0] == 0x1234 && page[512] == 0x5678);
	EXPECT(run_call(GATE_UNMAP, DYN, 0, 2, 0), 2);
	EXPECT(((struct gate_run *)arguments(0))->pa, pa);
	EXPECT(frame(pa), GATE_FRAME_FREE);
	EXPECT(attempt(touch_read, DYN, NULL), 1 + 14);
	EXPECT(attempt(touch_read, DYN + PAGE, NULL), 1 + 14);
	/* the contents stay where they were; another page sees them */
	EXPECT(run_call(GATE_MAP, DYN + 8 * PAGE, pa, 1, 0), 1);
	EXPECT(*(volatile uint64_t *)(DYN + 8 * PAGE), 0x1234);
	EXPECT(run_call(GATE_UNMAP, DYN + 8 * PAGE, 0, 1, 0), 1);
}

/* G1: can a frame be mapped twice, or one that belongs to somebody else? */
static void frames_once(void)
{
	uint64_t pa = take_frames(4), table = take_frames(1);

	EXPECT(run_call(GATE_MAP, DYN, pa, 1, GATE_RUN_WRITE), 1);
	EXPECT(run_call(GATE_MAP, DYN + PAGE, pa, 1, 0), -EEXIST);
	EXPECT(run_call(GATE_MAP, DYN + PAGE, pa - PAGE, 3, 0), -EEXIST);
	EXPECT(attempt(touch_read, DYN + PAGE, NULL), 1 + 14);
	EXPECT(run_call(GATE_MAP, DYN, pa + PAGE, 1, 0), -EEXIST);
	EXPECT(frame(pa + PAGE), GATE_FRAME_FREE);
	EXPECT(run_call(GATE_MAP, DYN - PAGE, pa + PAGE, 2, 0), -ERANGE);

	EXPECT(gate_call(GATE_TABLE, table, 0, 0), 0);
	EXPECT(frame(table), GATE_FRAME_TABLE);
	EXPECT(run_call(GATE_MAP, DYN + PAGE, table, 1, GATE_RUN_WRITE), -EPERM);
	EXPECT(gate_call(GATE_TABLE, table, 0, 0), -EPERM);
	EXPECT(gate_call(GATE_TABLE, pa, 0, 0), -EEXIST);
	EXPECT(gate_call(GATE_TABLE, pa + 8, 0, 0), -EINVAL);
	EXPECT(gate_call(GATE_TABLE, GATE_PHYS_MAX, 0, 0), -ERANGE);
	EXPECT(gate_call(GATE_TABLE, 0, 0, 0), -EPERM);

	/* the gate: text, tables, its end; the seed, that is this program */
	EXPECT(frame(0x200000), GATE_FRAME_GATE);
	EXPECT(run_call(GATE_MAP, DYN + PAGE, 0x200000, 1, GATE_RUN_WRITE), -EPERM);
	EXPECT(run_call(GATE_MAP, DYN + PAGE, 0x208000, 1, GATE_RUN_WRITE), -EPERM);
	EXPECT(run_call(GATE_MAP, DYN + PAGE, BOOT->seed_phys - PAGE, 1, 0), -EPERM);
	EXPECT(frame(BOOT->seed_phys), GATE_FRAME_MAPPED);
	EXPECT(run_call(GATE_MAP, DYN + PAGE, BOOT->seed_phys, 1, 0), -EEXIST);
	EXPECT(gate_call(GATE_TABLE, BOOT->seed_phys, 0, 0), -EEXIST);
	/* the first MiB, where other CPUs start; the LAPIC; nothing at all */
	EXPECT(frame(0), GATE_FRAME_GATE);
	EXPECT(frame(0x8000), GATE_FRAME_GATE);
	EXPECT(run_call(GATE_MAP, DYN + PAGE, 0x8000, 1, GATE_RUN_WRITE), -EPERM);
	EXPECT(run_call(GATE_MAP, DYN + PAGE, 0xff000, 2, 0), -EPERM);
	EXPECT(frame(0xfee00000), GATE_FRAME_NOT_RAM);
	EXPECT(run_call(GATE_MAP, DYN + PAGE, 0xfee00000, 1, 0), -ERANGE);
	EXPECT(frame(GATE_PHYS_MAX), GATE_FRAME_NOT_RAM);
	EXPECT(frame(~0ull << 12), GATE_FRAME_NOT_RAM);
	EXPECT(run_call(GATE_MAP, DYN + PAGE, ~0ull << 12, 2, 0), -ERANGE);
	EXPECT(run_call(GATE_MAP, DYN + PAGE, GATE_PHYS_MAX - PAGE, 2, 0), -ERANGE);
	EXPECT(frame(pa + 1), -EINVAL);
	EXPECT(attempt(touch_read, DYN + PAGE, NULL), 1 + 14);

	EXPECT(run_call(GATE_UNMAP, DYN, 0, 1, 0), 1);
}

/* Device memory is no way around G1. */
static void devices(void)
{
	uint64_t pa = take_frames(1);

	EXPECT(run_call(GATE_MAP, DYN, pa, 1, GATE_RUN_DEVICE), -EPERM);
	EXPECT(run_call(GATE_MAP, DYN, 0x200000, 1, GATE_RUN_DEVICE), -EPERM);
	EXPECT(run_call(GATE_MAP, DYN, 0xfee00000, 1, GATE_RUN_DEVICE), -EPERM);
	EXPECT(run_call(GATE_MAP, DYN, 0xfedff000, 2, GATE_RUN_DEVICE), -EPERM);
	EXPECT(run_call(GATE_MAP, DYN, 0xb8000, 1, GATE_RUN_DEVICE), -ERANGE);
	EXPECT(run_call(GATE_MAP, DYN, 1ull << 52, 1, GATE_RUN_DEVICE), -ERANGE);
	EXPECT(run_call(GATE_MAP, DYN, ~0ull << 12, 1, GATE_RUN_DEVICE), -ERANGE);
	EXPECT(run_call(GATE_MAP, WIN, 0xd0000000, 1, GATE_RUN_DEVICE), -EINVAL);
	/* nothing answers there; it maps, is never executable, and goes away again */
	EXPECT(run_call(GATE_MAP, DYN, 0xd0000000, 2, GATE_RUN_DEVICE | GATE_RUN_WRITE), 2);
	EXPECT(attempt(touch_run, DYN, NULL), 1 + 14);
	EXPECT(run_call(GATE_PROTECT, DYN, 0, 2, 0), 2);
	EXPECT(attempt(touch_write, DYN, NULL), 1 + 14);
	EXPECT(run_call(GATE_UNMAP, DYN, 0, 2, 0), 2);
	EXPECT(frame(0xd0000000), GATE_FRAME_NOT_RAM);
}

/* G5: addresses, counts, flags. Each is refused and leaves page and frame as they were. */
static void bad_runs(void)
{
	static const uint64_t bad_vas[] = {
		0, PAGE, 0x100000, 0x200000, 0xfee00000, WIN - PAGE, GATE_CELL_WINDOW_END,
		GATE_CPU_AREA, GATE_CPU_AREA + PAGE, GATE_CPU_AREA + 2 * PAGE, GATE_BOOT_RECORD,
		GATE_SEED, GATE_DYNAMIC - PAGE, GATE_DYNAMIC_END, 0x700000000000,
		0x700000200000, 0x780000000000, 0x7ffffffff000, 0x800000000000,
		0xffff800000000000, 0xfffffffffffff000,
	};
	uint64_t pa = take_frames(1);
	unsigned int i;

	for (i = 0; i < sizeof(bad_vas) / sizeof(bad_vas[0]); i++) {
		EXPECT(run_call(GATE_MAP, bad_vas[i], pa, 1, GATE_RUN_WRITE), -ERANGE);
		EXPECT(run_call(GATE_UNMAP, bad_vas[i], 0, 1, 0), -ERANGE);
		EXPECT(run_call(GATE_PROTECT, bad_vas[i], 0, 1, 0), -ERANGE);
		EXPECT(run_call(GATE_SEAL, bad_vas[i], 0, 1, GATE_RUN_TEXT), -ERANGE);
	}
	EXPECT(run_call(GATE_MAP, GATE_CELL_WINDOW_END - PAGE, pa, 2, 0), -ERANGE);
	EXPECT(run_call(GATE_MAP, GATE_DYNAMIC_END - PAGE, pa, 2, 0), -ERANGE);
	EXPECT(run_call(GATE_MAP, DYN + 1, pa, 1, 0), -EINVAL);
	EXPECT(run_call(GATE_MAP, DYN, pa + 1, 1, 0), -EINVAL);
	EXPECT(run_call(GATE_MAP, DYN, pa, 0, 0), -EINVAL);
	EXPECT(run_call(GATE_MAP, DYN, pa, GATE_PAGES_MAX + 1, 0), -E2BIG);
	EXPECT(run_call(GATE_MAP, DYN, pa, ~0u, 0), -E2BIG);
	EXPECT(run_call(GATE_MAP, DYN, pa, 1, GATE_RUN_TEXT), -EINVAL);
	EXPECT(run_call(GATE_MAP, DYN, pa, 1, GATE_RUN_RODATA), -EINVAL);
	EXPECT(run_call(GATE_MAP, DYN, pa, 1, ~0u), -EINVAL);
	EXPECT(run_call(GATE_UNMAP, DYN, 0, 1, GATE_RUN_WRITE), -EINVAL);
	EXPECT(run_call(GATE_UNMAP, DYN, 0, 1, 0), -ENOENT);
	EXPECT(run_call(GATE_UNMAP, DYN + (1ull << 39), 0, 1, 0), -ENOENT);
	EXPECT(run_call(GATE_PROTECT, DYN, 0, 1, 0), -ENOENT);
	EXPECT(run_call(GATE_PROTECT, DYN, 0, 1, GATE_RUN_DEVICE), -EINVAL);
	EXPECT(gate_call(GATE_MAP, 0, 0, 0), -EINVAL);
	EXPECT(gate_call(GATE_MAP, GATE_RUNS_MAX + 1, 0, 0), -EINVAL);
	EXPECT(gate_call(GATE_MAP, ~0ull, 0, 0), -EINVAL);
	EXPECT(gate_call(GATE_UNMAP, 1ull << 32 | 1, 0, 0), -EINVAL);
	EXPECT(frame(pa), GATE_FRAME_FREE);
	EXPECT(attempt(touch_read, DYN, NULL), 1 + 14);
}

/* Runs: the result says how many pages were done; a bad run is left alone. */
static void many_runs(void)
{
	struct gate_run *r = arguments(0);
	uint64_t pa = take_frames(600);
	unsigned int i;

	for (i = 0; i < GATE_RUNS_MAX; i++)
		r[i] = (struct gate_run){DYN + i * 8 * PAGE, pa + i * 4 * PAGE, 4, GATE_RUN_WRITE};
	EXPECT(gate_call(GATE_MAP, GATE_RUNS_MAX, 0, 0), 512);
	EXPECT(frame(pa + 511 * PAGE), GATE_FRAME_MAPPED);
	for (i = 0; i < GATE_RUNS_MAX; i++)
		r[i] = (struct gate_run){DYN + i * 8 * PAGE, 0, 4, 0};
	r[100].va += PAGE; /* its last page is not mapped */
	EXPECT(gate_call(GATE_UNMAP, GATE_RUNS_MAX, 0, 0), 400);
	EXPECT(attempt(touch_read, DYN + 100 * 8 * PAGE, NULL), 0);
	EXPECT(attempt(touch_read, DYN + 100 * 8 * PAGE + 3 * PAGE, NULL), 0);
	EXPECT(frame(pa + 399 * PAGE), GATE_FRAME_FREE);
	EXPECT(frame(pa + 400 * PAGE), GATE_FRAME_MAPPED);
	r[0] = r[100];
	EXPECT(gate_call(GATE_UNMAP, 1, 0, 0), -ENOENT);
	for (i = 0; i < 28; i++)
		r[i] = (struct gate_run){DYN + (100 + i) * 8 * PAGE, 0, 4, 0};
	EXPECT(gate_call(GATE_UNMAP, 28, 0, 0), 28 * 4);

	/* 512 pages in one run, over a boundary between two tables; one more is too many */
	r[0] = (struct gate_run){DYN + 0x200000 - 8 * PAGE, pa, 512, GATE_RUN_WRITE};
	r[1] = (struct gate_run){DYN + 0x800000, pa + 512 * PAGE, 1, 0};
	EXPECT(gate_call(GATE_MAP, 2, 0, 0), 512);
	EXPECT(frame(pa + 512 * PAGE), GATE_FRAME_FREE);
	EXPECT(attempt(touch_write, DYN + 0x200000 - 8 * PAGE, NULL), 0);
	EXPECT(attempt(touch_write, DYN + 0x200000 + 503 * PAGE, NULL), 0);
	EXPECT(attempt(touch_write, DYN + 0x200000 + 504 * PAGE, NULL), 1 + 14);
	EXPECT(run_call(GATE_UNMAP, DYN + 0x200000 - 8 * PAGE, 0, 512, 0), 512);
	EXPECT(attempt(touch_write, DYN + 0x200000 - 8 * PAGE, NULL), 1 + 14);
	EXPECT(attempt(touch_write, DYN + 0x200000 + 503 * PAGE, NULL), 1 + 14);
	EXPECT(attempt(touch_read, DYN + 0x200000, NULL), 1 + 14);
	/* the same frames twice in one call */
	r[0] = (struct gate_run){DYN, pa, 2, 0};
	r[1] = (struct gate_run){DYN + 4 * PAGE, pa + PAGE, 1, 0};
	EXPECT(gate_call(GATE_MAP, 2, 0, 0), 2);
	EXPECT(run_call(GATE_UNMAP, DYN, 0, 2, 0), 2);
}

static void protect(void)
{
	uint64_t pa = take_frames(1);
	struct gate_frame f;

	EXPECT(run_call(GATE_MAP, DYN, pa, 1, GATE_RUN_WRITE), 1);
	EXPECT(attempt(touch_write, DYN, NULL), 0);
	EXPECT(run_call(GATE_PROTECT, DYN, 0, 1, 0), 1);
	EXPECT(attempt(touch_read, DYN, NULL), 0);
	EXPECT(attempt(touch_write, DYN + 5, &f), 1 + 14);
	EXPECT(f.cr2, DYN + 5);
	EXPECT(f.error, 7); /* present, write, user */
	EXPECT(run_call(GATE_PROTECT, DYN, 0, 1, GATE_RUN_WRITE), 1);
	EXPECT(attempt(touch_write, DYN, NULL), 0);
	EXPECT(attempt(touch_run, DYN, &f), 1 + 14);
	EXPECT(f.error, 0x15); /* present, user, fetch */
	EXPECT(run_call(GATE_UNMAP, DYN, 0, 1, 0), 1);
}

/* Tables: the pool's, then frames given by GATE_TABLE; refused maps use none up. */
static void tables(void)
{
	const uint64_t far = DYN + (1ull << 32);
	uint64_t pa = take_frames(8), i, mapped = 0;
	int64_t ret = 1;

	EXPECT(run_call(GATE_MAP, DYN, pa, 1, 0), 1);
	for (i = 0; i < 300; i++) {
		if (run_call(GATE_MAP, far + (i << 30), pa, 1, 0) != -EEXIST)
			ret = -1;
	}
	EXPECT(ret, 1);
	/* a run from where a table is missing into where one is, over a page in use */
	EXPECT(run_call(GATE_MAP, far + (1ull << 34), pa + PAGE, 1, 0), 1);
	EXPECT(run_call(GATE_MAP, far + (1ull << 34) - PAGE, pa + 2 * PAGE, 2, 0), -EEXIST);
	EXPECT(frame(pa + 2 * PAGE), GATE_FRAME_FREE);
	EXPECT(run_call(GATE_UNMAP, far + (1ull << 34), 0, 1, 0), 1);
	/* each of these needs two tables; the pool has 256 */
	for (i = 0; i < 130; i++) {
		ret = run_call(GATE_MAP, far + (i << 30), pa + PAGE, 1, GATE_RUN_WRITE);
		if (ret != 1)
			break;
		mapped++;
		run_call(GATE_UNMAP, far + (i << 30), 0, 1, 0);
	}
	EXPECT(ret, -ENOMEM);
	CHECK(mapped > 120);
	EXPECT(frame(pa + PAGE), GATE_FRAME_FREE);
	EXPECT(gate_call(GATE_TABLE, pa + 2 * PAGE, 0, 0), 0);
	EXPECT(gate_call(GATE_TABLE, pa + 3 * PAGE, 0, 0), 0);
	EXPECT(run_call(GATE_MAP, far + (i << 30), pa + PAGE, 1, GATE_RUN_WRITE), 1);
	EXPECT(attempt(touch_write, far + (i << 30), NULL), 0);
	EXPECT(attempt(touch_read, far + (i << 30) + PAGE, NULL), 1 + 14);
	EXPECT(frame(pa + 2 * PAGE), GATE_FRAME_TABLE);
	EXPECT(run_call(GATE_UNMAP, far + (i << 30), 0, 1, 0), 1);
	EXPECT(run_call(GATE_UNMAP, DYN, 0, 1, 0), 1);
}

/* A dirty frame makes a clean table. */
static void dirty_table(void)
{
	const uint64_t va = DYN + (1ull << 38);
	uint64_t pa = take_frames(3), i;
	volatile uint64_t *words = (volatile uint64_t *)DYN;

	EXPECT(run_call(GATE_MAP, DYN, pa, 2, GATE_RUN_WRITE), 2);
	for (i = 0; i < 1024; i++)
		words[i] = (pa + 2 * PAGE) | 7;
	EXPECT(run_call(GATE_UNMAP, DYN, 0, 2, 0), 2);
	EXPECT(gate_call(GATE_TABLE, pa, 0, 0), 0);
	EXPECT(gate_call(GATE_TABLE, pa + PAGE, 0, 0), 0);
	EXPECT(run_call(GATE_MAP, va + PAGE, pa + 2 * PAGE, 1, 0), 1);
	EXPECT(attempt(touch_read, va + PAGE, NULL), 0);
	EXPECT(attempt(touch_read, va, NULL), 1 + 14);
	EXPECT(attempt(touch_read, va + 2 * PAGE, NULL), 1 + 14);
	EXPECT(attempt(touch_read, va + 511 * PAGE, NULL), 1 + 14);
	EXPECT(attempt(touch_read, va + 0x200000, NULL), 1 + 14);
	EXPECT(run_call(GATE_UNMAP, va + PAGE, 0, 1, 0), 1);
}

/* The gate clears a table upwards, whatever the caller's direction flag says. */
static void backwards(void)
{
	uint64_t pa = take_frames(2), i, wrong = 0;
	volatile uint64_t *words = (volatile uint64_t *)DYN;
	int64_t ret;

	EXPECT(run_call(GATE_MAP, DYN, pa, 1, GATE_RUN_WRITE), 1);
	for (i = 0; i < 512; i++)
		words[i] = i + 1;
	__asm__ volatile("std\n\tint3\n\tcld"
			 : "=a"(ret)
			 : "a"(GATE_MAGIC | GATE_TABLE), "D"(pa + PAGE)
			 : "memory", "cc");
	EXPECT(ret, 0);
	for (i = 0; i < 512; i++)
		wrong += words[i] != i + 1;
	EXPECT(wrong, 0);
	EXPECT(run_call(GATE_UNMAP, DYN, 0, 1, 0), 1);
}

void payload_main(void)
{
	faults_init();
	map_and_unmap();
	frames_once();
	devices();
	bad_runs();
	many_runs();
	protect();
	tables();
	dirty_table();
	backwards();
}
