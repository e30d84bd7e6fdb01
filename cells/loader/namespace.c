/* SPDX-License-Identifier: MIT */
#include "namespace.h"

#include <theseus/errno.h>
#include <theseus/heap.h>

#include "state.h"

#define SPARE_MIN 32768u /* bytes: what is smaller, the heap gives from what it has */

void namespace_free(struct namespace *ns)
{
	struct loader_state *s = loader_state();

	if (ns && ns->bytes >= SPARE_MIN && (!s->spare || s->spare->bytes < ns->bytes)) {
		heap_free(s->spare);
		s->spare = ns;
		return;
	}
	heap_free(ns);
}

static void namespace_drop(struct namespace **ns)
{
	namespace_free(*ns);
}

/* ---- room ---- */

struct counts {
	uint32_t exports, links, provides, consumes;
};

static struct counts count(struct record *const *cells, uint32_t n_cells)
{
	struct counts c = {0};

	for (uint32_t i = 0; i < n_cells; i++) {
		c.exports += cells[i]->n_exports;
		c.links += cells[i]->n_imports;
		c.provides += cells[i]->n_provides;
		c.consumes += cells[i]->n_consumes;
	}
	return c;
}

/* Memory that is cut in pieces; without any, only how much it would have to be is found. */
struct room {
	uint8_t *base;
	size_t used;
};

static void *cut(struct room *room, uint32_t n, size_t bytes)
{
	void *piece = room->base ? room->base + room->used : NULL;

	room->used += (n * bytes + 7) & ~(size_t)7;
	return piece;
}

static struct index cut_index(struct room *room, uint32_t n)
{
	uint32_t numbers = index_room(n);

	return (struct index){numbers, cut(room, numbers, sizeof(uint32_t))};
}

/* Bytes of a namespace with that much in it. With @base its tables lie there, behind itself. */
static size_t lay_out(struct namespace *ns, uint32_t n_cells, const struct counts *c, void *base)
{
	struct room room = {base, 0};

	(void)cut(&room, 1, sizeof(*ns));
	ns->cells = cut(&room, n_cells, sizeof(*ns->cells));
	ns->nodes = cut(&room, n_cells, sizeof(*ns->nodes));
	ns->exports = cut(&room, c->exports, sizeof(*ns->exports));
	ns->links = cut(&room, c->links, sizeof(*ns->links));
	ns->users = cut(&room, c->links, sizeof(*ns->users));
	ns->deps = cut(&room, c->links, sizeof(*ns->deps));
	ns->provides = cut(&room, c->provides, sizeof(*ns->provides));
	ns->tables = cut(&room, c->provides, sizeof(*ns->tables));
	ns->owners = cut(&room, c->provides, sizeof(*ns->owners));
	ns->interfaces = cut(&room, c->provides, sizeof(*ns->interfaces));
	ns->seekers = cut(&room, c->consumes, sizeof(*ns->seekers));
	ns->ranges = cut(&room, 2 * n_cells, sizeof(*ns->ranges));
	ns->other_ranges = cut(&room, 2 * n_cells, sizeof(*ns->ranges));
	ns->by_name = cut_index(&room, n_cells);
	ns->by_self = cut_index(&room, n_cells);
	ns->by_export = cut_index(&room, c->exports);
	ns->by_interface = cut_index(&room, c->provides);
	ns->by_provide = cut_index(&room, c->provides);
	return room.used;
}

/* The spare one if it fits and is no waste; else it goes. *@bytes becomes what there is. */
static struct namespace *alloc_bytes(size_t *bytes)
{
	struct namespace *spare = TAKE(loader_state()->spare);

	if (spare && spare->bytes >= *bytes && spare->bytes / 2 <= *bytes) {
		*bytes = spare->bytes;
		return spare;
	}
	heap_free(spare);
	*bytes += *bytes / 8; /* so that it will do for a few cells more */
	return heap_alloc(CELL_SELF, *bytes);
}

static struct namespace *alloc_namespace(struct record *const *cells, uint32_t n_cells)
{
	struct counts c = count(cells, n_cells);
	struct namespace sizes, *ns;
	size_t bytes = lay_out(&sizes, n_cells, &c, NULL);

	ns = alloc_bytes(&bytes);
	if (!ns)
		return NULL;
	memset(ns, 0, sizeof(*ns));
	ns->bytes = bytes;
	(void)lay_out(ns, n_cells, &c, ns);
	memset(ns->nodes, 0, n_cells * sizeof(*ns->nodes));
	index_init(&ns->by_name);
	index_init(&ns->by_self);
	index_init(&ns->by_export);
	index_init(&ns->by_interface);
	index_init(&ns->by_provide);
	return ns;
}

/* ---- exports and links ---- */

static void add_cells(struct namespace *ns, struct record *const *cells, uint32_t n_cells)
{
	for (uint32_t i = 0; i < n_cells; i++) {
		ns->cells[i] = cells[i];
		index_add(&ns->by_name, cells[i]->name_hash, i);
	}
	ns->n_cells = n_cells;
}

static void add_exports(struct namespace *ns, uint32_t cell, struct loader_report *report)
{
	const struct record *r = ns->cells[cell];

	ns->nodes[cell].first_export = ns->n_exports;
	for (uint32_t i = 0; i < r->n_exports; i++) {
		const char *name = r->exports[i].name;
		uint32_t hash = r->exports[i].hash, other = namespace_find_hashed(ns, name, hash);

		ns->exports[ns->n_exports] =
			(struct namespace_export){(uint16_t)cell, (uint16_t)i, hash};
		if (other == NAMESPACE_NONE)
			index_add(&ns->by_export, hash, ns->n_exports);
		else
			report_add(report, "duplicate-symbol", "%s: %s is exported by %s already",
				   r->name, name, ns->cells[ns->exports[other].cell]->name);
		ns->n_exports++;
	}
}

static void check_abi(const struct namespace *ns, const struct record *r,
		      const struct record_import *import, const struct namespace_export *e,
		      struct loader_report *report)
{
	const struct record *owner = ns->cells[e->cell];
	const struct record_export *export = &owner->exports[e->index];

	if (import->abi != export->abi)
		report_add(report, "abi-mismatch",
			   "%s: %s was built for another type [%lx]; %s of %s has %s [%lx]",
			   export->name, r->name, import->abi, export->name, owner->name,
			   export->signature, export->abi);
}

static void add_links(struct namespace *ns, uint32_t cell, struct loader_report *report)
{
	const struct record *r = ns->cells[cell];

	ns->nodes[cell].first_link = ns->n_links;
	ns->nodes[cell].n_links = r->n_imports;
	ns->nodes[cell].n_consumes = r->n_consumes;
	for (uint32_t i = 0; i < r->n_imports; i++) {
		const struct record_import *import = &r->imports[i];
		uint32_t number = namespace_find_hashed(ns, import->name, import->hash);

		ns->links[ns->n_links++] = number;
		if (number != NAMESPACE_NONE)
			check_abi(ns, r, import, &ns->exports[number], report);
		else if (!import->weak)
			report_add(report, "missing-symbol",
				   "%s: nobody exports %s, which it imports", r->name,
				   import->name);
	}
}

/* ---- who depends on whom ---- */

/* A list that was counted gets its place and is filled again. */
static void begin_list(struct namespace_list *list, uint32_t *next)
{
	list->first = *next;
	*next += list->n;
	list->n = 0;
}

static void add(struct namespace_list *list, uint32_t *values, uint32_t value)
{
	if (values)
		values[list->first + list->n] = value;
	list->n++;
}

/* Each cell among the users of those that it is linked to, once. @users NULL: counts. */
static void list_users(struct namespace *ns, uint32_t *users)
{
	for (uint32_t cell = 0; cell < ns->n_cells; cell++) {
		for (uint32_t i = 0; i < ns->nodes[cell].n_links; i++) {
			uint32_t number = namespace_bound(ns, cell, i);
			uint32_t owner = number == NAMESPACE_NONE ? cell : ns->exports[number].cell;
			struct namespace_cell *node = &ns->nodes[owner];

			if (owner == cell || node->seen == cell + 1)
				continue;
			node->seen = cell + 1;
			add(&node->users, users, cell);
			if (!users)
				ns->nodes[cell].deps.n++;
		}
	}
}

static void list_links(struct namespace *ns)
{
	uint32_t user = 0, dep = 0;

	list_users(ns, NULL);
	for (uint32_t i = 0; i < ns->n_cells; i++) {
		begin_list(&ns->nodes[i].users, &user);
		begin_list(&ns->nodes[i].deps, &dep);
		ns->nodes[i].seen = 0;
	}
	list_users(ns, ns->users);
	/* owner after owner: so they ascend in the lists of their users */
	for (uint32_t owner = 0; owner < ns->n_cells; owner++) {
		struct namespace_list users = ns->nodes[owner].users;

		for (uint32_t i = 0; i < users.n; i++)
			add(&ns->nodes[ns->users[users.first + i]].deps, ns->deps, owner);
	}
}

/* ---- interfaces ---- */

/* Number of the interface of @p, which is the next table. */
static uint32_t make_interface(struct namespace *ns, const struct record_provide *p)
{
	uint32_t n = namespace_interface_number(ns, p->interface, p->interface_hash);

	if (n != NAMESPACE_NONE)
		return n;
	n = ns->n_interfaces++;
	ns->interfaces[n] = (struct namespace_interface){.first = ns->n_provides};
	index_add(&ns->by_interface, p->interface_hash, n);
	return n;
}

/* Of a cell that comes to an interface several times in a row: whether this is the first. */
static bool is_first(struct namespace_interface *i, uint32_t cell)
{
	bool first = i->seen != cell + 1;

	i->seen = cell + 1;
	return first;
}

/* An interface has one type for all who provide it. */
static void add_provides(struct namespace *ns, uint32_t cell, struct loader_report *report)
{
	const struct record *r = ns->cells[cell];

	for (uint32_t n = 0; n < r->n_provides; n++) {
		const struct record_provide *p = &r->provides[n], *first;
		uint32_t number = make_interface(ns, p);
		struct namespace_interface *i = &ns->interfaces[number];

		ns->provides[ns->n_provides] =
			(struct namespace_provide){(uint16_t)cell, (uint16_t)n, number};
		i->tables.n++;
		i->owners.n += is_first(i, cell);
		if (namespace_find_provide(ns, p->interface, p->name, p->hash) == NAMESPACE_NONE)
			index_add(&ns->by_provide, p->hash, ns->n_provides);
		first = namespace_provide(ns, i->first);
		if (first->abi != p->abi)
			report_add(report, "abi-mismatch",
				   "%s: %s has struct %s as [%lx], %s has it as [%lx]",
				   p->interface, r->name, p->interface, p->abi,
				   ns->cells[ns->provides[i->first].cell]->name, first->abi);
		ns->n_provides++;
	}
}

/* Each cell among the seekers of what it looks up, once. @seekers NULL: counts. */
static void list_seekers(struct namespace *ns, uint32_t *seekers)
{
	for (uint32_t cell = 0; cell < ns->n_cells; cell++) {
		for (uint32_t n = 0; n < ns->nodes[cell].n_consumes; n++) {
			const char *name = ns->cells[cell]->consumes[n];
			uint32_t i =
				namespace_interface_number(ns, name, index_hash(slice_of(name)));

			if (i != NAMESPACE_NONE && is_first(&ns->interfaces[i], cell))
				add(&ns->interfaces[i].seekers, seekers, cell);
		}
	}
}

static void forget_seen(struct namespace *ns)
{
	for (uint32_t i = 0; i < ns->n_interfaces; i++)
		ns->interfaces[i].seen = 0;
}

static void list_interfaces(struct namespace *ns)
{
	uint32_t table = 0, owner = 0, seeker = 0;

	forget_seen(ns);
	list_seekers(ns, NULL);
	for (uint32_t i = 0; i < ns->n_interfaces; i++) {
		begin_list(&ns->interfaces[i].tables, &table);
		begin_list(&ns->interfaces[i].owners, &owner);
		begin_list(&ns->interfaces[i].seekers, &seeker);
	}
	forget_seen(ns);
	list_seekers(ns, ns->seekers);
	forget_seen(ns);
	for (uint32_t n = 0; n < ns->n_provides; n++) {
		struct namespace_interface *i = &ns->interfaces[ns->provides[n].interface];

		add(&i->tables, ns->tables, n);
		if (is_first(i, ns->provides[n].cell))
			add(&i->owners, ns->owners, ns->provides[n].cell);
	}
}

/* Cells of @list that @cell has not been counted for yet. */
static uint32_t count_new(struct namespace *ns, const uint32_t *values, struct namespace_list list,
			  uint32_t cell)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < list.n; i++) {
		struct namespace_cell *user = &ns->nodes[values[list.first + i]];

		n += user->seen != cell + 1;
		user->seen = cell + 1;
	}
	return n;
}

static void count_refs(struct namespace *ns)
{
	for (uint32_t i = 0; i < ns->n_cells; i++)
		ns->nodes[i].seen = 0;
	for (uint32_t n = 0, cell = 0; cell < ns->n_cells; cell++) {
		struct namespace_cell *node = &ns->nodes[cell];

		node->seen = cell + 1; /* itself does not count */
		node->refs = count_new(ns, ns->users, node->users, cell);
		for (; n < ns->n_provides && ns->provides[n].cell == cell; n++)
			node->refs +=
				count_new(ns, ns->seekers,
					  ns->interfaces[ns->provides[n].interface].seekers, cell);
	}
}

/* ---- the whole ---- */

int namespace_create(struct record *const *cells, uint32_t n_cells, uint64_t generation,
		     struct namespace **ret_ns, struct loader_report *report)
{
	struct namespace *ns OWNED(namespace_drop) = NULL;
	uint32_t reasons = report->n_reasons;

	if (n_cells > LOADER_CELLS_MAX) {
		report_add(report, "too-many-cells", "%u cells; %u are allowed", n_cells,
			   LOADER_CELLS_MAX);
		return -EPERM;
	}
	ns = alloc_namespace(cells, n_cells);
	if (!ns)
		return -ENOMEM;
	ns->generation = generation;
	add_cells(ns, cells, n_cells);
	for (uint32_t i = 0; i < n_cells; i++)
		add_exports(ns, i, report);
	for (uint32_t i = 0; i < n_cells; i++)
		add_links(ns, i, report);
	for (uint32_t i = 0; i < n_cells; i++)
		add_provides(ns, i, report);
	if (report->n_reasons != reasons)
		return -EPERM;
	list_links(ns);
	list_interfaces(ns);
	count_refs(ns);
	*ret_ns = TAKE(ns);
	return 0;
}

static void add_range(struct namespace *ns, uint32_t cell, enum link_region region)
{
	const struct record_region *r = &ns->cells[cell]->regions[region];

	if (r->bytes)
		ns->ranges[ns->n_ranges++] = (struct namespace_range){
			r->at, r->at + r->bytes, (uint16_t)cell, (uint16_t)region};
}

/* Merges what is sorted, from pairs on. */
static void sort_ranges(struct namespace *ns)
{
	uint32_t n = ns->n_ranges;

	for (uint32_t half = 1; half < n; half *= 2) {
		struct namespace_range *from = ns->ranges, *to = ns->other_ranges;

		for (uint32_t at = 0; at < n; at += 2 * half) {
			uint32_t a = at, middle = at + half < n ? at + half : n, b = middle;
			uint32_t end = n - at > 2 * half ? at + 2 * half : n;

			for (uint32_t i = at; i < end; i++) {
				bool first =
					b == end || (a < middle && from[a].start < from[b].start);

				to[i] = first ? from[a++] : from[b++];
			}
		}
		ns->ranges = to;
		ns->other_ranges = from;
	}
}

void namespace_settle(struct namespace *ns)
{
	ns->n_ranges = 0;
	for (uint32_t i = 0; i < ns->n_cells; i++) {
		add_range(ns, i, LINK_TEXT);
		add_range(ns, i, LINK_RODATA);
		index_add(&ns->by_self, index_hash_number(ns->cells[i]->self), i);
	}
	sort_ranges(ns);
}
