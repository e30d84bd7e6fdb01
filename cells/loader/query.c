/* SPDX-License-Identifier: MIT */
/* Look-ups and listings. All but loader_locate() hold the loader's lock while they read. */
#include <theseus/errno.h>

#include "sha256.h"
#include "stage.h"
#include "state.h"
#include "stubs.h"

/* NO_THREAD_SAFETY: what is checked is that who begins ends, not how. */
static const struct namespace *begin(void) ACQUIRES(loader_names) NO_THREAD_SAFETY
{
	spin_lock(&loader_state()->lock);
	return loader_state()->namespace;
}

static int end(int result) RELEASES(loader_names) NO_THREAD_SAFETY
{
	spin_unlock(&loader_state()->lock);
	return result;
}

static void copy_name(char *dst, size_t size, const char *src)
{
	(void)report_format(dst, size, "%s", src);
}

const struct cell_ops *record_ops(const struct record *r)
{
	const struct record_provide *p = record_ops_provide(r);

	return p ? machine_bytes(p->at) : NULL;
}

void loader_sha256(const void *data, size_t n, uint8_t ret_digest[32])
{
	sha256(data, n, ret_digest);
}

/* ---- cells ---- */

static void fill_record(const struct record *r, struct loader_cell *c)
{
	const struct record_region *state = &r->regions[LINK_STATE];

	memset(c, 0, sizeof(*c));
	c->ref.id = r->self;
	memcpy(c->name, r->name, sizeof(c->name));
	memcpy(c->version, r->version, sizeof(c->version));
	memcpy(c->summary, r->summary, sizeof(c->summary));
	memcpy(c->hash, r->hash, sizeof(c->hash));
	memcpy(c->build_id, r->build_id, sizeof(c->build_id));
	c->generation = r->generation;
	c->state_schema = r->state_schema;
	c->text = window_addr(r->regions[LINK_TEXT].at);
	c->text_bytes = r->regions[LINK_TEXT].bytes;
	c->rodata = window_addr(r->regions[LINK_RODATA].at);
	c->rodata_bytes = r->regions[LINK_RODATA].bytes;
	c->state = state->bytes ? window_addr(state->at) : 0;
	c->state_bytes = state->bytes;
	c->grants = r->grants;
	c->safety = r->safety;
	c->quiescence = r->quiescence;
	c->restart = r->restart;
}

static void fill_cell(const struct namespace *ns, uint32_t index, struct loader_cell *c)
	REQUIRES(loader_names)
{
	fill_record(ns->cells[index], c);
	c->refs = ns->nodes[index].refs;
}

int loader_cell_at(uint32_t index, struct loader_cell *ret_cell)
{
	const struct namespace *ns = begin();

	if (index >= ns->n_cells)
		return end(-ENOENT);
	fill_cell(ns, index, ret_cell);
	return end(0);
}

int loader_cell_find(const char *name, struct loader_cell *ret_cell)
{
	const struct namespace *ns = begin();
	uint32_t index = namespace_find_cell(ns, slice_of(name));

	if (index == NAMESPACE_NONE)
		return end(-ENOENT);
	fill_cell(ns, index, ret_cell);
	return end(0);
}

int loader_cell_of(struct cell_ref ref, struct loader_cell *ret_cell)
{
	const struct namespace *ns = begin();
	uint32_t index = namespace_find_self(ns, ref.id);

	if (index == NAMESPACE_NONE)
		return end(-ENOENT);
	fill_cell(ns, index, ret_cell);
	return end(0);
}

uint32_t loader_cell_count(void)
{
	uint32_t n = begin()->n_cells;

	(void)end(0);
	return n;
}

int loader_quarantined_at(uint32_t index, struct loader_cell *ret_cell)
{
	const struct loader_stage *stage;
	const struct record *r;

	(void)begin();
	for (stage = loader_state()->quarantine; stage; stage = stage->next) {
		for (uint32_t i = 0; i < stage_n_obsolete(stage); i++) {
			r = stage_obsolete(stage, i);
			if (!r || index-- > 0)
				continue;
			fill_record(r, ret_cell);
			return end(0);
		}
	}
	return end(-ENOENT);
}

uint64_t loader_generation(void)
{
	uint64_t generation = begin()->generation;

	(void)end(0);
	return generation;
}

/* ---- symbols ---- */

static void fill_export(const struct record *r, const struct record_export *e,
			struct loader_symbol *s) REQUIRES(loader_names)
{
	memset(s, 0, sizeof(*s));
	copy_name(s->name, sizeof(s->name), e->name);
	memcpy(s->cell, r->name, sizeof(s->cell));
	s->abi = e->abi;
	s->addr = window_addr(e->at);
	copy_name(s->signature, sizeof(s->signature), e->signature);
}

static void fill_import(const struct namespace *ns, uint32_t cell, uint32_t import,
			struct loader_symbol *s) REQUIRES(loader_names)
{
	uint32_t number = namespace_bound(ns, cell, import);

	if (number == NAMESPACE_NONE) {
		memset(s, 0, sizeof(*s));
		copy_name(s->name, sizeof(s->name), ns->cells[cell]->imports[import].name);
		s->abi = ns->cells[cell]->imports[import].abi;
		return;
	}
	fill_export(ns->cells[ns->exports[number].cell], namespace_export(ns, number), s);
}

int loader_symbol_at(const char *name, bool imports, uint32_t index,
		     struct loader_symbol *ret_symbol)
{
	const struct namespace *ns = begin();
	uint32_t cell = namespace_find_cell(ns, slice_of(name));
	const struct record *r;

	if (cell == NAMESPACE_NONE)
		return end(-ENOENT);
	r = ns->cells[cell];
	if (index >= (imports ? r->n_imports : r->n_exports))
		return end(-ENOENT);
	if (imports)
		fill_import(ns, cell, index, ret_symbol);
	else
		fill_export(r, &r->exports[index], ret_symbol);
	return end(0);
}

/* ---- dependencies ---- */

static void add_symbol(struct loader_dep *d, const char *name)
{
	if (d->n_symbols < ARRAY_SIZE(d->symbols))
		copy_name(d->symbols[d->n_symbols], sizeof(d->symbols[0]), name);
	d->n_symbols++;
}

static uint32_t count_sites(const struct record *r, uint32_t import)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->n_sites; i++)
		n += r->sites[i].import == import;
	return n;
}

/* What cell @user has linked to exports of @owner. */
static void link_dep(const struct namespace *ns, uint32_t user, uint32_t owner,
		     struct loader_dep *d) REQUIRES(loader_names)
{
	const struct record *r = ns->cells[user];

	memset(d, 0, sizeof(*d));
	copy_name(d->via, sizeof(d->via), "link");
	for (uint32_t i = 0; i < r->n_imports; i++) {
		uint32_t number = namespace_bound(ns, user, i);

		if (number == NAMESPACE_NONE || ns->exports[number].cell != owner)
			continue;
		add_symbol(d, r->imports[i].name);
		d->sites += count_sites(r, i);
	}
}

/* Tables of @owner that whoever looks up @interface may find. */
static void iface_dep(const struct namespace *ns, uint32_t owner, const char *interface,
		      struct loader_dep *d) REQUIRES(loader_names)
{
	const struct record *r = ns->cells[owner];

	memset(d, 0, sizeof(*d));
	copy_name(d->via, sizeof(d->via), interface);
	for (uint32_t i = 0; i < r->n_provides; i++) {
		if (strcmp(r->provides[i].interface, interface) != 0)
			continue;
		add_symbol(d, r->provides[i].name);
		d->sites++;
	}
}

/* Where @cell is in an ascending list, or would be. */
static uint32_t place_in(const uint32_t *cells, uint32_t n, uint32_t cell)
{
	uint32_t low = 0, high = n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (cells[mid] < cell)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The @*left-th cell of a list, @self left out; at its end @*left is what is left. */
static bool nth_other(const uint32_t *cells, uint32_t n, uint32_t self, uint32_t *left,
		      uint32_t *ret_cell)
{
	uint32_t place = place_in(cells, n, self);
	bool listed = place < n && cells[place] == self;

	if (*left < n - listed) {
		*ret_cell = cells[*left + (listed && *left >= place)];
		return true;
	}
	*left -= n - listed;
	return false;
}

static bool nth_dep(const struct namespace *ns, uint32_t cell, uint32_t left, uint32_t *ret_other,
		    struct loader_dep *d) REQUIRES(loader_names)
{
	const struct record *r = ns->cells[cell];
	struct namespace_list deps = ns->nodes[cell].deps;

	if (nth_other(ns->deps + deps.first, deps.n, cell, &left, ret_other)) {
		link_dep(ns, cell, *ret_other, d);
		return true;
	}
	for (uint32_t i = 0; i < r->n_consumes; i++) {
		const struct namespace_interface *in = namespace_find_interface(ns, r->consumes[i]);

		if (!in ||
		    !nth_other(ns->owners + in->owners.first, in->owners.n, cell, &left, ret_other))
			continue;
		iface_dep(ns, *ret_other, r->consumes[i], d);
		return true;
	}
	return false;
}

/* Whether the cell's table @n is the first one of its interface. */
static bool is_first_provide(const struct record *r, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (strcmp(r->provides[i].interface, r->provides[n].interface) == 0)
			return false;
	}
	return true;
}

static bool nth_user(const struct namespace *ns, uint32_t cell, uint32_t left, uint32_t *ret_other,
		     struct loader_dep *d) REQUIRES(loader_names)
{
	const struct record *r = ns->cells[cell];
	struct namespace_list users = ns->nodes[cell].users;

	if (nth_other(ns->users + users.first, users.n, cell, &left, ret_other)) {
		link_dep(ns, *ret_other, cell, d);
		return true;
	}
	for (uint32_t i = 0; i < r->n_provides; i++) {
		const struct namespace_interface *in =
			namespace_find_interface(ns, r->provides[i].interface);

		if (!is_first_provide(r, i) || !nth_other(ns->seekers + in->seekers.first,
							  in->seekers.n, cell, &left, ret_other))
			continue;
		iface_dep(ns, cell, r->provides[i].interface, d);
		return true;
	}
	return false;
}

int loader_dep_at(const char *name, bool reverse, uint32_t index, struct loader_dep *ret_dep)
{
	const struct namespace *ns = begin();
	uint32_t cell = namespace_find_cell(ns, slice_of(name)), other;
	struct loader_dep d;

	if (cell == NAMESPACE_NONE || !(reverse ? nth_user(ns, cell, index, &other, &d)
						: nth_dep(ns, cell, index, &other, &d)))
		return end(-ENOENT);
	*ret_dep = d;
	memcpy(ret_dep->cell, ns->cells[other]->name, sizeof(ret_dep->cell));
	return end(0);
}

/* ---- interfaces ---- */

static struct iface handle_of(const struct record_provide *p)
{
	return (struct iface){p->slot, slot_read(p->slot).generation};
}

int iface_at(const char *interface, uint32_t index, char ret_name[CELL_NAME_MAX],
	     struct iface *ret_handle)
{
	const struct namespace *ns = begin();
	const struct namespace_interface *i = namespace_find_interface(ns, interface);
	const struct record_provide *p;

	if (!i || index >= i->tables.n)
		return end(-ENOENT);
	p = namespace_provide(ns, ns->tables[i->tables.first + index]);
	copy_name(ret_name, CELL_NAME_MAX, p->name);
	*ret_handle = handle_of(p);
	return end(0);
}

int iface_find(const char *interface, const char *name, struct iface *ret_handle)
{
	uint32_t hash = index_hash_pair(index_hash(slice_of(interface)), slice_of(name));
	const struct namespace *ns = begin();
	uint32_t number = namespace_find_provide(ns, interface, name, hash);

	if (number == NAMESPACE_NONE)
		return end(-ENOENT);
	*ret_handle = handle_of(namespace_provide(ns, number));
	return end(0);
}

/* ---- addresses ---- */

static void fill_location(const struct record *r, uint32_t at, struct loader_location *l)
{
	uint32_t low = 0, high = r->n_functions;

	memcpy(l->cell, r->name, sizeof(l->cell));
	l->function[0] = '\0';
	l->offset = at - r->regions[LINK_TEXT].at;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (r->functions[mid].at <= at)
			low = mid + 1;
		else
			high = mid;
	}
	/* of several that start at the same place, the one with a size */
	while (low > 0 && at - r->functions[low - 1].at >= r->functions[low - 1].bytes && low > 1 &&
	       r->functions[low - 2].at == r->functions[low - 1].at)
		low--;
	if (low == 0 || at - r->functions[low - 1].at > r->functions[low - 1].bytes)
		return;
	copy_name(l->function, sizeof(l->function), r->functions[low - 1].name);
	l->offset = at - r->functions[low - 1].at;
}

static bool locate_stub(const struct namespace *ns, uint32_t at, struct loader_location *l)
{
	const struct record *r;
	uint32_t start, slot, cell;

	if (!ns || !stub_locate(at, &start, &slot))
		return false;
	cell = namespace_find_self(ns, slot_read(slot).cell);
	r = cell == NAMESPACE_NONE ? NULL : ns->cells[cell];
	for (uint32_t i = 0; r && i < r->n_exports; i++) {
		const struct record_export *e = &r->exports[i];

		if (!e->blocking || e->stub_at != start)
			continue;
		memcpy(l->cell, r->name, sizeof(l->cell));
		(void)report_format(l->function, sizeof(l->function), "%s (stub)", e->name);
		l->offset = at - start;
		return true;
	}
	return false;
}

/* Cell of @ns whose @region covers @at. */
static const struct record *locate(const struct namespace *ns, uint32_t at, enum link_region region)
{
	enum link_region found = LINK_REGIONS;
	const struct record *r = ns ? namespace_locate(ns, at, &found) : NULL;

	return found == region ? r : NULL;
}

int loader_locate(uint64_t addr, struct loader_location *ret_location)
{
	struct loader_state *s = loader_state();
	const struct namespace *ns;
	const struct record *r;
	struct loader_location l = {0};
	int result = -ENOENT;

	if (addr < GATE_CELL_WINDOW || addr >= GATE_CELL_WINDOW_END)
		return -ENOENT;
	reader_begin(s);
	ns = __atomic_load_n(&s->namespace, __ATOMIC_ACQUIRE);
	r = locate(ns, window_at(addr), LINK_TEXT);
	if (!r)
		r = locate(__atomic_load_n(&s->retiring, __ATOMIC_ACQUIRE), window_at(addr),
			   LINK_TEXT);
	if (!r)
		r = quarantine_locate(s, window_at(addr));
	if (r) {
		fill_location(r, window_at(addr), &l);
		result = 0;
	} else if (locate_stub(ns, window_at(addr), &l)) {
		result = 0;
	}
	reader_end(s);
	if (result == 0)
		*ret_location = l;
	return result;
}

/* How many bytes of @r's rodata follow from @at on. */
static size_t rodata_of(const struct record *r, uint32_t at)
{
	const struct record_region *rodata = &r->regions[LINK_RODATA];

	return at - rodata->at < rodata->bytes ? rodata->bytes - (at - rodata->at) : 0;
}

static size_t rodata_at(const struct namespace *ns, uint32_t at)
{
	const struct record *r = locate(ns, at, LINK_RODATA);

	return r ? rodata_of(r, at) : 0;
}

static size_t quarantined_rodata_at(const struct loader_state *s, uint32_t at)
{
	const struct loader_stage *stage = __atomic_load_n(&s->quarantine, __ATOMIC_ACQUIRE);
	size_t bytes = 0;

	for (; stage && bytes == 0; stage = __atomic_load_n(&stage->next, __ATOMIC_ACQUIRE)) {
		for (uint32_t i = 0; i < stage_n_obsolete(stage) && bytes == 0; i++) {
			if (stage_obsolete(stage, i))
				bytes = rodata_of(stage_obsolete(stage, i), at);
		}
	}
	return bytes;
}

size_t loader_rodata_at(uint64_t addr)
{
	struct loader_state *s = loader_state();
	size_t bytes;

	if (addr < GATE_CELL_WINDOW || addr >= GATE_CELL_WINDOW_END)
		return 0;
	reader_begin(s);
	bytes = rodata_at(__atomic_load_n(&s->namespace, __ATOMIC_ACQUIRE), window_at(addr));
	if (bytes == 0)
		bytes = rodata_at(__atomic_load_n(&s->retiring, __ATOMIC_ACQUIRE), window_at(addr));
	if (bytes == 0)
		bytes = quarantined_rodata_at(s, window_at(addr));
	reader_end(s);
	return bytes;
}

/* ---- boot marks ---- */

void loader_mark(const char *what, const char *cell)
{
	struct loader_state *s = loader_state();
	struct loader_mark *m;

	if (s->n_marks == LOADER_MARKS_MAX)
		return;
	m = &s->marks[s->n_marks++];
	(void)report_format(m->name, sizeof(m->name), "%s%s%s", what, *cell ? " " : "", cell);
	m->tsc = __builtin_ia32_rdtsc();
}

int loader_boot_mark_at(uint32_t index, char ret_name[LOADER_MARK_NAME], uint64_t *ret_tsc)
{
	struct loader_state *s = loader_state();

	if (index >= s->n_marks)
		return -ENOENT;
	memcpy(ret_name, s->marks[index].name, LOADER_MARK_NAME);
	*ret_tsc = s->marks[index].tsc;
	return 0;
}
