/* SPDX-License-Identifier: MIT */
/*
 * How a C file says that it is a cell. The macros leave notes in sections `.theseus.*`,
 * which the packer turns into the bundle's manifest and strips from the object.
 *
 * A cell has exactly one CELL_INFO, at most one CELL_STATE, and no other mutable static
 * data: the packer refuses the rest, because a swap can carry only what it can see.
 */
#ifndef THESEUS_CELL_H
#define THESEUS_CELL_H

#include <theseus/errno.h>
#include <theseus/gate.h>
#include <theseus/types.h>

#define SDK_ABI 2u
#define CELL_NAME_MAX 32u   /* bytes, NUL included; also interface and provider names */
#define CELL_SYMBOL_MAX 64u /* bytes, NUL included */

enum cell_safety {
	CELL_SAFE = 1,   /* contains no unsafe operation */
	CELL_UNSAFE = 2, /* inline asm, integer-to-pointer casts, device memory or gate calls */
};

enum cell_quiescence {
	CELL_QUIESCE_ANY = 0,  /* may be replaced while tasks are preempted inside */
	CELL_QUIESCE_IDLE = 1, /* only while no task is inside */
};

/*
 * May the cell be given fresh state while the system runs (swap_restart())? ALWAYS: init
 * finds again what the cell must know, nobody holds addresses of its state, and its interface
 * tables may be called before init is done. For cells that run no service and were not linked
 * by the seed.
 */
enum cell_restart {
	CELL_RESTART_NEVER = 0,
	CELL_RESTART_ALWAYS = 1,
};

struct cell_info {
	uint32_t sdk_abi;
	uint32_t grants; /* GATE_GRANT_* that the text needs */
	uint8_t safety, quiescence, restart, reserved;
	char name[CELL_NAME_MAX];
	char version[16]; /* semantic version */
	char summary[100];
	char unsafe_reason[104]; /* what a CELL_UNSAFE cell needs its unsafe operations for */
};

#define CELL_NOTE(section_) __attribute__((section(section_), used, aligned(8)))

/* CELL_INFO(.name = "greeter", .version = "1.0.0", .summary = "…", .safety = CELL_SAFE) */
#define CELL_INFO(...)                                                        \
	static const struct cell_info cell_info_ CELL_NOTE(".theseus.info") = \
		{.sdk_abi = SDK_ABI, __VA_ARGS__}

struct cell_export_note {
	char name[CELL_SYMBOL_MAX];
	uint32_t flags;
	uint32_t reserved;
};
#define CELL_EXPORT_IS_BLOCKING 1u

/* Makes a function of the cell's public header visible to other cells. */
#define CELL_EXPORT(fn) CELL_EXPORT_FLAGS_(fn, 0)
/*
 * The same for a function that may wait. Callers reach it through a stub outside the cell
 * which keeps the arguments (at most six, all integer class): when it returns
 * -ERESTART_CELL the stub calls whatever code is current with the same arguments. It must
 * return a signed 64-bit or smaller integer.
 */
#define CELL_EXPORT_BLOCKING(fn) CELL_EXPORT_FLAGS_(fn, CELL_EXPORT_IS_BLOCKING)
#define CELL_EXPORT_FLAGS_(fn, flags_)                                          \
	static const struct cell_export_note cell_export_##fn##_ CELL_NOTE(     \
		".theseus.exports") = {.name = #fn, .flags = (flags_)};         \
	_Static_assert(sizeof(#fn) <= CELL_SYMBOL_MAX, "name too long")

/*
 * All mutable static data of the cell, as one object `var` of type `type`. It lies in a
 * region of its own that the loader owns and that outlives the code. Its initialiser may
 * hold no address. CELL_STATE(struct greeter_state, greeter) = { .calls = 0 };
 */
#define CELL_STATE(type, var) \
	static type var __attribute__((section(".theseus.state"), used, aligned(64)))

/* ---- interfaces: how one cell calls another through stored entries ---- */

/*
 * A slot is a loader-owned, read-only cell of memory that points to the operations table
 * now current; a swap repoints it. Data keeps the slot's handle, never a code address.
 */
struct iface_slot {
	const void *ops;     /* in the provider's rodata; NULL when the provider is gone */
	uint32_t generation; /* of this slot; a handle of another generation is stale */
	uint32_t cell;       /* id of the providing cell: struct cell_ref */
};

#define IFACE_TABLE 0x60007ff00000ull /* last MiB of the cell window; mapped as far as it is used */
#define IFACE_SLOTS 65536u            /* each cell has one, and one for each table it provides */
_Static_assert(IFACE_TABLE + IFACE_SLOTS * sizeof(struct iface_slot) == GATE_CELL_WINDOW_END, "map");

struct iface {
	uint32_t slot;
	uint32_t generation; /* 0 = no handle */
};

/*
 * The table behind a handle, or NULL when its provider left. The pointer is good until the
 * caller next blocks or returns: a swap unloads the old cell only after no stack or
 * register refers to it. Order matters: the table is read before the generation, so that a
 * swap in between yields the old, still mapped, table.
 */
static inline const void *iface_ops(struct iface h)
{
	const struct iface_slot *s;
	const void *ops;

	if (h.generation == 0 || h.slot >= IFACE_SLOTS)
		return NULL;
	s = (const struct iface_slot *)(uintptr_t)IFACE_TABLE + h.slot;
	ops = *(const void *const volatile *)&s->ops;
	if (*(const volatile uint32_t *)&s->generation != h.generation)
		return NULL;
	return ops;
}

/* A typed handle for tables of type `struct iface_`: struct NAME_h, NAME_get(h). */
#define IFACE_DEFINE(iface_)                                                      \
	struct iface_##_h {                                                       \
		struct iface h;                                                   \
	};                                                                        \
	static inline __attribute__((unused)) const struct iface_ *iface_##_get(  \
		struct iface_##_h h)                                              \
	{                                                                         \
		return iface_ops(h.h);                                            \
	}                                                                         \
	_Static_assert(sizeof(#iface_) <= CELL_NAME_MAX, "name too long")

struct cell_provide_note {
	char interface[CELL_NAME_MAX];
	char name[CELL_NAME_MAX];
	char symbol[CELL_SYMBOL_MAX];
};

/* CELL_PROVIDE(command_ops, greet) = { .run = greet_run, .help = "says hello" }; */
#define CELL_PROVIDE(iface_, name_)                                                      \
	extern const struct iface_slot __slot_##iface_##__##name_;                       \
	static const struct cell_provide_note cell_provide_##iface_##_##name_##_         \
		CELL_NOTE(".theseus.provides") = {                                       \
			.interface = #iface_,                                            \
			.name = #name_,                                                  \
			.symbol = "__provide_" #iface_ "__" #name_};                     \
	_Static_assert(sizeof("__provide_" #iface_ "__" #name_) <= CELL_SYMBOL_MAX,      \
		       "name too long");                                                 \
	extern const struct iface_ __provide_##iface_##__##name_;                        \
	const struct iface_ __provide_##iface_##__##name_                                \
		__attribute__((section(".data.rel.ro.provides"), used))

/* Handle of what this cell itself provides, e.g. for task_spawn or irq_attach. */
#define IFACE(iface_, name_)                                                       \
	((struct iface_##_h){                                                      \
		{(uint32_t)(&__slot_##iface_##__##name_ -                          \
			    (const struct iface_slot *)(uintptr_t)IFACE_TABLE),    \
		 __slot_##iface_##__##name_.generation}})

/* Says that this cell looks up providers of an interface: makes the dependency visible. */
#define CELL_CONSUMES(iface_)                                                     \
	static const struct cell_consume_note cell_consume_##iface_##_ CELL_NOTE( \
		".theseus.consumes") = {.interface = #iface_}
struct cell_consume_note {
	char interface[CELL_NAME_MAX];
};

/* What the gate found at boot: the machine and the command line. Read-only, there for ever. */
static inline const struct boot_record *boot_record(void)
{
	return (const struct boot_record *)(uintptr_t)GATE_BOOT_RECORD;
}

/*
 * Which cell this is: the index of its own slot. The same number before and after a swap,
 * so accounting and ownership follow the cell, not its code.
 */
struct cell_ref {
	uint32_t id; /* 0 = none */
};

/* The cell that provides what the handle names: {0} for no handle. */
static inline struct cell_ref iface_cell(struct iface h)
{
	const struct iface_slot *slots = (const struct iface_slot *)(uintptr_t)IFACE_TABLE;

	return (struct cell_ref){h.generation && h.slot < IFACE_SLOTS ? slots[h.slot].cell : 0};
}
extern const struct iface_slot __slot_cell_self;
#define CELL_SELF                                 \
	((struct cell_ref){(uint32_t)(            \
		&__slot_cell_self - (const struct iface_slot *)(uintptr_t)IFACE_TABLE)})

/* ---- life of a cell ---- */

struct seed_handoff;

/* What a cell's init may look at. Borrowed for the call. */
struct cell_boot {
	const struct boot_record *record;
	const struct seed_handoff *seed; /* for frames, mapped, heap and loader; NULL after boot */
};

/*
 * Every cell may provide one of these under its own name:
 * CELL_PROVIDE(cell_ops, heap) = { .init = heap_init };
 * init runs once when the cell enters the system with fresh state, never when a swap
 * carries its state over. -errno from init makes the load fail, and nothing stays.
 */
struct cell_ops {
	int (*init)(const struct cell_boot *boot);
	void (*fini)(void);
};
IFACE_DEFINE(cell_ops);

#endif
