/* SPDX-License-Identifier: MIT */
/*
 * what: nobody looks whether the file is open
 * gcc: ignoring return value
 * clang: ignoring return value
 */
#include <theseus/vfs.h>

int f(struct object_owner o, struct vfs_file *ret);
int f(struct object_owner o, struct vfs_file *ret)
{
#ifdef WRONG
	vfs_open("/a", VFS_READ, o, ret);
	return 0;
#else
	return vfs_open("/a", VFS_READ, o, ret);
#endif
}
