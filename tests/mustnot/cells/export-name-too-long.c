/* SPDX-License-Identifier: MIT */
/*
 * what: an exported name that the note would cut
 * gcc: name too long
 * clang: name too long
 */
#include <theseus/cell.h>

#ifdef WRONG
#define LONG(x) x##_and_many_more_words_than_any_reader_or_note_would_ever_take
#else
#define LONG(x) x
#endif
int LONG(export_me)(void);
int LONG(export_me)(void)
{
	return 0;
}
#define EXPORT(fn) CELL_EXPORT(fn)
EXPORT(LONG(export_me));
