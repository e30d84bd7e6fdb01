/* SPDX-License-Identifier: MIT */
#include <theseus/log.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <theseus/clock.h>
#include <theseus/loader.h>
#include <theseus/notice.h>
#include <theseus/spinlock.h>

#include "ring.h"
#include "serial.h"

CELL_INFO(.name = "log", .version = "1.0.0", .summary = "the system log, and warnings to COM1",
	  .grants = GATE_GRANT_PORT, .safety = CELL_UNSAFE,
	  .unsafe_reason = "writes warnings to COM1 through ports", .quiescence = CELL_QUIESCE_ANY);

CELL_EXPORT(log_write);
CELL_EXPORT(log_announce);
CELL_EXPORT(log_read);
CELL_EXPORT(log_next_seq);
CELL_EXPORT(log_watch);

#define SERIAL_LINE_NS (100 * CLOCK_MS) /* a line for each; as many at once as: */
#define SERIAL_BURST 200u

SPINLOCK_ROLE(log_records);
SPINLOCK_ROLE(log_serial);

struct log_state {
	struct spinlock lock; /* log_records */
	bool verbose;         /* log=debug; set once at boot */
	struct log_watch_ops_h watchers[LOG_WATCHERS_MAX] GUARDED_BY(log_records);
	struct log_ring ring GUARDED_BY(log_records);

	struct spinlock serial; /* log_serial: whole lines to COM1, never taken with `lock` held */
	/* when the lines written so far would be due at SERIAL_LINE_NS */
	uint64_t serial_due_ns GUARDED_BY(log_serial);
	uint64_t serial_left_out GUARDED_BY(log_serial);
};

CELL_STATE(struct log_state, log_state);

static const char *const level_names[_LOG_LEVEL_MAX] = {"error", "warning", "notice", "info",
							"debug"};

static bool has_word(const char *line, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = strstr(line, word); at; at = strstr(at + n, word)) {
		if ((at == line || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0'))
			return true;
	}
	return false;
}

static int log_init(const struct cell_boot *boot)
{
	log_state.verbose = has_word(boot->record->cmdline, "log=debug");
	return 0;
}
CELL_PROVIDE(cell_ops, log) = {.init = log_init};

static void name_of(struct cell_ref cell, char name[CELL_NAME_MAX])
{
	struct loader_cell c;

	strlcpy(name, loader_cell_of(cell, &c) == 0 ? c.name : "-", CELL_NAME_MAX);
}

static void write_line(const char *line, size_t size, int n)
{
	if (n > 0)
		serial_write(line, (size_t)n < size ? (size_t)n : size - 1);
}

/* A line costs milliseconds, masked: whoever has very much to say must not stop the system. */
static bool may_write(uint64_t now) REQUIRES(log_serial)
{
	if (log_state.verbose)
		return true;
	if (log_state.serial_due_ns > now + SERIAL_BURST * SERIAL_LINE_NS) {
		log_state.serial_left_out++;
		return false;
	}
	if (log_state.serial_due_ns < now)
		log_state.serial_due_ns = now;
	log_state.serial_due_ns += SERIAL_LINE_NS;
	return true;
}

static void to_serial(const struct log_record *r)
{
	char line[CELL_NAME_MAX + LOG_TEXT_MAX + 48], gap[48];
	int n = snprintf(line, sizeof(line), "[%5llu.%06llu] %s %s: %s\r\n",
			 (unsigned long long)(r->time_ns / CLOCK_S),
			 (unsigned long long)(r->time_ns % CLOCK_S / 1000), level_names[r->level],
			 r->cell, r->text);

	spin_lock_as(&log_state.serial, log_serial);
	if (may_write(r->time_ns)) {
		if (log_state.serial_left_out)
			write_line(gap, sizeof(gap),
				   snprintf(gap, sizeof(gap), "(%llu lines left out here)\r\n",
					    (unsigned long long)log_state.serial_left_out));
		log_state.serial_left_out = 0;
		write_line(line, sizeof(line), n);
	}
	spin_unlock_as(&log_state.serial, log_serial);
}

static void notify_watchers(void)
{
	struct log_watch_ops_h watchers[LOG_WATCHERS_MAX];

	spin_lock_as(&log_state.lock, log_records);
	memcpy(watchers, log_state.watchers, sizeof(watchers));
	spin_unlock_as(&log_state.lock, log_records);
	for (unsigned i = 0; i < LOG_WATCHERS_MAX; i++) {
		const struct log_watch_ops *ops = log_watch_ops_get(watchers[i]);

		if (ops)
			ops->changed();
	}
}

static void add(struct log_record *r, bool serial)
{
	const struct task_head *task = percpu_read(task);

	r->time_ns = clock_now_ns();
	r->task = task ? task->id : 0;
	log_tidy(r->text);
	spin_lock_as(&log_state.lock, log_records);
	log_ring_add(&log_state.ring, r);
	spin_unlock_as(&log_state.lock, log_records);
	if (serial)
		to_serial(r);
	notify_watchers();
}

void log_write(enum log_level level, struct cell_ref cell, const char *fmt, ...)
{
	struct log_record r = {.level = level};
	va_list args;

	if ((unsigned)level >= _LOG_LEVEL_MAX || (level == LOG_DEBUG && !log_state.verbose))
		return;
	va_start(args, fmt);
	(void)vsnprintf(r.text, sizeof(r.text), fmt, args);
	va_end(args);
	name_of(cell, r.cell);
	add(&r, level <= LOG_WARNING || log_state.verbose);
}

void log_announce(struct cell_ref cell, const char *text)
{
	struct log_record r = {.level = LOG_NOTICE};

	name_of(cell, r.cell);
	strlcpy(r.text, text, sizeof(r.text));
	add(&r, true);
}

int log_read(uint64_t seq, struct log_record *ret_record, uint64_t *ret_lost)
{
	int r;

	spin_lock_as(&log_state.lock, log_records);
	r = log_ring_read(&log_state.ring, seq, ret_record, ret_lost);
	spin_unlock_as(&log_state.lock, log_records);
	return r;
}

uint64_t log_next_seq(void)
{
	uint64_t seq;

	spin_lock_as(&log_state.lock, log_records);
	seq = log_state.ring.last_seq + 1;
	spin_unlock_as(&log_state.lock, log_records);
	return seq;
}

int log_watch(struct log_watch_ops_h watcher)
{
	int r = -ENOSPC;

	spin_lock_as(&log_state.lock, log_records);
	for (unsigned i = 0; i < LOG_WATCHERS_MAX && r == -ENOSPC; i++) {
		struct log_watch_ops_h *w = &log_state.watchers[i];

		if (w->h.slot == watcher.h.slot && w->h.generation == watcher.h.generation) {
			r = -EEXIST;
		} else if (!log_watch_ops_get(*w)) {
			*w = watcher;
			r = 0;
		}
	}
	spin_unlock_as(&log_state.lock, log_records);
	return r;
}

/* For cells that were linked before this one. */
static void notice(uint32_t level, struct cell_ref cell, const char *text)
{
	log_write((enum log_level)level, cell, "%s", text);
}
CELL_PROVIDE(notice_ops, log) = {.notice = notice};
