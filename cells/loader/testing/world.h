/* SPDX-License-Identifier: MIT */
/*
 * For tests: two small cells that use one another, in several editions.
 *
 * `base` exports base_add, base_wait (blocking) and has state; it provides cell_ops and
 * number_ops "base". `user` uses base_add by call, GOT entry and pointer in rodata, calls
 * base_wait, and provides number_ops "user".
 */
#ifndef LOADER_TESTING_WORLD_H
#define LOADER_TESTING_WORLD_H

#include "build.h"

/* All zero: the cells as they are at first. */
struct edition {
	const char *version;
	bool with_base, with_user, with_other; /* cells in the bundle */
	uint64_t add_abi;      /* of the export */
	uint64_t import_abi;   /* that user was built for */
	uint64_t schema;       /* of base's state; UINT64_MAX = no state */
	uint64_t number_abi;   /* of struct number_ops, as base has it */
	uint32_t state_bytes;
	bool without_add;      /* base does not export base_add */
	bool wait_plain;       /* base_wait is not blocking */
	bool without_number;   /* base does not provide number_ops */
	bool second_wait;      /* base exports another blocking function */
	bool other_exports_add;
	bool undeclared;       /* user does not name base_wait in its manifest */
	bool missing_import;   /* user imports what nobody exports */
	bool far_addend;       /* user refers to a place 4 GiB behind base_add */
	bool wrong_hash, wrong_size, no_member, no_symbol, two_symbols;
	bool restartable;      /* base's manifest allows a restart */
	bool seeks;            /* base looks number_ops up */
	uint32_t sdk_abi, grants;
	unsigned calls;        /* of base_add in user; 0 = 3 */
	unsigned shift;        /* bytes before base's functions */
	const char *obsolete;  /* a cell that leaves */
};

#define WORLD_STATE_BYTES 64u
#define WORLD_ADD_ABI 11u

struct blob world_bundle(const struct edition *e);

/*
 * A bundle of @n <= WORLD_CROWD_MAX cells, crowd_00000 and on from @first; with @gone of their
 * names, to leave. Each exports a function of its name, calls base_add, provides crowd_ops under
 * its name and looks up number_ops.
 */
#define WORLD_CROWD_MAX 64u
struct blob world_crowd(unsigned first, unsigned n, bool gone);

#endif
