/* SPDX-License-Identifier: MIT */
/* Which parts of a virtio device lie where: pure parsing, tested on the host. */
#ifndef VIRTIO_TRANSPORT_H
#define VIRTIO_TRANSPORT_H

#include <theseus/pci.h>

enum virtio_part {
	VIRTIO_PART_COMMON = 1,
	VIRTIO_PART_NOTIFY = 2,
	VIRTIO_PART_ISR = 3,
	VIRTIO_PART_CONFIG = 4,
	VIRTIO_PART_PCI = 5,
	_VIRTIO_PART_MAX,
	_VIRTIO_PART_INVALID = -22,
};

#define VIRTIO_PART_BYTES_MAX (64u << 10) /* mapped of one part at most */
#define VIRTIO_PART_OFFSET_MAX (16u << 20)
#define VIRTIO_COMMON_BYTES 56u
#define VIRTIO_CAP_MULTIPLIER 16u /* offset of the notify multiplier in the capability */

struct virtio_part_place {
	uint8_t cap; /* offset of the capability; 0 = the device has no such part */
	uint8_t bar;
	uint32_t offset, bytes;
};

/*
 * Where a vendor capability says a part lies. Result: 1 and its number in *@ret_part; 0 for
 * a part that does not concern us; -EPROTO when the place makes no sense.
 */
int virtio_part_parse(const struct pci_cap *cap, enum virtio_part *ret_part,
		      struct virtio_part_place *ret_place) MUST_USE;

#endif
