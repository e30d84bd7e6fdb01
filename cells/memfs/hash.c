/* SPDX-License-Identifier: MIT */
#include "internal.h"

uint64_t dir_hash(const struct fs_name *name)
{
	uint64_t h = 0xcbf29ce484222325;

	for (uint32_t i = 0; i < name->len; i++)
		h = (h ^ (uint8_t)name->text[i]) * 0x100000001b3;
	h ^= h >> 32; /* the last bytes must reach the low bits, and all of them the high ones */
	h *= 0x9e3779b97f4a7c15;
	return h >> (64 - DIR_HASH_BITS);
}
