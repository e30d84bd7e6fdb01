/* SPDX-License-Identifier: MIT */
/*
 * The frame decoder: however a stream is cut into pieces, the same frames come out, and
 * every byte is either part of a frame, skipped, or still held.
 */
#include "frame.h"

#include <stdlib.h>

#include "fuzz.h"

struct tally {
	uint64_t frames, bytes;
	uint32_t digest;
};

static void drain(struct frame_decoder *d, const uint8_t *data, size_t len, struct tally *t)
{
	struct frame f;
	size_t taken;

	while (frame_decode(d, data, len, &taken, &f)) {
		FUZZ_CHECK(taken <= len);
		FUZZ_CHECK(f.header.length <= FRAME_PAYLOAD_MAX);
		data += taken;
		len -= taken;
		t->frames++;
		t->bytes += FRAME_HEADER_SIZE + f.header.length;
		t->digest = crc32c(t->digest, f.payload, f.header.length);
	}
	FUZZ_CHECK(taken == len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_decoder *d = malloc(sizeof(*d));
	struct tally whole = {0}, pieces = {0};
	size_t piece = size ? 1 + data[0] % 67 : 1;

	if (!d)
		return 0;
	frame_decoder_init(d);
	drain(d, data, size, &whole);
	FUZZ_CHECK(whole.bytes + d->skipped <= size);
	FUZZ_CHECK(frame_decoder_partial(d) == (whole.bytes + d->skipped < size));

	frame_decoder_init(d);
	for (size_t at = 0; at < size; at += piece)
		drain(d, data + at, size - at < piece ? size - at : piece, &pieces);
	FUZZ_CHECK(whole.frames == pieces.frames && whole.digest == pieces.digest);
	free(d);
	return 0;
}
