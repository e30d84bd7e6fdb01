/* SPDX-License-Identifier: MIT */
/* Calls that the gate must refuse: G1 to G5 of theseus/gate.h. */
#include "selftest.h"

#include <theseus/errno.h>
#include <theseus/frames.h>
#include <theseus/gate-call.h>
#include <theseus/mapped.h>

#define LAPIC 0xfee00000ull
#define NOT_REFUSED 1

/* 0 when the gate said no, at all or with this very error. */
static int64_t refused(int64_t result)
{
	return result < 0 ? 0 : NOT_REFUSED;
}

static int64_t refused_with(int64_t result, int error)
{
	if (result == error)
		return 0;
	return result < 0 ? result : NOT_REFUSED;
}

/* A page address that nothing is mapped at, next to one that is: a stack's guard page. */
static int empty_page(struct mapped *ret_stack, uint64_t *ret_va)
{
	struct mapped_info info;
	int r = mapped_create(MAPPED_STACK, PAGE_SIZE, ret_stack);

	if (r == 0)
		r = mapped_info(*ret_stack, &info);
	if (r == 0)
		*ret_va = info.start.v - PAGE_SIZE;
	return r;
}

/* Tries to map @pa at an empty page; takes it away again should it succeed. */
static int64_t try_map(uint64_t pa, uint32_t flags)
{
	OWNED(mapped_drop) struct mapped stack = {0};
	struct gate_run run = {.pa = pa, .pages = 1, .flags = flags};
	int64_t r = empty_page(&stack, &run.va);

	if (r < 0)
		return r;
	r = gate_map(&run, 1);
	if (r == 1) {
		run.flags = 0;
		(void)gate_unmap(&run, 1);
	}
	return r;
}

/* ---- G1 ---- */

static int64_t map_twice(void)
{
	OWNED(mapped_drop) struct mapped region = {0};
	paddr_t pa;
	int r = mapped_create(MAPPED_DMA, PAGE_SIZE, &region);

	if (r == 0)
		r = mapped_phys(region, 0, &pa);
	return r < 0 ? r : refused_with(try_map(pa.v, GATE_RUN_WRITE), -EEXIST);
}

static int64_t map_free_then_again(void)
{
	struct frame_run frame = {0};
	int64_t r = frames_alloc(1, 1, &frame);

	if (r < 0)
		return r;
	r = try_map(frame.start.v, 0);
	if (r == 1) /* once is allowed, and after the unmap the frame is free again */
		r = gate_frame_state(frame.start.v) == GATE_FRAME_FREE ? 0 : NOT_REFUSED;
	frames_free(&frame);
	return r;
}

static int64_t map_gate_memory(void)
{
	for (uint64_t pa = 0; pa < 0x200000; pa += 64 * PAGE_SIZE) {
		if (gate_frame_state(pa) == GATE_FRAME_GATE && try_map(pa, 0) >= 0)
			return NOT_REFUSED;
	}
	return 0;
}

static int64_t free_foreign_table(void)
{
	/* a frame in use is no free frame that could become a table */
	OWNED(mapped_drop) struct mapped region = {0};
	paddr_t pa;
	int r = mapped_create(MAPPED_DMA, PAGE_SIZE, &region);

	if (r == 0)
		r = mapped_phys(region, 0, &pa);
	return r < 0 ? r : refused(gate_table(pa.v));
}

/* ---- G2 ---- */

static uint64_t page_of(const void *p)
{
	return (uintptr_t)p & ~(uint64_t)(PAGE_SIZE - 1);
}

static const char rodata[] = "read only";

static int64_t protect_text(void)
{
	const struct gate_run run = {
		.va = page_of((const void *)protect_text), .pages = 1, .flags = GATE_RUN_WRITE};

	return refused_with(gate_protect(&run, 1), -EPERM);
}

static int64_t protect_rodata(void)
{
	const struct gate_run run = {.va = page_of(rodata), .pages = 1, .flags = GATE_RUN_WRITE};

	return refused_with(gate_protect(&run, 1), -EPERM);
}

static int64_t seal_again(void)
{
	const struct gate_run run = {.va = page_of(rodata),
				     .pages = 1,
				     .flags = GATE_RUN_TEXT | GATE_RUN_GRANTS(GATE_GRANT_ALL)};

	return refused(gate_seal(&run, 1));
}

static int64_t seal_data(void)
{
	OWNED(mapped_drop) struct mapped region = {0};
	struct gate_run run = {.pages = 1, .flags = GATE_RUN_TEXT};
	struct mapped_info info;
	int r = mapped_create(MAPPED_DATA, PAGE_SIZE, &region);

	if (r == 0)
		r = mapped_info(region, &info);
	if (r < 0)
		return r;
	run.va = info.start.v;
	return refused(gate_seal(&run, 1));
}

static int64_t patch_blindly(void)
{
	struct gate_patch patches[2] = {{.va = (uintptr_t)rodata}, {.va = (uintptr_t)rodata + 4}};
	uint32_t before[2];

	__builtin_memcpy(before, rodata, sizeof(before));
	patches[0].from = before[0];
	patches[0].to = 0;
	patches[1].from = ~before[1];
	if (gate_patch(patches, 2) != -ESTALE)
		return NOT_REFUSED;
	/* the first one matched: it must not have been written all the same */
	return __builtin_memcmp(before, rodata, sizeof(before)) == 0 ? 0 : NOT_REFUSED;
}

static int64_t patch_data(void)
{
	uint32_t word = 7;
	const struct gate_patch patch = {.va = (uintptr_t)&word, .from = 7, .to = 8};

	return refused(gate_patch(&patch, 1));
}

/* ---- G3 ---- */

static int64_t map_lapic(void)
{
	return refused(try_map(LAPIC, GATE_RUN_DEVICE | GATE_RUN_WRITE));
}

static int64_t map_ram_as_device(void)
{
	struct frame_run frame = {0};
	int64_t r = frames_alloc(1, 1, &frame);

	if (r < 0)
		return r;
	r = refused(try_map(frame.start.v, GATE_RUN_DEVICE));
	frames_free(&frame);
	return r;
}

static int64_t map_elsewhere(void)
{
	static const uint64_t places[] = {
		0,
		PAGE_SIZE,
		0x100000,
		GATE_CPU_AREA,
		GATE_BOOT_RECORD,
		GATE_CELL_WINDOW - PAGE_SIZE,
		GATE_DYNAMIC - PAGE_SIZE,
		GATE_DYNAMIC_END,
		0x7ffffffff000,
		0xffff800000000000,
		0xfffffffffffff000,
	};
	struct frame_run frame = {0};
	int64_t r = frames_alloc(1, 1, &frame);

	for (unsigned i = 0; r == 0 && i < ARRAY_SIZE(places); i++) {
		const struct gate_run run = {.va = places[i], .pa = frame.start.v, .pages = 1};

		r = refused(gate_map(&run, 1));
	}
	if (frame.count)
		frames_free(&frame);
	return r;
}

/* ---- G4: this cell was granted memory and text, nothing else ---- */

static int64_t port_without_grant(void)
{
	struct gate_port port = {.port = 0x3f8, .width = 1, .write = 1, .value = 'x'};

	return refused_with(gate_port(&port, 1), -EPERM);
}

static int64_t power_without_grant(void)
{
	return refused_with(gate_call(GATE_POWER, 0x10, 0, 0), -EPERM);
}

static int64_t cpu_without_grant(void)
{
	return refused_with(gate_cpu_start(1, 0, 0), -EPERM);
}

static int64_t sched_without_grant(void)
{
	return refused_with(gate_ipi(GATE_IPI_OTHERS, GATE_VECTOR_IRQ_FIRST), -EPERM);
}

/* ---- G5 ---- */

static int64_t bad_numbers(void)
{
	static const uint64_t numbers[] = {0, _GATE_NR_MAX, 0xff, 0x7fff, 0xffff};

	for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
		if (gate_call((enum gate_nr)numbers[i], 0, 0, 0) >= 0)
			return (int64_t)numbers[i] + 1;
	}
	return 0;
}

static int64_t bad_counts(void)
{
	static const uint64_t counts[] = {0, GATE_RUNS_MAX + 1, UINT32_MAX, UINT64_MAX};
	static const enum gate_nr calls[] = {GATE_MAP, GATE_UNMAP, GATE_PROTECT, GATE_SEAL,
					     GATE_PATCH};

	for (unsigned c = 0; c < ARRAY_SIZE(calls); c++) {
		for (unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
			if (gate_call(calls[c], counts[i], 0, 0) >= 0)
				return (int64_t)calls[c];
		}
	}
	return 0;
}

static int64_t bad_runs(void)
{
	const uint64_t va = GATE_DYNAMIC_END - 4 * PAGE_SIZE;
	struct gate_run runs[] = {
		{.va = va + 1, .pages = 1},
		{.va = va, .pa = 1, .pages = 1},
		{.va = va, .pages = 0},
		{.va = va, .pages = GATE_PAGES_MAX + 1},
		{.va = va, .pages = UINT32_MAX},
		{.va = va, .pages = 8}, /* past the end */
		{.va = va, .pa = UINT64_MAX & ~(uint64_t)(PAGE_SIZE - 1), .pages = 2},
		{.va = va, .pa = GATE_PHYS_MAX, .pages = 1},
		{.va = va, .pages = 1, .flags = 0x80},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(runs); i++) {
		if (gate_map(&runs[i], 1) >= 0 || gate_unmap(&runs[i], 1) >= 0)
			return i + 1;
	}
	return 0;
}

static int64_t bad_frames(void)
{
	static const uint64_t frames[] = {1, UINT64_MAX, GATE_PHYS_MAX, 0x7ff};

	for (unsigned i = 0; i < ARRAY_SIZE(frames); i++) {
		if (gate_table(frames[i]) >= 0)
			return i + 1;
	}
	return 0;
}

const struct check gate_checks[] = {
	{"G1: a frame that is mapped is not mapped again", map_twice},
	{"G1: a frame that was unmapped is free", map_free_then_again},
	{"G1: the gate's memory is not mapped", map_gate_memory},
	{"G1: a frame in use does not become a page table", free_foreign_table},
	{"G2: text does not become writable", protect_text},
	{"G2: sealed rodata does not become writable", protect_rodata},
	{"G2: rodata does not become text", seal_again},
	{"G2: data outside the window does not become text", seal_data},
	{"G2: a patch whose old value is wrong writes nothing", patch_blindly},
	{"G2: a patch of data is refused", patch_data},
	{"G3: the LAPIC is not mapped", map_lapic},
	{"G3: RAM is not mapped as a device", map_ram_as_device},
	{"G3: nothing is mapped outside the cells' ranges", map_elsewhere},
	{"G4: ports need their grant", port_without_grant},
	{"G4: power needs its grant", power_without_grant},
	{"G4: starting a CPU needs its grant", cpu_without_grant},
	{"G4: interrupting others needs its grant", sched_without_grant},
	{"G5: unknown calls are refused", bad_numbers},
	{"G5: counts out of range are refused", bad_counts},
	{"G5: runs out of range are refused", bad_runs},
	{"G5: frames that are none are refused", bad_frames},
};
const unsigned n_gate_checks = ARRAY_SIZE(gate_checks);
