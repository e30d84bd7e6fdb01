/* SPDX-License-Identifier: MIT */
/* Lines of code: a lexer that knows comments, strings and character constants, C and asm. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rules.h"

enum lex { LEX_CODE, LEX_LINE_COMMENT, LEX_BLOCK_COMMENT, LEX_STRING, LEX_CHARACTER };

struct lexer {
	enum lex in;
	const char *at, *end;
};

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v' || c == '\n';
}

static bool pair(const struct lexer *l, char a, char b)
{
	return l->end - l->at > 1 && l->at[0] == a && l->at[1] == b;
}

/* Takes one character, or a pair that belongs together. Result: whether it is code. */
static bool lex_next(struct lexer *l)
{
	char quote = l->in == LEX_STRING ? '"' : '\'';

	switch (l->in) {
	case LEX_LINE_COMMENT:
		l->in = *l->at++ == '\n' ? LEX_CODE : LEX_LINE_COMMENT;
		return false;
	case LEX_BLOCK_COMMENT:
		if (pair(l, '*', '/')) {
			l->in = LEX_CODE;
			l->at++;
		}
		l->at++;
		return false;
	case LEX_CODE:
		if (pair(l, '/', '/') || pair(l, '/', '*')) {
			l->in = l->at[1] == '/' ? LEX_LINE_COMMENT : LEX_BLOCK_COMMENT;
			l->at += 2;
			return false;
		}
		if (*l->at == '"' || *l->at == '\'')
			l->in = *l->at == '"' ? LEX_STRING : LEX_CHARACTER;
		return !blank(*l->at++);
	default: /* LEX_STRING, LEX_CHARACTER; neither goes on behind the line's end */
		if (*l->at == quote || *l->at == '\n')
			l->in = LEX_CODE;
		else if (*l->at == '\\' && l->end - l->at > 1 && l->at[1] != '\n')
			l->at++;
		return !blank(*l->at++);
	}
}

int check_code_lines(const char *text, size_t size, uint8_t **ret_lines, size_t *ret_n_lines)
{
	struct lexer l = {.at = text, .end = text + size};
	size_t n = 1, line = 0;
	uint8_t *lines;

	for (size_t i = 0; i < size; i++)
		n += text[i] == '\n';
	lines = calloc(n, 1);
	if (!lines)
		return -ENOMEM;
	while (l.at < l.end) {
		const char *from = l.at;

		if (lex_next(&l))
			lines[line] = 1;
		for (; from < l.at; from++)
			line += *from == '\n';
	}
	*ret_lines = lines;
	*ret_n_lines = n;
	return 0;
}
