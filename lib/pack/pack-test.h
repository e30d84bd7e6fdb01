/* SPDX-License-Identifier: MIT */
/* For tests that compile small pieces of C: a folder of its own, and the real compiler. */
#ifndef THESEUS_LIB_PACK_TEST_H
#define THESEUS_LIB_PACK_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"

#define TEST_PATH 4096

/* gcc, whatever compiles the test: cells are GCC's. */
static const char *const test_flags[] = {
	"-std=gnu11",
	"-ffreestanding",
	"-O2",
	"-g",
	"-gbtf",
	"-fPIE",
	"-fno-stack-protector",
	"-fcf-protection=none",
	"-fexceptions",
	"-fnon-call-exceptions",
	"-fasynchronous-unwind-tables",
	"-fno-common",
	NULL,
};

static inline void test_write(const char *dir, const char *name, const char *text)
{
	char path[TEST_PATH];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(file_write(path, text, strlen(text)), 0);
}

/*
 * Compiles @source as DIR/NAME.c to DIR/NAME.o with the flags of cells, then @extra (one flag
 * or NULL) and the include paths given. Fails the test when the compiler does.
 */
static inline void test_compile(const char *dir, const char *name, const char *source,
				const char *extra, const char *const *includes)
{
	const char *argv[64] = {"gcc"};
	char c[TEST_PATH], o[TEST_PATH], file[64];
	struct buf said = {0};
	size_t n = 1;

	(void)snprintf(file, sizeof(file), "%s.c", name);
	test_write(dir, file, source);
	(void)snprintf(c, sizeof(c), "%s/%s.c", dir, name);
	(void)snprintf(o, sizeof(o), "%s/%s.o", dir, name);
	for (size_t i = 0; test_flags[i]; i++)
		argv[n++] = test_flags[i];
	for (size_t i = 0; includes[i]; i++) {
		argv[n++] = "-I";
		argv[n++] = includes[i];
	}
	if (extra)
		argv[n++] = extra;
	argv[n++] = "-w";
	argv[n++] = "-c";
	argv[n++] = "-o";
	argv[n++] = o;
	argv[n++] = c;
	if (child_run((char *const *)(uintptr_t)argv, &said) != 0)
		fail_msg("%s does not compile:\n%s", name, buf_str(&said));
	buf_done(&said);
}

#endif
