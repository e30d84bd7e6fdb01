/* SPDX-License-Identifier: MIT */
/*
 * Keeps a count. This header is the contract that every version keeps: a function whose type
 * changes is refused by name when the new version is swapped in.
 * Context: any task, on any CPU at once; never blocks.
 */
#ifndef THESEUS_TALLY_H
#define THESEUS_TALLY_H

#include <theseus/types.h>

/* Adds @n. Result: the count, @n included, over all versions that carried the state on. */
uint64_t tally_add(uint64_t n);

#endif
