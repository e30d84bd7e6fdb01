/* SPDX-License-Identifier: MIT */
#include "peer-test.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "frame.h"

#define EVIL "\033]0;owned\007\xff\xc2\x9bred"

struct session {
	struct peer *p;
	int fd;
	bool over;
	uint8_t *data; /* of the upload */
	uint64_t size, received;
	uint64_t event_seq;
	struct frame_decoder d;
};

static void send_frame(struct session *s, enum frame_type type, uint64_t id, const void *payload,
		       size_t len)
{
	struct frame_header h = {.type = type, .length = (uint32_t)len, .request_id = id};
	uint8_t header[FRAME_HEADER_SIZE];

	if (frame_encode_header(&h, payload, header))
		abort();
	if (send(s->fd, header, sizeof(header), MSG_NOSIGNAL) < 0 ||
	    (len && send(s->fd, payload, len, MSG_NOSIGNAL) < 0))
		s->over = true;
}

static void make_noise(struct session *s, uint64_t id)
{
	static const char garbage[] = "garbage THS1 and so on";

	(void)send(s->fd, garbage, sizeof(garbage), MSG_NOSIGNAL);
	send_frame(s, FRAME_RESPONSE, id + 1000, "\xff\xff", 2);
	send_frame(s, FRAME_EVENT, 0, "\xff\xff", 2);
	send_frame(s, FRAME_CONSOLE, 0, "x", 1);
}

static void respond(struct session *s, uint64_t id, const Theseus__Response *r)
{
	uint8_t *buf = malloc(theseus__response__get_packed_size(r) + 1);

	if (s->p->noise)
		make_noise(s, id);
	if (buf)
		send_frame(s, FRAME_RESPONSE, id, buf, theseus__response__pack(r, buf));
	free(buf);
}

static void respond_vm(struct session *s, uint64_t id, const Theseus__VmResponse *r)
{
	uint8_t *buf = malloc(theseus__vm_response__get_packed_size(r) + 1);

	if (s->p->noise)
		make_noise(s, id);
	if (buf)
		send_frame(s, FRAME_VM_RESPONSE, id, buf, theseus__vm_response__pack(r, buf));
	free(buf);
}

static char *str(const char *s)
{
	return (char *)(uintptr_t)s;
}

static void fill_error(struct session *s, Theseus__Error *e)
{
	theseus__error__init(e);
	if (s->p->error_code)
		e->code = str(s->p->error_code);
	if (s->p->error_message)
		e->message = str(s->p->error_message);
	e->reasons = (char **)(uintptr_t)s->p->reasons;
	while (e->n_reasons < 4 && e->reasons[e->n_reasons])
		e->n_reasons++;
}

static void refuse(struct session *s, uint64_t id, Theseus__Status status)
{
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__Error e;

	fill_error(s, &e);
	r.status = status;
	r.error = &e;
	respond(s, id, &r);
}

static void on_hello(struct session *s, uint64_t id)
{
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__HelloReply h;

	theseus__hello_reply__init(&h);
	h.protocol = s->p->protocol ? s->p->protocol : 1;
	h.max_upload = 1 << 20;
	r.body_case = THESEUS__RESPONSE__BODY_HELLO;
	r.hello = &h;
	respond(s, id, &r);
}

static void on_status(struct session *s, uint64_t id)
{
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__StatusReply g;

	theseus__status_reply__init(&g);
	g.generation = 3;
	g.health = str(s->p->hostile_text ? EVIL : "ok");
	g.uptime_ns = 10000000000;
	g.memory_total = 100 << 20;
	g.memory_used = 10 << 20;
	g.cpus = 2;
	g.cells = 2;
	g.tasks = 5;
	r.body_case = THESEUS__RESPONSE__BODY_GUEST;
	r.guest = &g;
	respond(s, id, &r);
}

/*
 * Two cells in two answers; with stuck_cells set these never end, with moving_cells the next one
 * is always of another generation.
 */
static void on_cells(struct session *s, uint64_t id, const Theseus__CellsGet *get)
{
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__CellsReply reply = THESEUS__CELLS_REPLY__INIT;
	Theseus__CellRow rows[2], *list[2] = {&rows[0], &rows[1]};
	Theseus__Symbol symbol, *symbols[1] = {&symbol};
	uint8_t hash[32] = {0xab, 0xcd};

	theseus__symbol__init(&symbol);
	symbol.name = str("greet");
	symbol.cell = str("greeter");
	symbol.abi = 0x8000000000000001;
	symbol.signature = str("int greet(char *, u64)");
	for (int i = 0; i < 2; i++) {
		theseus__cell_row__init(&rows[i]);
		rows[i].name = str(i ? "caller" : s->p->hostile_text ? EVIL : "greeter");
		rows[i].version = str("1.0.0");
		rows[i].hash = (ProtobufCBinaryData){.len = 32, .data = hash};
		rows[i].build_id = (ProtobufCBinaryData){.len = 4, .data = hash};
		rows[i].state_schema = 0xfedcba9876543210;
		rows[i].text_addr = 0x600000001000 + 0x1000 * (uint64_t)i;
		rows[i].text_bytes = 100;
		rows[i].safety = str("safe");
		rows[i].health = str("ok");
	}
	rows[0].rodata_addr = 0x600000003000;
	rows[0].state_addr = 0x600000005000;
	if (s->p->build_id)
		rows[0].build_id = (ProtobufCBinaryData){
			.len = 20, .data = (uint8_t *)(uintptr_t)s->p->build_id};
	reply.cells = list + (get->from == 1);
	reply.n_cells = 1;
	reply.next = s->p->stuck_cells ? 1 : !get->from;
	reply.generation = 3 + (s->p->moving_cells ? get->from : 0);
	if (*get->name) {
		reply.next = 0;
		reply.n_cells = !strcmp(get->name, "greeter");
		rows[0].exports = symbols;
		rows[0].n_exports = 1;
	}
	r.body_case = THESEUS__RESPONSE__BODY_CELLS;
	r.cells = &reply;
	respond(s, id, &r);
}

/*
 * Three tasks in two answers, two of one name; with stuck_tasks set the answers never end.
 * Blocked ones have a stack when they are asked for by id.
 */
static void on_tasks(struct session *s, uint64_t id, const Theseus__TasksGet *get)
{
	static const char *const names[3] = {"agent", "twin", "twin"};
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__TasksReply reply = THESEUS__TASKS_REPLY__INIT;
	Theseus__TaskRow rows[3], *list[3];
	Theseus__StackFrame frame, *stack[1] = {&frame};
	size_t n = 0;

	theseus__stack_frame__init(&frame);
	frame.pc = 0x600000001234;
	frame.cell = str("virtio_console");
	frame.function = str("console_read");
	frame.offset = 0x34;
	for (uint32_t i = get->from; i < 3; i++) {
		theseus__task_row__init(&rows[n]);
		rows[n].id = 1ull << 32 | i;
		rows[n].name = str(s->p->hostile_text ? EVIL : names[i]);
		rows[n].state = str("blocked");
		rows[n].cell = str("service");
		rows[n].cpu_time_ns = 5000;
		rows[n].restarts = i;
		rows[n].stack = stack;
		rows[n].n_stack = get->id ? 1 : 0;
		if ((get->id && rows[n].id != get->id) ||
		    (*get->name && strcmp(get->name, names[i]) != 0))
			continue;
		list[n] = &rows[n];
		n++;
		if (!get->id && i == 1) {
			reply.next = s->p->stuck_tasks ? 1 : 2;
			break;
		}
	}
	if (get->id && !n) {
		refuse(s, id, THESEUS__STATUS__STATUS_NOT_FOUND);
		return;
	}
	reply.tasks = list;
	reply.n_tasks = n;
	r.body_case = THESEUS__RESPONSE__BODY_TASKS;
	r.tasks = &reply;
	respond(s, id, &r);
}

/* greeter <- caller, command; nothing else. */
static void on_deps(struct session *s, uint64_t id, const Theseus__CellDeps *get)
{
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__CellDepsReply reply;
	Theseus__Dep deps[2], *list[2] = {&deps[0], &deps[1]};
	char *symbol = str("greet");

	theseus__cell_deps_reply__init(&reply);
	for (int i = 0; i < 2; i++) {
		theseus__dep__init(&deps[i]);
		deps[i].cell = str(i ? "command" : "caller");
		deps[i].via = str(i ? "command_ops" : "link");
		deps[i].symbols = &symbol;
		deps[i].n_symbols = !i;
		deps[i].sites = 4;
	}
	reply.name = get->name;
	reply.reverse = get->reverse;
	reply.deps = list + (get->from == 1);
	reply.n_deps = get->reverse && !strcmp(get->name, "greeter");
	reply.next = reply.n_deps && !get->from;
	r.body_case = THESEUS__RESPONSE__BODY_CELL_DEPS;
	r.cell_deps = &reply;
	respond(s, id, &r);
}

static void reply_upload(struct session *s, uint64_t id)
{
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__UploadReply u = THESEUS__UPLOAD_REPLY__INIT;

	u.received = s->received;
	u.credit = s->p->credit ? s->p->credit : 40000;
	r.body_case = THESEUS__RESPONSE__BODY_UPLOAD;
	r.upload = &u;
	respond(s, id, &r);
}

static void on_upload_begin(struct session *s, uint64_t id, const Theseus__UploadBegin *b)
{
	free(s->data);
	s->data = malloc(b->size + 1);
	s->size = b->size;
	s->received = 0;
	reply_upload(s, id);
}

static void on_upload_chunk(struct session *s, uint64_t id, const Theseus__UploadChunk *c)
{
	uint64_t credit = s->p->credit ? s->p->credit : 40000;

	if (!s->data || c->offset != s->received || c->data.len > credit ||
	    c->data.len > s->size - s->received) {
		s->p->overrun = true;
		refuse(s, id, THESEUS__STATUS__STATUS_BAD_REQUEST);
		return;
	}
	memcpy(s->data + s->received, c->data.data, c->data.len);
	s->received += c->data.len;
	reply_upload(s, id);
}

static void fill_change(Theseus__CellChange *c)
{
	theseus__cell_change__init(c);
	c->name = str("greeter");
	c->old_version = str("1.0.0");
	c->new_version = str("2.0.0");
}

static void on_stage(struct session *s, uint64_t id, const Theseus__Request *req)
{
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__StageReply reply = THESEUS__STAGE_REPLY__INIT;
	Theseus__CellChange change, *list[1] = {&change};
	bool again;

	if (req->idempotency_id.len != 16 || !s->data || s->received != s->size) {
		refuse(s, id, THESEUS__STATUS__STATUS_BAD_REQUEST);
		return;
	}
	again = !memcmp(s->p->last_id, req->idempotency_id.data, 16);
	memcpy(s->p->last_id, req->idempotency_id.data, 16);
	if (!again)
		s->p->stages++;
	free(s->p->upload);
	s->p->upload = s->data;
	s->p->upload_size = s->size;
	s->data = NULL;
	if (s->p->stage_status) {
		refuse(s, id, s->p->stage_status);
		return;
	}
	fill_change(&change);
	reply.stage = 7;
	reply.stage_ns = 1000;
	reply.cells = list;
	reply.n_cells = 1;
	r.body_case = THESEUS__RESPONSE__BODY_STAGE;
	r.stage = &reply;
	respond(s, id, &r);
}

static void on_swap(struct session *s, uint64_t id, const Theseus__Request *req)
{
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__SwapReply reply;
	Theseus__CellChange change, *list[1] = {&change};

	s->p->swaps++;
	s->p->swap_limit_ns = req->time_limit_ns;
	s->p->dry_run = req->swap->dry_run;
	s->p->expect_generation =
		req->swap->has_expect_generation ? req->swap->expect_generation : UINT64_MAX;
	if (s->p->swap_status) {
		refuse(s, id, s->p->swap_status);
		return;
	}
	theseus__swap_reply__init(&reply);
	fill_change(&change);
	reply.generation = 4;
	reply.pause_ns = 50000;
	reply.result = str(s->p->swap_result ? s->p->swap_result : "committed");
	reply.cells = list;
	reply.n_cells = 1;
	r.body_case = THESEUS__RESPONSE__BODY_SWAP;
	r.swap = &reply;
	respond(s, id, &r);
}

static void on_exec(struct session *s, uint64_t id, const Theseus__Exec *e)
{
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__ExecReply reply = THESEUS__EXEC_REPLY__INIT;
	char text[512];
	size_t n = 0;

	s->p->execs++;
	if (s->p->exec_status) {
		refuse(s, id, s->p->exec_status);
		return;
	}
	n += (size_t)snprintf(text, sizeof(text), "%s", e->command);
	for (size_t i = 0; i < e->n_args && n < 400; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "|%.60s", e->args[i]);
	n += (size_t)snprintf(text + n, sizeof(text) - n, "\n");
	reply.output = (ProtobufCBinaryData){.len = n, .data = (uint8_t *)text};
	if (s->p->exec_output) {
		reply.output.data = (uint8_t *)(uintptr_t)s->p->exec_output;
		reply.output.len = strlen(s->p->exec_output);
	}
	reply.status = s->p->exec_result;
	r.body_case = THESEUS__RESPONSE__BODY_EXEC;
	r.exec = &reply;
	respond(s, id, &r);
}

static void fill_record(struct session *s, Theseus__LogRecord *rec, uint64_t seq)
{
	theseus__log_record__init(rec);
	rec->seq = seq;
	rec->time_ns = seq * 1000000000;
	rec->level = (uint32_t)(seq % 6);
	rec->cell = str("greeter");
	rec->task = 9;
	rec->text = str(s->p->hostile_text ? EVIL : "hello");
}

static void send_log_event(struct session *s, uint64_t seq)
{
	Theseus__Event e = THESEUS__EVENT__INIT;
	Theseus__LogRecord rec;
	uint8_t buf[512];

	fill_record(s, &rec, seq);
	e.seq = ++s->event_seq;
	e.body_case = THESEUS__EVENT__BODY_LOG;
	e.log = &rec;
	send_frame(s, FRAME_EVENT, 0, buf, theseus__event__pack(&e, buf));
}

static void on_log(struct session *s, uint64_t id, const Theseus__LogGet *get)
{
	Theseus__Response r = THESEUS__RESPONSE__INIT;
	Theseus__LogReply reply = THESEUS__LOG_REPLY__INIT;
	Theseus__LogRecord recs[8], *list[8];
	uint64_t stored = s->p->log_records, first = get->since_seq;

	/* what came as events is stored by the time that somebody asks again */
	if (s->event_seq)
		stored += s->p->log_live;
	if (first < s->p->log_lost) {
		reply.lost = s->p->log_lost - first;
		first = s->p->log_lost;
	}
	for (; first < stored && reply.n_records < 8; first++) {
		fill_record(s, &recs[reply.n_records], first);
		list[reply.n_records] = &recs[reply.n_records];
		reply.n_records++;
	}
	reply.records = list;
	reply.next_seq = first;
	r.body_case = THESEUS__RESPONSE__BODY_LOG;
	r.log = &reply;
	respond(s, id, &r);
	if (!get->follow || first < stored || s->event_seq)
		return;
	for (uint64_t i = 0; i < s->p->log_live; i++)
		if (!s->p->log_gap || i != 1)
			send_log_event(s, stored + i);
}

static void on_request(struct session *s, const struct frame *f)
{
	Theseus__Request *req = theseus__request__unpack(NULL, f->header.length, f->payload);
	uint64_t id = f->header.request_id;
	Theseus__Request__BodyCase body = req ? req->body_case : THESEUS__REQUEST__BODY__NOT_SET;

	switch (body == s->p->mistaken && body ? THESEUS__REQUEST__BODY_HELLO : body) {
	case THESEUS__REQUEST__BODY_HELLO:
		on_hello(s, id);
		break;
	case THESEUS__REQUEST__BODY_STATUS:
		on_status(s, id);
		break;
	case THESEUS__REQUEST__BODY_CELLS:
		on_cells(s, id, req->cells);
		break;
	case THESEUS__REQUEST__BODY_TASKS:
		on_tasks(s, id, req->tasks);
		break;
	case THESEUS__REQUEST__BODY_CELL_DEPS:
		on_deps(s, id, req->cell_deps);
		break;
	case THESEUS__REQUEST__BODY_UPLOAD_BEGIN:
		on_upload_begin(s, id, req->upload_begin);
		break;
	case THESEUS__REQUEST__BODY_UPLOAD_CHUNK:
		on_upload_chunk(s, id, req->upload_chunk);
		break;
	case THESEUS__REQUEST__BODY_STAGE:
		on_stage(s, id, req);
		break;
	case THESEUS__REQUEST__BODY_SWAP:
		on_swap(s, id, req);
		break;
	case THESEUS__REQUEST__BODY_EXEC:
		on_exec(s, id, req->exec);
		break;
	case THESEUS__REQUEST__BODY_LOG:
		on_log(s, id, req->log);
		break;
	case THESEUS__REQUEST__BODY_STAGE_DROP:
		s->p->drops++;
		refuse(s, id, THESEUS__STATUS__STATUS_OK);
		break;
	default:
		refuse(s, id, THESEUS__STATUS__STATUS_UNSUPPORTED);
	}
	if (req)
		theseus__request__free_unpacked(req, NULL);
}

static void fill_vm(struct session *s, Theseus__VmStatus *vm)
{
	theseus__vm_status__init(vm);
	vm->name = str(s->p->hostile_text ? EVIL : "fake");
	vm->pid = (uint32_t)getpid();
	vm->accel = str("tcg");
	vm->accel_reason = str("asked for");
	vm->state = str("ready");
	vm->uptime_ns = 5000000000;
	vm->ready_ns = 20000000;
	vm->cpus = 2;
	vm->memory_bytes = 128 << 20;
}

static void on_vm_request(struct session *s, const struct frame *f)
{
	Theseus__VmRequest *req = theseus__vm_request__unpack(NULL, f->header.length, f->payload);
	Theseus__VmResponse r = THESEUS__VM_RESPONSE__INIT;
	Theseus__VmMetrics metrics = THESEUS__VM_METRICS__INIT;
	Theseus__VmCounter counter, *counters[1] = {&counter};
	Theseus__VmStatus vm;
	Theseus__VmExit end;
	Theseus__Error e;

	fill_vm(s, &vm);
	theseus__vm_counter__init(&counter);
	counter.name = str("exits.pio");
	counter.value = 42;
	metrics.counters = counters;
	metrics.n_counters = 1;
	theseus__vm_exit__init(&end);
	end.reason = str("powered off");
	r.status = s->p->vm_status;
	if (r.status) {
		fill_error(s, &e);
		r.error = &e;
	} else if (req && req->body_case == THESEUS__VM_REQUEST__BODY_STATUS) {
		r.body_case = THESEUS__VM_RESPONSE__BODY_VM;
		r.vm = &vm;
	} else if (req && req->body_case == THESEUS__VM_REQUEST__BODY_METRICS) {
		r.body_case = THESEUS__VM_RESPONSE__BODY_METRICS;
		r.metrics = &metrics;
	} else if (req && req->body_case == THESEUS__VM_REQUEST__BODY_STOP) {
		r.body_case = THESEUS__VM_RESPONSE__BODY_EXIT;
		r.exit = &end;
	}
	respond_vm(s, f->header.request_id, &r);
	if (s->p->exit_on_stop && req && req->body_case == THESEUS__VM_REQUEST__BODY_STOP)
		_exit(0);
	if (req && req->body_case == THESEUS__VM_REQUEST__BODY_CONSOLE)
		send_frame(s, FRAME_CONSOLE, 0, "welcome\n", 8);
	if (req)
		theseus__vm_request__free_unpacked(req, NULL);
}

static void on_frame(struct session *s, const struct frame *f)
{
	unsigned int n = ++s->p->frames;

	for (int i = 0; i < 4; i++)
		s->over |= s->p->break_at[i] == n;
	if (s->p->vanish_at == n) {
		s->over = true;
		(void)shutdown(s->p->listen_fd, SHUT_RDWR);
	}
	if (s->over || s->p->mute)
		return;
	if (f->header.type == FRAME_REQUEST)
		on_request(s, f);
	else if (f->header.type == FRAME_VM_REQUEST)
		on_vm_request(s, f);
	else if (f->header.type == FRAME_CONSOLE)
		send_frame(s, FRAME_CONSOLE, 0, f->payload, f->header.length);
}

/* One connection until its end, or until the peer is stopped. */
static void serve(struct peer *p, int fd)
{
	struct session *s = calloc(1, sizeof(*s));
	struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = p->stop_fd, .events = POLLIN}};
	uint8_t buf[4096];

	if (!s)
		return;
	s->p = p;
	s->fd = fd;
	frame_decoder_init(&s->d);
	while (!s->over && poll(fds, 2, -1) > 0 && !fds[1].revents) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		const uint8_t *at = buf;
		struct frame f;
		size_t taken;

		if (n <= 0)
			break;
		while (!s->over && frame_decode(&s->d, at, (size_t)n, &taken, &f)) {
			at += taken;
			n -= (ssize_t)taken;
			on_frame(s, &f);
		}
	}
	free(s->data);
	free(s);
}

static void *peer_thread(void *arg)
{
	struct peer *p = arg;
	struct pollfd fds[2] = {{.fd = p->listen_fd, .events = POLLIN},
				{.fd = p->stop_fd, .events = POLLIN}};

	while (poll(fds, 2, -1) > 0 && !fds[1].revents) {
		int fd = accept4(p->listen_fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			break;
		p->connections++;
		serve(p, fd);
		(void)close(fd);
	}
	return NULL;
}

int peer_start(struct peer *p, const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	p->stop_fd = eventfd(0, EFD_CLOEXEC);
	p->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (p->stop_fd < 0 || p->listen_fd < 0 ||
	    bind(p->listen_fd, (struct sockaddr *)&sa, sizeof(sa)) || listen(p->listen_fd, 8))
		return -errno;
	return -pthread_create(&p->thread, NULL, peer_thread, p);
}

void peer_stop(struct peer *p)
{
	uint64_t one = 1;

	if (write(p->stop_fd, &one, sizeof(one)) == sizeof(one))
		(void)pthread_join(p->thread, NULL);
	(void)close(p->listen_fd);
	(void)close(p->stop_fd);
	free(p->upload);
	p->upload = NULL;
}
