/* SPDX-License-Identifier: MIT */
#include "fde.h"

#include <theseus/errno.h>

#define DW_EH_PE_PCREL_SDATA4 0x1b
#define SIZE_BITS 0x0f /* of an encoding: how wide the value is */

/* Bytes of an encoded pointer; 0 = unknown. */
static uint32_t encoded_bytes(uint8_t encoding)
{
	switch (encoding & SIZE_BITS) {
	case 0x00: /* absptr */
	case 0x04: /* udata8 */
	case 0x0c: /* sdata8 */
		return 8;
	case 0x02: /* udata2 */
	case 0x0a:
		return 2;
	case 0x03: /* udata4 */
	case 0x0b:
		return 4;
	}
	return 0;
}

static bool skip_leb128(struct slice s, uint64_t *at)
{
	uint8_t byte;

	do {
		if (!slice_copy(s, (*at)++, &byte, 1))
			return false;
	} while (byte & 0x80);
	return true;
}

/* How the common entry at @at says that addresses of code are encoded. False: it does not. */
static bool code_encoding(struct slice s, uint64_t at, uint8_t *ret_encoding)
{
	uint64_t letters = at + 9, data; /* after length, id and version */
	uint8_t letter, encoding;

	for (data = letters;; data++) {
		if (!slice_copy(s, data, &letter, 1))
			return false;
		if (letter == 0)
			break;
	}
	data++;
	/* code and data alignment, return address register, length of what the letters say */
	for (unsigned i = 0; i < 4; i++) {
		if (!skip_leb128(s, &data))
			return false;
	}
	if (!slice_copy(s, letters++, &letter, 1) || letter != 'z')
		return false;
	while (slice_copy(s, letters++, &letter, 1) && letter != 0) {
		if (letter == 'S')
			continue;
		if (!slice_copy(s, data++, &encoding, 1))
			return false;
		if (letter == 'R') {
			*ret_encoding = encoding;
			return true;
		}
		if (letter == 'P')
			data += encoded_bytes(encoding);
		else if (letter != 'L')
			return false;
	}
	return false;
}

int64_t fde_list(struct slice section, uint32_t at, uint32_t text, uint32_t text_bytes,
		 struct fde *ret, uint32_t max)
{
	struct {
		uint32_t length, cie;
		int32_t begin;
		uint32_t bytes;
	} entry;
	uint64_t next;
	int64_t n = 0;
	uint8_t encoding;

	for (uint64_t here = 0; here < section.n; here = next) {
		uint32_t begin;

		if (!slice_copy(section, here, &entry.length, 4))
			return -EINVAL;
		next = here + 4 + entry.length;
		if (entry.length == 0)
			continue;
		if (entry.length < 4 || next > section.n ||
		    !slice_copy(section, here + 4, &entry.cie, 4))
			return -EINVAL;
		if (entry.cie == 0)
			continue;
		if (entry.length < sizeof(entry) - 4 || entry.cie > here + 4 ||
		    !slice_copy(section, here, &entry, sizeof(entry)) ||
		    !code_encoding(section, here + 4 - entry.cie, &encoding) ||
		    encoding != DW_EH_PE_PCREL_SDATA4)
			return -EINVAL;
		begin = at + (uint32_t)here + 8 + (uint32_t)entry.begin;
		if (begin < text || begin - text >= text_bytes ||
		    entry.bytes > text_bytes - (begin - text))
			continue; /* of what was dropped when the cell was packed */
		if (n < max)
			ret[n] = (struct fde){begin, entry.bytes, at + (uint32_t)here};
		n++;
	}
	return n;
}

const struct fde *fde_find(const struct fde *fdes, uint32_t n, uint32_t at)
{
	uint32_t low = 0, high = n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (fdes[mid].at <= at)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0 || at - fdes[low - 1].at >= fdes[low - 1].bytes)
		return NULL;
	return &fdes[low - 1];
}
