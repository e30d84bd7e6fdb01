/* SPDX-License-Identifier: MIT */
/*
 * Tasks that read and write open files without a pause and check every byte: what somebody
 * does to vfs or to the file system beneath it shows as a wrong byte or an error.
 */
#ifndef VFS_CLIENTS_H
#define VFS_CLIENTS_H

#include <theseus/task.h>
#include <theseus/vfs.h>

#define CLIENTS_MAX 8u
#define CLIENT_FILES 125u  /* that each of them has open: a thousand by eight */
#define CLIENT_BYTES 2600u /* of a file: over block boundaries */

struct client {
	struct vfs_file files[CLIENT_FILES];
	uint32_t versions[CLIENT_FILES]; /* of what was written last */
	uint32_t next;
	uint32_t opened; /* files; atomic */
	uint64_t rounds; /* files checked and written; atomic */
	uint64_t wrong, errors;
	int64_t error; /* the first one */
	struct task_ref task;
	uint8_t buf[CLIENT_BYTES];
};

struct clients {
	uint32_t n;
	uint32_t stop; /* atomic */
	struct client client[CLIENTS_MAX];
};

struct clients_sum {
	uint64_t open, rounds, wrong, errors;
	int64_t error;
	uint64_t slowest; /* rounds of the client with fewest */
};

/* Starts @n in the directory /clients, which they make. @c is zeroed. Result: 0, -errno. */
int clients_start(struct clients *c, struct task_ops_h entry, unsigned n) MUST_USE;
/* One round of client number @arg: what the task entry calls. */
int64_t clients_run(struct clients *c, uint64_t arg);
void clients_sum(const struct clients *c, struct clients_sum *ret_sum);
/* Ends them, and removes their files. Result: 0, -errno. */
int clients_stop(struct clients *c) MUST_USE;

#endif
