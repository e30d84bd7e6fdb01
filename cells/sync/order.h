/* SPDX-License-Identifier: MIT */
/*
 * The order in which classes of locks are taken, as a graph: an edge from A to B says that B
 * was taken while A was held. Deadlock is possible where it has a cycle. Pure and bounded;
 * order_class() is the caller's to lock, the others may run in parallel.
 */
#ifndef SYNC_ORDER_H
#define SYNC_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ORDER_CLASSES 256u /* 0 is none: what came when the table was full is not checked */
#define ORDER_PLACE_MAX 40u

struct order_class {
	uint64_t address;            /* of the one lock it consists of; 0: all of the place */
	char place[ORDER_PLACE_MAX]; /* where first taken: "folder/file.c:line"; NUL-terminated */
};

struct order_graph {
	uint32_t n; /* classes, with 0 */
	struct order_class classes[ORDER_CLASSES];
	uint64_t after[ORDER_CLASSES][ORDER_CLASSES / 64];
};

/* The last two parts of a path: what of a place is shown. */
const char *order_place(const char *path);

/*
 * The class of the lock at @address (0: of all that were first taken at @place), new if need
 * be. Of @place order_place() is kept, cut to what fits. Result: 0 = the table is full.
 */
uint32_t order_class(struct order_graph *graph, uint64_t address, const char *place);

/* @later is taken while @earlier is held. False: somewhere it is the other way round. */
bool order_add(struct order_graph *graph, uint32_t earlier, uint32_t later);

#endif
