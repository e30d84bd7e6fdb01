/* SPDX-License-Identifier: MIT */
/*
 * What a file system provides to `vfs`: CELL_PROVIDE(fs_ops, memfs) = { … }.
 *
 * A node is a file or a directory, named by a handle; a directory that left meanwhile is
 * -ENOENT, any other stale node -ESTALE. What an operation does becomes visible in one step; one
 * that fails changes nothing. A read or write of up to 1024 bytes is one step, a longer one
 * several. Only the `buf` of a read or write is a client's memory, and may fault. Context: tasks,
 * several at once, with no lock held; in LEDGER_WHOLE() for what changes something. Nothing here
 * waits for another task.
 */
#ifndef THESEUS_FS_H
#define THESEUS_FS_H

#include <theseus/heap.h>

#define FS_NAME_MAX 255u /* bytes of a name, without a NUL */

enum fs_kind {
	FS_FILE = 1,
	FS_DIRECTORY = 2,
};

struct fs_node {
	struct handle h;
};

/* A name in a directory: 1..FS_NAME_MAX bytes without '/', and not ".". */
struct fs_name {
	uint32_t len;
	char text[FS_NAME_MAX + 1]; /* NUL-terminated */
};

struct fs_stat {
	enum fs_kind kind;
	uint64_t size;   /* bytes; of a directory: entries */
	uint64_t blocks; /* bytes of memory that the contents take */
	uint64_t node;   /* a number that no other live node has */
	uint32_t opens;  /* open files */
};

struct fs_entry {
	enum fs_kind kind;
	struct fs_name name;
};

#define FS_APPEND UINT64_MAX /* position of a write: wherever the file ends */

struct fs_ops {
	int (*root)(struct fs_node *ret_node);
	/* ".." is the directory above; the root's is itself. -ENOENT, -ENOTDIR. */
	int (*lookup)(struct fs_node dir, const struct fs_name *name, struct fs_node *ret_node);
	/* -EEXIST, -ENOENT, -ENOTDIR, -ENOMEM, -ENOSPC. */
	int (*create)(struct fs_node dir, const struct fs_name *name, enum fs_kind kind,
		      struct fs_node *ret_node);
	/*
	 * Takes an entry out of @dir. Its node goes when nobody has it open. -ENOENT, -ENOTDIR,
	 * -EISDIR (@kind is FS_FILE, and it is none), -ENOTEMPTY.
	 */
	int (*remove)(struct fs_node dir, const struct fs_name *name, enum fs_kind kind);
	/*
	 * Replaces what @to names, if that is of the same kind and no directory with entries.
	 * -ENOENT, -ENOTDIR, -EISDIR, -ENOTEMPTY, -EINVAL (a directory into itself), -ENOMEM,
	 * -ENOSPC.
	 */
	int (*rename)(struct fs_node from_dir, const struct fs_name *from, struct fs_node to_dir,
		      const struct fs_name *to);
	/*
	 * Keeps @node, a @kind, until close(), also when it is removed. -ENOENT: it was removed
	 * already; -EISDIR, -ENOTDIR: it is of the other kind.
	 */
	int (*open)(struct fs_node node, enum fs_kind kind);
	/* Frees it if it was removed, which may take as long as it is large. */
	void (*close)(struct fs_node node);
	/* Result: bytes read, 0 at the end; -EISDIR, -ESTALE. */
	int64_t (*read)(struct fs_node node, uint64_t pos, void *buf, size_t n);
	/*
	 * From *@pos on, which becomes the position behind it. A gap reads as zeros. Result:
	 * bytes written, fewer than @n where room or memory ends after them; -EISDIR, -EFBIG,
	 * -ENOMEM, -ENOSPC, -ESTALE.
	 */
	int64_t (*write)(struct fs_node node, uint64_t *pos, const void *buf, size_t n);
	int (*truncate)(struct fs_node node, uint64_t size); /* -EISDIR, -EFBIG, -ESTALE */
	/*
	 * The next entry; *@cookie is 0 for the first and changed for the one behind. Entries
	 * that are there all the time come exactly once. Result: 1, 0 = no more, -ENOTDIR.
	 */
	int (*readdir)(struct fs_node dir, uint64_t *cookie, struct fs_entry *ret_entry);
	int (*stat)(struct fs_node node, struct fs_stat *ret_stat);
};
IFACE_DEFINE(fs_ops);

#endif
