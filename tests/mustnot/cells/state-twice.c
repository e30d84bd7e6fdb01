/* SPDX-License-Identifier: MIT */
/*
 * what: two states in one cell
 * gcc: redefinition|conflicting types
 * clang: redefinition
 */
#include <theseus/cell.h>

struct a {
	int n;
};
struct b {
	int n;
};
CELL_STATE(struct a, state);
#ifdef WRONG
CELL_STATE(struct b, state);
#endif
int f(void);
int f(void)
{
	return state.n;
}
