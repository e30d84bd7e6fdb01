/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 1024u

void commands_done(struct commands *c)
{
	for (size_t i = 0; i < c->n; i++)
		free((void *)(uintptr_t)c->sources[i].flags);
	for (size_t i = 0; i < c->n_words; i++)
		free(c->words[i]);
	free(c->words);
	free(c->sources);
	*c = (struct commands){0};
}

/* Cuts the next word off a command line quoted for the shell, in place; NULL at the end. */
static char *next_word(char **at)
{
	char *from = *at, *to, *word, quote = 0;

	from += strspn(from, " ");
	word = to = from;
	if (!*from)
		return NULL;
	for (; *from && (quote || *from != ' '); from++) {
		if (quote ? *from == quote : *from == '\'' || *from == '"')
			quote = quote ? 0 : *from;
		else if (*from == '\\' && quote != '\'' && from[1])
			*to++ = *++from;
		else
			*to++ = *from;
	}
	*at = from + (*from != 0);
	*to = 0;
	return word;
}

static const char *text_of(json_object *entry, const char *key)
{
	json_object *value;

	return json_object_object_get_ex(entry, key, &value) ? json_object_get_string(value) : NULL;
}

/* What is said about output and dependencies, and the source itself, is no flag. */
static bool takes_value(const char *word)
{
	return strcmp(word, "-o") == 0 || strcmp(word, "-MQ") == 0 || strcmp(word, "-MF") == 0;
}

static bool is_flag(const char *word, const char *source)
{
	return strcmp(word, "-c") != 0 && strcmp(word, "-MD") != 0 && strcmp(word, source) != 0;
}

static int add(struct commands *c, json_object *entry)
{
	const char *source = text_of(entry, "file"), *command = text_of(entry, "command");
	const char **flags = calloc(WORDS_MAX + 1, sizeof(*flags));
	char *path = source ? strdup(source) : NULL, *line = command ? strdup(command) : NULL;
	char *at = line;
	size_t n = 0;

	/* owned from here on, whatever happens */
	c->words[c->n_words++] = path;
	c->words[c->n_words++] = line;
	c->sources[c->n++] = (struct check_source){path, flags};
	if (!path || !line || !flags)
		return -ENOMEM;
	for (char *w = next_word(&at); w && n < WORDS_MAX; w = next_word(&at)) {
		if (takes_value(w))
			(void)next_word(&at);
		else if ((n || *w == '-') && is_flag(w, path)) /* first comes the compiler */
			flags[n++] = w;
	}
	return 0;
}

static json_object *find(json_object *all, const char *object)
{
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		json_object *entry = json_object_array_get_idx(all, i);
		const char *output = text_of(entry, "output");

		if (output && strcmp(output, object) == 0)
			return entry;
	}
	return NULL;
}

int commands_load(const char *path, const char *const *objects, struct commands *ret_commands,
		  struct reasons *reasons)
{
	json_object *all = json_object_from_file(path);
	struct commands c = {0};
	size_t n = 0;
	int r = 0;

	if (!all || !json_object_is_type(all, json_type_array)) {
		json_object_put(all);
		return reasons_add(reasons, "bad-commands", "%s: no list of commands", path);
	}
	while (objects[n])
		n++;
	c.sources = calloc(n + 1, sizeof(*c.sources));
	c.words = calloc(2 * n + 1, sizeof(*c.words));
	if (!c.sources || !c.words)
		r = -ENOMEM;
	for (size_t i = 0; i < n && r == 0; i++) {
		json_object *entry = find(all, objects[i]);

		r = entry ? add(&c, entry)
			  : reasons_add(reasons, "bad-commands", "%s: nothing about %s", path,
					objects[i]);
	}
	json_object_put(all);
	if (r < 0)
		commands_done(&c);
	else
		*ret_commands = c;
	return r;
}
