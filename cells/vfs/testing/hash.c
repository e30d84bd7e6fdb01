/* SPDX-License-Identifier: MIT */
/* For the host: names that meet, all the way down or only at first. */
#include "../../memfs/internal.h"

uint64_t dir_hash(const struct fs_name *name)
{
	uint64_t last = (uint8_t)name->text[name->len - 1];

	return name->len % 2 ? last % 4 : last << (DIR_HASH_BITS - 8);
}
