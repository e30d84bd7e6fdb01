/* SPDX-License-Identifier: MIT */
/*
 * The queue of one CPU as a search tree by (deadline, order) that is at the same time a heap
 * by random ranks, so its depth is logarithmic whatever comes in which order. Each node knows
 * the least v and all affinities below it, which is what the two searches go by. Who gives way
 * goes behind all others and the first runs next: both ends are at hand, so that mostly no
 * search is needed. The caller locks.
 */
#ifndef SCHED_FAIR_TREE_H
#define SCHED_FAIR_TREE_H

#include "fair.h"

/* @slot is in no tree; its v, deadline, order and affinity stay as they are while it is in. */
void tree_insert(struct fair *f, struct fair_tree *t, uint32_t slot);
void tree_remove(struct fair *f, struct fair_tree *t, uint32_t slot);
/* The earliest deadline among those with v <= @limit. -ENOENT. */
int tree_first_eligible(struct fair *f, const struct fair_tree *t, int64_t limit);
/* The earliest deadline among those that may run on @cpu. -ENOENT. */
int tree_first_for(struct fair *f, const struct fair_tree *t, unsigned cpu);

#endif
