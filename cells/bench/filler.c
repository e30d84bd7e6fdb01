/* SPDX-License-Identifier: MIT */
/*
 * One of many cells: `theseusctl bench` loads it under 10,000 names. Like any cell it exports,
 * imports and provides something; a name of the same length takes the place of its own throughout.
 */
#include <theseus/bench-filler.h>
#include <theseus/loader.h>

CELL_INFO(.name = "bench_filler_00000", .version = "1.0.0", .summary = "one of many cells",
	  .safety = CELL_SAFE);

uint64_t bench_filler_00000(uint64_t n)
{
	return n + loader_generation();
}
CELL_EXPORT(bench_filler_00000);

CELL_PROVIDE(bench_filler_ops, bench_filler_00000) = {.turn = bench_filler_00000};
