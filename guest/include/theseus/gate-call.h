/* SPDX-License-Identifier: MIT */
/*
 * Gate calls with types: one inline function a call, for cells that hold the grant (G4: the
 * `int3` lies in the caller's own text).
 *
 * Those that use the argument page mask upcalls, fill the page of the CPU they are on, call,
 * copy the results out and unmask. They work before the upcall cell exists, while everything
 * still counts as masked. Arguments are borrowed for the call. Context: any.
 *
 * Results are the gate's (see enum gate_nr): >= 0, or -errno and nothing was changed. More
 * records than fit the page, or none, are -EINVAL without a call.
 *
 * Code built for the host sees declarations only: its unit tests bring a gate of their own.
 */
#ifndef THESEUS_GATE_CALL_H
#define THESEUS_GATE_CALL_H

#include <theseus/errno.h>
#include <theseus/mask.h>

#if __STDC_HOSTED__

int64_t gate_map(const struct gate_run *runs, unsigned n);
int64_t gate_unmap(struct gate_run *runs, unsigned n);
int64_t gate_protect(const struct gate_run *runs, unsigned n);
int64_t gate_seal(const struct gate_run *runs, unsigned n);
int64_t gate_patch(const struct gate_patch *patches, unsigned n);
int64_t gate_table(uint64_t frame);
int64_t gate_frame_state(uint64_t frame);
int64_t gate_cpu_start(unsigned cpu, uint64_t rip, uint64_t rsp);
int64_t gate_ipi(uint64_t cpu, unsigned vector);
int64_t gate_timer(uint64_t tsc);
int64_t gate_idle(void);
int64_t gate_port(struct gate_port *ports, unsigned n);
int64_t gate_register(enum gate_entry entry, uint64_t rip);
int64_t gate_seed_done(struct gate_run *ret_run);
void gate_power(unsigned exit_code) __attribute__((noreturn));
void gate_crash(const char *text) __attribute__((noreturn));

#else

/* The argument page of the CPU that this code stays on until gate_args_end(). */
static inline CELL_UNSAFE_CALL(gate) void *gate_args_begin(void)
{
	upcall_mask();
	return percpu_argument_page();
}

static inline void gate_args_end(void)
{
	upcall_unmask();
}

static inline CELL_UNSAFE_CALL(gate) int64_t
gate_call_runs(enum gate_nr nr, const struct gate_run *runs, unsigned n)
{
	struct gate_run *args;
	int64_t r;

	if (n == 0 || n > GATE_RUNS_MAX)
		return -EINVAL;
	args = (struct gate_run *)gate_args_begin();
	for (unsigned i = 0; i < n; i++)
		args[i] = runs[i];
	r = gate_call(nr, n, 0, 0);
	gate_args_end();
	return r;
}

/* Pages done: runs that the gate did not reach, or refused after the first, are missing. */
static inline CELL_UNSAFE_CALL(gate) int64_t gate_map(const struct gate_run *runs, unsigned n)
{
	return gate_call_runs(GATE_MAP, runs, n);
}

/* The first frame of each run is written back to @runs[].pa. */
static inline CELL_UNSAFE_CALL(gate) int64_t gate_unmap(struct gate_run *runs, unsigned n)
{
	struct gate_run *args;
	int64_t r;

	if (n == 0 || n > GATE_RUNS_MAX)
		return -EINVAL;
	args = (struct gate_run *)gate_args_begin();
	for (unsigned i = 0; i < n; i++)
		args[i] = runs[i];
	r = gate_call(GATE_UNMAP, n, 0, 0);
	for (unsigned i = 0; i < n; i++) {
		if (r >= 0)
			runs[i].pa = args[i].pa;
	}
	gate_args_end();
	return r;
}

static inline CELL_UNSAFE_CALL(gate) int64_t gate_protect(const struct gate_run *runs, unsigned n)
{
	return gate_call_runs(GATE_PROTECT, runs, n);
}

static inline CELL_UNSAFE_CALL(gate) int64_t gate_seal(const struct gate_run *runs, unsigned n)
{
	return gate_call_runs(GATE_SEAL, runs, n);
}

/* Result: >= 0 all were written; -ESTALE none was, an old value differs. */
static inline CELL_UNSAFE_CALL(gate) int64_t gate_patch(const struct gate_patch *patches, unsigned n)
{
	struct gate_patch *args;
	int64_t r;

	if (n == 0 || n > GATE_PATCHES_MAX)
		return -EINVAL;
	args = (struct gate_patch *)gate_args_begin();
	for (unsigned i = 0; i < n; i++)
		args[i] = patches[i];
	r = gate_call(GATE_PATCH, n, 0, 0);
	gate_args_end();
	return r;
}

/* Gives a free frame to the gate for good, as a page table. */
static inline CELL_UNSAFE_CALL(gate) int64_t gate_table(uint64_t frame)
{
	return gate_call(GATE_TABLE, frame, 0, 0);
}

/* Result: enum gate_frame_state. */
static inline CELL_UNSAFE_CALL(gate) int64_t gate_frame_state(uint64_t frame)
{
	return gate_call(GATE_FRAME_STATE, frame, 0, 0);
}

static inline CELL_UNSAFE_CALL(gate) int64_t gate_cpu_start(unsigned cpu, uint64_t rip, uint64_t rsp)
{
	return gate_call(GATE_CPU_START, cpu, rip, rsp);
}

/* @cpu may be GATE_IPI_OTHERS, @vector GATE_VECTOR_NMI. */
static inline CELL_UNSAFE_CALL(gate) int64_t gate_ipi(uint64_t cpu, unsigned vector)
{
	return gate_call(GATE_IPI, cpu, vector, 0);
}

static inline CELL_UNSAFE_CALL(gate) int64_t gate_timer(uint64_t tsc)
{
	return gate_call(GATE_TIMER, tsc, 0, 0);
}

/* Does not touch the mask: the caller masks, looks for work, and only then idles. */
static inline CELL_UNSAFE_CALL(gate) int64_t gate_idle(void)
{
	return gate_call(GATE_IDLE, 0, 0, 0);
}

/* Values that were read are written back to @ports. */
static inline CELL_UNSAFE_CALL(gate) int64_t gate_port(struct gate_port *ports, unsigned n)
{
	struct gate_port *args;
	int64_t r;

	if (n == 0 || n > GATE_PORTS_MAX)
		return -EINVAL;
	args = (struct gate_port *)gate_args_begin();
	for (unsigned i = 0; i < n; i++)
		args[i] = ports[i];
	r = gate_call(GATE_PORT, n, 0, 0);
	for (unsigned i = 0; i < n; i++) {
		if (r >= 0)
			ports[i].value = args[i].value;
	}
	gate_args_end();
	return r;
}

static inline CELL_UNSAFE_CALL(gate) int64_t gate_register(enum gate_entry entry, uint64_t rip)
{
	return gate_call(GATE_REGISTER, (uint64_t)entry, rip, 0);
}

/* Unmaps the seed's image; *ret_run names its frames when the result is >= 0. */
static inline CELL_UNSAFE_CALL(gate) int64_t gate_seed_done(struct gate_run *ret_run)
{
	struct gate_run *args = (struct gate_run *)gate_args_begin();
	int64_t r = gate_call(GATE_SEED_DONE, 0, 0, 0);

	if (r >= 0)
		*ret_run = args[0];
	gate_args_end();
	return r;
}

/* @exit_code: enum platform_exit. */
static inline CELL_UNSAFE_CALL(gate) __attribute__((noreturn)) void gate_power(unsigned exit_code)
{
	gate_call(GATE_POWER, exit_code, 0, 0);
	__builtin_trap();
}

/* Ends the VM with @text (cut to a page) in the crash record. */
static inline CELL_UNSAFE_CALL(gate) __attribute__((noreturn)) void gate_crash(const char *text)
{
	char *args = (char *)gate_args_begin();
	size_t n = 0;

	while (n < GATE_PAGE_SIZE - 1 && text[n] != '\0') {
		args[n] = text[n];
		n++;
	}
	args[n] = '\0';
	gate_call(GATE_CRASH, 0, 0, 0);
	__builtin_trap();
}

#endif
#endif
