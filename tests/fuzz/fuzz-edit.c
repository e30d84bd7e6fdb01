/* SPDX-License-Identifier: MIT */
/*
 * The line editor: whatever is typed, the terminal shows the line as it is, and the editor
 * stays within its bounds.
 */
#include "terminal-fake.h"

#include "fuzz.h"

static void check(const struct editor *e)
{
	FUZZ_CHECK(e->at <= e->len && e->len < COMMAND_LINE_MAX);
	FUZZ_CHECK(e->back <= EDIT_HISTORY && e->back <= e->n_lines);
	for (uint32_t i = 0; i < e->len; i++)
		FUZZ_CHECK(e->line[i] >= ' ' && e->line[i] < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct editor *e = calloc(1, sizeof(*e));
	struct terminal t;
	struct command_io io;
	char echo[2 * COMMAND_LINE_MAX + 16];

	if (!e)
		return 0;
	terminal_init(&t);
	for (size_t i = 0; i < size; i++) {
		enum edit_result r;

		command_io_init(&io, echo, sizeof(echo));
		r = edit_byte(e, &io, (char)data[i]);
		FUZZ_CHECK(!io.truncated);
		if (r == EDIT_ENTER)
			FUZZ_CHECK(e->line[e->len] == '\0');
		if (r == EDIT_ENTER || r == EDIT_GIVEN_UP)
			edit_begin(e);
		FUZZ_CHECK(terminal_show(&t, echo, io.used) == 0);
		check(e);
		FUZZ_CHECK(terminal_agrees(&t, e));
	}
	free(e);
	return 0;
}
