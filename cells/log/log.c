/* SPDX-License-Identifier: MIT */
#include <theseus/log.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <theseus/clock.h>
#include <theseus/loader.h>
#include <theseus/notice.h>
#include <theseus/spinlock.h>

#include "serial.h"

CELL_INFO(.name = "log", .version = "1.0.0", .summary = "the system log, and warnings to COM1",
	  .grants = GATE_GRANT_PORT, .safety = CELL_UNSAFE, .quiescence = CELL_QUIESCE_ANY);

CELL_EXPORT(log_write);
CELL_EXPORT(log_announce);
CELL_EXPORT(log_read);
CELL_EXPORT(log_next_seq);
CELL_EXPORT(log_watch);

#define LOG_RECORDS 240u

struct log_state {
	struct spinlock lock; /* guards all but `serial` and `verbose` */
	bool verbose;         /* log=debug; set once at boot */
	uint64_t next_seq;    /* of the next record; records[seq % LOG_RECORDS] */
	struct log_watch_ops_h watchers[LOG_WATCHERS_MAX];
	struct log_record records[LOG_RECORDS];

	struct spinlock serial; /* whole lines to COM1, never taken with `lock` held */
};

CELL_STATE(struct log_state, log_state) = {.next_seq = 1};

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

	for (uint32_t i = 0; loader_cell_at(i, &c) == 0; i++) {
		if (c.ref.id == cell.id) {
			strlcpy(name, c.name, CELL_NAME_MAX);
			return;
		}
	}
	strlcpy(name, "-", CELL_NAME_MAX);
}

/* A record is one line of text, whatever the writer's data held. */
static void tidy(char *text)
{
	size_t n = strlen(text);

	while (n > 0 && text[n - 1] == '\n')
		text[--n] = '\0';
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			text[i] = '?';
	}
}

static void to_serial(const struct log_record *r)
{
	char line[CELL_NAME_MAX + LOG_TEXT_MAX + 48];
	int n = snprintf(line, sizeof(line), "[%5llu.%06llu] %s %s: %s\r\n",
			 (unsigned long long)(r->time_ns / CLOCK_S),
			 (unsigned long long)(r->time_ns % CLOCK_S / 1000), level_names[r->level],
			 r->cell, r->text);

	if (n < 0)
		return;
	spin_lock(&log_state.serial);
	serial_write(line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
	spin_unlock(&log_state.serial);
}

static void notify_watchers(void)
{
	struct log_watch_ops_h watchers[LOG_WATCHERS_MAX];

	spin_lock(&log_state.lock);
	memcpy(watchers, log_state.watchers, sizeof(watchers));
	spin_unlock(&log_state.lock);
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
	tidy(r->text);
	spin_lock(&log_state.lock);
	r->seq = log_state.next_seq++;
	log_state.records[r->seq % LOG_RECORDS] = *r;
	spin_unlock(&log_state.lock);
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
	uint64_t oldest, lost = 0;
	int r = -ENOENT;

	spin_lock(&log_state.lock);
	oldest = log_state.next_seq > LOG_RECORDS ? log_state.next_seq - LOG_RECORDS : 1;
	if (seq == 0)
		seq = 1;
	if (seq < oldest) {
		lost = oldest - seq;
		seq = oldest;
	}
	if (seq < log_state.next_seq) {
		*ret_record = log_state.records[seq % LOG_RECORDS];
		*ret_lost = lost;
		r = 0;
	}
	spin_unlock(&log_state.lock);
	return r;
}

uint64_t log_next_seq(void)
{
	uint64_t seq;

	spin_lock(&log_state.lock);
	seq = log_state.next_seq;
	spin_unlock(&log_state.lock);
	return seq;
}

int log_watch(struct log_watch_ops_h watcher)
{
	int r = -ENOSPC;

	spin_lock(&log_state.lock);
	for (unsigned i = 0; i < LOG_WATCHERS_MAX && r == -ENOSPC; i++) {
		struct log_watch_ops_h *w = &log_state.watchers[i];

		if (w->h.slot == watcher.h.slot && w->h.generation == watcher.h.generation) {
			r = -EEXIST;
		} else if (!log_watch_ops_get(*w)) {
			*w = watcher;
			r = 0;
		}
	}
	spin_unlock(&log_state.lock);
	return r;
}

/* For cells that were linked before this one. */
static void notice(uint32_t level, struct cell_ref cell, const char *text)
{
	log_write((enum log_level)level, cell, "%s", text);
}
CELL_PROVIDE(notice_ops, log) = {.notice = notice};
