/* SPDX-License-Identifier: MIT */
/*
 * Framing of the control link, the same on every hop: operator socket, virtio-console port,
 * libvirt channel. Host and guest compile this; it needs C99 headers and mem*() only.
 *
 * A frame is a 32-byte little-endian header and a payload (a protobuf message, or console
 * bytes). The header carries its own CRC, so a length is believed only when the header is
 * whole. After garbage, a cut frame or a wrong CRC the decoder looks for the next header
 * from the byte after the one that failed: no valid frame that arrives complete is lost.
 */
#ifndef THESEUS_FRAME_H
#define THESEUS_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define FRAME_MAGIC 0x31534854u /* "THS1" */
#define FRAME_VERSION 1
#define FRAME_HEADER_SIZE 32
#define FRAME_PAYLOAD_MAX (64u << 10)
#define FRAME_SIZE_MAX (FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX)

enum frame_type {
	FRAME_REQUEST = 1,     /* tool -> guest: theseus.Request */
	FRAME_RESPONSE = 2,    /* guest -> tool: theseus.Response, same request id */
	FRAME_EVENT = 3,       /* guest -> tool: theseus.Event */
	FRAME_SESSION_END = 4, /* vmm -> guest: the session's client is gone; no payload */
	FRAME_VM_REQUEST = 5,  /* tool -> vmm: theseus.VmRequest */
	FRAME_VM_RESPONSE = 6, /* vmm -> tool: theseus.VmResponse */
	FRAME_CONSOLE = 7,     /* tool <-> vmm: raw console bytes */
	_FRAME_TYPE_MAX,
	_FRAME_TYPE_INVALID = -22,
};

/*
 * Wire layout, offsets in bytes:
 *   0 u32 magic        4 u8 version   5 u8 type   6 u16 zero
 *   8 u32 length      12 u32 session 16 u64 request id
 *  24 u32 CRC-32C of the payload      28 u32 CRC-32C of bytes 0..27
 *
 * session: 0 on a direct link and on a client's socket; theseus-vmm sets it towards the
 * guest, one number a client, and takes it off on the way back.
 */
struct frame_header {
	enum frame_type type;
	uint32_t length; /* payload bytes, 0..FRAME_PAYLOAD_MAX */
	uint32_t session;
	uint64_t request_id;
};

/* A decoded frame. @payload points into the decoder and is borrowed until its next call. */
struct frame {
	struct frame_header header;
	const uint8_t *payload;
};

/*
 * Holds the bytes from the first undecided one on, at most a frame's worth. Storage is the
 * caller's; frame_decoder_init() makes it ready, also to start afresh after a link reset.
 */
struct frame_decoder {
	size_t start, end; /* [start, end) of buf: not decided yet, or the frame handed out last */
	size_t handed;     /* bytes of the frame handed out last, dropped at the next call */
	uint64_t skipped;  /* bytes thrown away while looking for a header, since init */
	uint8_t buf[FRAME_SIZE_MAX];
};

void frame_decoder_init(struct frame_decoder *d);

/*
 * After frame_decode() returned 0: is a frame begun but not complete? A link that stays so is
 * dropped by its owner. FRAME_SIZE_MAX bytes of anything bring the decoder out of it too.
 */
int frame_decoder_partial(const struct frame_decoder *d);

/*
 * Takes bytes from @data (borrowed) and looks for a frame. A whole frame of an unknown type
 * is passed over: a later version may have sent it.
 *
 * @taken: how many of @len were consumed. After a frame call again with the rest, even if
 * nothing is left of it: more frames may be held after a resynchronisation.
 * Result: 1 and *@ret_frame filled, or 0: more bytes are needed (then *@taken == @len).
 */
int frame_decode(struct frame_decoder *d, const void *data, size_t len, size_t *taken,
		 struct frame *ret_frame) __attribute__((warn_unused_result));

/*
 * Writes the header of a frame whose payload is @payload (h->length bytes) to @out.
 * Result: 0, or -EMSGSIZE when the length is over FRAME_PAYLOAD_MAX, -EINVAL for the type.
 */
int frame_encode_header(const struct frame_header *h, const void *payload,
			uint8_t out[FRAME_HEADER_SIZE]) __attribute__((warn_unused_result));

/* CRC-32C (Castagnoli, RFC 3720 B.4), of @len bytes, continuing from @crc (start with 0). */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

#endif
