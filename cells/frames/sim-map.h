/* SPDX-License-Identifier: MIT */
/*
 * Included before everything else in sources that a unit test builds for the host: moves the
 * guest's addresses to where a process, with AddressSanitizer too, has nothing, and gives
 * states a section that sim_boot() can clear.
 */
#ifndef FRAMES_SIM_MAP_H
#define FRAMES_SIM_MAP_H

#include <theseus/cell.h>

/* Where iface_ops() looks all the same: a test that needs slots maps memory there. */
static const uint64_t sim_iface_table __attribute__((unused)) = IFACE_TABLE;

#undef GATE_CELL_WINDOW
#undef GATE_CELL_WINDOW_END
#undef GATE_DYNAMIC
#undef GATE_DYNAMIC_END
#undef IFACE_TABLE
#undef CELL_STATE

#define GATE_CELL_WINDOW 0x300000000000ull
#define GATE_CELL_WINDOW_END 0x300080000000ull
#define IFACE_TABLE 0x30007ff00000ull
#define GATE_DYNAMIC 0x310000000000ull
#define GATE_DYNAMIC_END 0x320000000000ull
#define CELL_STATE(type, var)                                                                      \
	static type var __attribute__((section("theseus_state"), used, aligned(64)))

#endif
