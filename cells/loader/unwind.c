/* SPDX-License-Identifier: MIT */
/*
 * What the unwinder asks for. Its tables belong to the records, so they come and go with the
 * cells: what is linked, or was until it is finalised, is found.
 */
#include <theseus/errno.h>
#include <theseus/heap.h>
#include <theseus/unwind.h>

#include "stage.h"
#include "state.h"
#include "stubs.h"

/* stub.S */
extern const uint8_t loader_stub[] __attribute__((visibility("hidden")));

int record_read_fdes(struct record *r, struct loader_report *report)
{
	const struct record_region *text = &r->regions[LINK_TEXT];
	const struct record_section *section = NULL;
	struct slice bytes;
	int64_t n;

	for (uint32_t i = 0; i < r->n_sections; i++) {
		if (strcmp(r->sections[i].name, ".eh_frame") == 0)
			section = &r->sections[i];
	}
	if (!section)
		return 0;
	bytes = (struct slice){machine_bytes(section->at), section->bytes};
	n = fde_list(bytes, section->at, text->at, text->bytes, NULL, 0);
	if (n < 0) {
		report_add(report, "bad-object", "%s: section .eh_frame is malformed", r->name);
		return -EINVAL;
	}
	r->fdes = heap_alloc(CELL_SELF, (uint64_t)n * sizeof(*r->fdes) + 1);
	if (!r->fdes)
		return -ENOMEM;
	r->n_fdes =
		(uint32_t)fde_list(bytes, section->at, text->at, text->bytes, r->fdes, (uint32_t)n);
	record_sort(r->fdes, r->n_fdes, sizeof(*r->fdes));
	return 0;
}

static const struct fde *find_in(const struct loader_state *s, uint32_t at)
{
	const struct namespace *ns = __atomic_load_n(&s->namespace, __ATOMIC_ACQUIRE);
	enum link_region region = LINK_TEXT;
	const struct record *r = ns ? namespace_locate(ns, at, &region) : NULL;

	ns = __atomic_load_n(&s->retiring, __ATOMIC_ACQUIRE);
	if (!r && ns)
		r = namespace_locate(ns, at, &region);
	if (!r)
		r = quarantine_locate(s, at);
	return r ? fde_find(r->fdes, r->n_fdes, at) : NULL;
}

static int find(uint64_t pc, struct unwind_entry *ret_entry)
{
	struct loader_state *s = loader_state();
	const struct fde *fde;
	uint32_t at = window_at(pc), start, slot;

	if (pc < GATE_CELL_WINDOW || pc >= GATE_CELL_WINDOW_END)
		return -ENOENT;
	reader_begin(s);
	fde = find_in(s, at);
	if (fde) {
		*ret_entry = (struct unwind_entry){(void *)(uintptr_t)window_addr(fde->entry),
						   window_addr(fde->at)};
	} else if (stub_locate(at, &start, &slot)) {
		/* every copy is described by the template's entry, moved to where it begins */
		fde = find_in(s, window_at((uintptr_t)loader_stub));
		if (fde)
			*ret_entry = (struct unwind_entry){
				(void *)(uintptr_t)window_addr(fde->entry), window_addr(start)};
	}
	reader_end(s);
	return fde ? 0 : -ENOENT;
}
CELL_PROVIDE(unwind_tables_ops, loader) = {.find = find};
