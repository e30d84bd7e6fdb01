/* SPDX-License-Identifier: MIT */
#ifndef COMMAND_LINE_H
#define COMMAND_LINE_H

#include <theseus/command.h>

/*
 * Splits @line in place at blanks; "…" keeps them. @argv: COMMAND_ARGS_MAX words and a NULL,
 * pointing into @line. Result: words; -EINVAL an open quote; -E2BIG too many words.
 */
int command_split(char *line, const char *argv[COMMAND_ARGS_MAX + 1]) MUST_USE;

#endif
