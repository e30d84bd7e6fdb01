/* SPDX-License-Identifier: MIT */
/*
 * The structures of the PVH hand-over as they lie in guest memory (Xen public interface,
 * "start_info" version 1), written from its specification.
 */
#ifndef VMM_BOOT_ABI_H
#define VMM_BOOT_ABI_H

#include <stdint.h>

#define PVH_START_MAGIC 0x336ec578u
#define PVH_START_VERSION 1u
#define PVH_NOTE_NAME "Xen"
#define PVH_NOTE_ENTRY 18u

struct pvh_start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nr_modules;
	uint64_t modlist_paddr;
	uint64_t cmdline_paddr;
	uint64_t rsdp_paddr;
	uint64_t memmap_paddr;
	uint32_t memmap_entries;
	uint32_t reserved;
};

struct pvh_module {
	uint64_t paddr;
	uint64_t size;
	uint64_t cmdline_paddr;
	uint64_t reserved;
};

enum pvh_memory_type {
	PVH_MEMORY_RAM = 1,
	PVH_MEMORY_RESERVED = 2,
};

struct pvh_memory {
	uint64_t addr;
	uint64_t size;
	uint32_t type;
	uint32_t reserved;
};

_Static_assert(sizeof(struct pvh_start_info) == 56, "ABI");
_Static_assert(sizeof(struct pvh_module) == 32, "ABI");
_Static_assert(sizeof(struct pvh_memory) == 24, "ABI");

#endif
