/* SPDX-License-Identifier: MIT */
/* The libc cell: pure functions without state. Each does what its standard header says. */
#include <theseus/libc.h>

#include <theseus/cell.h>
#include <theseus/trap.h>

CELL_INFO(.name = "libc", .version = "1.0.0", .safety = CELL_UNSAFE,
	  .unsafe_reason = "copies with rep movsb, and returns pointers without the const they "
			   "came with, as C has it",
	  .summary = "memory and string functions, formatting, number parsing, sorting");

CELL_EXPORT(memcpy);
CELL_EXPORT(memmove);
CELL_EXPORT(memset);
CELL_EXPORT(memcmp);
CELL_EXPORT(memchr);
CELL_EXPORT(strlen);
CELL_EXPORT(strnlen);
CELL_EXPORT(strcmp);
CELL_EXPORT(strncmp);
CELL_EXPORT(strchr);
CELL_EXPORT(strrchr);
CELL_EXPORT(strstr);
CELL_EXPORT(strspn);
CELL_EXPORT(strcspn);
CELL_EXPORT(strlcpy);
CELL_EXPORT(snprintf);
CELL_EXPORT(vsnprintf);
CELL_EXPORT(strtol);
CELL_EXPORT(strtoul);
CELL_EXPORT(strtoll);
CELL_EXPORT(strtoull);
CELL_EXPORT(qsort);
CELL_EXPORT(bsearch);
CELL_EXPORT(abort);
CELL_EXPORT(__assert_fail);
CELL_EXPORT(__stack_chk_fail);

void abort(void)
{
	TRAP("abort");
}

void __assert_fail(const char *condition, const char *file, unsigned line, const char *function)
{
	(void)function;
	trap_at(condition, file, line);
}

void __stack_chk_fail(void)
{
	TRAP("stack smashed");
}
