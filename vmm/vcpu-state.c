/* SPDX-License-Identifier: MIT */
#include "vcpu-state.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#define CR0_PE (1ull << 0)
#define CR0_ET (1ull << 4)
#define CR0_WP (1ull << 16)
#define CR0_NW (1ull << 29)
#define CR0_CD (1ull << 30)
#define CR0_PG (1ull << 31)
#define CR0_DEFINED 0xe005003full
#define CR4_PAE (1ull << 5)
#define CR4_PCIDE (1ull << 17)
#define CR4_CET (1ull << 23)
#define CR4_DEFINED 0x1ff7fffull /* up to PKS, without the bits that have no meaning */
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)
#define EFER_DEFINED 0xd01ull /* SCE, LME, LMA, NXE */
#define RFLAGS_FIXED (1ull << 1)
#define RFLAGS_VM (1ull << 17)
#define RFLAGS_RESERVED (~0ull << 22 | 1ull << 15 | 1ull << 5 | 1ull << 3)
#define CR3_RESERVED (~0ull << 52)

#define TYPE_LDT 2u
#define TYPE_DATA 3u /* read/write, accessed */
#define TYPE_TSS16_BUSY 3u
#define TYPE_CODE 11u /* execute/read, accessed */
#define TYPE_TSS_BUSY 11u

static struct kvm_segment flat(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){
		.base = 0,
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.dpl = 0,
		.db = 1,
		.s = 1,
		.l = 0,
		.g = 1,
	};
}

void vcpu_state_pvh(struct kvm_sregs *s, struct kvm_regs *r, gpa_t entry, gpa_t start_info)
{
	*s = (struct kvm_sregs){
		.apic_base = s->apic_base,
		.cr0 = CR0_PE | CR0_ET,
		.cs = flat(0x10, TYPE_CODE),
		.ds = flat(0x18, TYPE_DATA),
		.es = flat(0x18, TYPE_DATA),
		.fs = flat(0x18, TYPE_DATA),
		.gs = flat(0x18, TYPE_DATA),
		.ss = flat(0x18, TYPE_DATA),
		.tr = {.limit = 0x67, .type = TYPE_TSS_BUSY, .present = 1},
		.ldt = {.unusable = 1},
	};
	*r = (struct kvm_regs){.rip = entry.v, .rbx = start_info.v, .rflags = RFLAGS_FIXED};
}

static int broken(struct failure *f, const char *rule)
{
	return failure(f, -EINVAL, "vCPU state: %s", rule);
}

#define RULE(ok)                                                                                   \
	do {                                                                                       \
		if (!(ok))                                                                         \
			return broken(f, #ok);                                                     \
	} while (0)

static bool canonical(uint64_t a)
{
	uint64_t top = a >> 47;

	return top == 0 || top == 0x1ffff;
}

static bool low32(uint64_t a)
{
	return !(a >> 32);
}

/* 26.3.1.1 */
static int check_control(const struct kvm_sregs *s, struct failure *f)
{
	bool pg = s->cr0 & CR0_PG, lma = s->efer & EFER_LMA;

	RULE(!(s->cr0 & ~CR0_DEFINED));
	RULE(!pg || s->cr0 & CR0_PE);
	RULE(!(s->cr0 & CR0_NW) || s->cr0 & CR0_CD);
	RULE(!(s->cr4 & ~CR4_DEFINED));
	RULE(!(s->cr4 & CR4_CET) || s->cr0 & CR0_WP);
	RULE(!lma || (pg && s->cr4 & CR4_PAE));
	RULE(lma || !(s->cr4 & CR4_PCIDE));
	RULE(!(s->cr3 & CR3_RESERVED));
	RULE(!(s->efer & ~EFER_DEFINED));
	RULE(!pg || lma == !!(s->efer & EFER_LME));
	return 0;
}

static bool granularity_ok(const struct kvm_segment *g)
{
	if ((g->limit & 0xfff) != 0xfff && g->g)
		return false;
	return !(g->limit >> 20) || g->g;
}

/* 26.3.1.2, code segment */
static int check_cs(const struct kvm_sregs *s, struct failure *f)
{
	const struct kvm_segment *cs = &s->cs, *ss = &s->ss;

	RULE(!cs->unusable);
	RULE(low32(cs->base));
	RULE(cs->type == 9 || cs->type == 11 || cs->type == 13 || cs->type == 15);
	RULE(cs->s && cs->present);
	RULE(cs->type >= 13 ? cs->dpl <= ss->dpl : cs->dpl == ss->dpl);
	RULE(!(s->efer & EFER_LMA && cs->l) || !cs->db);
	RULE(granularity_ok(cs));
	return 0;
}

static int check_ss(const struct kvm_sregs *s, struct failure *f)
{
	const struct kvm_segment *ss = &s->ss;

	RULE((ss->selector & 3) == (s->cs.selector & 3));
	RULE(ss->dpl == (ss->selector & 3));
	RULE(s->cr0 & CR0_PE || !ss->dpl);
	if (ss->unusable)
		return 0;
	RULE(ss->type == 3 || ss->type == 7);
	RULE(low32(ss->base));
	RULE(ss->s && ss->present);
	RULE(granularity_ok(ss));
	return 0;
}

static int check_data(const struct kvm_segment *g, bool wide_base, struct failure *f)
{
	RULE(!wide_base || canonical(g->base));
	if (g->unusable)
		return 0;
	RULE(wide_base || low32(g->base));
	RULE(g->type & 1);
	RULE(!(g->type & 8) || g->type & 2);
	RULE(g->s && g->present);
	RULE(g->type > 11 || g->dpl >= (g->selector & 3));
	RULE(granularity_ok(g));
	return 0;
}

static int check_system(const struct kvm_sregs *s, struct failure *f)
{
	const struct kvm_segment *tr = &s->tr, *ldt = &s->ldt;

	RULE(!tr->unusable && !(tr->selector & 4));
	RULE(canonical(tr->base));
	RULE(tr->type == TYPE_TSS_BUSY || (!(s->efer & EFER_LMA) && tr->type == TYPE_TSS16_BUSY));
	RULE(!tr->s && tr->present);
	RULE(granularity_ok(tr));
	if (ldt->unusable)
		return 0;
	RULE(!(ldt->selector & 4) && canonical(ldt->base));
	RULE(ldt->type == TYPE_LDT && !ldt->s && ldt->present);
	RULE(granularity_ok(ldt));
	return 0;
}

/* 26.3.1.3 and 26.3.1.4; virtual-8086 mode is not among the states we start in */
static int check_tables_and_rip(const struct kvm_sregs *s, const struct kvm_regs *r,
				struct failure *f)
{
	bool wide = s->efer & EFER_LMA && s->cs.l;

	RULE(canonical(s->gdt.base) && canonical(s->idt.base));
	RULE(wide ? canonical(r->rip) : low32(r->rip));
	RULE(!(r->rflags & RFLAGS_RESERVED));
	RULE(r->rflags & RFLAGS_FIXED);
	RULE(!(r->rflags & RFLAGS_VM));
	return 0;
}

int vcpu_state_check(const struct kvm_sregs *s, const struct kvm_regs *regs, struct failure *f)
{
	int r = check_control(s, f);

	if (!r)
		r = check_cs(s, f);
	if (!r)
		r = check_ss(s, f);
	if (!r)
		r = check_data(&s->ds, false, f);
	if (!r)
		r = check_data(&s->es, false, f);
	if (!r)
		r = check_data(&s->fs, true, f);
	if (!r)
		r = check_data(&s->gs, true, f);
	if (!r)
		r = check_system(s, f);
	return r ? r : check_tables_and_rip(s, regs, f);
}
