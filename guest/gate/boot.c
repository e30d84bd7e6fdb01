/* SPDX-License-Identifier: MIT */
/*
 * From long mode to the seed: reads the hand-over of whoever started the VM (trusted, but
 * checked for sense), writes the boot record. Runs once, on CPU 0; each instruction counts.
 */
#include "internal.h"

#define START_INFO_MAGIC 0x336ec578u
#define MEMMAP_RAM 1u
#define MIB 0x100000ull

struct start_info {
	uint32_t magic, version, flags, n_modules;
	uint64_t modules, cmdline, rsdp, memmap;
	uint32_t n_memmap, reserved;
};

struct start_module {
	uint64_t start, size, cmdline, reserved;
};

struct start_memory {
	uint64_t start, size;
	uint32_t type, reserved;
};

struct boot_record boot_record __attribute__((aligned(4096)));
struct gate_range ram_map[GATE_BOOT_RANGES];
unsigned int ram_ranges;

static unsigned int free_ranges;

static _Noreturn void refuse(const char *why)
{
	warn(why, NULL, 0);
	power(PLATFORM_EXIT_GATE_CRASH);
}

/* What lies at @pa, of which @bytes must be within reach of the alias. */
static const void *hand_over(uint64_t pa, uint64_t bytes)
{
	if (!pa || pa >= GATE_PHYS_MAX || bytes > GATE_PHYS_MAX - pa ||
	    (pa < 0x100000000 && pa + bytes > 0xc0000000))
		refuse("the hand-over points out of reach");
	return ram(pa);
}

/* RAM that is not for cells: [0] the gate and the seed, [1] the bundle, then the unreachable. */
static struct gate_range holes[] = {
	{LAYOUT_BASE, 0}, {0, 0}, {0, MIB}, {0xc0000000, 0x100000000}, {GATE_PHYS_MAX, UINT64_MAX},
};
#define N_HOLES (sizeof(holes) / sizeof(holes[0]))
#define FIRST_UNREACHABLE 3

/* Adds [start, end) less holes[hole..] to the free ranges. */
static void add_free(uint64_t start, uint64_t end, unsigned int hole)
{
	for (; hole < N_HOLES; hole++) {
		const struct gate_range *h = &holes[hole];

		if (h->start >= end || h->end <= start)
			continue;
		if (hole >= FIRST_UNREACHABLE)
			warn("RAM out of reach is left unused", NULL, 0);
		if (h->start > start)
			add_free(start, h->start, hole + 1);
		if (h->end >= end)
			return;
		start = h->end;
	}
	if (start >= end)
		return;
	if (free_ranges == GATE_BOOT_RANGES) {
		warn("too many ranges of RAM, one is left unused", NULL, 0);
		return;
	}
	boot_record.free[free_ranges++] = (struct gate_range){start, end};
}

static void read_memory(const struct start_info *si)
{
	const struct start_memory *m;
	unsigned int i;

	m = hand_over(si->memmap, si->n_memmap * sizeof(*m));
	for (i = 0; i < si->n_memmap; i++) {
		uint64_t start = (m[i].start + PAGE - 1) & -PAGE, end = m[i].start + m[i].size;

		if (m[i].type != MEMMAP_RAM || end < m[i].start || start >= (end & -PAGE))
			continue;
		if (ram_ranges == GATE_BOOT_RANGES)
			refuse("the memory map is too long");
		ram_map[ram_ranges++] = (struct gate_range){start, end & -PAGE};
	}
	for (i = 0; i < ram_ranges; i++)
		add_free(ram_map[i].start, ram_map[i].end, 0);
	if (!free_ranges)
		refuse("the memory map has no RAM");
}

/* The boot bundle: must lie in RAM that nobody else uses. */
static void read_bundle(const struct start_info *si)
{
	const struct start_module *mod;
	struct gate_range *r = &boot_record.bundle;

	if (!si->n_modules)
		return;
	mod = hand_over(si->modules, sizeof(*mod));
	if (!mod->size)
		return;
	hand_over(mod->start, mod->size);
	r->start = mod->start & -PAGE;
	r->end = (mod->start + mod->size + PAGE - 1) & -PAGE;
	if (r->start < MIB || (r->start < holes[0].end && r->end > LAYOUT_BASE))
		refuse("the bundle lies where the gate does");
	boot_record.bundle_offset = mod->start - r->start;
	boot_record.bundle_size = mod->size;
	holes[1] = *r;
}

/* Length of @key where @word begins with it, else 0. */
static size_t begins(const char *word, const char *key)
{
	size_t n = 0;

	while (key[n] && word[n] == key[n])
		n++;
	return key[n] ? 0 : n;
}

static void read_cpus(const char *digits)
{
	uint32_t n = 0;

	while (*digits >= '0' && *digits <= '9' && n <= GATE_MAX_CPUS)
		n = n * 10 + (uint32_t)(*digits++ - '0');
	if (n < 1 || n > GATE_MAX_CPUS || (*digits && *digits != ' '))
		warn("cpus= takes 1 to 16, ignored", NULL, 0);
	else
		boot_record.cpus = n;
}

static void read_cmdline(const struct start_info *si)
{
	static const char *const others[] = {"console=", "dev-cells=", "log=", "sched="};
	const char *from = si->cmdline ? hand_over(si->cmdline, GATE_CMDLINE_MAX) : "";
	char *word = boot_record.cmdline, *end = word;
	unsigned int i;

	while (*from && end < &boot_record.cmdline[GATE_CMDLINE_MAX - 1])
		*end++ = *from++;
	if (*from)
		warn("the command line is too long, cut", NULL, 0);
	for (;;) {
		while (*word == ' ')
			word++;
		if (!*word)
			return;
		for (end = word; *end && *end != ' ';)
			end++;
		if (begins(word, "cpus=")) {
			read_cpus(word + 5);
		} else {
			for (i = 0; i < 4 && !begins(word, others[i]); i++)
				;
			if (i == 4)
				warn("unknown on the command line: ", word, (size_t)(end - word));
		}
		word = end;
	}
}

static void read_build_id(void)
{
	/* ELF note: name size, descriptor size, type, "GNU" */
	const uint8_t *id = build_id_note + 16;
	char *to = boot_record.build_id;

	while (id < build_id_note_end && to < &boot_record.build_id[40]) {
		*to++ = "0123456789abcdef"[*id >> 4];
		*to++ = "0123456789abcdef"[*id++ & 15];
	}
}

_Noreturn void gate_main(uint64_t start_info);
/* From start.S: @start_info is 0 on every CPU but the first. */
_Noreturn void gate_main(uint64_t start_info)
{
	const struct start_info *si;

	if (!start_info)
		cpu_enter();
	si = hand_over(start_info, sizeof(*si));
	if (si->magic != START_INFO_MAGIC || si->version < 1)
		refuse("no PVH hand-over with a memory map");
	platform_init();
	boot_record.magic = GATE_BOOT_MAGIC;
	boot_record.version = 1;
	boot_record.cpus = 1;
	boot_record.seed_phys = (uintptr_t)gate_end;
	boot_record.seed_size = seed_limit - seed_text;
	holes[0].end = boot_record.seed_phys + boot_record.seed_size;
	read_bundle(si);
	read_memory(si);
	read_cmdline(si);
	read_build_id();
	memory_init();
	cpu_init(0);
	boot_record.tsc_cells = rdtsc();
	enter_user(seed_entry, seed_rsp);
}
