/* SPDX-License-Identifier: MIT */
#ifndef THESEUS_BENCH_FILLER_H
#define THESEUS_BENCH_FILLER_H

#include <theseus/cell.h>

struct bench_filler_ops {
	uint64_t (*turn)(uint64_t n);
};
IFACE_DEFINE(bench_filler_ops);

/* @n plus the generation that runs. */
uint64_t bench_filler_00000(uint64_t n);

#endif
