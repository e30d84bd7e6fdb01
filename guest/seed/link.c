/* SPDX-License-Identifier: MIT */
#include "seed.h"

#include "archive.h"
#include "sha256.h"

static const char *const seed_names[] = {SEED_CELLS};
_Static_assert(ARRAY_SIZE(seed_names) <= SEED_CELLS_MAX, "handoff.h");

static struct loader_report report;

/* ---- what the cells so far export ---- */

static struct export
{
	struct slice name;
	uint64_t abi, addr;
}
exports[SEED_EXPORTS_MAX];
static unsigned n_exports;

static const struct export *find_export(struct slice name)
{
	for (unsigned i = 0; i < n_exports; i++) {
		if (slice_equal(exports[i].name, name))
			return &exports[i];
	}
	return NULL;
}

static void add_exports(const struct seed_object *o)
{
	struct manifest_export e;
	uint64_t at = 0, offset;
	enum link_region region;
	struct elf64_sym symbol;

	while (manifest_next_export(&o->manifest, &at, &e)) {
		if (e.blocking)
			seed_die("bad-cell",
				 "%.*s: %.*s is a blocking export; the first cells have none",
				 SLICE_ARG(o->manifest.name), SLICE_ARG(e.name));
		if (find_export(e.name) || n_exports == SEED_EXPORTS_MAX)
			seed_die("duplicate-symbol",
				 "%.*s: %.*s is exported already, or one export too many",
				 SLICE_ARG(o->manifest.name), SLICE_ARG(e.name));
		if (object_find(&o->object, e.name, &symbol) < 0 ||
		    layout_symbol(&o->layout, &o->object, &symbol, &region, &offset) < 0 ||
		    region != LINK_TEXT)
			seed_die("missing-symbol", "%.*s: its export %.*s is no function of it",
				 SLICE_ARG(o->manifest.name), SLICE_ARG(e.name));
		exports[n_exports++] =
			(struct export){e.name, e.abi, o->memory[LINK_TEXT].addr + offset};
	}
}

uint64_t seed_export(const char *name)
{
	const struct export *e = find_export(slice_of(name));

	if (!e)
		seed_die("missing-symbol", "no cell exports %s", name);
	return e->addr;
}

/* ---- names that an object may refer to ---- */

struct scope {
	struct seed_object *o;
	const struct seed_handoff *handoff;
	uint32_t self; /* slot */
};

/* Slots of own provides: that of cell_ops is the cell's own, the others follow in order. */
static bool find_slot(const struct scope *s, struct slice name, uint64_t *ret_addr)
{
	uint32_t slot = s->handoff->slots_used;
	char symbol[CELL_SYMBOL_MAX * 2];
	struct manifest_provide p;
	uint64_t at = 0;

	if (slice_is(name, "__slot_cell_self")) {
		*ret_addr = IFACE_TABLE + s->self * sizeof(struct iface_slot);
		return true;
	}
	while (manifest_next_provide(&s->o->manifest, &at, &p)) {
		bool own = slice_is(p.interface, "cell_ops");

		(void)report_format(symbol, sizeof(symbol), "__slot_%.*s__%.*s",
				    SLICE_ARG(p.interface), SLICE_ARG(p.name));
		if (slice_is(name, symbol)) {
			*ret_addr =
				IFACE_TABLE + (own ? s->self : slot) * sizeof(struct iface_slot);
			return true;
		}
		slot += !own;
	}
	return false;
}

static int resolve(void *ctx, uint32_t index, struct slice name, uint64_t *ret_addr)
{
	const struct export *e;

	(void)index;
	if (slice_starts(name, "__slot_"))
		return find_slot(ctx, name, ret_addr) ? 0 : -ENOENT;
	e = find_export(name);
	if (!e)
		return -ENOENT;
	*ret_addr = e->addr;
	return 0;
}

static void check_imports(const struct seed_object *o)
{
	struct manifest_import i;
	uint64_t at = 0;

	while (manifest_next_import(&o->manifest, &at, &i)) {
		const struct export *e = find_export(i.name);

		if (e && i.abi != e->abi)
			seed_die("abi-mismatch", "%.*s was built against another %.*s",
				 SLICE_ARG(o->manifest.name), SLICE_ARG(i.name));
	}
}

/* ---- slots ---- */

/* Address of a table that the cell provides. */
static uint64_t provide_addr(const struct seed_object *o, const struct manifest_provide *p)
{
	enum link_region region;
	struct elf64_sym symbol;
	uint64_t offset;

	if (object_find(&o->object, p->symbol, &symbol) < 0 ||
	    layout_symbol(&o->layout, &o->object, &symbol, &region, &offset) < 0 ||
	    region != LINK_RODATA)
		seed_die("missing-symbol", "%.*s: its table %.*s is no constant of it",
			 SLICE_ARG(o->manifest.name), SLICE_ARG(p->symbol));
	return o->memory[LINK_RODATA].addr + offset;
}

static void fill_slots(struct seed_object *o, uint32_t self, struct seed_handoff *handoff)
{
	struct iface_slot *table = (struct iface_slot *)(uintptr_t)IFACE_TABLE;
	struct manifest_provide p;
	uint64_t at = 0;

	table[self] = (struct iface_slot){NULL, 1, self};
	while (manifest_next_provide(&o->manifest, &at, &p)) {
		const void *ops = (const void *)(uintptr_t)provide_addr(o, &p);

		if (slice_is(p.interface, "cell_ops")) {
			table[self].ops = ops;
			o->ops = ops;
			continue;
		}
		if ((handoff->slots_used + 1) * sizeof(*table) > handoff->slots_pages * PAGE_SIZE)
			seed_die("bad-cell", "the first cells provide too many interfaces");
		table[handoff->slots_used++] = (struct iface_slot){ops, 1, self};
	}
}

void seed_link_cells(struct seed_object *objects, unsigned n, struct seed_handoff *handoff)
{
	handoff->slots_used = n + 1;
	for (unsigned i = 0; i < n; i++) {
		struct seed_object *o = &objects[i];
		struct scope scope = {o, handoff, i + 1};
		struct link_names names = {.resolve = resolve, .ctx = &scope};

		check_imports(o);
		link_copy(&o->object, &o->layout, o->memory);
		if (link_relocate(&o->object, &o->layout, o->memory, &names, &report) < 0)
			seed_fail(&report);
		fill_slots(o, i + 1, handoff);
		add_exports(o);
	}
}

/* ---- the bundle ---- */

static uint64_t arena[SEED_ARENA_BYTES / sizeof(uint64_t)];
static size_t arena_used; /* bytes */

static void open_cell(const struct archive *archive, struct seed_object *o)
{
	uint8_t digest[SHA256_BYTES];
	struct slice file;

	if (archive_find(archive, o->manifest.object, &file) < 0 || file.n != o->manifest.size)
		seed_die("bad-archive", "the boot bundle has no member %.*s of %lu bytes",
			 SLICE_ARG(o->manifest.object), o->manifest.size);
	sha256(file.p, file.n, digest);
	if (memcmp(digest, o->manifest.sha256, sizeof(digest)) != 0)
		seed_die("bad-hash", "%.*s: the object's SHA-256 is not the manifest's",
			 SLICE_ARG(o->manifest.name));
	if (o->manifest.sdk_abi != SDK_ABI)
		seed_die("sdk-mismatch", "%.*s was built with SDK ABI %u, this is %u",
			 SLICE_ARG(o->manifest.name), o->manifest.sdk_abi, SDK_ABI);
	if (object_open(file, o->manifest.name, &o->object, &report) < 0)
		seed_fail(&report);
	if (layout_arena_bytes(&o->object) > sizeof(arena) - arena_used)
		seed_die("bad-cell", "%.*s: too many symbols for the seed",
			 SLICE_ARG(o->manifest.name));
	if (layout_create(&o->object, arena + arena_used / sizeof(arena[0]), &o->layout, &report) <
	    0)
		seed_fail(&report);
	arena_used += layout_arena_bytes(&o->object);
}

static bool find_cell(const struct manifest *manifest, const char *name, struct manifest_cell *ret)
{
	uint64_t at = 0;

	while (manifest_next_cell(manifest, &at, ret)) {
		if (slice_is(ret->name, name))
			return true;
	}
	return false;
}

unsigned seed_open_cells(struct slice bundle, struct seed_object objects[SEED_CELLS_MAX])
{
	struct manifest manifest;
	struct archive archive;
	struct slice bytes;

	if (archive_open(bundle, &archive, &report) < 0)
		seed_fail(&report);
	if (archive_find(&archive, slice_of("manifest.pb"), &bytes) < 0)
		seed_die("bad-archive", "the boot bundle has no manifest.pb");
	if (manifest_open(bytes, &manifest, &report) < 0)
		seed_fail(&report);
	for (unsigned i = 0; i < ARRAY_SIZE(seed_names); i++) {
		if (!find_cell(&manifest, seed_names[i], &objects[i].manifest))
			seed_die("bad-manifest", "the boot bundle has no cell %s", seed_names[i]);
		open_cell(&archive, &objects[i]);
	}
	return ARRAY_SIZE(seed_names);
}
