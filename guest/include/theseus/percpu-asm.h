/* SPDX-License-Identifier: MIT */
/*
 * GS-relative offsets for assembly; percpu.h and mask.h assert them. Numbers only.
 */
#ifndef THESEUS_PERCPU_ASM_H
#define THESEUS_PERCPU_ASM_H

/* struct gate_cpu */
#define CPU_MASK 0
#define CPU_INDEX 4
#define CPU_IRQ 48
#define CPU_FAULT 104
#define CPU_NMI 160

/* struct gate_frame */
#define GATE_FRAME_RIP 0
#define GATE_FRAME_RFLAGS 8
#define GATE_FRAME_RSP 16
#define GATE_FRAME_VECTOR 24
#define GATE_FRAME_ERROR 32
#define GATE_FRAME_CR2 40
#define GATE_FRAME_OLD_MASK 48
#define GATE_FRAME_BUSY 52

/* struct percpu */
#define PERCPU_TASK 256
#define PERCPU_LANDING 264
#define PERCPU_UPCALL 272
#define PERCPU_FAULT_STACK 280
#define PERCPU_SPARE_STACK 288
#define PERCPU_PARKED_RSP 296
#define PERCPU_SCRATCH 304
#define PERCPU_LOCKS 312
#define PERCPU_RESCHED 316
#define PERCPU_NMIS 320
#define PERCPU_XSAVE_BYTES 324
#define PERCPU_XSAVE_MASK 328
#define PERCPU_LOCK_ORDER 336
#define PERCPU_HELD 344

/* struct percpu_landing */
#define LANDING_OUTER 0
#define LANDING_RSP 8
#define LANDING_DEPTH 16
#define LANDING_LOCKS 20
#define LANDING_UNWINDING 24 /* from here on zero */
#define LANDING_BYTES 96

/* struct upcall_ops */
#define UPCALL_OPS_IRQ 0
#define UPCALL_OPS_FAULT 8
#define UPCALL_OPS_NMI 16
#define UPCALL_OPS_LAST 24
#define UPCALL_OPS_PENDING 32

/*
 * What handling interrupts may use of the stack of the task that it finds, besides what it
 * saves there: measured 584 bytes, 984 in the checked build, and STACK_ROOM_SPIN at any point.
 */
#define UPCALL_STACK_BYTES 2048

#endif
