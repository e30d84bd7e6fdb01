/* SPDX-License-Identifier: MIT */
#include "ring.h"

#include <string.h>

void log_ring_add(struct log_ring *ring, struct log_record *r)
{
	r->seq = ++ring->last_seq;
	ring->records[r->seq % LOG_RECORDS] = *r;
}

int log_ring_read(const struct log_ring *ring, uint64_t seq, struct log_record *ret_record,
		  uint64_t *ret_lost)
{
	uint64_t oldest = ring->last_seq > LOG_RECORDS ? ring->last_seq - LOG_RECORDS + 1 : 1;
	uint64_t lost = 0;

	if (seq == 0)
		seq = 1;
	if (seq > ring->last_seq)
		return -ENOENT;
	if (seq < oldest) {
		lost = oldest - seq;
		seq = oldest;
	}
	*ret_record = ring->records[seq % LOG_RECORDS];
	*ret_lost = lost;
	return 0;
}

void log_tidy(char *text)
{
	size_t n = strlen(text);

	while (n > 0 && text[n - 1] == '\n')
		text[--n] = '\0';
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			text[i] = '?';
	}
}
