/* SPDX-License-Identifier: MIT */
#include "slots.h"

#include <theseus/errno.h>
#include <theseus/heap.h>

#include "state.h"

#define SLOTS_AT window_at(IFACE_TABLE)
#define SLOTS_PER_PAGE (PAGE_SIZE / sizeof(struct iface_slot))

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

int slot_take(uint32_t cell, uint64_t ops, uint32_t *ret_index)
{
	struct loader_state *s = loader_state();
	uint32_t index = 1;
	struct iface_slot slot;
	int r;

	while (index < s->slot_pages * SLOTS_PER_PAGE && slot_at(index)->cell != 0)
		index++;
	if (index == s->slot_pages * SLOTS_PER_PAGE) {
		r = add_page();
		if (r < 0)
			return r;
	}
	slot = slot_read(index);
	slot.ops = (const void *)(uintptr_t)ops;
	slot.generation += slot.generation == 0;
	slot.cell = cell ? cell : index;
	r = slot_write(index, slot);
	if (r == 0)
		*ret_index = index;
	return r;
}

struct iface_slot slot_vacant(uint32_t index)
{
	uint32_t generation = slot_read(index).generation + 1;

	return (struct iface_slot){NULL, generation ? generation : 1, 0};
}

int slot_give(uint32_t index)
{
	return slot_write(index, slot_vacant(index));
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
