/* SPDX-License-Identifier: MIT */
/* The table of `bench`: what is measured, against what, and what that comparison is worth. */
#include "bench.h"

#define G(name_, param_)                                                                           \
	{                                                                                          \
		BENCH_GUEST, name_, param_                                                         \
	}
#define L(name_, param_)                                                                           \
	{                                                                                          \
		BENCH_LINUX, name_, param_                                                         \
	}
#define MI(name_, param_)                                                                          \
	{                                                                                          \
		BENCH_MIMALLOC, name_, param_                                                      \
	}
#define NOTHING                                                                                    \
	{                                                                                          \
		BENCH_NOTHING, NULL, 0                                                             \
	}

#define AS_BOOTED ""
#define ONE_CPU "cpus=1"

#define PART(name_, what_)                                                                         \
	{                                                                                          \
		"part", G(name_, 0), NOTHING, AS_BOOTED, NULL, 0, what_                            \
	}

/* Every operation among few and among many: flat is the aim, so the ratio should stay near 1. */
#define AMONG(family_, name_, few, many, what_)                                                    \
	{                                                                                          \
		family_, G(name_, many), G(name_, few), AS_BOOTED, NULL, 0, what_                  \
	}

#define AMONG_CELLS(name_, param_, what_)                                                          \
	{                                                                                          \
		"scale", G(name_, param_), G(name_, param_), "cells=10000", AS_BOOTED, 0,          \
			"with 10,000 more cells: " what_                                           \
	}

#define SCHED(config_, n, against_)                                                                \
	{                                                                                          \
		"scheduler", G("yield", n), against_, config_, NULL, 0,                            \
			"one switch among that many tasks or threads of one CPU that all can run"  \
	}
#define SCHEDS(config_)                                                                            \
	SCHED(config_, 2, L("sched-yield", 2)), SCHED(config_, 100, L("sched-yield", 100)),        \
		SCHED(config_, 1000, L("sched-yield", 1000)),                                      \
		SCHED(config_, 10000, L("sched-yield", 10000))

#define MAPS(n)                                                                                    \
	{"map",                                                                                    \
	 G("map", n),                                                                              \
	 L("mmap", n),                                                                             \
	 AS_BOOTED,                                                                                \
	 NULL,                                                                                     \
	 0.5,                                                                                      \
	 "a zeroed region made, every page written, dropped; mmap, write, munmap. The target is "  \
	 "for VT-x hosts"},                                                                        \
	{                                                                                          \
		"map", G("map", n), G("gate-map", n), AS_BOOTED, NULL, 1.3,                        \
			"the same over its gate calls alone: unmap, map, touch, without zeroing"   \
	}

#define HEAPS(work, n)                                                                               \
	{"heap", G(work, n), L(work, n), "heap=unsafe", NULL, 1.0, HEAP_WHAT "; glibc malloc"},      \
		{"heap", G(work, n), MI(work, n), "heap=unsafe", NULL, 1.3, HEAP_WHAT "; mimalloc"}, \
		{"heap",                                                                             \
		 G(work, n),                                                                         \
		 L(work, n),                                                                         \
		 "heap=partial",                                                                     \
		 NULL,                                                                               \
		 0,                                                                                  \
		 HEAP_WHAT "; glibc malloc"},                                                        \
		{"heap", G(work, n), L(work, n), "heap=safe", NULL, 0, HEAP_WHAT "; glibc malloc"},  \
	{                                                                                            \
		"heap", G(work, n), G(work, n), "heap=safe", "heap=unsafe", 1.1,                     \
			"the price of the checks: the same work in two builds of the heap"           \
	}
#define HEAP_WHAT                                                                                  \
	"an allocation and its free, the same source on both sides, on that many CPUs at once"

#define MAPPINGS(n, linux_n)                                                                       \
	{                                                                                          \
		"mappings", G("mappings", n), L("mmap-among", linux_n), AS_BOOTED, NULL, 0,        \
			"one page made, written and dropped among that many regions; mmap and "    \
			"munmap among that "                                                       \
			"many entries of the kernel's tree (at most 65,000 there)"                 \
	}

#define FILES(name_, bytes_, linux_, what_)                                                        \
	{                                                                                          \
		"file", G(name_, bytes_), L(linux_, bytes_), AS_BOOTED, NULL, 0,                   \
			what_ "; memfs by calls through vfs, tmpfs by system calls"                \
	}

#define STATE(n)                                                                                   \
	{                                                                                          \
		"state", G("vfs-state", n), G("vfs-state", 1), AS_BOOTED, NULL, 1.0,               \
			"bytes of vfs's state and of its own heap while that many clients have a " \
			"file open; "                                                              \
			"what the clients hold is theirs"                                          \
	}

#define CHANNELS_TO(kind, where, against_, target_, what_)                                         \
	{                                                                                          \
		"channel", G(kind, where), against_, AS_BOOTED, NULL, target_,                     \
			"a word there and one back, two tasks on one CPU (0) or on two "           \
			"(1); " what_                                                              \
	}
#define CHANNELS(kind, where, ring_)                                                               \
	CHANNELS_TO(kind, where, L("pipe", where), 0.2, "two threads and two pipes"),              \
		CHANNELS_TO(kind, where, L("futex", where), 0,                                     \
			    "two threads that hand a word to each other by futex"),                \
		CHANNELS_TO(kind, where, L("ck-ring", where), 2, ring_)
#define EVENTS(where)                                                                              \
	{                                                                                          \
		"channel", G("event", where), L("futex", where), AS_BOOTED, NULL, 0,               \
			"a turn handed there and back by task events, the like of the futex "      \
			"hand-off"                                                                 \
	}
#define RING_SWITCH "two ck_rings and minimal switches: no blocking, no scheduler"
#define RING_POLL "two ck_rings that two threads poll: nobody ever sleeps"

const struct bench_row bench_rows[] = {
	{"call", G("call", 0), L("getpid", 0), AS_BOOTED, NULL, 0,
	 "a call to another cell through the loader's links; a system call. A call crosses no "
	 "privilege boundary: that is what one level for all cells saves"},

	{"switch", G("yield", 2), L("sched-yield", 2), AS_BOOTED, NULL, 0.2,
	 "two tasks, or threads, pinned to one CPU give way to each other; one switch"},
	{"switch", G("yield", 2), L("minimal-switch", 0), AS_BOOTED, NULL, 2,
	 "the same against 15 instructions that exchange two stacks: no scheduler, no lock, no "
	 "accounting, no FS base, no control words"},

	{"spawn", G("spawn-join", 0), L("fork-exec-wait", 0), AS_BOOTED, NULL, 0.02,
	 "a task on a stack between guard pages, kept from the one before, run and joined; a "
	 "process of one page without libraries"},
	{"spawn", G("spawn-join", 0), L("pthread-create-join", 0), AS_BOOTED, NULL, 0,
	 "the same; glibc keeps the stacks of finished threads, too"},

	PART("clock", "the time of day: is read at every switch and every deadline"),
	PART("lock", "a spinlock taken and released, nobody else wants it"),
	PART("gate-call", "the least gate call: enter ring 0, look at one word, leave"),

	MAPS(1),
	MAPS(16),
	MAPS(256),
	{"map", G("map", 1), L("mmap", 1), ONE_CPU, NULL, 0,
	 "the same on one vCPU, where nobody else's TLB must be flushed"},
	{"map", G("map", 1), G("gate-map", 1), ONE_CPU, NULL, 0,
	 "the same over its gate calls alone, on one vCPU"},

	HEAPS("threadtest", 1),
	HEAPS("threadtest", 2),
	HEAPS("shbench", 1),
	HEAPS("shbench", 2),

	{"wake-up", G("wake-up", 0), L("nanosleep", 0), AS_BOOTED, NULL, 0,
	 "from a deadline until the pinned task, or thread, that slept until then runs; its CPU "
	 "is idle"},
	{"wake-up", G("wake-up", 1), L("nanosleep", 1), AS_BOOTED, NULL, 0,
	 "the same while another of equal claim never gives way on that CPU; round robin"},
	{"wake-up", G("wake-up", 1), L("nanosleep", 1), "sched=fair", NULL, 0,
	 "the same under the fair scheduler; Linux's own fair one"},
	{"wake-up", G("wake-up", 2), L("nanosleep-fifo", 1), "sched=priority", NULL, 0,
	 "preemption: the other has a lower priority; a SCHED_FIFO thread while one of SCHED_OTHER "
	 "never gives way"},

	FILES("file-create", 0, "tmpfs-create", "an empty file opened with create, and closed"),
	FILES("file-write", 64, "tmpfs-write", "seek to the start of an open file, and write"),
	FILES("file-write", 4096, "tmpfs-write", "seek to the start of an open file, and write"),
	FILES("file-read", 64, "tmpfs-read", "seek to the start of an open file, and read"),
	FILES("file-read", 4096, "tmpfs-read", "seek to the start of an open file, and read"),
	FILES("file-delete", 0, "tmpfs-delete", "an empty file deleted by its path"),

	STATE(100),
	STATE(10000),

	CHANNELS("rendezvous", 0, RING_SWITCH),
	CHANNELS("rendezvous", 1, RING_POLL),
	EVENTS(0),
	EVENTS(1),
	CHANNELS("async", 0, RING_SWITCH),
	CHANNELS("async", 1, RING_POLL),

	SCHEDS("sched=rr"),
	SCHEDS("sched=priority"),
	SCHEDS("sched=fair"),

	MAPPINGS(100, 100),
	MAPPINGS(1000, 1000),
	MAPPINGS(10000, 10000),
	MAPPINGS(100000, 65000),

	AMONG("scale", "spawn-join", 0, 100, "a task spawned and joined among blocked tasks"),
	AMONG("scale", "spawn-join", 0, 1000, "a task spawned and joined among blocked tasks"),
	AMONG("scale", "spawn-join", 0, 10000, "a task spawned and joined among blocked tasks"),
	{"scale", G("yield", 10000), G("yield", 2), "sched=rr", NULL, 0,
	 "a switch among tasks that all can run"},
	AMONG("scale", "mappings", 1, 10000, "a page made, written and dropped among regions"),
	AMONG("scale", "object-create", 1, 10000, "a typed object made and destroyed among others"),
	AMONG("scale", "object-get", 1, 10000, "a handle resolved among others"),
	AMONG_CELLS("call", 0, "a call to another cell"),
	AMONG_CELLS("find-cell", 0, "a cell looked up by its name"),
	AMONG_CELLS("yield", 2, "a switch between two tasks"),
	AMONG_CELLS("spawn-join", 0, "a task spawned and joined"),
	AMONG_CELLS("map", 1, "a page made, written and dropped"),
	AMONG_CELLS("object-create", 1, "a typed object made and destroyed"),
	AMONG_CELLS("swap-pause", 0, "the pause of a swap of greeter: what all CPUs stand still for"),
	AMONG_CELLS("swap-stage", 0, "greeter linked beside the running system before that swap; the "
				  "next generation's tables are made of all cells"),
	{NULL, NOTHING, NOTHING, NULL, NULL, 0, NULL},
};
