/* SPDX-License-Identifier: MIT */
/*
 * A fuzz target is fuzz-NAME.c with the one function below, a row in meson.build and a small
 * corpus in corpus/NAME/. The ordinary test replays the corpus (fuzz-main.c) and a fixed
 * number of seeded mutations of it. To search for more:
 *   clang -fsanitize=fuzzer,address,undefined -I... fuzz-NAME.c module.c && ./a.out corpus/NAME
 */
#ifndef THESEUS_TESTS_FUZZ_H
#define THESEUS_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Holds in every build, unlike assert(). */
#define FUZZ_CHECK(x)                                                                              \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #x);     \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* Result: 0. @data is borrowed, and any bytes at all. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
