/* SPDX-License-Identifier: MIT */
#include "end.h"

#include <stdio.h>

#include "theseus/platform.h"

static const struct {
	int code;
	enum end_status status;
	const char *text;
} codes[] = {
	{PLATFORM_EXIT_POWEROFF, STATUS_POWEROFF, "the guest powered off"},
	{PLATFORM_EXIT_RESET, STATUS_RESET, "the guest asked for a restart"},
	{PLATFORM_EXIT_GATE_CRASH, STATUS_GATE_CRASH,
	 "the gate crashed, or could not boot; its crash record is in the log"},
	{PLATFORM_EXIT_CELL_CRASH, STATUS_CELL_CRASH,
	 "the cells gave up; their crash record is in the log"},
	{PLATFORM_EXIT_TEST_OK, STATUS_TEST_OK, "a test guest passed"},
	{PLATFORM_EXIT_TEST_FAIL, STATUS_TEST_FAIL, "a test guest failed"},
};

static enum end_status describe_code(struct machine_end *end)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		if (codes[i].code != end->code)
			continue;
		(void)snprintf(end->text, sizeof(end->text), "%s", codes[i].text);
		return codes[i].status;
	}
	(void)snprintf(end->text, sizeof(end->text), "the guest ended with the unknown code 0x%02x",
		       (unsigned int)end->code);
	return STATUS_UNKNOWN_CODE;
}

enum end_status end_describe(struct machine_end *end)
{
	static const enum end_status by_kind[_END_MAX] = {
		[END_RESET] = STATUS_RESET,
		[END_TRIPLE_FAULT] = STATUS_TRIPLE_FAULT,
		[END_INTERNAL_ERROR] = STATUS_INTERNAL_ERROR,
		[END_CHILD_DIED] = STATUS_CHILD_DIED,
		[END_PANICKED] = STATUS_PANICKED,
		[END_FORCED] = STATUS_FORCED,
	};

	return end->kind == END_CODE ? describe_code(end) : by_kind[end->kind];
}
