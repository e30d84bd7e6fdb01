/* SPDX-License-Identifier: MIT */
#include "boot.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot-abi.h"

#define LOAD_MIN 0x100000u /* below: the records, and the guest's own start-up pages */
#define SEGMENTS_MAX 64u
#define NOTES_MAX 4096u /* bytes of one note segment */

/* Where the records lie: one page each, below the legacy area at 0xa0000. */
#define RECORD_INFO 0x90000u
#define RECORD_CMDLINE 0x91000u
#define LEGACY_START 0xa0000u

struct elf {
	int fd;
	const char *name;
	uint64_t size;
	Elf64_Ehdr header;
	Elf64_Phdr segments[SEGMENTS_MAX];
	struct failure *f;
};

static int bad(struct elf *e, const char *what)
{
	return failure(e->f, -ENOEXEC, "%s is not the guest: %s", e->name, what);
}

/* Reads exactly @len bytes at @offset; a file that shrank meanwhile is -ENODATA. */
static int read_at(int fd, void *dst, uint64_t len, uint64_t offset)
{
	uint64_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (uint8_t *)dst + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		done += (uint64_t)n;
	}
	return 0;
}

static int elf_read(struct elf *e, void *dst, uint64_t len, uint64_t offset)
{
	int r;

	if (offset > e->size || len > e->size - offset)
		return bad(e, "it is cut short");
	r = read_at(e->fd, dst, len, offset);
	return r < 0 ? failure(e->f, r, "%s: cannot read: %s", e->name, strerror(-r)) : 0;
}

static int read_header(struct elf *e)
{
	Elf64_Ehdr *h = &e->header;
	int r = elf_read(e, h, sizeof(*h), 0);

	if (r < 0)
		return r;
	if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
		return bad(e, "it is no ELF file");
	if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB ||
	    h->e_machine != EM_X86_64)
		return bad(e, "it is an ELF file for another machine than x86-64");
	if (h->e_ident[EI_VERSION] != EV_CURRENT || h->e_version != EV_CURRENT)
		return bad(e, "unknown ELF version");
	if (h->e_type != ET_EXEC)
		return bad(e, "it is no executable with fixed addresses (ET_EXEC)");
	if (h->e_phentsize != sizeof(Elf64_Phdr) || !h->e_phnum || h->e_phnum > SEGMENTS_MAX)
		return bad(e, "its program header table has an impossible size");
	return elf_read(e, e->segments, h->e_phnum * sizeof(Elf64_Phdr), h->e_phoff);
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

static int check_segment(struct elf *e, const struct guest_memory *m, unsigned int i)
{
	const Elf64_Phdr *p = &e->segments[i];

	if (p->p_filesz > p->p_memsz)
		return bad(e, "a segment has more bytes in the file than in memory");
	if (p->p_offset > e->size || p->p_filesz > e->size - p->p_offset)
		return bad(e, "a segment lies outside the file (cut short?)");
	if (p->p_paddr < LOAD_MIN)
		return bad(e, "a segment lies below 1 MiB");
	if (p->p_paddr >= MEMORY_LOW_MAX || p->p_memsz > MEMORY_LOW_MAX - p->p_paddr)
		return bad(e, "a segment lies above 3 GiB");
	if (!guest_memory_at(m, GPA(p->p_paddr), p->p_memsz))
		return failure(e->f, -EFBIG,
			       "%s needs memory up to %" PRIu64 " MiB, the VM has %" PRIu64
			       " MiB (--mem)",
			       e->name, (p->p_paddr + p->p_memsz + 0xfffff) >> 20, m->size >> 20);
	for (unsigned int j = 0; j < i; j++) {
		const Elf64_Phdr *o = &e->segments[j];

		if (o->p_type == PT_LOAD && o->p_memsz &&
		    overlap(p->p_paddr, p->p_memsz, o->p_paddr, o->p_memsz))
			return bad(e, "two segments overlap");
	}
	return 0;
}

static void cover(struct boot_image *image, const Elf64_Phdr *p)
{
	if (!image->end.v || p->p_paddr < image->start.v)
		image->start = GPA(p->p_paddr);
	if (p->p_paddr + p->p_memsz > image->end.v)
		image->end = GPA(p->p_paddr + p->p_memsz);
}

static int load_segments(struct elf *e, const struct guest_memory *m, struct boot_image *image)
{
	for (unsigned int i = 0; i < e->header.e_phnum; i++) {
		const Elf64_Phdr *p = &e->segments[i];
		int r;

		if (p->p_type != PT_LOAD || !p->p_memsz)
			continue;
		r = check_segment(e, m, i);
		if (r < 0)
			return r;
		if (p->p_filesz) {
			void *dst = guest_memory_at(m, GPA(p->p_paddr), p->p_filesz);

			r = elf_read(e, dst, p->p_filesz, p->p_offset);
			if (r < 0)
				return r;
		}
		cover(image, p);
	}
	return image->end.v ? 0 : bad(e, "nothing in it is to be loaded");
}

static uint32_t up4(uint32_t n)
{
	return (n + 3) & ~3u;
}

/* Looks for the entry note in @len bytes of notes. Result: 1 and *@ret_entry, 0, or -ENOEXEC. */
static int scan_notes(struct elf *e, const uint8_t *notes, uint32_t len, uint64_t *ret_entry)
{
	uint32_t at = 0;

	while (len - at >= sizeof(Elf64_Nhdr)) {
		uint32_t name, desc;
		Elf64_Nhdr n;

		memcpy(&n, notes + at, sizeof(n));
		name = at + (uint32_t)sizeof(n);
		if (n.n_namesz > NOTES_MAX || n.n_descsz > NOTES_MAX)
			return bad(e, "a note is longer than its segment");
		desc = name + up4(n.n_namesz);
		if (desc > len || n.n_descsz > len - desc)
			return bad(e, "a note is longer than its segment");
		if (n.n_type == PVH_NOTE_ENTRY && n.n_namesz == sizeof(PVH_NOTE_NAME) &&
		    !memcmp(notes + name, PVH_NOTE_NAME, sizeof(PVH_NOTE_NAME))) {
			if (n.n_descsz != 4 && n.n_descsz != 8)
				return bad(e, "its PVH entry note has an impossible size");
			*ret_entry = 0;
			memcpy(ret_entry, notes + desc, n.n_descsz);
			return 1;
		}
		at = desc + up4(n.n_descsz);
		if (at > len)
			return 0;
	}
	return 0;
}

static int find_entry(struct elf *e, uint64_t *ret_entry)
{
	uint8_t notes[NOTES_MAX];

	for (unsigned int i = 0; i < e->header.e_phnum; i++) {
		const Elf64_Phdr *p = &e->segments[i];
		int r;

		if (p->p_type != PT_NOTE)
			continue;
		if (p->p_filesz > sizeof(notes))
			return bad(e, "a note segment is too long");
		r = elf_read(e, notes, p->p_filesz, p->p_offset);
		if (r < 0)
			return r;
		r = scan_notes(e, notes, (uint32_t)p->p_filesz, ret_entry);
		if (r)
			return r < 0 ? r : 0;
	}
	return bad(e, "it has no PVH entry (ELF note \"Xen\", type 18)");
}

/* The entry must be code that comes from the file. */
static int check_entry(struct elf *e, uint64_t entry)
{
	for (unsigned int i = 0; i < e->header.e_phnum; i++) {
		const Elf64_Phdr *p = &e->segments[i];

		if (p->p_type == PT_LOAD && p->p_flags & PF_X && entry >= p->p_paddr &&
		    entry - p->p_paddr < p->p_filesz)
			return 0;
	}
	return bad(e, "its PVH entry is not in an executable segment");
}

int boot_load_guest(const struct guest_memory *m, int fd, const char *name,
		    struct boot_image *ret_image, struct failure *f)
{
	struct elf e = {.fd = fd, .name = name, .f = f};
	struct boot_image image = {0};
	struct stat st;
	uint64_t entry = 0;
	int r;

	if (fstat(fd, &st) < 0)
		return failure(f, -errno, "%s: %s", name, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return bad(&e, "it is no regular file");
	e.size = (uint64_t)st.st_size;
	r = read_header(&e);
	if (r < 0)
		return r;
	r = find_entry(&e, &entry);
	if (r < 0)
		return r;
	r = check_entry(&e, entry);
	if (r < 0)
		return r;
	r = load_segments(&e, m, &image);
	if (r < 0)
		return r;
	image.entry = GPA(entry);
	*ret_image = image;
	return 0;
}

int boot_load_bundle(const struct guest_memory *m, int fd, const char *name,
		     const struct boot_image *image, struct boot_range *ret_range,
		     struct failure *f)
{
	uint64_t top = m->regions[0].size & ~(uint64_t)(MEMORY_PAGE - 1), size, start;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return failure(f, -errno, "%s: %s", name, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return failure(f, -EINVAL, "%s is no regular file", name);
	if (!st.st_size)
		return failure(f, -ENODATA, "%s is empty: it is no boot bundle", name);
	size = (uint64_t)st.st_size;
	if (size > top)
		start = 0;
	else
		start = (top - size) & ~(uint64_t)(MEMORY_PAGE - 1);
	if (start < image->end.v)
		return failure(f, -EFBIG,
			       "%s (%" PRIu64 " KiB) does not fit beside the guest in %" PRIu64
			       " MiB of memory (--mem)",
			       name, size >> 10, m->size >> 20);
	r = read_at(fd, guest_memory_at(m, GPA(start), size), size, 0);
	if (r < 0)
		return failure(f, r, "%s: cannot read: %s", name, strerror(-r));
	*ret_range = (struct boot_range){GPA(start), size};
	return 0;
}

int boot_write_records(const struct guest_memory *m, const struct boot_range *bundle,
		       const char *cmdline, gpa_t *ret_start_info, struct failure *f)
{
	struct {
		struct pvh_start_info info;
		struct pvh_module module;
		struct pvh_memory memory[3];
	} r = {0};
	size_t len = strlen(cmdline);
	unsigned int n = 0;

	if (len > BOOT_CMDLINE_MAX)
		return failure(f, -E2BIG,
			       "the guest's command line has %zu bytes, at most %u are possible",
			       len, BOOT_CMDLINE_MAX);
	r.memory[n++] =
		(struct pvh_memory){.addr = 0, .size = LEGACY_START, .type = PVH_MEMORY_RAM};
	r.memory[n++] = (struct pvh_memory){
		.addr = LOAD_MIN, .size = m->regions[0].size - LOAD_MIN, .type = PVH_MEMORY_RAM};
	if (m->n_regions > 1)
		r.memory[n++] = (struct pvh_memory){.addr = m->regions[1].start.v,
						    .size = m->regions[1].size,
						    .type = PVH_MEMORY_RAM};
	r.info = (struct pvh_start_info){
		.magic = PVH_START_MAGIC,
		.version = PVH_START_VERSION,
		.cmdline_paddr = RECORD_CMDLINE,
		.memmap_paddr = RECORD_INFO + (uint32_t)((char *)r.memory - (char *)&r),
		.memmap_entries = n,
	};
	if (bundle->size) {
		r.module = (struct pvh_module){.paddr = bundle->start.v, .size = bundle->size};
		r.info.nr_modules = 1;
		r.info.modlist_paddr = RECORD_INFO + (uint32_t)((char *)&r.module - (char *)&r);
	}
	if (guest_memory_write(m, GPA(RECORD_INFO), &r, sizeof(r)) < 0 ||
	    guest_memory_write(m, GPA(RECORD_CMDLINE), cmdline, len + 1) < 0)
		return failure(f, -EFAULT, "no memory below 1 MiB");
	*ret_start_info = GPA(RECORD_INFO);
	return 0;
}
