/* SPDX-License-Identifier: MIT */
#include "internal.h"

int vfs_resolve(const struct fs_ops *fs, const char *path, struct fs_node *ret_node,
		bool *ret_directory)
{
	char copy[VFS_PATH_MAX];
	struct fs_name name;
	struct fs_node node = {{0}};
	struct path p;
	int r = path_open(path, copy, &p);

	if (r == 0)
		r = fs->root(&node);
	if (r < 0)
		return r;
	while ((r = path_next(&p, &name)) > 0) {
		r = fs->lookup(node, &name, &node);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	*ret_node = node;
	*ret_directory = p.directory;
	return 0;
}

static bool is_dotdot(const struct fs_name *name)
{
	return name->len == 2 && name->text[0] == '.' && name->text[1] == '.';
}

int vfs_place(const struct fs_ops *fs, const char *path, struct vfs_place *ret_place)
{
	char copy[VFS_PATH_MAX];
	struct fs_node dir = {{0}};
	struct path p;
	int r = path_open(path, copy, &p);

	if (r == 0)
		r = fs->root(&dir);
	if (r < 0)
		return r;
	ret_place->name.len = 0;
	while ((r = path_next(&p, &ret_place->name)) > 0 && !path_ended(&p)) {
		r = fs->lookup(dir, &ret_place->name, &dir);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	ret_place->dir = dir;
	ret_place->directory = p.directory;
	return p.dot || is_dotdot(&ret_place->name) ? -EINVAL : 0;
}
