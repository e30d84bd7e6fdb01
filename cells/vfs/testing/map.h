/* SPDX-License-Identifier: MIT */
/* Included before everything else, for the host: what a linked cell has slots for. */
#ifndef VFS_TESTING_MAP_H
#define VFS_TESTING_MAP_H

#include <theseus/cell.h>

#define TEST_SLOT_FS 1u
#define TEST_SLOT_vfs_file 2u
#define TEST_CELL ((struct cell_ref){3})

#undef CELL_SELF
#undef IFACE
#define CELL_SELF TEST_CELL
#define IFACE(iface_, name_) ((struct iface_##_h){{TEST_SLOT_##name_, 1}})

#endif
