/* SPDX-License-Identifier: MIT */
#include "../sched/levels-cell.h"

CELL_INFO(.name = "sched_rr", .version = "1.0.0", .summary = "round-robin scheduler",
	  .safety = CELL_SAFE);

CELL_PROVIDE(sched_ops, rr) = LEVELS_OPS;
