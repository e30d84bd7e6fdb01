/* SPDX-License-Identifier: MIT */
#include "edit.h"

#include <string.h>

enum edit_escape {
	ESCAPE_NONE = 0,
	ESCAPE_BEGUN,  /* ESC */
	ESCAPE_CSI,    /* ESC [, perhaps with parameters */
	ESCAPE_SS3,    /* ESC O */
	ESCAPE_IGNORE, /* parameters after the first, up to the final byte */
};

#define ESCAPE_LEN_MAX 16u
#define CTRL(key) ((key)&0x1f)
#define KEY_ESCAPE 0x1b
#define KEY_DELETE 0x7f

/* ---- the terminal ---- */

static void back(struct command_io *io, uint32_t n)
{
	while (n-- > 0)
		command_write(io, "\b", 1);
}

static void blank(struct command_io *io, uint32_t n)
{
	while (n-- > 0)
		command_write(io, " ", 1);
}

/* The cursor stands at e->at; shows what is from there on, over @gone columns more. */
static void show_rest(const struct editor *e, struct command_io *io, uint32_t gone)
{
	command_write(io, e->line + e->at, e->len - e->at);
	blank(io, gone);
	back(io, e->len - e->at + gone);
}

static void move_to(struct editor *e, struct command_io *io, uint32_t at)
{
	if (at < e->at)
		back(io, e->at - at);
	else
		command_write(io, e->line + e->at, at - e->at);
	e->at = at;
}

/* ---- the line ---- */

void edit_begin(struct editor *e)
{
	e->len = 0;
	e->at = 0;
	e->back = 0;
	e->escape = ESCAPE_NONE;
}

static bool is_text(char c)
{
	return c >= ' ' && c < KEY_DELETE;
}

void edit_insert(struct editor *e, struct command_io *io, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!is_text(text[i]) || e->len == COMMAND_LINE_MAX - 1)
			continue;
		memmove(e->line + e->at + 1, e->line + e->at, e->len - e->at);
		e->line[e->at] = text[i];
		e->len++;
		command_write(io, &text[i], 1);
		e->at++;
		if (e->at < e->len)
			show_rest(e, io, 0);
	}
}

/* Takes out what is from @from to @to. */
static void erase(struct editor *e, struct command_io *io, uint32_t from, uint32_t to)
{
	if (from == to)
		return;
	move_to(e, io, from);
	memmove(e->line + from, e->line + to, e->len - to);
	e->len -= to - from;
	show_rest(e, io, to - from);
}

static uint32_t word_start(const struct editor *e)
{
	uint32_t at = e->at;

	while (at > 0 && e->line[at - 1] == ' ')
		at--;
	while (at > 0 && e->line[at - 1] != ' ')
		at--;
	return at;
}

static void replace(struct editor *e, struct command_io *io, const char *text)
{
	uint32_t was = e->len, len = (uint32_t)strnlen(text, COMMAND_LINE_MAX - 1);

	move_to(e, io, 0);
	memcpy(e->line, text, len);
	e->len = len;
	show_rest(e, io, was > len ? was - len : 0);
	move_to(e, io, len);
}

/* ---- history ---- */

static char *line_back(struct editor *e, uint32_t n)
{
	return e->lines[(e->n_lines - n) % EDIT_HISTORY];
}

static void remember(struct editor *e)
{
	e->line[e->len] = '\0';
	if (e->len == 0 || (e->n_lines > 0 && strcmp(line_back(e, 1), e->line) == 0))
		return;
	e->n_lines++;
	memcpy(line_back(e, 1), e->line, e->len + 1);
}

static void older(struct editor *e, struct command_io *io)
{
	if (e->back == EDIT_HISTORY || e->back == e->n_lines)
		return;
	if (e->back == 0) {
		e->line[e->len] = '\0';
		memcpy(e->typed, e->line, e->len + 1);
	}
	replace(e, io, line_back(e, ++e->back));
}

static void newer(struct editor *e, struct command_io *io)
{
	if (e->back == 0)
		return;
	e->back--;
	replace(e, io, e->back == 0 ? e->typed : line_back(e, e->back));
}

/* ---- keys ---- */

static void delete_at(struct editor *e, struct command_io *io)
{
	if (e->at < e->len)
		erase(e, io, e->at, e->at + 1);
}

/* The last byte of an escape sequence. */
static void escape_key(struct editor *e, struct command_io *io, char final)
{
	static const char by_number[] = {[1] = 'H', [3] = 'X', [4] = 'F', [7] = 'H', [8] = 'F'};

	if (final == '~')
		final = e->number < sizeof(by_number) ? by_number[e->number] : '\0';
	switch (final) {
	case 'A':
		older(e, io);
		break;
	case 'B':
		newer(e, io);
		break;
	case 'C':
		move_to(e, io, e->at < e->len ? e->at + 1 : e->at);
		break;
	case 'D':
		move_to(e, io, e->at > 0 ? e->at - 1 : 0);
		break;
	case 'H':
		move_to(e, io, 0);
		break;
	case 'F':
		move_to(e, io, e->len);
		break;
	case 'X':
		delete_at(e, io);
		break;
	default:
		break;
	}
}

/* A byte of an escape sequence, no control. */
static void escape_byte(struct editor *e, struct command_io *io, char c)
{
	if (e->escape == ESCAPE_BEGUN) {
		e->escape = c == '[' ? ESCAPE_CSI : c == 'O' ? ESCAPE_SS3 : ESCAPE_NONE;
		e->escape_len = 0;
		e->number = 0;
		return;
	}
	if (e->escape != ESCAPE_SS3 && c >= ' ' && c < '@' && e->escape_len++ < ESCAPE_LEN_MAX) {
		if (c < '0' || c > '9')
			e->escape = ESCAPE_IGNORE;
		else if (e->escape == ESCAPE_CSI)
			e->number = (uint8_t)(e->number < 20 ? e->number * 10 + (c - '0') : 255);
		return;
	}
	e->escape = ESCAPE_NONE;
	if (c >= '@' && c <= '~')
		escape_key(e, io, c);
}

static enum edit_result enter(struct editor *e, struct command_io *io)
{
	remember(e);
	command_write(io, "\n", 1);
	return EDIT_ENTER;
}

static enum edit_result control(struct editor *e, struct command_io *io, char c)
{
	switch (c) {
	case '\r':
	case '\n':
		return enter(e, io);
	case '\t':
		return EDIT_COMPLETE;
	case CTRL('C'):
		command_write(io, "\n", 1);
		return EDIT_GIVEN_UP;
	case '\b':
	case KEY_DELETE:
		if (e->at > 0)
			erase(e, io, e->at - 1, e->at);
		break;
	case CTRL('A'):
		move_to(e, io, 0);
		break;
	case CTRL('D'):
		command_write(io, "\x04", 1);
		break;
	case CTRL('E'):
		move_to(e, io, e->len);
		break;
	case CTRL('K'):
		erase(e, io, e->at, e->len);
		break;
	case CTRL('U'):
		erase(e, io, 0, e->at);
		break;
	case CTRL('W'):
		erase(e, io, word_start(e), e->at);
		break;
	case KEY_ESCAPE:
		e->escape = ESCAPE_BEGUN;
		break;
	default:
		break;
	}
	return EDIT_MORE;
}

enum edit_result edit_byte(struct editor *e, struct command_io *io, char byte)
{
	bool same_key = e->after_cr && byte == '\n';

	e->after_cr = byte == '\r';
	if (same_key)
		return EDIT_MORE;
	if ((byte >= 0 && byte < ' ') || byte == KEY_DELETE) {
		e->escape = ESCAPE_NONE;
		return control(e, io, byte);
	}
	if (e->escape != ESCAPE_NONE)
		escape_byte(e, io, byte);
	else
		edit_insert(e, io, &byte, 1);
	return EDIT_MORE;
}
