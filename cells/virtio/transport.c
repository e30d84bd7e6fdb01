/* SPDX-License-Identifier: MIT */
#include "transport.h"

#include <theseus/errno.h>

/* struct virtio_pci_cap: vndr, next, len, type; bar, id, padding; offset; length. */
int virtio_part_parse(const struct pci_cap *cap, enum virtio_part *ret_part,
		      struct virtio_part_place *ret_place)
{
	uint8_t cap_bytes = cap->data[0] >> 16 & 0xff;
	uint8_t part = cap->data[0] >> 24;
	struct virtio_part_place place = {
		.cap = cap->offset,
		.bar = cap->data[1] & 0xff,
		.offset = cap->data[2],
		.bytes = cap->data[3],
	};

	if (part != VIRTIO_PART_COMMON && part != VIRTIO_PART_NOTIFY && part != VIRTIO_PART_CONFIG)
		return 0;
	if (cap_bytes < 16 || cap->offset > 256 - 16 || place.bar > 5 || place.bytes == 0 ||
	    place.offset > VIRTIO_PART_OFFSET_MAX || place.offset % 4 != 0)
		return -EPROTO;
	if (part == VIRTIO_PART_COMMON && place.bytes < VIRTIO_COMMON_BYTES)
		return -EPROTO;
	if (part == VIRTIO_PART_NOTIFY && (cap_bytes < 20 || cap->offset > 256 - 20))
		return -EPROTO;
	if (place.bytes > VIRTIO_PART_BYTES_MAX)
		place.bytes = VIRTIO_PART_BYTES_MAX;
	*ret_part = (enum virtio_part)part;
	*ret_place = place;
	return 1;
}
