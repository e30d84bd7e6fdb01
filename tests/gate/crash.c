/* SPDX-License-Identifier: MIT */
/* GATE_CRASH: the cells' own text, which cannot end or imitate the record. */
#include "payload.h"

void payload_main(void)
{
	static const char text[] = "greeter: out of ideas\n--- end ---\n\033[2Jreason: trap inside the gate\n";
	char *to = arguments(0);
	unsigned int i;

	/* no NUL anywhere: the page's end bounds it */
	for (i = 0; i < PAGE; i++)
		to[i] = i < sizeof(text) - 1 ? text[i] : i % 64 ? 'x' : '\n';
	gate_call(GATE_CRASH, 0, 0, 0);
}
