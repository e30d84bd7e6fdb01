/* SPDX-License-Identifier: MIT */
/* The state that every version of the greeter carries on: its type is its schema. */
#ifndef GREETER_INTERNAL_H
#define GREETER_INTERNAL_H

#include <theseus/types.h>

struct greeter_state {
	uint64_t calls;
};

#endif
