/* SPDX-License-Identifier: MIT */
/*
 * libgcc_eh's unwinder with a look-up of its own: _Unwind_Find_FDE() asks the loader instead of
 * registered objects and dl_iterate_phdr(), so the half of the library that locks, sorts and
 * allocates is not even packed.
 */
#include <string.h>
#include <theseus/trap.h>
#include <theseus/unwind.h>
#include <unwind.h>

CELL_INFO(.name = "unwind", .version = "1.0.0",
	  .summary = "runs cleanups of stacks that do not return; backtraces (libgcc)",
	  .safety = CELL_UNSAFE,
	  .unsafe_reason = "contains libgcc's unwinder, which is foreign code");

CELL_EXPORT(_Unwind_Resume);
CELL_EXPORT(__gcc_personality_v0);
CELL_EXPORT(unwind_attach);
CELL_EXPORT(unwind_from);
CELL_EXPORT(unwind_force);
CELL_EXPORT(unwind_backtrace);
CELL_EXPORT(unwind_covers);
CELL_CONSUMES(unwind_tables_ops);

_Static_assert(sizeof(struct _Unwind_Exception) == sizeof(((struct unwind *)NULL)->exception) &&
		       offsetof(struct unwind, exception) % __alignof__(struct _Unwind_Exception) ==
			       0,
	       "psABI");
_Static_assert(offsetof(struct unwind_regs, rsp) == 128, "from.S");

struct unwind_state {
	struct unwind_tables_ops_h tables;
};
CELL_STATE(struct unwind_state, unwinder) = {.tables = {{0, 0}}};

void unwind_attach(struct unwind_tables_ops_h tables)
{
	unwinder.tables = tables;
}

/* ---- what libgcc_eh refers to ---- */

/* As libgcc has it. */
struct dwarf_eh_bases {
	void *tbase, *dbase, *func;
};
void unwind_barrier(void) __attribute__((visibility("hidden"))); /* from.S */
const void *_Unwind_Find_FDE(void *pc, struct dwarf_eh_bases *bases);
int pthread_once(uint32_t *once, void (*fn)(void));
void __pthread_key_create(void);
void abort(void);

const void *_Unwind_Find_FDE(void *pc, struct dwarf_eh_bases *bases)
{
	const struct unwind_tables_ops *ops = unwind_tables_ops_get(unwinder.tables);
	struct unwind_entry entry;

	if (!ops)
		return NULL;
	if (ops->find((uintptr_t)pc, &entry) < 0) {
		/* NULL would make libgcc look for a signal trampoline of Linux there */
		if (ops->find((uintptr_t)unwind_barrier, &entry) < 0)
			return NULL;
		entry.function = (uintptr_t)pc;
	}
	*bases = (struct dwarf_eh_bases){.func = (void *)(uintptr_t)entry.function};
	return entry.fde;
}

bool unwind_covers(uint64_t pc)
{
	const struct unwind_tables_ops *ops = unwind_tables_ops_get(unwinder.tables);
	struct unwind_entry entry;

	return ops && ops->find(pc, &entry) == 0;
}

/*
 * What it does once is to fill a table of constants: whoever comes while that is being done
 * does it too.
 */
int pthread_once(uint32_t *once, void (*fn)(void))
{
	if (!__atomic_load_n(once, __ATOMIC_ACQUIRE)) {
		fn();
		__atomic_store_n(once, 1, __ATOMIC_RELEASE);
	}
	return 0;
}

/* Never called: that it is there makes libgcc use pthread_once(). */
void __pthread_key_create(void)
{
}

void abort(void)
{
	TRAP("the unwinder cannot go on");
}

/* ---- forced unwinding ---- */

static _Unwind_Reason_Code stop(int version, _Unwind_Action actions, _Unwind_Exception_Class class,
				struct _Unwind_Exception *exception,
				struct _Unwind_Context *context, void *arg)
{
	struct unwind *unwind = arg;

	(void)version;
	(void)class;
	(void)exception;
	unwind->frame(unwind, _Unwind_GetCFA(context), actions & _UA_END_OF_STACK);
	return _URC_NO_REASON;
}

void unwind_force(struct unwind *unwind)
{
	struct _Unwind_Exception *exception = (struct _Unwind_Exception *)(void *)unwind->exception;

	memset(exception, 0, sizeof(*exception));
	(void)_Unwind_ForcedUnwind(exception, stop, unwind);
}

/* ---- backtraces ---- */

struct trace {
	uint64_t start, end; /* of the stack */
	uint64_t sp;         /* of the last frame */
	uint64_t *pcs;
	unsigned n, max, skip;
};

static _Unwind_Reason_Code note(struct _Unwind_Context *context, void *arg)
{
	struct trace *t = arg;
	uint64_t sp = _Unwind_GetCFA(context), pc = _Unwind_GetIP(context);

	if (t->skip > 0) {
		t->skip--;
		return _URC_NO_REASON;
	}
	if (pc == 0 || sp < t->start || sp >= t->end || sp % 8 || (t->n > 0 && sp <= t->sp) ||
	    t->n == t->max)
		return _URC_END_OF_STACK;
	t->sp = sp;
	t->pcs[t->n++] = pc;
	return _URC_NO_REASON;
}

/* A frame of its own, which `skip` counts: no inlining and no tail call. */
static __attribute__((noinline)) void walk(void *arg)
{
	(void)_Unwind_Backtrace(note, arg);
	__asm__ volatile("");
}

unsigned unwind_backtrace(const struct unwind_regs *from, uint64_t stack_start, uint64_t stack_end,
			  uint64_t *ret_pcs, unsigned max)
{
	struct trace t = {.start = stack_start, .end = stack_end, .pcs = ret_pcs, .max = max};

	t.skip = 2; /* walk(), and unwind_from() or this function */
	if (from)
		unwind_from(from, walk, &t);
	else
		walk(&t);
	return t.n;
}
