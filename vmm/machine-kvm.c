/* SPDX-License-Identifier: MIT */
#include "machine-kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "load.h"
#include "marks.h"
#include "theseus/gate.h"
#include "vcpu.h"

#define PANIC_GRACE_MS 5000u /* from "I crashed" to the exit port: the crash record is long */

struct machine_kvm {
	struct machine base;
	struct machine_events events;
	uv_async_t wake;
	uv_timer_t panic_timer;
	struct vm vm;
	struct guest_memory memory;
	struct board board;
	struct vcpu_gate gate;
	struct vcpu vcpus[GATE_MAX_CPUS];
	unsigned int n_vcpus;
	bool panic_seen, finished;
	unsigned int closed; /* handles, after a failed build */
};

static struct machine_kvm *kvm(struct machine *m)
{
	return (struct machine_kvm *)m;
}

/* ---- events of the board, in the loop thread ---- */

static void wake_loop(void *ctx)
{
	struct machine_kvm *k = ctx;

	uv_async_send(&k->wake);
}

/* A ring's worth in one turn: a guest that writes without end must not hold the loop. */
static void drain_serial(struct machine_kvm *k)
{
	uint8_t text[4096];

	for (unsigned int i = 0; i < SERIAL_RING / sizeof(text); i++) {
		size_t n = serial_take(&k->board.serial, text, sizeof(text));

		if (!n)
			return;
		k->events.text(k->events.ctx, text, n);
	}
	wake_loop(k);
}

static void join_all(struct machine_kvm *k)
{
	for (unsigned int i = 0; i < k->n_vcpus; i++)
		vcpu_kick(&k->vcpus[i], VCPU_STOP);
	vcpu_gate_open(&k->gate);
	for (unsigned int i = 0; i < k->n_vcpus; i++)
		vcpu_join(&k->vcpus[i]);
}

static void finish(struct machine_kvm *k)
{
	k->finished = true;
	join_all(k);
	drain_serial(k);
	virtio_console_work(&k->board.console);
	uv_close((uv_handle_t *)&k->wake, NULL);
	uv_close((uv_handle_t *)&k->panic_timer, NULL);
	k->events.ended(k->events.ctx, &k->board.end);
}

static void on_panic_timer(uv_timer_t *t)
{
	struct machine_kvm *k = t->data;

	board_end(&k->board, END_PANICKED, -1, "the guest reported a crash and then hung");
}

static void on_wake(uv_async_t *a)
{
	struct machine_kvm *k = a->data;

	if (k->finished)
		return;
	drain_serial(k);
	virtio_console_work(&k->board.console);
	if (atomic_load(&k->board.panicked) && !k->panic_seen) {
		k->panic_seen = true;
		k->events.note(k->events.ctx, "the guest reports that it crashed");
		uv_timer_start(&k->panic_timer, on_panic_timer, PANIC_GRACE_MS, 0);
	}
	if (atomic_load(&k->board.end_valid))
		finish(k);
}

/* ---- operations ---- */

static void start(struct machine *m)
{
	vcpu_gate_open(&kvm(m)->gate);
}

static void stop(struct machine *m)
{
	board_end(&kvm(m)->board, END_FORCED, -1, "ended by the operator");
}

static size_t send_bytes(struct machine *m, enum guest_port port, const void *data, size_t len)
{
	return kvm(m)->finished ? 0 : virtio_console_send(&kvm(m)->board.console, port, data, len);
}

static const void *ram(const struct machine *m, size_t *ret_size)
{
	const struct machine_kvm *k = (const struct machine_kvm *)m;

	*ret_size = k->memory.size;
	return k->memory.base;
}

static void release(struct machine_kvm *k)
{
	for (unsigned int i = 0; i < k->n_vcpus; i++)
		vcpu_deinit(&k->vcpus[i]);
	vcpu_gate_deinit(&k->gate);
	board_deinit(&k->board);
	vm_close(&k->vm);
	guest_memory_deinit(&k->memory);
}

static void free_machine(struct machine *m)
{
	release(kvm(m));
	free(m);
}

static const struct machine_ops kvm_ops = {
	.start = start,
	.stop = stop,
	.send = send_bytes,
	.ram = ram,
	.free = free_machine,
};

/* ---- building ---- */

static int create_vcpus(struct machine_kvm *k, const struct machine_config *config,
			struct failure *f)
{
	struct cpuid_table cpuid;
	int r = vm_supported_cpuid(&k->vm, &cpuid, f);

	for (unsigned int i = 0; i < config->cpus && !r; i++) {
		k->n_vcpus = i + 1;
		r = vcpu_init(&k->vcpus[i], &k->vm, &k->board, i, config->cpus, &cpuid, f);
	}
	return r;
}

static int start_threads(struct machine_kvm *k, const struct machine_config *config,
			 struct failure *f)
{
	int r = vcpu_setup_signal();

	if (r < 0)
		return failure(f, r, "cannot set up the kick signal: %s", strerror(-r));
	for (unsigned int i = 0; i < k->n_vcpus && !r; i++)
		r = vcpu_start(&k->vcpus[i], &k->gate, config->confine_vcpu, f);
	if (r < 0)
		join_all(k);
	return r;
}

static int build(struct machine_kvm *k, const struct machine_config *config, struct failure *f)
{
	const struct msi_sink sink = {vm_signal_msi, &k->vm};
	struct loaded loaded;
	int r;

	r = load_memory(&k->memory, config, f);
	if (r < 0)
		return r;
	r = vm_set_memory(&k->vm, &k->memory, f);
	if (r < 0)
		return r;
	r = vm_create_irqchip(&k->vm, f);
	if (r < 0)
		return r;
	marks_add("memory");
	r = load_files(&k->memory, config, &loaded, f);
	if (r < 0)
		return r;
	marks_add("image");
	if (board_init(&k->board, &k->memory, sink, &k->events, wake_loop, k) < 0)
		return failure(f, -ENOMEM, "out of memory");
	r = create_vcpus(k, config, f);
	if (r < 0)
		return r;
	marks_add("vcpus");
	r = vcpu_set_entry(&k->vcpus[0], loaded.entry, loaded.start_info, f);
	return r < 0 ? r : start_threads(k, config, f);
}

/* The last of the two handles to go takes a half-built machine with it. */
static void on_closed(uv_handle_t *h)
{
	struct machine_kvm *k = h->data;

	if (++k->closed == 2)
		free_machine(&k->base);
}

int machine_kvm_new(const struct machine_config *config, struct vm *vm, uv_loop_t *loop,
		    const struct machine_events *events, struct machine **ret_machine,
		    struct failure *f)
{
	struct machine_kvm *k = calloc(1, sizeof(*k));
	int r;

	if (!k) {
		vm_close(vm);
		return failure(f, -ENOMEM, "out of memory");
	}
	k->base.ops = &kvm_ops;
	k->events = *events;
	k->vm = *vm;
	*vm = (struct vm){.kvm_fd = -1, .vm_fd = -1};
	vcpu_gate_init(&k->gate);
	k->wake.data = k->panic_timer.data = k;
	r = uv_async_init(loop, &k->wake, on_wake);
	if (r < 0) {
		free_machine(&k->base);
		return failure(f, r, "cannot watch the vCPUs: %s", strerror(-r));
	}
	(void)uv_timer_init(loop, &k->panic_timer);
	r = build(k, config, f);
	if (r < 0) {
		k->finished = true;
		uv_close((uv_handle_t *)&k->panic_timer, on_closed);
		uv_close((uv_handle_t *)&k->wake, on_closed);
		return r;
	}
	*ret_machine = &k->base;
	return 0;
}
