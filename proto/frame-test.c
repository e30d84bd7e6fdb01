/* SPDX-License-Identifier: MIT */
#include "frame.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct bytes {
	uint8_t data[4 * FRAME_SIZE_MAX];
	size_t len;
};

static void put_raw(struct bytes *b, const void *data, size_t len)
{
	assert_true(len <= sizeof(b->data) - b->len);
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

/* Appends a frame; the payload is @len bytes of @fill. */
static void put_frame(struct bytes *b, uint64_t id, uint8_t fill, uint32_t len)
{
	static uint8_t payload[FRAME_PAYLOAD_MAX];
	uint8_t header[FRAME_HEADER_SIZE];
	struct frame_header h = {
		.type = FRAME_REQUEST, .length = len, .session = 7, .request_id = id};

	memset(payload, fill, len);
	assert_int_equal(frame_encode_header(&h, payload, header), 0);
	put_raw(b, header, sizeof(header));
	put_raw(b, payload, len);
}

/* Makes the header CRC right again after a test has changed the header at @at. */
static void reseal(struct bytes *b, size_t at)
{
	uint32_t crc = crc32c(0, b->data + at, 28);

	for (int i = 0; i < 4; i++)
		b->data[at + 28 + i] = (uint8_t)(crc >> (8 * i));
}

/* Feeds @b in pieces of @piece bytes; writes the request ids of the frames found to @ids. */
static size_t decode_all(struct frame_decoder *d, const struct bytes *b, size_t piece,
			 uint64_t *ids, size_t max)
{
	size_t n = 0, at = 0;

	frame_decoder_init(d);
	while (at < b->len) {
		size_t len = b->len - at < piece ? b->len - at : piece, taken;
		struct frame f;

		for (;;) {
			int r = frame_decode(d, b->data + at, len, &taken, &f);

			assert_true(taken <= len);
			at += taken;
			len -= taken;
			if (!r)
				break;
			assert_true(n < max);
			ids[n++] = f.header.request_id;
		}
		assert_int_equal(len, 0);
	}
	return n;
}

struct fixture {
	struct frame_decoder d;
	struct bytes b;
	uint64_t ids[4096];
};

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct fixture));
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void test_crc_known(void **state)
{
	uint8_t b[32];

	(void)state;
	/* RFC 3720 B.4 */
	memset(b, 0, sizeof(b));
	assert_int_equal(crc32c(0, b, 32), 0x8a9136aa);
	memset(b, 0xff, sizeof(b));
	assert_int_equal(crc32c(0, b, 32), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		b[i] = (uint8_t)i;
	assert_int_equal(crc32c(0, b, 32), 0x46dd794e);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(0, "", 0), 0);
}

static uint32_t crc_bitwise(const uint8_t *p, size_t len)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (int k = 0; k < 8; k++)
			crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

static void test_crc_tables(void **state)
{
	uint8_t b[64];

	(void)state;
	/* Every byte value at every place of the eight-byte step reaches every table entry. */
	for (int at = 0; at < 8; at++) {
		for (int v = 0; v < 256; v++) {
			memset(b, 0x5a, sizeof(b));
			b[at] = (uint8_t)v;
			assert_int_equal(crc32c(0, b, 8), crc_bitwise(b, 8));
			assert_int_equal(crc32c(0, b, 13), crc_bitwise(b, 13));
		}
	}
	for (size_t cut = 0; cut <= sizeof(b); cut++)
		assert_int_equal(crc32c(crc32c(0, b, cut), b + cut, sizeof(b) - cut),
				 crc_bitwise(b, sizeof(b)));
}

static void test_round_trip(void **state)
{
	struct fixture *fx = *state;
	struct frame f;
	size_t taken;

	put_frame(&fx->b, 0x1122334455667788, 'a', 5);
	frame_decoder_init(&fx->d);
	assert_int_equal(frame_decode(&fx->d, fx->b.data, fx->b.len, &taken, &f), 1);
	assert_int_equal(taken, fx->b.len);
	assert_int_equal(f.header.type, FRAME_REQUEST);
	assert_int_equal(f.header.length, 5);
	assert_int_equal(f.header.session, 7);
	assert_int_equal(f.header.request_id, 0x1122334455667788);
	assert_memory_equal(f.payload, "aaaaa", 5);
	assert_int_equal(frame_decode(&fx->d, NULL, 0, &taken, &f), 0);
	assert_false(frame_decoder_partial(&fx->d));
	assert_int_equal(fx->d.skipped, 0);
}

static void test_wire_layout(void **state)
{
	static const uint8_t expect[FRAME_HEADER_SIZE] = {
		'T',  'H',  'S',  '1',  1,    2,    0,    0,    3,    0,    0,
		0,    0x0d, 0x0c, 0x0b, 0x0a, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03,
		0x02, 0x01, 0xb7, 0x3f, 0x4b, 0x36, 0,    0,    0,    0};
	struct frame_header h = {.type = FRAME_RESPONSE,
				 .length = 3,
				 .session = 0x0a0b0c0d,
				 .request_id = 0x0102030405060708};
	uint8_t out[FRAME_HEADER_SIZE];

	(void)state;
	assert_int_equal(frame_encode_header(&h, "abc", out), 0);
	assert_memory_equal(out, expect, 28);
	assert_int_equal((uint32_t)out[28] | (uint32_t)out[29] << 8 | (uint32_t)out[30] << 16 |
				 (uint32_t)out[31] << 24,
			 crc32c(0, expect, 28));
}

static void test_sizes(void **state)
{
	struct fixture *fx = *state;

	put_frame(&fx->b, 1, 0, 0);
	put_frame(&fx->b, 2, 'x', FRAME_PAYLOAD_MAX);
	put_frame(&fx->b, 3, 'y', 1);
	assert_int_equal(decode_all(&fx->d, &fx->b, SIZE_MAX, fx->ids, 4), 3);
	assert_int_equal(fx->d.skipped, 0);
	assert_int_equal(fx->ids[2], 3);
}

static void test_encode_refuses(void **state)
{
	uint8_t out[FRAME_HEADER_SIZE];
	struct frame_header h = {.type = FRAME_EVENT, .length = FRAME_PAYLOAD_MAX + 1};

	(void)state;
	assert_int_equal(frame_encode_header(&h, "", out), -EMSGSIZE);
	h.length = 0;
	h.type = 0;
	assert_int_equal(frame_encode_header(&h, "", out), -EINVAL);
	h.type = _FRAME_TYPE_MAX;
	assert_int_equal(frame_encode_header(&h, "", out), -EINVAL);
	h.type = _FRAME_TYPE_INVALID;
	assert_int_equal(frame_encode_header(&h, "", out), -EINVAL);
}

static void test_every_split(void **state)
{
	struct fixture *fx = *state;

	put_raw(&fx->b, "THS", 3);
	put_frame(&fx->b, 1, 'a', 40);
	put_raw(&fx->b, "garbage THS1", 12);
	put_frame(&fx->b, 2, 'b', 0);
	put_frame(&fx->b, 3, 'c', 9);
	for (size_t piece = 1; piece <= fx->b.len; piece++) {
		assert_int_equal(decode_all(&fx->d, &fx->b, piece, fx->ids, 8), 3);
		assert_int_equal(fx->ids[0], 1);
		assert_int_equal(fx->ids[1], 2);
		assert_int_equal(fx->ids[2], 3);
		assert_int_equal(fx->d.skipped, 15);
	}
}

static void test_garbage_before(void **state)
{
	struct fixture *fx = *state;

	srand(1);
	for (int i = 0; i < 100000; i++)
		put_raw(&fx->b, &(uint8_t){(uint8_t)rand()}, 1);
	put_frame(&fx->b, 9, 'z', 100);
	assert_int_equal(decode_all(&fx->d, &fx->b, 1000, fx->ids, 4), 1);
	assert_int_equal(fx->ids[0], 9);
	assert_int_equal(fx->d.skipped, 100000);
}

static void test_header_crc_wrong(void **state)
{
	struct fixture *fx = *state;

	/* A flip of any bit of the header loses that frame and no other. */
	put_frame(&fx->b, 1, 'a', 64);
	put_frame(&fx->b, 2, 'b', 64);
	for (int bit = 0; bit < 8 * FRAME_HEADER_SIZE; bit++) {
		fx->b.data[bit / 8] ^= (uint8_t)(1 << (bit % 8));
		assert_int_equal(decode_all(&fx->d, &fx->b, 33, fx->ids, 4), 1);
		assert_int_equal(fx->ids[0], 2);
		fx->b.data[bit / 8] ^= (uint8_t)(1 << (bit % 8));
	}
}

static void test_payload_crc_wrong(void **state)
{
	struct fixture *fx = *state;

	put_frame(&fx->b, 1, 'a', 64);
	put_frame(&fx->b, 2, 'b', 64);
	fx->b.data[FRAME_HEADER_SIZE + 63] ^= 1;
	assert_int_equal(decode_all(&fx->d, &fx->b, SIZE_MAX, fx->ids, 4), 1);
	assert_int_equal(fx->ids[0], 2);
	assert_int_equal(fx->d.skipped, FRAME_HEADER_SIZE + 64);
}

static void test_absurd_length(void **state)
{
	struct fixture *fx = *state;
	static const uint32_t lengths[] = {FRAME_PAYLOAD_MAX + 1, 1u << 31, UINT32_MAX};

	for (size_t i = 0; i < 3; i++) {
		fx->b.len = 0;
		put_frame(&fx->b, 1, 0, 0);
		for (int k = 0; k < 4; k++)
			fx->b.data[8 + k] = (uint8_t)(lengths[i] >> (8 * k));
		reseal(&fx->b, 0);
		put_frame(&fx->b, 2, 'b', 3);
		assert_int_equal(decode_all(&fx->d, &fx->b, 5, fx->ids, 4), 1);
		assert_int_equal(fx->ids[0], 2);
		assert_false(frame_decoder_partial(&fx->d));
	}
}

static void test_other_version(void **state)
{
	struct fixture *fx = *state;

	put_frame(&fx->b, 1, 'a', 3);
	fx->b.data[4] = FRAME_VERSION + 1;
	reseal(&fx->b, 0);
	put_frame(&fx->b, 2, 'b', 3);
	assert_int_equal(decode_all(&fx->d, &fx->b, SIZE_MAX, fx->ids, 4), 1);
	assert_int_equal(fx->ids[0], 2);
}

static void test_reserved_not_zero(void **state)
{
	struct fixture *fx = *state;

	put_frame(&fx->b, 1, 'a', 3);
	fx->b.data[7] = 1;
	reseal(&fx->b, 0);
	assert_int_equal(decode_all(&fx->d, &fx->b, SIZE_MAX, fx->ids, 4), 0);
}

static void test_unknown_type_passed_over(void **state)
{
	struct fixture *fx = *state;
	struct bytes *inner = calloc(1, sizeof(*inner));
	struct frame_header h = {.type = FRAME_REQUEST};
	uint8_t header[FRAME_HEADER_SIZE];

	assert_non_null(inner);
	/* Its payload is itself a frame: it must not be mistaken for one of the link's. */
	put_frame(inner, 66, 'i', 4);
	h.length = (uint32_t)inner->len;
	assert_int_equal(frame_encode_header(&h, inner->data, header), 0);
	put_raw(&fx->b, header, sizeof(header));
	put_raw(&fx->b, inner->data, inner->len);
	fx->b.data[5] = 200;
	reseal(&fx->b, 0);
	put_frame(&fx->b, 2, 'b', 3);
	assert_int_equal(decode_all(&fx->d, &fx->b, 1, fx->ids, 4), 1);
	assert_int_equal(fx->ids[0], 2);
	free(inner);
}

static void test_cut_then_whole(void **state)
{
	struct fixture *fx = *state;

	/* A link cut at each byte of a frame and used again at once: the next ones arrive. */
	for (size_t cut = 0; cut < FRAME_HEADER_SIZE + 200; cut++) {
		fx->b.len = 0;
		put_frame(&fx->b, 1, 'a', 200);
		fx->b.len = cut;
		put_frame(&fx->b, 2, 'b', 100);
		put_frame(&fx->b, 3, 'c', 100);
		assert_int_equal(decode_all(&fx->d, &fx->b, 7, fx->ids, 4), 2);
		assert_int_equal(fx->ids[0], 2);
		assert_int_equal(fx->ids[1], 3);
		assert_int_equal(fx->d.skipped, cut);
	}
}

static void test_cut_largest_then_many(void **state)
{
	struct fixture *fx = *state;
	size_t whole;

	/* The largest frame, cut behind its header: all that came behind it is held and found. */
	put_frame(&fx->b, 0, 'a', FRAME_PAYLOAD_MAX);
	fx->b.len = FRAME_HEADER_SIZE;
	for (whole = 0; fx->b.len < 2 * FRAME_SIZE_MAX; whole++)
		put_frame(&fx->b, 1 + whole, 'b', whole % 64);
	assert_int_equal(decode_all(&fx->d, &fx->b, 4096, fx->ids, 4096), whole);
	for (size_t i = 0; i < whole; i++)
		assert_int_equal(fx->ids[i], 1 + i);
}

static void test_silence_is_visible(void **state)
{
	struct fixture *fx = *state;

	put_frame(&fx->b, 1, 'a', 200);
	fx->b.len -= 1;
	assert_int_equal(decode_all(&fx->d, &fx->b, SIZE_MAX, fx->ids, 4), 0);
	assert_true(frame_decoder_partial(&fx->d));
	frame_decoder_init(&fx->d);
	assert_false(frame_decoder_partial(&fx->d));
}

static void test_padding_ends_a_cut_frame(void **state)
{
	struct fixture *fx = *state;
	static const uint8_t zeros[FRAME_SIZE_MAX];

	put_frame(&fx->b, 1, 'a', FRAME_PAYLOAD_MAX);
	fx->b.len = FRAME_HEADER_SIZE + 1;
	put_raw(&fx->b, zeros, sizeof(zeros));
	put_frame(&fx->b, 2, 'b', 10);
	assert_int_equal(decode_all(&fx->d, &fx->b, 999, fx->ids, 4), 1);
	assert_int_equal(fx->ids[0], 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_crc_known),
		T(test_crc_tables),
		T(test_round_trip),
		T(test_wire_layout),
		T(test_sizes),
		T(test_encode_refuses),
		T(test_every_split),
		T(test_garbage_before),
		T(test_header_crc_wrong),
		T(test_payload_crc_wrong),
		T(test_absurd_length),
		T(test_other_version),
		T(test_reserved_not_zero),
		T(test_unknown_type_passed_over),
		T(test_cut_then_whole),
		T(test_cut_largest_then_many),
		T(test_silence_is_visible),
		T(test_padding_ends_a_cut_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
