/* SPDX-License-Identifier: MIT */
#include "slots.h"

#include <theseus/errno.h>
#include <theseus/heap.h>

#include "state.h"

#define SLOTS_AT window_at(IFACE_TABLE)
#define SLOTS_PER_PAGE (PAGE_SIZE / sizeof(struct iface_slot))
#define SLOT_WORDS (SLOTS_PER_PAGE / 64) /* of bits, for a page */

void patch_list_free(struct patch_list *list)
{
	heap_free(list->patches);
	*list = (struct patch_list){0};
}

int patch_list_reserve(struct patch_list *list, uint32_t n)
{
	uint32_t max = list->n + n;
	struct gate_patch *p;

	if (max <= list->max)
		return 0;
	if (max < 2 * list->max)
		max = 2 * list->max;
	p = heap_alloc(CELL_SELF, max * sizeof(*p));
	if (!p)
		return -ENOMEM;
	if (list->n)
		memcpy(p, list->patches, list->n * sizeof(*p));
	heap_free(list->patches);
	list->patches = p;
	list->max = max;
	return 0;
}

void patch_list_add(struct patch_list *list, uint64_t addr, uint64_t from, uint64_t to, bool wide)
{
	if ((uint32_t)from != (uint32_t)to)
		list->patches[list->n++] = (struct gate_patch){addr, (uint32_t)from, (uint32_t)to};
	if (wide && from >> 32 != to >> 32)
		list->patches[list->n++] =
			(struct gate_patch){addr + 4, (uint32_t)(from >> 32), (uint32_t)(to >> 32)};
}

static struct iface_slot *slot_at(uint32_t index)
{
	return machine_bytes(SLOTS_AT + index * (uint32_t)sizeof(struct iface_slot));
}

struct iface_slot slot_read(uint32_t index)
{
	return *slot_at(index);
}

void slot_change(struct patch_list *list, uint32_t index, struct iface_slot to)
{
	uint64_t addr = IFACE_TABLE + index * sizeof(struct iface_slot);
	struct iface_slot from = slot_read(index);

	patch_list_add(list, addr, (uint64_t)(uintptr_t)from.ops, (uint64_t)(uintptr_t)to.ops,
		       true);
	patch_list_add(list, addr + 8, from.generation | (uint64_t)from.cell << 32,
		       to.generation | (uint64_t)to.cell << 32, true);
}

static int slot_write(uint32_t index, struct iface_slot to)
{
	struct gate_patch patches[4];
	struct patch_list list = {patches, 0, ARRAY_SIZE(patches)};

	if (index >= loader_state()->slot_pages_sealed * SLOTS_PER_PAGE) {
		*slot_at(index) = to;
		return 0;
	}
	slot_change(&list, index, to);
	return machine_patch(patches, list.n);
}

/* Another page, empty and sealed: from now on it changes by patches like the others. */
static int add_page(void)
{
	struct loader_state *s = loader_state();
	uint32_t page = s->slot_pages;
	struct gate_run run = {.va = IFACE_TABLE + (uint64_t)page * PAGE_SIZE,
			       .pages = 1,
			       .flags = GATE_RUN_RODATA};
	int r;

	if (page * SLOTS_PER_PAGE >= IFACE_SLOTS)
		return -ENOSPC;
	r = machine_map_slots(page);
	if (r < 0)
		return r;
	memset(machine_bytes(SLOTS_AT + page * PAGE_SIZE), 0, PAGE_SIZE);
	s->slot_pages++;
	if (s->slot_pages_sealed < page)
		return 0; /* boot: sealed with the rest */
	r = machine_seal(&run, 1);
	if (r == 0)
		s->slot_pages_sealed++;
	return r;
}

/* ---- which may be free ---- */

static void note_maybe_free(uint32_t index)
{
	struct loader_state *s = loader_state();

	spin_lock_as(&s->slots_lock, loader_slots);
	if (index / SLOTS_PER_PAGE < s->slot_bit_pages)
		s->slots_maybe_free[index / 64] |= 1ull << index % 64;
	spin_unlock_as(&s->slots_lock, loader_slots);
}

/* Result: the bits that @bits of @words take the place of. */
static uint64_t *replace_bits(uint64_t *bits, uint32_t words)
{
	struct loader_state *s = loader_state();
	uint64_t *old;

	memset(bits, 0xff, words * sizeof(*bits));
	spin_lock_as(&s->slots_lock, loader_slots);
	old = s->slots_maybe_free;
	if (old)
		memcpy(bits, old, s->slot_bit_pages * SLOT_WORDS * sizeof(*bits));
	s->slots_maybe_free = bits;
	s->slot_bit_pages = words / SLOT_WORDS;
	spin_unlock_as(&s->slots_lock, loader_slots);
	return old;
}

/*
 * A bit for each slot of the pages that are mapped. It may be set though the slot is taken: what
 * vacates it was not, or no longer, put into effect. So new bits are set, and looked into.
 * NO_THREAD_SAFETY: nobody else makes more of them.
 */
static int make_bits(void) NO_THREAD_SAFETY
{
	struct loader_state *s = loader_state();
	uint32_t pages = s->slot_pages;
	uint64_t *bits;

	if (pages <= s->slot_bit_pages)
		return 0;
	if (pages < 2 * s->slot_bit_pages)
		pages = 2 * s->slot_bit_pages;
	bits = heap_alloc(CELL_SELF, pages * SLOT_WORDS * sizeof(*bits));
	if (!bits)
		return -ENOMEM;
	heap_free(replace_bits(bits, pages * SLOT_WORDS));
	return 0;
}

/* Takes the first free slot out of those noted. Result: its index; 0: none is free. */
static uint32_t find_free(void)
{
	struct loader_state *s = loader_state();
	uint32_t found = 0;

	spin_lock_as(&s->slots_lock, loader_slots);
	for (uint32_t word = 0; word < s->slot_pages * SLOT_WORDS && !found; word++) {
		uint64_t *bits = &s->slots_maybe_free[word];

		while (*bits && !found) {
			uint32_t index = word * 64 + (uint32_t)__builtin_ctzll(*bits);

			*bits &= *bits - 1;
			if (index != 0 && slot_at(index)->cell == 0)
				found = index;
		}
	}
	spin_unlock_as(&s->slots_lock, loader_slots);
	return found;
}

int slot_take(uint32_t cell, uint64_t ops, uint32_t *ret_index)
{
	struct iface_slot slot;
	uint32_t index;
	int r = make_bits();

	if (r < 0)
		return r;
	index = find_free();
	if (index == 0) {
		r = add_page();
		if (r == 0)
			r = make_bits();
		if (r < 0)
			return r;
		index = find_free();
	}
	slot = slot_read(index);
	slot.ops = (const void *)(uintptr_t)ops;
	slot.generation += slot.generation == 0;
	slot.cell = cell ? cell : index;
	r = slot_write(index, slot);
	if (r == 0)
		*ret_index = index;
	else
		note_maybe_free(index);
	return r;
}

static struct iface_slot vacant(uint32_t index)
{
	uint32_t generation = slot_read(index).generation + 1;

	return (struct iface_slot){NULL, generation ? generation : 1, 0};
}

void slot_vacate(struct patch_list *list, uint32_t index)
{
	slot_change(list, index, vacant(index));
	note_maybe_free(index);
}

int slot_give(uint32_t index)
{
	int r = slot_write(index, vacant(index));

	note_maybe_free(index);
	return r;
}

uint32_t slots_seal_runs(struct gate_run *runs, uint32_t max)
{
	struct loader_state *s = loader_state();

	if (max == 0 || s->slot_pages_sealed == s->slot_pages)
		return 0;
	runs[0] = (struct gate_run){
		.va = IFACE_TABLE + (uint64_t)s->slot_pages_sealed * PAGE_SIZE,
		.pages = s->slot_pages - s->slot_pages_sealed,
		.flags = GATE_RUN_RODATA,
	};
	s->slot_pages_sealed = s->slot_pages;
	return 1;
}
