/* SPDX-License-Identifier: MIT */
/*
 * what: any object's handle where an open file is asked for
 * gcc: incompatible type
 * clang: passing .* to parameter of incompatible type
 */
#include <theseus/vfs.h>

int f(struct handle any, struct vfs_file file);
int f(struct handle any, struct vfs_file file)
{
#ifdef WRONG
	(void)file;
	return vfs_close(any);
#else
	(void)any;
	return vfs_close(file);
#endif
}
