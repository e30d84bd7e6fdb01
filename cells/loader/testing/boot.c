/* SPDX-License-Identifier: MIT */
#include "boot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <theseus/heap.h>

#include "../stage.h"
#include "../state.h"
#include "../stubs.h"
#include "fake.h"

void boot_bundle(struct blob bundle)
{
	struct loader_report report = {0};
	struct loader_stage *stage;

	fake_start();
	assert_int_equal(namespace_create(NULL, 0, 0, &loader_state()->namespace, &report), 0);
	if (stage_create((struct slice){bundle.p, bundle.n}, true, &stage, &report) < 0)
		fail_msg("%s", report.reasons[0]);
	assert_int_equal(commit_apply(stage), 0);
	(void)commit_finalise(stage);
	free(bundle.p);
}

void boot_end(void)
{
	struct loader_state *s = loader_state();

	for (uint32_t i = 0; i < s->namespace->n_cells; i++) {
		struct record *r = s->namespace->cells[i];

		machine_unmap(r->regions, LINK_REGIONS);
		record_free(r);
	}
	namespace_free(s->namespace);
	heap_free(s->spare);
	while (s->stubs) {
		struct stub_block *block = s->stubs;

		s->stubs = block->next;
		machine_unmap(&block->region, 1);
		heap_free(block);
	}
	spin_unshared(loader_slots);
	heap_free(s->slots_maybe_free);
	assert_int_equal(fake.blocks, 0);
	assert_int_equal(fake.pages, s->slot_pages);
}
