/* SPDX-License-Identifier: MIT */
/*
 * cell new: the SDK's example under another name. Everything is read and renamed before the
 * first file is written, and what was written is removed again when the rest cannot be.
 */
#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "cell-files.h"
#include "commands.h"
#include "pack/build.h"
#include "run.h"
#include "util.h"

#define PATH_SIZE 4096
#define FILE_BYTES_MAX (64u << 10)
#define NAME_BYTES_MAX 16u /* with _test and a version still a cell's name */
#define EXAMPLE "tally"
#define EXAMPLE_CAPITALS "TALLY"

static const char *const folders[] = {"", "/include", "/include/theseus", "/v1", "/v2", "/test"};
static const char *const files[] = {
	"Makefile",         "include/theseus/" EXAMPLE ".h", "v1/" EXAMPLE ".c",
	"v2/" EXAMPLE ".c", "test/" EXAMPLE "_test.c",
};
#define FOLDERS (sizeof(folders) / sizeof(folders[0]))
#define FILES (sizeof(files) / sizeof(files[0]))

/* A name that is a C identifier, and as a command and a file what one types. */
static bool is_name(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > NAME_BYTES_MAX || !islower((unsigned char)name[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!islower((unsigned char)name[i]) && !isdigit((unsigned char)name[i]) &&
		    name[i] != '_')
			return false;
	return true;
}

/* Adds @text with the example's name replaced, in capitals where it stands in capitals. */
static void add_renamed(struct buf *b, const char *text, size_t size, const char *name)
{
	const size_t n = strlen(EXAMPLE);

	for (size_t i = 0; i < size;) {
		bool low = size - i >= n && memcmp(text + i, EXAMPLE, n) == 0;
		bool high = size - i >= n && memcmp(text + i, EXAMPLE_CAPITALS, n) == 0;

		if (low)
			buf_puts(b, name);
		for (const char *p = name; high && *p; p++)
			buf_put(b, &(char){(char)toupper((unsigned char)*p)}, 1);
		if (!low && !high)
			buf_put(b, text + i, 1);
		i += low || high ? n : 1;
	}
}

struct made {
	struct buf path[FILES], text[FILES];
};

static void made_done(struct made *made)
{
	for (size_t i = 0; i < FILES; i++) {
		buf_done(&made->path[i]);
		buf_done(&made->text[i]);
	}
}

static int read_example(struct ctl *c, const char *dir, const char *name, struct made *made)
{
	for (size_t i = 0; i < FILES; i++) {
		char from[PATH_SIZE];
		CLEANUP_FREE char *text = NULL;
		uint8_t *data;
		size_t size;
		int r;

		if (snprintf(from, sizeof(from), "%s/%s", dir, files[i]) >= (int)sizeof(from))
			return ctl_error(c, CTL_FAILED, "bad-sdk", "%s: too long", dir);
		r = file_read(from, FILE_BYTES_MAX, &data, &size);
		if (r < 0)
			return ctl_error(c, CTL_FAILED, "bad-sdk", "%s: %s", from, strerror(-r));
		text = (char *)data;
		buf_printf(&made->path[i], "%s/", name);
		add_renamed(&made->path[i], files[i], strlen(files[i]), name);
		add_renamed(&made->text[i], text, size, name);
		if (!buf_ok(&made->path[i]) || !buf_ok(&made->text[i]))
			return ctl_oom(c);
	}
	return 0;
}

/* Takes away the first @n_files and @n_folders of what write_all() makes. */
static void undo(const char *name, struct made *made, size_t n_files, size_t n_folders)
{
	char path[PATH_SIZE];

	while (n_files)
		(void)unlink(buf_str(&made->path[--n_files]));
	while (n_folders) {
		(void)snprintf(path, sizeof(path), "%s%s", name, folders[--n_folders]);
		(void)rmdir(path);
	}
}

static int write_all(struct ctl *c, const char *name, struct made *made)
{
	char path[PATH_SIZE];

	for (size_t i = 0; i < FOLDERS; i++) {
		(void)snprintf(path, sizeof(path), "%s%s", name, folders[i]);
		if (mkdir(path, 0777)) {
			int error = errno;

			undo(name, made, 0, i);
			return ctl_error(c, CTL_FAILED, error == EEXIST ? "exists" : "unwritable",
					 "%s: %s", path, strerror(error));
		}
	}
	for (size_t i = 0; i < FILES; i++) {
		int r = file_write(buf_str(&made->path[i]), made->text[i].data, made->text[i].len);

		if (r < 0) {
			(void)snprintf(path, sizeof(path), "%s", buf_str(&made->path[i]));
			undo(name, made, i + 1, FOLDERS);
			return ctl_error(c, CTL_FAILED, "unwritable", "%s: %s", path, strerror(-r));
		}
	}
	return 0;
}

static void print_made(const struct ctl *c, const char *name, struct made *made)
{
	struct json_object *o, *list;

	if (!c->json) {
		for (size_t i = 0; i < FILES; i++)
			printf("%s\n", buf_str(&made->path[i]));
		if (!c->quiet)
			(void)fprintf(stderr, "next: cd %s && make\n", name);
		return;
	}
	o = json_object_new_object();
	list = json_object_new_array();
	for (size_t i = 0; i < FILES; i++)
		json_object_array_add(list, json_object_new_string(buf_str(&made->path[i])));
	json_object_object_add(o, "schema", json_object_new_string("theseus.cell-new/1"));
	json_object_object_add(o, "name", json_object_new_string(name));
	json_object_object_add(o, "files", list);
	(void)puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							     JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

int cmd_cell_new(struct ctl *c, int argc, char **argv)
{
	__attribute__((cleanup(reasons_done))) struct reasons reasons = {0};
	__attribute__((cleanup(sdk_done))) struct sdk sdk = {0};
	__attribute__((cleanup(made_done))) struct made made = {0};
	const char *file = ctl_option(c, "sdk"), *name = argv[1];
	char found[PATH_SIZE];
	int r = 0;

	(void)argc;
	if (!is_name(name))
		return ctl_error(c, CTL_USAGE, "bad-name",
				 "%s: a cell's name is a to z, then also 0 to 9 and _, at most %u "
				 "characters",
				 name, NAME_BYTES_MAX);
	if (!file) {
		r = run_find_file(c, RUN_SDK, found, sizeof(found));
		file = found;
	}
	if (r)
		return r;
	r = sdk_load(file, &sdk, &reasons);
	if (r < 0)
		return cell_refused(c, "the SDK cannot be used", r, &reasons);
	if (!sdk.example)
		return ctl_error(c, CTL_FAILED, "bad-sdk", "%s: no 'example'", file);
	r = read_example(c, sdk.example, name, &made);
	if (!r)
		r = write_all(c, name, &made);
	if (!r)
		print_made(c, name, &made);
	return r;
}
