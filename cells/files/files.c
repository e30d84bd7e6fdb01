/* SPDX-License-Identifier: MIT */
/* Commands that look at files and change them. */
#include <theseus/command.h>

#include <stdio.h>
#include <string.h>

#include <theseus/task.h>
#include <theseus/vfs.h>

CELL_INFO(.name = "files", .version = "1.0.0", .summary = "commands for files: ls, cat, write, ...",
	  .safety = CELL_SAFE, .quiescence = CELL_QUIESCE_ANY, .restart = CELL_RESTART_ALWAYS);

static int usage(struct command_io *io, const char *text)
{
	command_printf(io, "usage: %s\n", text);
	return 2;
}

static const char *reason(int64_t error)
{
	switch (-error) {
	case ENOENT:
		return "no such file or directory";
	case EEXIST:
		return "is there already";
	case ENOTDIR:
		return "not a directory";
	case EISDIR:
		return "is a directory";
	case ENOTEMPTY:
		return "the directory is not empty";
	case ENAMETOOLONG:
		return "the name is too long";
	case EINVAL:
		return "not an absolute path, or a directory into itself";
	case EBUSY:
		return "the root stays";
	case ENOSPC:
		return "no room left";
	case EFBIG:
		return "the file would be too large";
	case ENOMEM:
		return "out of memory";
	case ENODEV:
		return "no file system is there";
	case ECANCELED:
		return "cancelled";
	default:
		return NULL;
	}
}

/* Says what went wrong with @path. Result: the exit status. */
static int failed(struct command_io *io, const char *command, const char *path, int64_t error)
{
	const char *text = reason(error);

	if (text)
		command_printf(io, "%s: %.300s: %s\n", command, path, text);
	else
		command_printf(io, "%s: %.300s: error %d\n", command, path, (int)-error);
	return 1;
}

static int open_path(const char *path, unsigned flags, struct vfs_file *ret_file)
{
	struct object_owner me = {CELL_SELF, task_id(task_self())};

	return vfs_open(path, flags, me, ret_file);
}

/* ---- ls ---- */

static void print_line(struct command_io *io, const char *name, const struct fs_stat *stat)
{
	command_printf(io, "%10llu %s%s\n", (unsigned long long)stat->size, name,
		       stat->kind == FS_DIRECTORY ? "/" : "");
}

/* An entry that goes while it is listed is left out. */
static int list_entry(struct command_io *io, const char *dir, const char *name)
{
	char path[VFS_PATH_MAX];
	struct fs_stat stat;
	int n = snprintf(path, sizeof(path), "%s/%s", dir, name);
	int r = n < (int)sizeof(path) ? vfs_stat(path, &stat) : -ENAMETOOLONG;

	if (r == 0)
		print_line(io, name, &stat);
	return r == -ENOENT ? 0 : r;
}

static int ls_run(struct command_io *io, int argc, const char *const *argv)
{
	OWNED(vfs_close_drop) struct vfs_file dir = {{0}};
	const char *path = argc == 2 ? argv[1] : "/";
	struct fs_entry entry;
	struct fs_stat stat;
	int r;

	if (argc > 2)
		return usage(io, "ls [PATH]");
	r = vfs_stat(path, &stat);
	if (r == 0 && stat.kind == FS_FILE) {
		print_line(io, path, &stat);
		return 0;
	}
	if (r == 0)
		r = open_path(path, VFS_DIRECTORY, &dir);
	while (r == 0 && !io->truncated && (r = vfs_readdir(dir, &entry)) == 1)
		r = list_entry(io, path, entry.name.text);
	return r < 0 ? failed(io, "ls", path, r) : 0;
}
CELL_PROVIDE(command_ops, ls) = {.run = ls_run, .help = "[PATH]  what a directory holds"};

/* ---- cat ---- */

static int64_t copy_file(struct command_io *io, const char *path)
{
	OWNED(vfs_close_drop) struct vfs_file file = {{0}};
	int64_t n = open_path(path, VFS_READ, &file);
	char buf[512];

	while (n >= 0 && !io->truncated) {
		n = vfs_read(file, buf, sizeof(buf));
		if (n <= 0)
			break;
		command_write(io, buf, (size_t)n);
	}
	return n < 0 ? n : 0;
}

static int cat_run(struct command_io *io, int argc, const char *const *argv)
{
	int status = 0;

	if (argc < 2)
		return usage(io, "cat PATH...");
	for (int i = 1; i < argc; i++) {
		int64_t r = copy_file(io, argv[i]);

		if (r < 0)
			status = failed(io, "cat", argv[i], r);
	}
	return status;
}
CELL_PROVIDE(command_ops, cat) = {.run = cat_run, .help = "PATH...  what is in files"};

/* ---- write ---- */

static int64_t write_all(struct vfs_file file, const char *text, size_t n)
{
	while (n > 0) {
		int64_t r = vfs_write(file, text, n);

		if (r < 0)
			return r;
		text += r;
		n -= (size_t)r;
	}
	return 0;
}

static int write_run(struct command_io *io, int argc, const char *const *argv)
{
	OWNED(vfs_close_drop) struct vfs_file file = {{0}};
	bool append = argc > 1 && strcmp(argv[1], "-a") == 0;
	int at = 1 + append;
	const char *path;
	int64_t r;

	if (argc < at + 1)
		return usage(io, "write [-a] PATH [TEXT...]");
	path = argv[at++];
	r = open_path(path, VFS_WRITE | VFS_CREATE | (append ? VFS_APPEND : VFS_TRUNCATE), &file);
	for (; at < argc && r >= 0; at++) {
		r = write_all(file, argv[at], strlen(argv[at]));
		if (r >= 0)
			r = write_all(file, at + 1 < argc ? " " : "\n", 1);
	}
	return r < 0 ? failed(io, "write", path, r) : 0;
}
CELL_PROVIDE(command_ops, write) = {
	.run = write_run,
	.help = "[-a] PATH [TEXT...]  makes a file of a line of text; -a adds the line",
};

/* ---- entries ---- */

static int each(struct command_io *io, int argc, const char *const *argv,
		int (*change)(const char *))
{
	int status = 0;

	for (int i = 1; i < argc; i++) {
		int r = change(argv[i]);

		if (r < 0)
			status = failed(io, argv[0], argv[i], r);
	}
	return status;
}

static int make(const char *path)
{
	return vfs_mkdir(path);
}

static int mkdir_run(struct command_io *io, int argc, const char *const *argv)
{
	return argc < 2 ? usage(io, "mkdir PATH...") : each(io, argc, argv, make);
}
CELL_PROVIDE(command_ops, mkdir) = {.run = mkdir_run, .help = "PATH...  makes directories"};

static int remove_path(const char *path)
{
	int r = vfs_unlink(path);

	return r == -EISDIR ? vfs_rmdir(path) : r;
}

static int rm_run(struct command_io *io, int argc, const char *const *argv)
{
	return argc < 2 ? usage(io, "rm PATH...") : each(io, argc, argv, remove_path);
}
CELL_PROVIDE(command_ops, rm) = {.run = rm_run,
				 .help = "PATH...  removes files and empty directories"};

static int mv_run(struct command_io *io, int argc, const char *const *argv)
{
	int r;

	if (argc != 3)
		return usage(io, "mv FROM TO");
	r = vfs_rename(argv[1], argv[2]);
	return r < 0 ? failed(io, "mv", argv[1], r) : 0;
}
CELL_PROVIDE(command_ops, mv) = {.run = mv_run, .help = "FROM TO  gives a file another name"};

static int stat_run(struct command_io *io, int argc, const char *const *argv)
{
	struct fs_stat s;
	int r;

	if (argc != 2)
		return usage(io, "stat PATH");
	r = vfs_stat(argv[1], &s);
	if (r < 0)
		return failed(io, "stat", argv[1], r);
	command_printf(io, "kind=%s\nsize=%llu\nblocks=%llu\nnode=%llu\nopens=%u\n",
		       s.kind == FS_DIRECTORY ? "directory" : "file", (unsigned long long)s.size,
		       (unsigned long long)s.blocks, (unsigned long long)s.node, s.opens);
	return 0;
}
CELL_PROVIDE(command_ops, stat) = {.run = stat_run, .help = "PATH  what is known of a file"};
