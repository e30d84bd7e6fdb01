/* SPDX-License-Identifier: MIT */
#include "bytes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_MIN 4096u

static int make_room(struct bytes *b, size_t len)
{
	size_t room = b->room ? b->room : ROOM_MIN;
	uint8_t *data;

	if (b->start) {
		memmove(b->data, b->data + b->start, b->used);
		b->start = 0;
	}
	if (b->used + len <= b->room)
		return 0;
	while (room < b->used + len)
		room *= 2;
	data = realloc(b->data, room);
	if (!data)
		return -ENOMEM;
	b->data = data;
	b->room = room;
	return 0;
}

int bytes_append(struct bytes *b, const void *data, size_t len)
{
	if (len > bytes_free(b))
		return -ENOBUFS;
	if (!len)
		return 0;
	if (b->start + b->used + len > b->room) {
		int r = make_room(b, len);

		if (r < 0)
			return r;
	}
	memcpy(b->data + b->start + b->used, data, len);
	b->used += len;
	return 0;
}

void bytes_drop(struct bytes *b, size_t len)
{
	assert(len <= b->used);
	b->start += len;
	b->used -= len;
	if (!b->used)
		bytes_clear(b);
}

void bytes_clear(struct bytes *b)
{
	free(b->data);
	*b = BYTES_INIT(b->max);
}
