/* SPDX-License-Identifier: MIT */
#include "frame.h"

#include <theseus/errno.h>

enum {
	OFF_MAGIC = 0,
	OFF_VERSION = 4,
	OFF_TYPE = 5,
	OFF_ZERO = 6,
	OFF_LENGTH = 8,
	OFF_SESSION = 12,
	OFF_REQUEST_ID = 16,
	OFF_PAYLOAD_CRC = 24,
	OFF_HEADER_CRC = 28,
};

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

static int type_known(unsigned int type)
{
	return type >= FRAME_REQUEST && type < _FRAME_TYPE_MAX;
}

/* Could the @have bytes at @p be the start of a frame? Certain once the header is whole. */
static int header_plausible(const uint8_t *p, size_t have)
{
	uint8_t magic[4];

	put32(magic, FRAME_MAGIC);
	for (size_t i = 0; i < have && i < sizeof(magic); i++)
		if (p[i] != magic[i])
			return 0;
	if (have < FRAME_HEADER_SIZE)
		return 1;
	return p[OFF_VERSION] == FRAME_VERSION && !p[OFF_ZERO] && !p[OFF_ZERO + 1] &&
	       get32(p + OFF_LENGTH) <= FRAME_PAYLOAD_MAX &&
	       get32(p + OFF_HEADER_CRC) == crc32c(0, p, OFF_HEADER_CRC);
}

static void skip(struct frame_decoder *d, size_t n)
{
	d->start += n;
	d->skipped += n;
}

/*
 * Looks for a frame in what is held. Result: 0 and *@ret_frame filled, or how many more
 * bytes it takes to decide on the frame that begins at @start.
 */
static size_t scan(struct frame_decoder *d, struct frame *ret_frame)
{
	for (;;) {
		const uint8_t *p = d->buf + d->start;
		size_t have = d->end - d->start, size;

		if (!header_plausible(p, have)) {
			skip(d, 1);
			continue;
		}
		if (have < FRAME_HEADER_SIZE)
			return FRAME_HEADER_SIZE - have;
		size = FRAME_HEADER_SIZE + get32(p + OFF_LENGTH);
		if (have < size)
			return size - have;
		if (get32(p + OFF_PAYLOAD_CRC) !=
		    crc32c(0, p + FRAME_HEADER_SIZE, size - FRAME_HEADER_SIZE)) {
			skip(d, 1);
			continue;
		}
		/* Whole, but of a later minor version: its payload must not be searched. */
		if (!type_known(p[OFF_TYPE])) {
			skip(d, size);
			continue;
		}
		ret_frame->header = (struct frame_header){
			.type = (enum frame_type)p[OFF_TYPE],
			.length = get32(p + OFF_LENGTH),
			.session = get32(p + OFF_SESSION),
			.request_id = get32(p + OFF_REQUEST_ID) |
				      (uint64_t)get32(p + OFF_REQUEST_ID + 4) << 32,
		};
		ret_frame->payload = p + FRAME_HEADER_SIZE;
		d->handed = size;
		return 0;
	}
}

/* Appends @n bytes: by then the frame at @start and @n bytes fit, but perhaps not behind it. */
static void append(struct frame_decoder *d, const uint8_t *data, size_t n)
{
	if (n > sizeof(d->buf) - d->end) {
		__builtin_memmove(d->buf, d->buf + d->start, d->end - d->start);
		d->end -= d->start;
		d->start = 0;
	}
	__builtin_memcpy(d->buf + d->end, data, n);
	d->end += n;
}

void frame_decoder_init(struct frame_decoder *d)
{
	d->start = 0;
	d->end = 0;
	d->handed = 0;
	d->skipped = 0;
}

int frame_decoder_partial(const struct frame_decoder *d)
{
	return d->start + d->handed < d->end;
}

int frame_decode(struct frame_decoder *d, const void *data, size_t len, size_t *taken,
		 struct frame *ret_frame)
{
	const uint8_t *p = data;
	size_t done = 0;

	d->start += d->handed;
	d->handed = 0;
	for (;;) {
		size_t need = scan(d, ret_frame);

		if (d->start == d->end)
			d->start = d->end = 0;
		if (!need || done == len)
			break;
		if (need > len - done)
			need = len - done;
		append(d, p + done, need);
		done += need;
	}
	*taken = done;
	return d->handed != 0;
}

int frame_encode_header(const struct frame_header *h, const void *payload,
			uint8_t out[FRAME_HEADER_SIZE])
{
	if (!type_known((unsigned int)h->type))
		return -EINVAL;
	if (h->length > FRAME_PAYLOAD_MAX)
		return -EMSGSIZE;
	put32(out + OFF_MAGIC, FRAME_MAGIC);
	out[OFF_VERSION] = FRAME_VERSION;
	out[OFF_TYPE] = (uint8_t)h->type;
	out[OFF_ZERO] = 0;
	out[OFF_ZERO + 1] = 0;
	put32(out + OFF_LENGTH, h->length);
	put32(out + OFF_SESSION, h->session);
	put32(out + OFF_REQUEST_ID, (uint32_t)h->request_id);
	put32(out + OFF_REQUEST_ID + 4, (uint32_t)(h->request_id >> 32));
	put32(out + OFF_PAYLOAD_CRC, crc32c(0, payload, h->length));
	put32(out + OFF_HEADER_CRC, crc32c(0, out, OFF_HEADER_CRC));
	return 0;
}
