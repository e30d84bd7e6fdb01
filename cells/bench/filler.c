/* SPDX-License-Identifier: MIT */
/* A cell that does nothing: `theseusctl bench` loads it many times, under names of its own. */
#include <theseus/cell.h>

CELL_INFO(.name = "bench_filler", .version = "1.0.0", .summary = "one of many cells",
	  .safety = CELL_SAFE);
