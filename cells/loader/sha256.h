/* SPDX-License-Identifier: MIT */
/* SHA-256 (FIPS 180-4), plain C, no state between calls. */
#ifndef THESEUS_LOADER_SHA256_H
#define THESEUS_LOADER_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32u

void sha256(const void *data, size_t n, uint8_t ret_digest[SHA256_BYTES]);

#endif
