/* SPDX-License-Identifier: MIT */
/*
 * The agent's parts and what they share.
 *
 *   link.c     bytes: frames in from the port, frames out to it
 *   session.c  who is talking: one entry a client
 *   request.c  a request's life: decoding, idempotency, who serves it
 *   answer.c   a response's way out
 *   upload.c change.c exec.c info.c tasks.c log.c   what requests do
 *
 * One service (`agent`) does all of it, step by step; only the two workers (`agent_exec`,
 * `agent_change`) run beside it, because they take long. They share no more than a job each.
 * Everything a client can cause is bounded: see the numbers here.
 */
#ifndef AGENT_H
#define AGENT_H

#include <theseus/cell.h>
#include <theseus/clock.h>
#include <theseus/command.h>
#include <theseus/loader.h>
#include <theseus/mapped.h>
#include <theseus/virtio_console.h>

#include "control.pb-c.h"
#include "frame.h"

#define AGENT_PROTOCOL 1u

#define AGENT_SESSIONS_MAX 32u
#define AGENT_UPLOAD_MAX (8u << 20)        /* bytes of one bundle */
#define AGENT_UPLOADS_TOTAL_MAX (16u << 20) /* of all that are under way */
#define AGENT_CREDIT (256u << 10)          /* bytes a client may be ahead with */
#define AGENT_OUT_MAX (256u << 10)         /* queued bytes at which requests wait */
#define AGENT_ARENA_SMALL (8u << 10)       /* decoded request without an upload */
#define AGENT_ARENA_LARGE (FRAME_PAYLOAD_MAX + (16u << 10)) /* with a chunk in it */
#define AGENT_MEMORY_MAX 32u               /* requests whose answers are remembered */
#define AGENT_MEMORY_BYTES (64u << 10)     /* of those answers */
#define AGENT_EXEC_JOBS 8u
#define AGENT_EXEC_TEXT 1024u              /* bytes of a command and its arguments */
#define AGENT_IDEMPOTENCY_BYTES 16u

/* ---- who asked ---- */

/* A place for an answer. Sessions are told apart by serial: their numbers come again. */
struct agent_requester {
	uint64_t serial;
	uint64_t request_id;
	uint32_t session; /* on the wire */
};

/* A request that is being served; a value that may outlive its message. */
struct agent_call {
	struct agent_requester to;
	int memory; /* index in agent_state.memories, -1 = its answer is not remembered */
};

struct agent_upload {
	struct mapped region; /* owned; {0} = no upload */
	uint8_t *bytes;
	uint64_t size, received;
	uint8_t sha256[32];
};

struct agent_session {
	bool used;
	bool follows; /* the log, from log_next on */
	uint32_t id;
	uint64_t serial;
	uint64_t last_ns; /* when it was last heard */
	uint64_t log_next;
	struct agent_upload upload;
};

/* ---- answers to requests that change something, in case they are asked again ---- */

enum agent_memory_state {
	AGENT_MEMORY_FREE = 0,
	AGENT_MEMORY_RUNNING,
	AGENT_MEMORY_DONE,
};

struct agent_memory {
	enum agent_memory_state state;
	uint32_t kind; /* body case of the request */
	uint8_t id[AGENT_IDEMPOTENCY_BYTES];
	struct agent_requester to; /* who asked last */
	uint64_t order;            /* of completion: the smallest is dropped first */
	uint32_t at, len;          /* of the answer in agent_state.answers */
};

/* ---- frames on their way out ---- */

struct agent_out {
	struct agent_out *next;
	size_t len, sent;
	uint8_t bytes[];
};

/* ---- jobs of the workers; `state` is what hands them over, the rest follows it ---- */

enum agent_job_state {
	AGENT_JOB_FREE = 0,
	AGENT_JOB_QUEUED, /* the worker's */
	AGENT_JOB_DONE,   /* the agent's again */
};

struct agent_exec_job {
	uint32_t state; /* enum agent_job_state, atomic */
	bool answered;  /* the time limit passed: nobody waits for the result */
	struct agent_call call;
	uint64_t order;
	uint64_t deadline_ns;
	int argc;
	uint16_t args[COMMAND_ARGS_MAX]; /* offsets in text */
	char text[AGENT_EXEC_TEXT];
	int status;
	size_t used;
	bool truncated;
};

struct agent_change {
	uint32_t state;        /* of staging: enum agent_job_state, atomic */
	struct agent_call call; /* that staging or the swap answers */
	struct agent_upload upload;
	int error;             /* what staging came to */
	uint64_t id;
	struct loader_report report;

	uint64_t staged; /* number of the transaction, 0 = none */
	uint64_t owner;  /* serial of the session that staged it */
	bool swapping, dry_run;
};

struct agent_state {
	const struct boot_record *record; /* mapped for good, no cell's */
	bool attached;
	bool greeted;   /* somebody was answered a Hello */
	bool announced; /* COM1 was told that we are ready */
	uint64_t announce_ns; /* at the latest */
	unsigned link;
	uint32_t opens; /* of the port, that the decoder and the sessions belong to */
	struct frame_decoder *decoder; /* on the heap: most of its bytes are seldom touched */

	uint64_t next_serial, next_event, next_order;
	uint32_t followers; /* sessions that follow the log; read by the log's writers */
	struct agent_session sessions[AGENT_SESSIONS_MAX];
	uint64_t upload_bytes; /* of all uploads and of the one being staged */

	struct agent_out *out_first, *out_last; /* owned */
	size_t out_bytes;
	uint64_t out_dropped; /* answers that there was no memory for */

	uint32_t end; /* enum platform_exit once a shutdown was answered */
	uint64_t end_deadline_ns;

	struct agent_memory memories[AGENT_MEMORY_MAX];
	uint8_t *answers;    /* AGENT_MEMORY_BYTES, a ring; allocated when first needed */
	uint32_t answers_at; /* where the next one goes */

	char *exec_output; /* COMMAND_OUTPUT_MAX; allocated when first needed */
	struct agent_exec_job exec[AGENT_EXEC_JOBS];
	struct agent_change change;

	uint8_t *arena_large; /* AGENT_ARENA_LARGE while an upload is under way */
	_Alignas(16) uint8_t arena[AGENT_ARENA_SMALL];
};

extern struct agent_state *const agent;

/* ---- link.c ---- */

/* Queues a frame of @len payload bytes that pack() fills in. Result: 0, -ENOMEM, -EMSGSIZE. */
int agent_queue(enum frame_type type, uint32_t session, uint64_t request_id, size_t len,
		void (*pack)(const void *message, uint8_t *out), const void *message) MUST_USE;
/* Sends what the port takes. Result: true when nothing is left. */
bool agent_flush(void);
void agent_drop_out(void);
/* Takes bytes and serves what is complete. Result: true when there may be more. */
bool agent_receive(void);

/* ---- session.c ---- */

/* The session with this number, made if need be; NULL when the table is full of busy ones. */
struct agent_session *agent_session_get(uint32_t id);
/* The session that a call came from, if it is still there. */
struct agent_session *agent_session_of(const struct agent_requester *to);
void agent_session_end(uint32_t id);
void agent_session_end_all(void);

/* ---- request.c ---- */

void agent_request(uint32_t session, uint64_t request_id, const uint8_t *payload, size_t len);

/* ---- answer.c ---- */

/* Sends @r and, if the request has an id, remembers it. @r is borrowed. */
void agent_answer(const struct agent_call *call, Theseus__Response *r);
/* An answer without a body: STATUS_OK, or an error with a stable @code and text. */
void agent_done(const struct agent_call *call);
void agent_fail(const struct agent_call *call, Theseus__Status status, const char *code,
		const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The same with reasons: @n strings of @stride bytes each from @reasons on. */
void agent_fail_reasons(const struct agent_call *call, Theseus__Status status, const char *code,
			const char *message, const char *reasons, size_t n, size_t stride);
void agent_event(const struct agent_session *s, Theseus__Event *event);

/*
 * The memory of request @id. Result: its index, or -ENOENT after making a new entry in
 * *ret_index; -EBUSY when all are running.
 */
int agent_memory_find(const uint8_t id[AGENT_IDEMPOTENCY_BYTES], int *ret_index) MUST_USE;
/* Sends the remembered answer once more. */
void agent_memory_replay(const struct agent_memory *m);

/* ---- what requests do; each answers @call, at once or later ---- */

void agent_hello(const struct agent_call *call, const Theseus__Hello *m);
void agent_status(const struct agent_call *call);
void agent_tasks(const struct agent_call *call, const Theseus__TasksGet *m);
void agent_cells(const struct agent_call *call, const Theseus__CellsGet *m);
void agent_cell_deps(const struct agent_call *call, const Theseus__CellDeps *m);

void agent_log_get(const struct agent_call *call, struct agent_session *s, const Theseus__LogGet *m);
/* Pushes new records to who follows. Result: true when there may be more. */
bool agent_log_push(void);
void agent_log_unfollow(struct agent_session *s);

void agent_upload_begin(const struct agent_call *call, struct agent_session *s,
			const Theseus__UploadBegin *m);
void agent_upload_chunk(const struct agent_call *call, struct agent_session *s,
			const Theseus__UploadChunk *m);
void agent_upload_drop(struct agent_upload *u);

void agent_exec(const struct agent_call *call, const Theseus__Exec *m, uint64_t limit_ns);
/* Answers jobs that are done or over their time. Result: when to look again. */
uint64_t agent_exec_collect(void);

/* Takes the session's upload, unless it is refused. */
void agent_stage(const struct agent_call *call, struct agent_session *s);
void agent_stage_drop(const struct agent_call *call, const Theseus__StageDrop *m);
void agent_swap(const struct agent_call *call, const Theseus__Swap *m, uint64_t limit_ns);
/* Answers what has come to an end. */
void agent_change_collect(void);

/* protobuf-c's strings and bytes are not const; it only reads what it packs. */
static inline char *agent_text(const char *s)
{
	return (char *)(uintptr_t)s;
}

#endif
