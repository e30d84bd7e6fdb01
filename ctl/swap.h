/* SPDX-License-Identifier: MIT */
#ifndef THESEUS_CTL_SWAP_H
#define THESEUS_CTL_SWAP_H

#include "client.h"

/* What is swapped and how. */
struct swap_config {
	const uint8_t *data; /* a bundle, or NULL: */
	size_t len;
	uint64_t stage; /* what was staged before */
	bool dry_run;
	bool has_expect_generation;
	uint64_t expect_generation;
	uint64_t timeout_ns;
};

struct swap_result {
	Theseus__Response *response; /* the SwapReply's; the caller's to free */
	uint64_t stage, upload_ns, push_ns;
};

/* Stages (unless that was done before) and swaps. What it staged and did not swap is dropped. */
int swap_run(struct client *cl, const struct swap_config *config, struct swap_result *ret_result);

#endif
