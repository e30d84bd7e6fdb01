/* SPDX-License-Identifier: MIT */
#include "path.h"

#include <string.h>

static bool ends(char c)
{
	return c == '/' || c == '\0';
}

/* To the next name: over '/' and over ".". */
static void skip(struct path *path, const char *at)
{
	path->directory = false;
	path->dot = false;
	for (; *at == '/' || (*at == '.' && ends(at[1])); at++) {
		path->directory = true;
		path->dot |= *at == '.';
	}
	path->at = at;
}

int path_open(const char *text, char copy[VFS_PATH_MAX], struct path *ret_path)
{
	size_t n = strnlen(text, VFS_PATH_MAX);

	if (n == VFS_PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(copy, text, n);
	copy[n] = '\0';
	if (copy[0] != '/')
		return -EINVAL;
	skip(ret_path, copy);
	return 0;
}

int path_next(struct path *path, struct fs_name *ret_name)
{
	uint32_t n = 0;

	if (path_ended(path))
		return 0;
	while (!ends(path->at[n])) {
		if (n == FS_NAME_MAX)
			return -ENAMETOOLONG;
		ret_name->text[n] = path->at[n];
		n++;
	}
	ret_name->text[n] = '\0';
	ret_name->len = n;
	skip(path, path->at + n);
	return 1;
}

bool path_ended(const struct path *path)
{
	return *path->at == '\0';
}
