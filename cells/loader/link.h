/* SPDX-License-Identifier: MIT */
/*
 * From an object to bytes in three regions: layout, copy, relocation. Pure functions over
 * buffers of the caller; the seed, the loader and unit tests bring memory and names.
 *
 * Regions: text; rodata (constants, `.data.rel.ro*`, `DW.ref.*`, unwind tables, and the
 * cell's own GOT at the end); state (every other writable section). A region's address and
 * the place where its bytes are written may differ.
 */
#ifndef THESEUS_LOADER_LINK_H
#define THESEUS_LOADER_LINK_H

#include "object.h"

enum link_region {
	LINK_TEXT = 0,
	LINK_RODATA = 1,
	LINK_STATE = 2,
	LINK_REGIONS = 3, /* also: "in none" */
};

#define LINK_REGION_MAX (16u << 20) /* bytes */
#define LINK_NO_GOT 0u
#define LINK_PAGES(bytes) (((uint64_t)(bytes) + 4095) & ~(uint64_t)4095)

/* Where everything of an object goes. The arrays are the caller's, see layout_create(). */
struct link_layout {
	uint64_t bytes[LINK_REGIONS];
	uint64_t got; /* offset of the GOT in rodata */
	uint32_t n_got;
	uint32_t weak_trap; /* offset + 1 in text of the trap for calls to absent weak symbols; 0 =
			       none */
	struct link_place {
		uint32_t region; /* enum link_region */
		uint32_t offset;
	} * places;          /* one a section */
	uint32_t *got_index; /* one a symbol: index + 1 into the GOT, or LINK_NO_GOT */
};

struct link_memory {
	uint64_t addr;  /* where the region will be seen */
	uint8_t *bytes; /* where it is written: layout.bytes[region] rounded up to pages;
			   NULL = it is not: state that is carried over */
};

/* One relocation that refers to a symbol of another cell: what a swap of that cell patches. */
struct link_site {
	uint64_t addr; /* of the bytes that hold the value */
	int64_t addend;
	uint32_t type;    /* R_X86_64_64, PC32 or PC64; GOT entries are _64 */
	uint32_t section; /* index in the object; 0 = the GOT */
	uint32_t symbol;  /* index in the object */
};

struct link_names {
	/*
	 * For what is linked already: the bytes are compared with what would be written, and
	 * a difference is an error.
	 */
	bool verify;
	/*
	 * Address of the undefined symbol @index, called @name. Result: 0; -ENOENT when there is
	 * none (an error that is reported here, unless the symbol is weak), other -errno when the
	 * callback has reported the error itself.
	 */
	int (*resolve)(void *ctx, uint32_t index, struct slice name, uint64_t *ret_addr);
	/* Called for each relocation against an undefined symbol that resolve() found. May be NULL.
	 */
	int (*site)(void *ctx, const struct link_site *site);
	void *ctx;
};

/* Bytes that layout_create() needs for its arrays, aligned to 8. */
size_t layout_arena_bytes(const struct object *o);

/* @arena lives as long as the layout. Result: 0, -EINVAL with a reason. */
int layout_create(const struct object *o, void *arena, struct link_layout *ret_layout,
		  struct loader_report *report);

/* Copies sections; fills the rest of text's pages with int3, everything else with zeros. */
void link_copy(const struct object *o, const struct link_layout *l,
	       const struct link_memory memory[LINK_REGIONS]);

/*
 * Applies all relocations to copied bytes, or verifies them. All reasons are reported.
 * Result: 0, -EINVAL, or what a callback returned.
 */
int link_relocate(const struct object *o, const struct link_layout *l,
		  const struct link_memory memory[LINK_REGIONS], const struct link_names *names,
		  struct loader_report *report);

/*
 * Region and offset in it of a symbol defined in an allocated section.
 * Result: 0, -ENOENT (defined elsewhere).
 */
int layout_symbol(const struct link_layout *l, const struct object *o, const struct elf64_sym *s,
		  enum link_region *ret_region, uint64_t *ret_offset);

/* The value that a site gets when its symbol is at @target: 8 bytes for _64 and PC64, else 4. */
uint64_t link_site_value(uint32_t type, int64_t addend, uint64_t addr, uint64_t target);
bool link_site_is_wide(uint32_t type);
/* Whether the value fits the site. */
bool link_site_reaches(uint32_t type, uint64_t value);

/* "R_X86_64_32S", or "type 99" in @buf. */
const char *relocation_name(uint32_t type, char buf[24]);

#endif
