/* SPDX-License-Identifier: MIT */
/* Kinds of address and the words of ownership: mixing kinds does not compile. */
#ifndef THESEUS_TYPES_H
#define THESEUS_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE 4096u
#define PAGE_SHIFT 12

typedef struct {
	uint64_t v;
} paddr_t; /* physical address, bytes */

typedef struct {
	uint64_t v;
} vaddr_t; /* virtual address, bytes */

/* A run of physical frames: `count` frames from `start`. {0, 0} is none. */
struct frame_run {
	paddr_t start; /* page-aligned */
	uint64_t count;
};

/*
 * A local variable that owns what it holds: dropped at the end of its scope unless taken.
 * `drop` gets a pointer to the variable and accepts an empty one. Always initialise it.
 */
#define OWNED(drop) __attribute__((cleanup(drop), unused)) /* its drop is use enough */

/* Moves ownership out of a variable: its value, and the variable is zeroed. */
#define TAKE(var)                                       \
	__extension__({                                 \
		__typeof__(var) *take_p_ = &(var);      \
		__typeof__(var) take_v_ = *take_p_;     \
		*take_p_ = (__typeof__(var)){0};        \
		take_v_;                                \
	})

/*
 * Last member of every handle that somebody owns: nothing. Where ownership is analysed
 * (tests/mustnot/model) it is what the compilers' own tracking of memory follows.
 */
#ifndef OWNERSHIP_TOKEN
#define OWNERSHIP_TOKEN
#endif

#define MUST_USE __attribute__((warn_unused_result))

/*
 * Marks a function that is unsafe to call, whatever the caller knows: each mention of it
 * counts as an unsafe operation of that kind (gate, device, machine) for the cell that
 * mentions it. theseus-cellcheck reads the mark; GCC has no such attribute.
 */
#ifdef __clang__
#define CELL_UNSAFE_CALL(kind) __attribute__((annotate("theseus.unsafe:" #kind)))
#else
#define CELL_UNSAFE_CALL(kind)
#endif

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Makes the compiler leave in what was computed for *@p: measurements look at nothing. */
static inline void compiler_keep(const void *p)
{
	__asm__ volatile("" : : "r"(p) : "memory");
}

#endif
