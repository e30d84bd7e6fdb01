/* SPDX-License-Identifier: MIT */
/*
 * what: a function's address where an interrupt handler is asked for
 * gcc: incompatible type
 * clang: passing .* to parameter of incompatible type
 */
#include <theseus/upcall.h>

void handle(unsigned vector);
int f(struct irq_ops_h handler, unsigned *ret);
int f(struct irq_ops_h handler, unsigned *ret)
{
#ifdef WRONG
	(void)handler;
	return irq_attach(handle, ret);
#else
	return irq_attach(handler, ret);
#endif
}
