/* SPDX-License-Identifier: MIT */
#include "../sched/levels-cell.h"

CELL_INFO(.name = "sched_priority", .version = "1.0.0", .summary = "scheduler by fixed priorities",
	  .safety = CELL_SAFE);

CELL_PROVIDE(sched_ops, priority) = LEVELS_OPS;
