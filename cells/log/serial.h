/* SPDX-License-Identifier: MIT */
#ifndef LOG_SERIAL_H
#define LOG_SERIAL_H

#include <stddef.h>

/*
 * Writes @len bytes to COM1 through the gate, a batch a call. Bytes are lost rather than
 * waited for without end when the UART does not drain. The caller keeps others out.
 */
void serial_write(const char *data, size_t len);

#endif
