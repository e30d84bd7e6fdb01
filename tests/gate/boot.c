/* SPDX-License-Identifier: MIT */
/* The boot record, and the end of the seed. The runner knows what it started the VM with. */
#include "payload.h"

extern const uint8_t seed_done[], seed_done_end[];

static void say_range(const char *name, struct gate_range r)
{
	say(name);
	say(" ");
	say_hex(r.start);
	say(" ");
	say_hex(r.end);
	say("\n");
}

static void record(void)
{
	const struct boot_record *b = BOOT;
	uint64_t pages = 0, wrong = 0, i, pa;
	unsigned int n;

	EXPECT(b->magic, GATE_BOOT_MAGIC);
	EXPECT(b->version, 1);
	EXPECT(b->flags, 0);
	CHECK(b->tsc_start < b->tsc_cells && b->tsc_cells < __builtin_ia32_rdtsc());
	CHECK(b->tsc_khz > 100000 && b->tsc_khz < 20000000);
	EXPECT(b->xcr0 & 3, 3);
	CHECK(b->seed_phys % PAGE == 0 && b->seed_size % PAGE == 0 && b->seed_size > 0);
	for (n = 0; n < 40 && ((b->build_id[n] >= '0' && b->build_id[n] <= '9') ||
			       (b->build_id[n] >= 'a' && b->build_id[n] <= 'f'));)
		n++;
	EXPECT(n, 40);
	EXPECT(b->build_id[40], 0);

	say("# cpus ");
	say_hex(b->cpus);
	say("\n# build ");
	say(b->build_id);
	say("\n# cmdline [");
	say(b->cmdline);
	say("]\n");
	say_range("# bundle", b->bundle);
	say("# bundle size ");
	say_hex(b->bundle_size);
	say("\n# tsc_khz ");
	say_hex(b->tsc_khz);
	say("\n");
	for (n = 0; n < GATE_BOOT_RANGES && b->free[n].end; n++) {
		const struct gate_range *r = &b->free[n];

		say_range("# free", *r);
		pages += (r->end - r->start) / PAGE;
		if (r->start % PAGE || r->end % PAGE || r->start >= r->end || r->start < 0x100000 ||
		    r->end > GATE_PHYS_MAX || (r->start < b->seed_phys + b->seed_size && r->end > 0x200000) ||
		    (r->start < b->bundle.end && r->end > b->bundle.start))
			wrong++;
		for (pa = r->start; pa < r->end; pa += r->end - r->start - PAGE ? r->end - r->start - PAGE : PAGE)
			wrong += gate_call(GATE_FRAME_STATE, pa, 0, 0) != GATE_FRAME_FREE;
	}
	say("# free pages ");
	say_hex(pages);
	say("\n");
	EXPECT(wrong, 0);
	for (i = 0; i < b->seed_size; i += PAGE)
		wrong += gate_call(GATE_FRAME_STATE, b->seed_phys + i, 0, 0) != GATE_FRAME_MAPPED;
	EXPECT(wrong, 0);
}

/* The bundle's bytes are where the record says. */
static void bundle(void)
{
	const struct boot_record *b = BOOT;
	uint64_t pages = (b->bundle.end - b->bundle.start) / PAGE;
	const volatile uint8_t *bytes = (const volatile uint8_t *)GATE_DYNAMIC + b->bundle_offset;

	if (!b->bundle_size)
		return;
	EXPECT(run_call(GATE_MAP, GATE_DYNAMIC, b->bundle.start, (uint32_t)pages, 0), pages);
	CHECK(bytes[0] == 'B' && bytes[1] == 'U' && bytes[b->bundle_size - 1] == 'E');
	EXPECT(run_call(GATE_UNMAP, GATE_DYNAMIC, 0, (uint32_t)pages, 0), pages);
}

/* A copy of seed_done in the window ends the seed under this program's feet. */
static void leave(void)
{
	void (*fn)(uint64_t, uint64_t) = (void (*)(uint64_t, uint64_t))GATE_CELL_WINDOW;
	uint8_t *to = (uint8_t *)GATE_CELL_WINDOW;
	const uint8_t *from;

	EXPECT(run_call(GATE_MAP, GATE_CELL_WINDOW, take_frames(1), 1, GATE_RUN_WRITE), 1);
	for (from = seed_done; from < seed_done_end;)
		*to++ = *from++;
	EXPECT(run_call(GATE_SEAL, GATE_CELL_WINDOW, 0, 1, GATE_RUN_TEXT | GATE_RUN_GRANTS(GATE_GRANT_ALL)), 1);
	plan();
	fn(BOOT->seed_phys, BOOT->seed_size / PAGE);
}

void payload_main(void)
{
	faults_init();
	record();
	bundle();
	leave();
}
