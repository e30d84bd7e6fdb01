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

static uint32_t count_free(void)
{
	uint32_t n = 0;

	for (const struct stub_page *p = loader_state()->stubs; p; p = p->next) {
		for (uint32_t i = 0; i < STUBS_PER_PAGE; i++)
			n += !p->used[i];
	}
	return n;
}

static int add_page(void)
{
	struct stub_page *p = heap_alloc(CELL_SELF, sizeof(*p));
	struct record_region *region;
	int r;

	if (!p)
		return -ENOMEM;
	memset(p, 0, sizeof(*p));
	p->region.bytes = PAGE_SIZE;
	region = &p->region;
	r = machine_map(&region, 1);
	if (r < 0) {
		heap_free(p);
		return r;
	}
	memset(machine_bytes(p->region.at), INT3, PAGE_SIZE);
	p->next = loader_state()->stubs;
	loader_state()->stubs = p;
	return 0;
}

int stubs_reserve(uint32_t n)
{
	int r = 0;

	while (r == 0 && count_free() < n)
		r = add_page();
	return r;
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

static int write(const struct stub_page *p, uint32_t at, const uint8_t code[STUB_BYTES])
{
	struct gate_patch patches[STUB_BYTES / 4];
	struct patch_list list = {patches, 0, ARRAY_SIZE(patches)};
	uint8_t *bytes = machine_bytes(at);

	if (!p->sealed) {
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

int stub_make(uint32_t slot, const char *signature, uint32_t *ret_at)
{
	uint8_t code[STUB_BYTES];

	for (struct stub_page *p = loader_state()->stubs; p; p = p->next) {
		for (uint32_t i = 0; i < STUBS_PER_PAGE; i++) {
			uint32_t at = p->region.at + i * STUB_BYTES;
			int r;

			if (p->used[i])
				continue;
			build(code, at, slot, signature);
			r = write(p, at, code);
			if (r < 0)
				return r;
			p->used[i] = 1;
			*ret_at = at;
			return 0;
		}
	}
	return -ENOSPC;
}

static struct stub_page *page_of(uint32_t at)
{
	struct stub_page *p = loader_state()->stubs;

	while (p && (at < p->region.at || at - p->region.at >= STUBS_PER_PAGE * STUB_BYTES))
		p = p->next;
	return p;
}

void stub_give(uint32_t at)
{
	struct stub_page *p = page_of(at);

	if (p)
		p->used[(at - p->region.at) / STUB_BYTES] = 0;
}

bool stub_locate(uint32_t at, uint32_t *ret_start)
{
	const struct stub_page *p = page_of(at);

	if (!p || !p->used[(at - p->region.at) / STUB_BYTES])
		return false;
	*ret_start = at - (at - p->region.at) % STUB_BYTES;
	return true;
}

uint32_t stubs_seal_runs(struct gate_run *runs, uint32_t max)
{
	uint32_t n = 0;

	for (struct stub_page *p = loader_state()->stubs; p && n < max; p = p->next) {
		if (p->sealed)
			continue;
		runs[n++] = (struct gate_run){
			.va = window_addr(p->region.at), .pages = 1, .flags = GATE_RUN_TEXT};
		p->sealed = true;
	}
	return n;
}
