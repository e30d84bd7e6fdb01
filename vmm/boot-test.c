/* SPDX-License-Identifier: MIT */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "boot.h"
#include "boot-abi.h"
#include "cm.h"

#define MIB (1ull << 20)

/* A file that is the guest: each test spoils one thing of it. */
struct image {
	Elf64_Ehdr header;
	Elf64_Phdr segments[3]; /* note, text, data */
	struct {
		Elf64_Nhdr head;
		char name[4];
		uint32_t entry;
	} note;
	uint8_t text[64], data[64];
};

static struct guest_memory memory;
static struct failure f;

static struct image good(void)
{
	struct image i = {
		.header =
			{
				.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
					    ELFDATA2LSB, EV_CURRENT},
				.e_type = ET_EXEC,
				.e_machine = EM_X86_64,
				.e_version = EV_CURRENT,
				.e_phoff = offsetof(struct image, segments),
				.e_phentsize = sizeof(Elf64_Phdr),
				.e_phnum = 3,
			},
		.segments =
			{
				{.p_type = PT_NOTE,
				 .p_offset = offsetof(struct image, note),
				 .p_filesz = 20},
				{.p_type = PT_LOAD,
				 .p_flags = PF_R | PF_X,
				 .p_offset = offsetof(struct image, text),
				 .p_paddr = 2 * MIB,
				 .p_filesz = 64,
				 .p_memsz = 64},
				{.p_type = PT_LOAD,
				 .p_flags = PF_R | PF_W,
				 .p_offset = offsetof(struct image, data),
				 .p_paddr = 3 * MIB,
				 .p_filesz = 64,
				 .p_memsz = 8192},
			},
		.note = {.head = {4, 4, 18}, .name = "Xen", .entry = 2 * MIB + 8},
	};

	memset(i.text, 0x90, sizeof(i.text));
	memset(i.data, 0xda, sizeof(i.data));
	return i;
}

static int file_of(const void *data, size_t len)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	return fd;
}

static int load(const void *data, size_t len, struct boot_image *image)
{
	int fd = file_of(data, len);
	int r = boot_load_guest(&memory, fd, "file", image, &f);

	(void)close(fd);
	return r;
}

static void refused(const struct image *i, size_t len, const char *says)
{
	struct boot_image image;

	f.text[0] = '\0';
	assert_int_equal(load(i, len, &image), -ENOEXEC);
	if (!strstr(f.text, says))
		fail_msg("\"%s\" does not say \"%s\"", f.text, says);
}

static int set_up(void **state)
{
	(void)state;
	return guest_memory_init(&memory, 64 * MIB, 64 * MIB, &f);
}

static int tear_down(void **state)
{
	(void)state;
	guest_memory_deinit(&memory);
	return 0;
}

static void test_loads(void **state)
{
	struct image i = good();
	struct boot_image image;

	(void)state;
	assert_int_equal(load(&i, sizeof(i), &image), 0);
	assert_int_equal(image.entry.v, 2 * MIB + 8);
	assert_int_equal(image.start.v, 2 * MIB);
	assert_int_equal(image.end.v, 3 * MIB + 8192);
	assert_memory_equal(guest_memory_at(&memory, GPA(2 * MIB), 64), i.text, 64);
	assert_memory_equal(guest_memory_at(&memory, GPA(3 * MIB), 64), i.data, 64);
	assert_int_equal(*(uint8_t *)guest_memory_at(&memory, GPA(3 * MIB + 64), 1), 0);
	/* an entry of 8 bytes is the other form of the note */
	i.note.head.n_descsz = 8;
	i.segments[0].p_filesz = 24;
	memset(i.text, 0, 4);
	assert_int_equal(load(&i, sizeof(i), &image), 0);
}

#define SPOIL(says, change)                                                                        \
	do {                                                                                       \
		struct image i = good();                                                           \
		change;                                                                            \
		refused(&i, sizeof(i), says);                                                      \
	} while (0)

static void test_header_refusals(void **state)
{
	struct image whole = good();

	(void)state;
	refused(&whole, 0, "cut short");
	refused(&whole, sizeof(Elf64_Ehdr) - 1, "cut short");
	refused(&whole, sizeof(Elf64_Ehdr) + 8, "cut short");
	SPOIL("no ELF file", i.header.e_ident[0] = 0);
	SPOIL("another machine", i.header.e_ident[EI_CLASS] = ELFCLASS32);
	SPOIL("another machine", i.header.e_ident[EI_DATA] = ELFDATA2MSB);
	SPOIL("another machine", i.header.e_machine = EM_AARCH64);
	SPOIL("ELF version", i.header.e_ident[EI_VERSION] = 9);
	SPOIL("ELF version", i.header.e_version = 0);
	SPOIL("ET_EXEC", i.header.e_type = ET_DYN);
	SPOIL("ET_EXEC", i.header.e_type = ET_REL);
	SPOIL("impossible size", i.header.e_phentsize = 32);
	SPOIL("impossible size", i.header.e_phnum = 0);
	SPOIL("impossible size", i.header.e_phnum = 65);
	SPOIL("cut short", i.header.e_phnum = 64);
	SPOIL("cut short", i.header.e_phoff = UINT64_MAX);
	SPOIL("cut short", i.header.e_phoff = UINT64_MAX - 64);
}

static void test_segment_refusals(void **state)
{
	(void)state;
	SPOIL("more bytes in the file", i.segments[2].p_memsz = 63);
	SPOIL("outside the file", i.segments[2].p_offset = sizeof(i) - 63);
	SPOIL("outside the file", i.segments[2].p_offset = UINT64_MAX);
	SPOIL("outside the file", i.segments[2].p_filesz = i.segments[2].p_memsz = UINT64_MAX);
	SPOIL("below 1 MiB", i.segments[2].p_paddr = 0);
	SPOIL("below 1 MiB", i.segments[2].p_paddr = MIB - 1);
	SPOIL("above 3 GiB", i.segments[2].p_paddr = 3ull << 30);
	SPOIL("above 3 GiB", i.segments[2].p_paddr = UINT64_MAX - 4096);
	SPOIL("above 3 GiB", i.segments[2].p_memsz = UINT64_MAX);
	SPOIL("overlap", i.segments[2].p_paddr = 2 * MIB + 63);
	SPOIL("overlap", i.segments[2].p_paddr = 2 * MIB - 8191);
	SPOIL("not in an executable", i.segments[1].p_flags = PF_R | PF_W);
	SPOIL("not in an executable", i.segments[1].p_type = PT_NULL);
}

static void test_too_large(void **state)
{
	struct image i = good();
	struct boot_image image;

	(void)state;
	i.segments[2].p_memsz = 62 * MIB;
	assert_int_equal(load(&i, sizeof(i), &image), -EFBIG);
	assert_non_null(strstr(f.text, "needs memory up to 65 MiB, the VM has 64 MiB"));
}

static void test_note_refusals(void **state)
{
	(void)state;
	SPOIL("no PVH entry", i.segments[0].p_type = PT_NULL);
	SPOIL("no PVH entry", i.note.head.n_type = 17);
	SPOIL("no PVH entry", memcpy(i.note.name, "Xem", 4));
	SPOIL("no PVH entry", i.segments[0].p_filesz = 11);
	SPOIL("longer than its segment", i.segments[0].p_filesz = 19);
	SPOIL("longer than its segment", i.note.head.n_namesz = UINT32_MAX);
	SPOIL("longer than its segment", i.note.head.n_descsz = UINT32_MAX - 2);
	SPOIL("impossible size", i.note.head.n_descsz = 3);
	SPOIL("too long", i.segments[0].p_filesz = 4097);
	SPOIL("cut short", i.segments[0].p_offset = sizeof(i));
	SPOIL("not in an executable", i.note.entry = 2 * MIB + 64);
	SPOIL("not in an executable", i.note.entry = 0);
	SPOIL("not in an executable", i.note.entry = 3 * MIB);
}

static void test_not_a_file(void **state)
{
	struct boot_image image;
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(boot_load_guest(&memory, p[0], "pipe", &image, &f), -ENOEXEC);
	assert_non_null(strstr(f.text, "pipe is not the guest: it is no regular file"));
	(void)close(p[0]);
	(void)close(p[1]);
}

static void test_bundle(void **state)
{
	const struct boot_image image = {.end = GPA(8 * MIB)};
	static uint8_t data[5000];
	struct boot_range range;
	int fd;

	(void)state;
	memset(data, 0xb0, sizeof(data));
	fd = file_of(data, sizeof(data));
	assert_int_equal(boot_load_bundle(&memory, fd, "bundle", &image, &range, &f), 0);
	assert_int_equal(range.size, sizeof(data));
	assert_int_equal(range.start.v, 64 * MIB - 8192);
	assert_memory_equal(guest_memory_at(&memory, range.start, range.size), data, sizeof(data));
	assert_int_equal(ftruncate(fd, (off_t)(56 * MIB)), 0);
	assert_int_equal(boot_load_bundle(&memory, fd, "bundle", &image, &range, &f), 0);
	assert_int_equal(range.start.v, 8 * MIB);
	assert_int_equal(ftruncate(fd, (off_t)(56 * MIB + 1)), 0);
	assert_int_equal(boot_load_bundle(&memory, fd, "bundle", &image, &range, &f), -EFBIG);
	assert_int_equal(ftruncate(fd, (off_t)1 << 50), 0);
	assert_int_equal(boot_load_bundle(&memory, fd, "bundle", &image, &range, &f), -EFBIG);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(boot_load_bundle(&memory, fd, "bundle", &image, &range, &f), -ENODATA);
	(void)close(fd);
}

static void test_records(void **state)
{
	const struct boot_range bundle = {GPA(5 * MIB), 4711};
	const struct pvh_start_info *info;
	const struct pvh_module *module;
	const struct pvh_memory *map;
	static char longest[BOOT_CMDLINE_MAX + 2];
	gpa_t at;

	(void)state;
	assert_int_equal(boot_write_records(&memory, &bundle, "cpus=2 log=4", &at, &f), 0);
	info = guest_memory_at(&memory, at, sizeof(*info));
	assert_int_equal(info->magic, 0x336ec578);
	assert_int_equal(info->version, 1);
	assert_int_equal(info->nr_modules, 1);
	module = guest_memory_at(&memory, GPA(info->modlist_paddr), sizeof(*module));
	assert_int_equal(module->paddr, 5 * MIB);
	assert_int_equal(module->size, 4711);
	assert_string_equal(guest_memory_at(&memory, GPA(info->cmdline_paddr), 64), "cpus=2 log=4");
	assert_int_equal(info->memmap_entries, 2);
	map = guest_memory_at(&memory, GPA(info->memmap_paddr), 2 * sizeof(*map));
	assert_int_equal(map[0].addr, 0);
	assert_int_equal(map[0].size, 0xa0000);
	assert_int_equal(map[1].addr, MIB);
	assert_int_equal(map[1].addr + map[1].size, 64 * MIB);

	memset(longest, 'x', sizeof(longest) - 1);
	assert_int_equal(boot_write_records(&memory, &bundle, longest, &at, &f), -E2BIG);
	longest[BOOT_CMDLINE_MAX] = '\0';
	assert_int_equal(boot_write_records(&memory, &(struct boot_range){0}, longest, &at, &f), 0);
	assert_int_equal(info->nr_modules, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loads),
		cmocka_unit_test(test_header_refusals),
		cmocka_unit_test(test_segment_refusals),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_note_refusals),
		cmocka_unit_test(test_not_a_file),
		cmocka_unit_test(test_bundle),
		cmocka_unit_test(test_records),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
