/* SPDX-License-Identifier: MIT */
#include "stubs.h"

#include <theseus/errno.h>
#include <theseus/heap.h>

#include "slots.h"
#include "state.h"

#define INT3 0xcc
#define REX_W 0x48
#define REX 0x40

/* stub.S */
extern const uint8_t loader_stub[] __attribute__((visibility("hidden")));
extern const uint8_t loader_stub_slot[] __attribute__((visibility("hidden")));
extern const uint8_t loader_stub_width[] __attribute__((visibility("hidden")));
extern const uint8_t loader_stub_end[] __attribute__((visibility("hidden")));

/* Room for @n stubs at least, none of them made. */
static int add_block(uint32_t n)
{
	struct loader_state *s = loader_state();
	uint32_t pages = (n + STUBS_PER_PAGE - 1) / STUBS_PER_PAGE;
	uint32_t stubs = pages * (uint32_t)STUBS_PER_PAGE;
	struct stub_block *b = heap_alloc(CELL_SELF, sizeof(*b) + stubs * sizeof(b->stubs[0]));
	struct record_region *region;
	int r;

	if (!b)
		return -ENOMEM;
	*b = (struct stub_block){.region.bytes = pages * PAGE_SIZE, .n = stubs, .first_free = 1};
	region = &b->region;
	r = machine_map(&region, 1);
	if (r < 0) {
		heap_free(b);
		return r;
	}
	memset(machine_bytes(b->region.at), INT3, b->region.bytes);
	for (uint32_t i = 0; i < stubs; i++)
		b->stubs[i] = i + 1 < stubs ? i + 2 : 0;
	b->next = s->stubs;
	s->n_stubs += stubs;
	spin_lock_as(&s->slots_lock, loader_slots);
	__atomic_store_n(&s->stubs, b, __ATOMIC_RELEASE);
	s->n_stubs_free += stubs;
	spin_unlock_as(&s->slots_lock, loader_slots);
	return 0;
}

int stubs_reserve(uint32_t n)
{
	struct loader_state *s = loader_state();
	uint32_t free;

	spin_lock_as(&s->slots_lock, loader_slots);
	free = s->n_stubs_free; /* nobody else takes any */
	spin_unlock_as(&s->slots_lock, loader_slots);
	if (n <= free)
		return 0;
	return add_block(n - free > s->n_stubs ? n - free : s->n_stubs);
}

/* "int (…)" returns in eax; the upper half of rax is then anything. */
static bool returns_int(const char *signature)
{
	return strncmp(signature, "int (", 5) == 0 || strncmp(signature, "int(", 4) == 0;
}

static void build(uint8_t code[STUB_BYTES], uint32_t at, uint32_t slot, const char *signature)
{
	size_t disp = (size_t)(loader_stub_slot - loader_stub);
	uint32_t target = window_at(IFACE_TABLE) + slot * (uint32_t)sizeof(struct iface_slot);
	uint32_t value = target - (at + (uint32_t)disp + 4);

	memset(code, INT3, STUB_BYTES);
	memcpy(code, loader_stub, (size_t)(loader_stub_end - loader_stub));
	memcpy(code + disp, &value, sizeof(value));
	code[loader_stub_width - loader_stub] = returns_int(signature) ? REX : REX_W;
}

static int write(const struct stub_block *b, uint32_t at, const uint8_t code[STUB_BYTES])
{
	struct gate_patch patches[STUB_BYTES / 4];
	struct patch_list list = {patches, 0, ARRAY_SIZE(patches)};
	uint8_t *bytes = machine_bytes(at);

	if (!b->sealed) {
		memcpy(bytes, code, STUB_BYTES);
		return 0;
	}
	for (uint32_t i = 0; i < STUB_BYTES; i += 4) {
		uint32_t from, to;

		memcpy(&from, bytes + i, 4);
		memcpy(&to, code + i, 4);
		patch_list_add(&list, window_addr(at + i), from, to, false);
	}
	return machine_patch(patches, list.n);
}

/* Where stub @i of @b is. They do not straddle pages. */
static uint32_t place_of(const struct stub_block *b, uint32_t i)
{
	return b->region.at + i / (uint32_t)STUBS_PER_PAGE * (uint32_t)PAGE_SIZE +
	       i % (uint32_t)STUBS_PER_PAGE * STUB_BYTES;
}

/* A block with a stub that nobody has, which is taken: its index is *@ret_i. NULL: there is none.
 */
static struct stub_block *take(uint32_t *ret_i)
{
	struct loader_state *s = loader_state();
	struct stub_block *b;

	spin_lock_as(&s->slots_lock, loader_slots);
	for (b = s->stubs; b && b->first_free == 0;)
		b = b->next;
	if (b) {
		*ret_i = b->first_free - 1;
		b->first_free = b->stubs[*ret_i];
		s->n_stubs_free--;
	}
	spin_unlock_as(&s->slots_lock, loader_slots);
	return b;
}

static void give(struct stub_block *b, uint32_t i)
{
	struct loader_state *s = loader_state();

	spin_lock_as(&s->slots_lock, loader_slots);
	__atomic_store_n(&b->stubs[i], b->first_free, __ATOMIC_RELEASE);
	b->first_free = i + 1;
	s->n_stubs_free++;
	spin_unlock_as(&s->slots_lock, loader_slots);
}

int stub_make(uint32_t slot, const char *signature, uint32_t *ret_at)
{
	uint8_t code[STUB_BYTES];
	struct stub_block *b;
	uint32_t at, i;
	int r;

	b = take(&i);
	if (!b)
		return -ENOSPC;
	at = place_of(b, i);
	build(code, at, slot, signature);
	r = write(b, at, code);
	if (r < 0) {
		give(b, i);
		return r;
	}
	__atomic_store_n(&b->stubs[i], STUB_USED | slot, __ATOMIC_RELEASE);
	*ret_at = at;
	return 0;
}

/* The block that @at lies in, and the stub; NULL: in none. */
static struct stub_block *find(uint32_t at, uint32_t *ret_i)
{
	struct stub_block *b = __atomic_load_n(&loader_state()->stubs, __ATOMIC_ACQUIRE);
	uint32_t offset;

	while (b && (at < b->region.at || at - b->region.at >= b->region.bytes))
		b = b->next;
	if (!b)
		return NULL;
	offset = (at - b->region.at) % (uint32_t)PAGE_SIZE;
	if (offset >= STUBS_PER_PAGE * STUB_BYTES)
		return NULL;
	*ret_i = (at - b->region.at) / (uint32_t)PAGE_SIZE * (uint32_t)STUBS_PER_PAGE +
		 offset / STUB_BYTES;
	return b;
}

void stub_give(uint32_t at)
{
	struct stub_block *b;
	uint32_t i;

	b = find(at, &i);
	if (b)
		give(b, i);
}

bool stub_locate(uint32_t at, uint32_t *ret_start, uint32_t *ret_slot)
{
	const struct stub_block *b;
	uint32_t i, stub;

	b = find(at, &i);
	stub = b ? __atomic_load_n(&b->stubs[i], __ATOMIC_ACQUIRE) : 0;
	if (!(stub & STUB_USED))
		return false;
	*ret_start = place_of(b, i);
	*ret_slot = stub & ~STUB_USED;
	return true;
}

uint32_t stubs_seal_runs(struct gate_run *runs, uint32_t max)
{
	uint32_t n = 0;

	for (struct stub_block *b = loader_state()->stubs; b && n < max; b = b->next) {
		if (b->sealed)
			continue;
		runs[n++] = (struct gate_run){.va = window_addr(b->region.at),
					      .pages = b->region.bytes / PAGE_SIZE,
					      .flags = GATE_RUN_TEXT};
		b->sealed = true;
	}
	return n;
}
