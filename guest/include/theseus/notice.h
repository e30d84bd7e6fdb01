/* SPDX-License-Identifier: MIT */
/*
 * Lines for the log from cells that are linked before it, and so cannot import it: they look
 * the provider up when they have something to say. Without one the line is dropped.
 */
#ifndef THESEUS_NOTICE_H
#define THESEUS_NOTICE_H

#include <theseus/cell.h>

/* CELL_PROVIDE(notice_ops, log): one. */
struct notice_ops {
	/* @level: enum log_level. @text: one line, borrowed. Context as log_write(). */
	void (*notice)(uint32_t level, struct cell_ref cell, const char *text);
};
IFACE_DEFINE(notice_ops);

#endif
