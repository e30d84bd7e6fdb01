/* SPDX-License-Identifier: MIT */
#include "seed.h"

#include <stdarg.h>
#include <theseus/gate-call.h>
#include <theseus/platform.h>

/* One gate call a line: whatever the UART's FIFO drops is in the crash record again. */
static void print_line(const char *prefix, const char *text)
{
	static struct gate_port ports[GATE_PORTS_MAX * 4];
	unsigned n = 0;

	for (const char *part = prefix; part; part = part == prefix ? text : NULL) {
		for (const char *c = part; *c && n < ARRAY_SIZE(ports) - 2; c++)
			ports[n++] = (struct gate_port){PLATFORM_PORT_COM1, 1, 1, (uint8_t)*c};
	}
	ports[n++] = (struct gate_port){PLATFORM_PORT_COM1, 1, 1, '\r'};
	ports[n++] = (struct gate_port){PLATFORM_PORT_COM1, 1, 1, '\n'};
	for (unsigned at = 0; at < n; at += GATE_PORTS_MAX)
		(void)gate_port(ports + at, n - at < GATE_PORTS_MAX ? n - at : GATE_PORTS_MAX);
}

void seed_fail(const struct loader_report *report)
{
	static char text[LOADER_REASON_BYTES + 64];

	for (uint32_t i = 0; i < report->n_reasons; i++)
		print_line("seed: ", report->reasons[i]);
	(void)report_format(text, sizeof(text), "seed: %s: %s", report->code,
			    report->n_reasons ? report->reasons[0] : "no reason given");
	gate_crash(text);
}

void seed_die(const char *code, const char *fmt, ...)
{
	static struct loader_report report;
	char text[LOADER_REASON_BYTES];
	va_list args;

	va_start(args, fmt);
	(void)report_vformat(text, sizeof(text), fmt, args);
	va_end(args);
	report_add(&report, code, "%s", text);
	seed_fail(&report);
}
