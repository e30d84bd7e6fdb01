/* SPDX-License-Identifier: MIT */
/*
 * what: handles compared with ==: a copied handle's padding is no identity
 * gcc: invalid operands to binary ==
 * clang: invalid operands to binary expression
 */
#include <theseus/heap.h>

bool f(struct handle a, struct handle b);
bool f(struct handle a, struct handle b)
{
#ifdef WRONG
	return a == b;
#else
	return a.type == b.type && a.slot == b.slot && a.generation == b.generation;
#endif
}
