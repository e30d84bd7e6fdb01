/* SPDX-License-Identifier: MIT */
/* G2 and G4: sealing, patching, grants. */
#include "payload.h"

#define WIN GATE_CELL_WINDOW
#define DYN GATE_DYNAMIC
#define TEXT(grants) (GATE_RUN_TEXT | GATE_RUN_GRANTS(grants))

/* mov $imm32, %eax; int3; ret: makes the call whose number is the argument's low byte. */
static const uint8_t caller[] = {0x48, 0x89, 0xf8, 0xbf, 0x01, 0, 0, 0, 0xcc, 0xc3};

static int64_t call_at(uint64_t va, uint64_t rax)
{
	int64_t (*fn)(uint64_t) = (int64_t (*)(uint64_t))va;

	return fn(rax);
}

static void fill(uint64_t va, const uint8_t *bytes, unsigned int n)
{
	while (n--)
		*(volatile uint8_t *)va++ = *bytes++;
}

/* A page of text at va with `grants`, holding `caller` at its start. */
static void make_text(uint64_t va, uint32_t grants)
{
	EXPECT(run_call(GATE_MAP, va, take_frames(1), 1, GATE_RUN_WRITE), 1);
	fill(va, caller, sizeof(caller));
	EXPECT(run_call(GATE_SEAL, va, 0, 1, TEXT(grants)), 1);
}

/* G2: is there a way to a page that is writable and executable, one after the other included? */
static void never_both(void)
{
	uint64_t pa = take_frames(1);
	struct gate_frame f;

	EXPECT(run_call(GATE_MAP, WIN, pa, 1, GATE_RUN_WRITE), 1);
	fill(WIN, (const uint8_t[]){0xc3}, 1);
	EXPECT(attempt(touch_run, WIN, &f), 1 + 14);
	EXPECT(f.error, 0x15);
	EXPECT(run_call(GATE_SEAL, WIN, 0, 1, GATE_RUN_TEXT | GATE_RUN_WRITE), -EINVAL);
	EXPECT(run_call(GATE_SEAL, WIN, 0, 1, GATE_RUN_TEXT | GATE_RUN_RODATA), -EINVAL);
	EXPECT(run_call(GATE_SEAL, WIN, 0, 1, GATE_RUN_RODATA | GATE_RUN_GRANTS(1)), -EINVAL);
	EXPECT(run_call(GATE_SEAL, WIN, 0, 1, GATE_RUN_GRANTS(1)), -EINVAL);
	EXPECT(run_call(GATE_SEAL, WIN, 0, 1, TEXT(GATE_GRANT_ALL + 1)), -EINVAL);
	EXPECT(run_call(GATE_SEAL, WIN, 0, 1, GATE_RUN_TEXT | 1u << 31), -EINVAL);
	EXPECT(run_call(GATE_SEAL, WIN, 0, 1, 0), -EINVAL);
	EXPECT(attempt(touch_write, WIN + 8, NULL), 0);
	EXPECT(run_call(GATE_SEAL, WIN, 0, 1, GATE_RUN_TEXT), 1);
	EXPECT(attempt(touch_run, WIN, NULL), 0);
	EXPECT(attempt(touch_write, WIN, &f), 1 + 14);
	EXPECT(f.error, 7);
	EXPECT(run_call(GATE_PROTECT, WIN, 0, 1, GATE_RUN_WRITE), -EPERM);
	EXPECT(run_call(GATE_PROTECT, WIN, 0, 1, 0), -EPERM);
	EXPECT(run_call(GATE_SEAL, WIN, 0, 1, GATE_RUN_TEXT), -EPERM);
	EXPECT(run_call(GATE_SEAL, WIN, 0, 1, GATE_RUN_RODATA), -EPERM);
	/* the frame at a second, writable address; the page under another frame */
	EXPECT(run_call(GATE_MAP, DYN, pa, 1, GATE_RUN_WRITE), -EEXIST);
	EXPECT(run_call(GATE_MAP, DYN, pa, 1, GATE_RUN_WRITE | GATE_RUN_DEVICE), -EPERM);
	EXPECT(run_call(GATE_MAP, WIN, take_frames(1), 1, GATE_RUN_WRITE), -EEXIST);
	EXPECT(attempt(touch_run, WIN, NULL), 0);
	EXPECT(run_call(GATE_UNMAP, WIN, 0, 1, 0), 1);
	EXPECT(attempt(touch_run, WIN, NULL), 1 + 14);
	/* mapped again it is data */
	EXPECT(run_call(GATE_MAP, WIN, pa, 1, GATE_RUN_WRITE), 1);
	EXPECT(attempt(touch_run, WIN, NULL), 1 + 14);
	EXPECT(run_call(GATE_PROTECT, WIN, 0, 1, 0), 1);
	EXPECT(run_call(GATE_SEAL, WIN, 0, 1, GATE_RUN_TEXT), -EPERM); /* not writable now */
	EXPECT(attempt(touch_run, WIN, NULL), 1 + 14);
	EXPECT(run_call(GATE_UNMAP, WIN, 0, 1, 0), 1);

	/* outside the window nothing is sealed */
	EXPECT(run_call(GATE_MAP, DYN, pa, 1, GATE_RUN_WRITE), 1);
	EXPECT(run_call(GATE_SEAL, DYN, 0, 1, GATE_RUN_TEXT), -EINVAL);
	EXPECT(run_call(GATE_SEAL, WIN, 0, 1, GATE_RUN_TEXT), -ENOENT);
	EXPECT(run_call(GATE_UNMAP, DYN, 0, 1, 0), 1);
	/* this program's own image */
	EXPECT(attempt(touch_write, (uint64_t)irq_entry, NULL), 1 + 14);
	EXPECT(attempt(touch_write, (uint64_t)caller, NULL), 1 + 14);
	EXPECT(attempt(touch_run, (uint64_t)caller, NULL), 1 + 14);
	EXPECT(attempt(touch_run, GATE_CPU_AREA, NULL), 1 + 14);
	EXPECT(attempt(touch_run, (uint64_t)arguments(0), NULL), 1 + 14);
	EXPECT(attempt(touch_write, GATE_BOOT_RECORD, NULL), 1 + 14);
}

static void rodata(void)
{
	EXPECT(run_call(GATE_MAP, WIN, take_frames(2), 2, GATE_RUN_WRITE), 2);
	*(volatile uint32_t *)(WIN + 16) = 77;
	EXPECT(run_call(GATE_SEAL, WIN, 0, 2, GATE_RUN_RODATA), 2);
	EXPECT(attempt(touch_read, WIN, NULL), 0);
	EXPECT(attempt(touch_write, WIN, NULL), 1 + 14);
	EXPECT(attempt(touch_run, WIN, NULL), 1 + 14);
	EXPECT(run_call(GATE_SEAL, WIN, 0, 2, GATE_RUN_TEXT), -EPERM);
	EXPECT(run_call(GATE_PROTECT, WIN, 0, 2, GATE_RUN_WRITE), -EPERM);
	EXPECT(patch_call(WIN + 16, 77, 78), 1);
	EXPECT(*(volatile uint32_t *)(WIN + 16), 78);
	EXPECT(run_call(GATE_UNMAP, WIN, 0, 2, 0), 2);
}

static uint32_t word_at(uint64_t va)
{
	const volatile uint8_t *b = (const volatile uint8_t *)va;

	return (uint32_t)(b[0] | b[1] << 8 | b[2] << 16) | (uint32_t)b[3] << 24;
}

static void patch(void)
{
	struct gate_patch *p = arguments(0);
	uint64_t pa = take_frames(3);
	unsigned int i, intact = 0, done = 0;

	/* two pages whose frames are not neighbours, the third stays plain data */
	EXPECT(run_call(GATE_MAP, WIN, pa + 2 * PAGE, 1, GATE_RUN_WRITE), 1);
	EXPECT(run_call(GATE_MAP, WIN + PAGE, pa, 1, GATE_RUN_WRITE), 1);
	EXPECT(run_call(GATE_MAP, WIN + 2 * PAGE, pa + PAGE, 1, GATE_RUN_WRITE), 1);
	for (i = 0; i < 3 * PAGE / 4; i++)
		((volatile uint32_t *)WIN)[i] = i;
	EXPECT(run_call(GATE_SEAL, WIN, 0, 2, TEXT(0)), 2);

	EXPECT(patch_call(WIN, 0, 0xc3c3c3c3), 1);
	EXPECT(word_at(WIN), 0xc3c3c3c3);
	EXPECT(attempt(touch_run, WIN, NULL), 0);
	EXPECT(patch_call(WIN, 1, 2), -ESTALE);
	EXPECT(word_at(WIN), 0xc3c3c3c3);
	EXPECT(patch_call(WIN + 9, word_at(WIN + 9), 0xa1b2c3d4), 1); /* unaligned */
	EXPECT(word_at(WIN + 9), 0xa1b2c3d4);
	EXPECT(word_at(WIN + 5), 0x02000000); /* its neighbours */
	EXPECT(word_at(WIN + 13), 0x04000000);
	for (i = 1; i < 4; i++) { /* across the page boundary */
		uint64_t va = WIN + PAGE - i;
		uint32_t old = word_at(va), before = word_at(va - 4), after = word_at(va + 4);

		EXPECT(patch_call(va, ~old, 0), -ESTALE);
		EXPECT(word_at(va), old);
		EXPECT(patch_call(va, old, 0x11223344 * i), 1);
		EXPECT(word_at(va), 0x11223344 * i);
		EXPECT(word_at(va - 4), before);
		EXPECT(word_at(va + 4), after);
	}
	/* the last bytes of sealed text, and half into plain data */
	EXPECT(patch_call(WIN + 2 * PAGE - 4, word_at(WIN + 2 * PAGE - 4), 5), 1);
	EXPECT(patch_call(WIN + 2 * PAGE - 3, word_at(WIN + 2 * PAGE - 3), 5), -EFAULT);
	EXPECT(patch_call(WIN + 2 * PAGE, word_at(WIN + 2 * PAGE), 5), -EFAULT);
	EXPECT(word_at(WIN + 2 * PAGE), 2048);
	EXPECT(patch_call(WIN + 3 * PAGE, 0, 5), -EFAULT);
	EXPECT(patch_call(WIN - 2, 0, 5), -EFAULT);
	EXPECT(patch_call(GATE_CELL_WINDOW_END - 2, 0, 5), -EFAULT);
	EXPECT(patch_call((uint64_t)irq_entry, word_at((uint64_t)irq_entry), 5), -EFAULT);
	EXPECT(patch_call(0x200000, 0, 5), -EFAULT);
	EXPECT(patch_call(0x700000200000, 0, 5), -EFAULT);
	EXPECT(patch_call(~0ull, 0, 5), -EFAULT);
	EXPECT(patch_call(0x800000000000, 0, 5), -EFAULT);
	EXPECT(gate_call(GATE_PATCH, 0, 0, 0), -EINVAL);
	EXPECT(gate_call(GATE_PATCH, GATE_PATCHES_MAX + 1, 0, 0), -EINVAL);
	EXPECT(gate_call(GATE_PATCH, ~0ull, 0, 0), -EINVAL);

	/* 64 records of which one is stale, wherever it stands: nothing is written */
	for (i = 0; i < GATE_PATCHES_MAX; i++)
		p[i] = (struct gate_patch){WIN + 256 + 4 * i, 64 + i, 7000 + i};
	p[63].from++;
	EXPECT(gate_call(GATE_PATCH, GATE_PATCHES_MAX, 0, 0), -ESTALE);
	p[63].from--;
	p[0].from++;
	EXPECT(gate_call(GATE_PATCH, GATE_PATCHES_MAX, 0, 0), -ESTALE);
	p[0].from--;
	p[31].va = WIN + 2 * PAGE; /* a record outside sealed text counts as stale does */
	EXPECT(gate_call(GATE_PATCH, GATE_PATCHES_MAX, 0, 0), -EFAULT);
	p[31].va = WIN + 256 + 4 * 31;
	for (i = 0; i < GATE_PATCHES_MAX; i++)
		intact += word_at(WIN + 256 + 4 * i) == 64 + i;
	EXPECT(intact, GATE_PATCHES_MAX);
	EXPECT(gate_call(GATE_PATCH, GATE_PATCHES_MAX, 0, 0), GATE_PATCHES_MAX);
	for (i = 0; i < GATE_PATCHES_MAX; i++)
		done += word_at(WIN + 256 + 4 * i) == 7000 + i;
	EXPECT(done, GATE_PATCHES_MAX);
	EXPECT(run_call(GATE_UNMAP, WIN, 0, 3, 0), 3);
}

/* G4: every call from text with every grant but its own, and from its own. */
static void grants(void)
{
	static const uint8_t needed[_GATE_NR_MAX] = {
		0, 0, 0, 0, 1, 1, 0, 0, 2, 3, 3, 3, 4, 2, 5, 5, 0,
	};
	unsigned int nr, with;

	for (nr = 1; nr < _GATE_NR_MAX; nr++) {
		uint64_t va = WIN + nr * PAGE;

		make_text(va, GATE_GRANT_ALL & ~(1u << needed[nr]));
		EXPECT(call_at(va, GATE_MAGIC | nr), -EPERM);
		EXPECT(run_call(GATE_UNMAP, va, 0, 1, 0), 1);
		make_text(va, 0);
		EXPECT(call_at(va, GATE_MAGIC | nr), -EPERM);
		EXPECT(run_call(GATE_UNMAP, va, 0, 1, 0), 1);
	}
	/* with the one grant a call goes through to the check of its argument, 1 */
	make_text(WIN, GATE_GRANT_MEMORY);
	EXPECT(call_at(WIN, GATE_MAGIC | GATE_TABLE), -EINVAL);
	EXPECT(call_at(WIN, GATE_MAGIC | GATE_FRAME_STATE), -EINVAL);
	EXPECT(run_call(GATE_UNMAP, WIN, 0, 1, 0), 1);
	make_text(WIN, GATE_GRANT_POWER);
	EXPECT(call_at(WIN, GATE_MAGIC | GATE_POWER), -EINVAL);
	EXPECT(run_call(GATE_UNMAP, WIN, 0, 1, 0), 1);

	/* numbers that are no call */
	for (with = 0; with < 2; with++) {
		make_text(WIN, with ? GATE_GRANT_ALL : 0);
		EXPECT(call_at(WIN, GATE_MAGIC), -ENOSYS);
		EXPECT(call_at(WIN, GATE_MAGIC | _GATE_NR_MAX), -ENOSYS);
		EXPECT(call_at(WIN, GATE_MAGIC | 0xffff), -ENOSYS);
		EXPECT(run_call(GATE_UNMAP, WIN, 0, 1, 0), 1);
	}
}

static void run_int3(uint64_t rax)
{
	__asm__ volatile("int3" : "+a"(rax) : : "memory");
}

static void run_int3_long(uint64_t rax)
{
	__asm__ volatile(".byte 0xcd, 3" : "+a"(rax) : "D"(1) : "memory");
}

/* Without the magic it is a breakpoint. */
static void breakpoints(void)
{
	static const uint64_t values[] = {0, 1, 0xffff, GATE_MAGIC - 1, GATE_MAGIC + 0x10000,
					  1ull << 32 | GATE_MAGIC, ~0ull, 1ull << 63 | GATE_MAGIC};
	struct gate_frame f;
	unsigned int i;

	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		EXPECT(attempt(run_int3, values[i], &f), 1 + 3);
		CHECK(f.rip > (uint64_t)run_int3 && f.rip < (uint64_t)run_int3 + 64);
		EXPECT(((const uint8_t *)f.rip)[-1], 0xcc);
		EXPECT(f.error, 0);
	}
	/* the two-byte form is the same gate */
	EXPECT(attempt(run_int3_long, 0, NULL), 1 + 3);
	EXPECT(attempt(run_int3_long, GATE_MAGIC | GATE_FRAME_STATE, NULL), 0);
}

void payload_main(void)
{
	faults_init();
	never_both();
	rodata();
	patch();
	grants();
	breakpoints();
}
