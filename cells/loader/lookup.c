/* SPDX-License-Identifier: MIT */
#include "namespace.h"

uint32_t namespace_find_hashed(const struct namespace *ns, const char *name, uint32_t hash)
{
	uint32_t at = hash, n;

	while ((n = index_next(&ns->by_export, &at)) != INDEX_NONE) {
		if (ns->exports[n].hash == hash && strcmp(namespace_export(ns, n)->name, name) == 0)
			return n;
	}
	return NAMESPACE_NONE;
}

uint32_t namespace_find(const struct namespace *ns, struct slice name)
{
	uint32_t hash = index_hash(name), at = hash, n;

	while ((n = index_next(&ns->by_export, &at)) != INDEX_NONE) {
		if (ns->exports[n].hash == hash && slice_is(name, namespace_export(ns, n)->name))
			return n;
	}
	return NAMESPACE_NONE;
}

uint32_t namespace_find_cell(const struct namespace *ns, struct slice name)
{
	uint32_t at = index_hash(name), n;

	while ((n = index_next(&ns->by_name, &at)) != INDEX_NONE) {
		if (slice_is(name, ns->cells[n]->name))
			return n;
	}
	return NAMESPACE_NONE;
}

uint32_t namespace_index_of(const struct namespace *ns, const struct record *r)
{
	uint32_t at = r->name_hash, n;

	while ((n = index_next(&ns->by_name, &at)) != INDEX_NONE) {
		if (ns->cells[n] == r)
			return n;
	}
	return NAMESPACE_NONE;
}

uint32_t namespace_find_self(const struct namespace *ns, uint32_t self)
{
	uint32_t at = index_hash_number(self), n;

	while ((n = index_next(&ns->by_self, &at)) != INDEX_NONE) {
		if (ns->cells[n]->self == self)
			return n;
	}
	return NAMESPACE_NONE;
}

uint32_t namespace_interface_number(const struct namespace *ns, const char *name, uint32_t hash)
{
	uint32_t at = hash, n;

	while ((n = index_next(&ns->by_interface, &at)) != INDEX_NONE) {
		const struct record_provide *p = namespace_provide(ns, ns->interfaces[n].first);

		if (p->interface_hash == hash && strcmp(p->interface, name) == 0)
			return n;
	}
	return NAMESPACE_NONE;
}

const struct namespace_interface *namespace_find_interface(const struct namespace *ns,
							   const char *name)
{
	uint32_t n = namespace_interface_number(ns, name, index_hash(slice_of(name)));

	return n == NAMESPACE_NONE ? NULL : &ns->interfaces[n];
}

uint32_t namespace_find_provide(const struct namespace *ns, const char *interface, const char *name,
				uint32_t hash)
{
	uint32_t at = hash, n;

	while ((n = index_next(&ns->by_provide, &at)) != INDEX_NONE) {
		const struct record_provide *p = namespace_provide(ns, n);

		if (p->hash == hash && strcmp(p->name, name) == 0 &&
		    strcmp(p->interface, interface) == 0)
			return n;
	}
	return NAMESPACE_NONE;
}

const struct record *namespace_locate(const struct namespace *ns, uint32_t at,
				      enum link_region *ret_region)
{
	uint32_t low = 0, high = ns->n_ranges;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (ns->ranges[mid].end <= at)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == ns->n_ranges || ns->ranges[low].start > at)
		return NULL;
	*ret_region = (enum link_region)ns->ranges[low].region;
	return ns->cells[ns->ranges[low].cell];
}

void namespace_dependents(const struct namespace *ns, uint32_t index, bool *depends)
{
	const struct record *r = ns->cells[index];
	struct namespace_list users = ns->nodes[index].users;

	for (uint32_t i = 0; i < users.n; i++)
		depends[ns->users[users.first + i]] = true;
	for (uint32_t i = 0; i < r->n_provides; i++) {
		struct namespace_list seekers =
			namespace_find_interface(ns, r->provides[i].interface)->seekers;

		for (uint32_t j = 0; j < seekers.n; j++)
			depends[ns->seekers[seekers.first + j]] = true;
	}
	depends[index] = false;
}

bool namespace_mark_deps(const struct namespace *ns, uint32_t index, bool *marks)
{
	struct namespace_list deps = ns->nodes[index].deps;
	bool any = false;

	for (uint32_t i = 0; i < deps.n; i++) {
		bool *mark = &marks[ns->deps[deps.first + i]];

		any |= !*mark;
		*mark = true;
	}
	return any;
}
