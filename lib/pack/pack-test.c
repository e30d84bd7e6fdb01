/* SPDX-License-Identifier: MIT */
/* The packer on small cells: what a packed cell is, and everything that is refused. */
#include "pack-test.h"

#include <errno.h>
#include <unistd.h>

#include <sodium.h>
#include <theseus/cell.h>

#include "barrier.h"
#include "bundle/bundle.h"
#include "object.h"
#include "pack.h"

/* What the cells of this test see beside the SDK. */
static const char probe_header[] = "#ifndef PROBE_H\n#define PROBE_H\n#include <theseus/cell.h>\n"
				   "struct probe;\n"
				   "int probe_open(struct probe *p, size_t n);\n"
				   "void probe_close(struct probe *p);\n"
				   "double probe_real(int a);\n"
				   "int probe_wait(uint64_t ns);\n"
				   "int other_call(int a);\n"
				   "void *memcpy(void *to, const void *from, size_t n);\n"
				   "struct _Unwind_Exception;\n"
				   "void _Unwind_Resume(struct _Unwind_Exception *e);\n"
				   "int __gcc_personality_v0(int version);\n"
				   "struct probe_ops { int (*run)(int a); const char *help; };\n"
				   "IFACE_DEFINE(probe_ops);\n"
				   "#endif\n";

static char *dir;     /* sources and objects */
static char *headers; /* probe.h */
static struct abi_index index_;
static const char *includes[3];

#define INFO                                                                                       \
	"CELL_INFO(.name = \"probe\", .version = \"1.2.3\", .summary = \"a probe\", .safety = "    \
	"CELL_SAFE);\n"
#define HEAD "#include <probe.h>\n" INFO

static int group_setup(void **state)
{
	struct reasons reasons = {0};

	(void)state;
	dir = temp_dir();
	headers = temp_dir();
	if (!dir || !headers)
		return -1;
	test_write(headers, "probe.h", probe_header);
	includes[0] = headers;
	includes[1] = SDK_INCLUDE;
	struct abi_compiler compiler = {"gcc", test_flags, includes};
	if (abi_index_scan(&compiler, (const char *[]){headers, SDK_INCLUDE, NULL}, &index_, NULL,
			   &reasons) < 0 ||
	    abi_index_sort(&index_, &reasons) < 0) {
		fprintf(stderr, "%s\n", reasons_first(&reasons));
		return -1;
	}
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	abi_index_done(&index_);
	temp_dir_remove(dir);
	temp_dir_remove(headers);
	return 0;
}

/* Packs DIR/a.o and, with @two, DIR/b.o. */
static int pack_objects(bool two, const char *archive, struct packed *ret_packed,
			struct reasons *reasons)
{
	char a[TEST_PATH], b[TEST_PATH];
	const char *objects[] = {a, two ? b : NULL, NULL};
	const char *archives[] = {archive, NULL};
	const struct abi_index *abi[] = {&index_, NULL};
	struct pack_input in = {"probe", objects, archives, abi};

	(void)snprintf(a, sizeof(a), "%s/a.o", dir);
	(void)snprintf(b, sizeof(b), "%s/b.o", dir);
	return pack_cell(&in, ret_packed, reasons);
}

static struct packed pack_two(const char *a, const char *b)
{
	struct packed packed = {0};
	struct reasons reasons = {0};

	test_compile(dir, "a", a, NULL, includes);
	if (b)
		test_compile(dir, "b", b, NULL, includes);
	if (pack_objects(b, NULL, &packed, &reasons) < 0)
		fail_msg("%s", reasons_first(&reasons));
	return packed;
}

static struct object parse_packed(const struct buf *bytes)
{
	struct reasons reasons = {0};
	struct object o;

	if (object_parse("packed", bytes->data, bytes->len, &o, &reasons) < 0)
		fail_msg("%s", reasons_first(&reasons));
	return o;
}

static const struct object_symbol *find_symbol(const struct object *o, const char *name)
{
	for (size_t i = 1; i < o->n_symbols; i++)
		if (strcmp(o->symbols[i].name, name) == 0)
			return &o->symbols[i];
	return NULL;
}

static const char whole_cell[] =
	"#include <probe.h>\n"
	"CELL_INFO(.name = \"probe\", .version = \"1.2.3\", .summary = \"a probe\",\n"
	"  .safety = CELL_UNSAFE, .unsafe_reason = \"it probes\",\n"
	"  .grants = GATE_GRANT_PORT, .quiescence = CELL_QUIESCE_IDLE,\n"
	"  .restart = CELL_RESTART_ALWAYS);\n"
	"struct probe_state { uint64_t calls; struct iface next; char log[5000]; };\n"
	"CELL_STATE(struct probe_state, probe) = { .calls = 5 };\n"
	"CELL_EXPORT(probe_open);\nCELL_EXPORT_BLOCKING(probe_wait);\n"
	"CELL_CONSUMES(cell_ops);\n"
	"int probe_shared(int a);\n"
	"__attribute__((noinline)) static int helper(int a) { return other_call(a) + "
	"probe_shared(a); }\n"
	"int probe_open(struct probe *p, size_t n) { probe.calls++; return helper((int)n) + "
	"CELL_SELF.id; }\n"
	"int probe_wait(uint64_t ns) { return helper((int)ns) + probe.log[4999]; }\n"
	"static int run(int a) { return helper(a); }\n"
	"CELL_PROVIDE(probe_ops, first) = { .run = run, .help = \"text\" };\n"
	"int take(void) { return IFACE(probe_ops, first).h.slot; }\n";
static const char whole_cell_b[] =
	"int probe_shared(int a) { return a * 3; }\n"
	"static const char t[] = \"xyz\"; const char *t_of(void) { return t; }\n";

static void test_manifest(void **state)
{
	struct packed p = pack_two(whole_cell, whole_cell_b);
	const Theseus__Cell *m = p.manifest;
	const struct abi_entry *e = abi_index_find(&index_, ABI_FUNCTION, "probe_open");

	(void)state;
	assert_string_equal(m->name, "probe");
	assert_string_equal(m->version, "1.2.3");
	assert_string_equal(m->summary, "a probe");
	assert_int_equal(m->sdk_abi, SDK_ABI);
	assert_int_equal(m->safety, THESEUS__SAFETY__SAFETY_UNSAFE);
	assert_int_equal(m->quiescence, THESEUS__QUIESCENCE__QUIESCENCE_IDLE);
	assert_int_equal(m->restart, THESEUS__RESTART__RESTART_ALWAYS);
	assert_int_equal(m->grants, 1 << 4);
	assert_int_equal(m->n_exports, 2);
	assert_string_equal(m->exports[0]->name, "probe_open");
	assert_string_equal(m->exports[0]->signature, "int (struct probe *, size_t)");
	assert_true(m->exports[0]->abi == e->hash);
	assert_false(m->exports[0]->blocking);
	assert_string_equal(m->exports[1]->name, "probe_wait");
	assert_true(m->exports[1]->blocking);
	assert_int_equal(m->n_imports, 1);
	assert_string_equal(m->imports[0]->name, "other_call");
	assert_true(m->imports[0]->abi ==
		    abi_index_find(&index_, ABI_FUNCTION, "other_call")->hash);
	assert_int_equal(m->n_provides, 1);
	assert_string_equal(m->provides[0]->interface, "probe_ops");
	assert_string_equal(m->provides[0]->name, "first");
	assert_string_equal(m->provides[0]->symbol, "__provide_probe_ops__first");
	assert_true(m->provides[0]->abi ==
		    abi_index_find(&index_, ABI_INTERFACE, "probe_ops")->hash);
	assert_int_equal(m->n_consumes, 1);
	assert_string_equal(m->consumes[0], "cell_ops");
	assert_string_equal(
		m->state_type,
		"struct probe_state { uint64_t calls; struct iface next; char log[5000]; }");
	assert_int_equal(m->state_bytes, 5016);
	assert_int_not_equal(m->state_schema, 0);
	assert_int_equal(m->build_id.len, PACK_BUILD_ID_BYTES);
	packed_done(&p);
}

static void test_object(void **state)
{
	static const char *const sections[] = {
		".text",    ".rodata", ".data.rel.ro", ".theseus.state", ".theseus.state.zero",
		".eh_frame"};
	struct packed p = pack_two(whole_cell, whole_cell_b);
	struct object o = parse_packed(&p.object);
	const struct object_section *text;

	(void)state;
	assert_int_equal(o.n_sections, 6);
	for (size_t i = 0; i < 6; i++)
		assert_string_equal(o.sections[i].name, sections[i]);
	/* state: what is not zero, and the rest without bytes */
	assert_int_equal(o.sections[3].size + o.sections[4].size, 5016);
	assert_int_equal(o.sections[3].align, 64);
	assert_int_equal(o.sections[4].align, 1);
	assert_null(o.sections[4].data);
	assert_int_equal(o.sections[3].data[0], 5);

	assert_int_equal(find_symbol(&o, "probe_open")->bind, STB_GLOBAL);
	assert_int_equal(find_symbol(&o, "probe_wait")->bind, STB_GLOBAL);
	assert_int_equal(find_symbol(&o, "__provide_probe_ops__first")->bind, STB_GLOBAL);
	assert_int_equal(find_symbol(&o, "probe_shared")->bind, STB_LOCAL);
	assert_int_equal(find_symbol(&o, "helper")->bind, STB_LOCAL);
	assert_int_equal(find_symbol(&o, "take")->bind, STB_LOCAL);
	assert_int_equal(find_symbol(&o, "__slot_cell_self")->place, OBJECT_UNDEFINED);
	assert_int_equal(find_symbol(&o, "__slot_probe_ops__first")->place, OBJECT_UNDEFINED);
	assert_int_equal(find_symbol(&o, "other_call")->place, OBJECT_UNDEFINED);
	assert_null(find_symbol(&o, "cell_info_"));
	assert_null(find_symbol(&o, "probe"));

	/* calls inside the cell need no relocation any more */
	text = &o.sections[0];
	for (size_t i = 0; i < text->n_relocs; i++) {
		const struct object_symbol *s = &o.symbols[text->relocs[i].symbol];

		assert_true(s->place == OBJECT_UNDEFINED || s->section != 0);
		assert_true(s->place == OBJECT_UNDEFINED || s->type == STT_SECTION);
	}
	object_done(&o);
	packed_done(&p);
}

static void test_deterministic(void **state)
{
	struct packed a = pack_two(whole_cell, whole_cell_b),
		      b = pack_two(whole_cell, whole_cell_b);

	(void)state;
	assert_int_equal(a.object.len, b.object.len);
	assert_memory_equal(a.object.data, b.object.data, a.object.len);
	assert_memory_equal(a.manifest->build_id.data, b.manifest->build_id.data,
			    PACK_BUILD_ID_BYTES);
	assert_true(a.manifest->state_schema == b.manifest->state_schema);
	assert_int_equal(a.debug.len, b.debug.len);
	assert_memory_equal(a.debug.data, b.debug.data, a.debug.len);
	packed_done(&a);
	packed_done(&b);
}

static void test_debug(void **state)
{
	struct packed p = pack_two(whole_cell, whole_cell_b);
	struct object o = parse_packed(&p.debug), packed = parse_packed(&p.object);
	uint32_t at = object_section_find(&o, ".note.gnu.build-id");

	(void)state;
	assert_int_not_equal(at, OBJECT_NONE);
	assert_memory_equal(o.sections[at].data + 16, p.manifest->build_id.data,
			    PACK_BUILD_ID_BYTES);
	assert_int_not_equal(object_section_find(&o, ".debug_info"), OBJECT_NONE);
	assert_int_not_equal(object_section_find(&o, ".debug_line"), OBJECT_NONE);
	assert_int_equal(object_section_find(&packed, ".debug_info"), OBJECT_NONE);
	/* the same functions at the same places */
	assert_int_equal(find_symbol(&o, "helper")->value, find_symbol(&packed, "helper")->value);
	assert_int_equal(find_symbol(&o, "probe_wait")->value,
			 find_symbol(&packed, "probe_wait")->value);
	object_done(&o);
	object_done(&packed);
	packed_done(&p);
}

static uint64_t schema_of(const char *members, const char *extra)
{
	char source[1024];
	struct packed p;
	uint64_t schema;

	(void)snprintf(source, sizeof(source),
		       HEAD
		       "%s\nstruct pointed { %s };\nstruct st { struct pointed *p; int n[4]; };\n"
		       "CELL_STATE(struct st, st);\nint get(void) { return st.n[0]; }\n",
		       extra, members);
	p = pack_two(source, NULL);
	schema = p.manifest->state_schema;
	packed_done(&p);
	return schema;
}

/* What the state points to is carried over with it, so it is part of the schema. */
static void test_schema(void **state)
{
	(void)state;
	assert_true(schema_of("int a;", "") == schema_of("int a;", "struct other { char c; };"));
	assert_true(schema_of("int a;", "") == schema_of("int a;", "/* comment */ int g(int);"));
	assert_true(schema_of("int a;", "") != schema_of("int b;", ""));
	assert_true(schema_of("int a;", "") != schema_of("unsigned a;", ""));
}

/*
 * The server completes a type that the header leaves open, the client does not: both carry
 * the hash of the header.
 */
static void test_incomplete_type(void **state)
{
	struct packed server =
		pack_two(HEAD "struct probe { int secret; };\nCELL_EXPORT(probe_open);\n"
			      "int probe_open(struct probe *p, size_t n) { return p->secret; }\n",
			 NULL);
	struct packed client = pack_two(
		HEAD "int call(void);\nint call(void) { return probe_open(0, 1); }\n", NULL);

	(void)state;
	assert_int_equal(client.manifest->n_imports, 1);
	assert_true(server.manifest->exports[0]->abi == client.manifest->imports[0]->abi);
	packed_done(&server);
	packed_done(&client);
}

/* What landing pads of cleanups refer to is imported like any function. */
static void test_unwinder(void **state)
{
	struct packed p = pack_two(
		HEAD "static void drop(int *p) { other_call(*p); }\n"
		     "int f(void) { int v OWNED(drop) = other_call(1); return other_call(v); }\n",
		NULL);
	struct object o = parse_packed(&p.object);
	const struct object_section *relro = &o.sections[object_section_find(&o, ".data.rel.ro")];

	(void)state;
	assert_int_equal(find_symbol(&o, "_Unwind_Resume")->place, OBJECT_UNDEFINED);
	assert_int_equal(find_symbol(&o, "__gcc_personality_v0")->place, OBJECT_UNDEFINED);
	assert_int_not_equal(object_section_find(&o, ".gcc_except_table"), OBJECT_NONE);
	assert_int_equal(relro->size, 8);
	assert_int_equal(relro->n_relocs, 1);
	assert_int_equal(relro->relocs[0].type, R_X86_64_64);
	assert_int_equal(p.manifest->n_imports, 3);
	object_done(&o);
	packed_done(&p);
}

/* Addresses through the GOT become computed ones; the weak and absent one is 0. */
static void test_got(void **state)
{
	struct packed p = pack_two(
		HEAD
		"extern int nobody(int) __attribute__((weak));\n"
		"int (*g(int w))(int) { return w ? other_call : nobody; }\n"
		"int h(int a) { __asm__ volatile(\"call *other_call@GOTPCREL(%%rip)\" ::: "
		"\"memory\");\n"
		" __asm__ volatile(\"cmpq other_call@GOTPCREL(%%rip), %%rax\" ::: \"memory\");\n"
		" __asm__ volatile(\"jmp *g@GOTPCREL(%%rip)\" ::: \"memory\"); return a; }\n",
		NULL);
	struct object o = parse_packed(&p.object);
	const struct object_section *text = &o.sections[0];
	size_t pc = 0, got = 0;

	(void)state;
	assert_null(find_symbol(&o, "nobody"));
	for (size_t i = 0; i < text->n_relocs; i++) {
		pc += text->relocs[i].type == R_X86_64_PC32;
		got += text->relocs[i].type == R_X86_64_REX_GOTPCRELX;
		if (text->relocs[i].type == R_X86_64_PC32 &&
		    text->data[text->relocs[i].offset - 1] == 0xe8)
			assert_int_equal(text->data[text->relocs[i].offset - 2], 0x67);
	}
	assert_int_equal(pc, 2);
	assert_int_equal(got, 1); /* an operand that only the GOT can give */
	assert_int_equal(p.manifest->n_imports, 1);
	object_done(&o);
	packed_done(&p);
}

/* Of a foreign archive only the members that are needed, and its constants with pointers. */
static void test_archive(void **state)
{
	char path[TEST_PATH], f[TEST_PATH], g[TEST_PATH], cmd[] = "ar", mode[] = "rc";
	struct packed p = {0};
	struct reasons reasons = {0};
	struct buf said = {0};
	struct object o;

	(void)state;
	test_compile(dir, "f",
		     "static int one(int a) { return a; }\n"
		     "int (*table[])(int) = { one };\n"
		     "int foreign(int n) { return table[n](n); }\n",
		     NULL, includes);
	test_compile(dir, "g", "int never(int n) { return n; }\n", NULL, includes);
	test_compile(dir, "a",
		     HEAD "int foreign(int);\nCELL_EXPORT(probe_wait);\n"
			  "int probe_wait(uint64_t n) { return foreign((int)n); }\n"
			  "int dead(int n) { return foreign(n) * 2; }\n"
			  "static int run(int n) { return foreign(n) + 1; }\n"
			  "CELL_PROVIDE(probe_ops, first) = { .run = run };\n",
		     "-ffunction-sections", includes);
	(void)snprintf(path, sizeof(path), "%s/libforeign.a", dir);
	(void)snprintf(f, sizeof(f), "%s/f.o", dir);
	(void)snprintf(g, sizeof(g), "%s/g.o", dir);
	(void)unlink(path);
	assert_int_equal(child_run((char *[]){cmd, mode, path, f, g, NULL}, &said), 0);
	if (pack_objects(false, path, &p, &reasons) < 0)
		fail_msg("%s", reasons_first(&reasons));
	o = parse_packed(&p.object);
	assert_non_null(find_symbol(&o, "foreign"));
	assert_null(find_symbol(&o, "never"));
	assert_null(find_symbol(&o, "dead"));
	assert_non_null(find_symbol(&o, "run"));
	assert_int_not_equal(object_section_find(&o, ".data.rel.ro"), OBJECT_NONE);
	object_done(&o);
	packed_done(&p);
	buf_done(&said);
}

/* What its authors gave no unwind information is where unwinding ends; the rest is described. */
static void test_archive_barrier(void **state)
{
	char path[TEST_PATH], f[TEST_PATH], cmd[] = "ar", mode[] = "rc";
	struct packed p = {0};
	struct reasons reasons = {0};
	struct barrier *barriers;
	struct buf said = {0};
	struct object o;
	size_t n;

	(void)state;
	test_compile(dir, "f",
		     ".text\n.globl foreign\n.type foreign, @function\nforeign: jmp inner\n"
		     ".size foreign, . - foreign\n.balign 16\n"
		     ".type inner, @function\ninner: ret\n.size inner, . - inner\n",
		     "-xassembler-with-cpp", includes);
	test_compile(dir, "a",
		     HEAD "int foreign(int);\nCELL_EXPORT(probe_wait);\n"
			  "int probe_wait(uint64_t n) { return foreign((int)n) + 1; }\n",
		     "-ffunction-sections", includes);
	(void)snprintf(path, sizeof(path), "%s/libraw.a", dir);
	(void)snprintf(f, sizeof(f), "%s/f.o", dir);
	(void)unlink(path);
	assert_int_equal(child_run((char *[]){cmd, mode, path, f, NULL}, &said), 0);
	if (pack_objects(false, path, &p, &reasons) < 0)
		fail_msg("%s", reasons_first(&reasons));
	o = parse_packed(&p.object);
	assert_int_equal(barriers_find("packed", &o, &barriers, &n, NULL), 0);
	assert_int_equal(n, 2);
	assert_string_equal(barriers[0].function, "foreign");
	assert_int_equal(barriers[0].at, find_symbol(&o, "foreign")->value);
	assert_string_equal(barriers[1].function, "inner");
	assert_int_equal(barriers[1].bytes, 1);
	free(barriers);
	object_done(&o);
	packed_done(&p);
	buf_done(&said);
}

/* Its writable data joins the state, whose schema then is that of these archives. */
static void test_archive_state(void **state)
{
	char path[TEST_PATH], f[TEST_PATH], cmd[] = "ar", mode[] = "rc";
	struct packed first = {0}, second = {0};
	struct reasons reasons = {0};
	struct buf said = {0};

	(void)state;
	test_compile(dir, "a",
		     HEAD
		     "int count(void);\nCELL_EXPORT(probe_wait);\n"
		     "struct own { int calls; };\nCELL_STATE(struct own, own) = {.calls = 1};\n"
		     "int probe_wait(uint64_t n) { return count() + own.calls + (int)n; }\n",
		     "-ffunction-sections", includes);
	(void)snprintf(path, sizeof(path), "%s/libcount.a", dir);
	(void)snprintf(f, sizeof(f), "%s/f.o", dir);
	for (unsigned i = 0; i < 2; i++) {
		struct packed *p = i ? &second : &first;

		test_compile(dir, "f",
			     i ? "static int n; int count(void) { return n += 2; }\n"
			       : "static int n; int count(void) { return ++n; }\n",
			     NULL, includes);
		(void)unlink(path);
		assert_int_equal(child_run((char *[]){cmd, mode, path, f, NULL}, &said), 0);
		if (pack_objects(false, path, p, &reasons) < 0)
			fail_msg("%s", reasons_first(&reasons));
		assert_true(p->manifest->state_bytes >= 2 * sizeof(int));
		assert_non_null(strstr(p->manifest->state_type, "bytes of foreign archives"));
		assert_true(p->manifest->state_schema != 0);
	}
	assert_true(first.manifest->state_schema != second.manifest->state_schema);
	packed_done(&first);
	packed_done(&second);
	buf_done(&said);
}

/* ---- refusals ---- */

static const struct refusal {
	const char *code, *words; /* what the reason must name, after the file */
	const char *flag;
	const char *a, *b;
} refusals[] = {
	{"writable-data", "section .data, symbol counter", NULL,
	 HEAD "static int counter = 3; int f(void) { return counter++; }\n", NULL},
	{"writable-data", "section .bss, symbol hits", NULL,
	 HEAD "int f(void) { static int hits; return hits++; }\n", NULL},
	{"writable-data", "section .bss, symbol table", NULL, HEAD "int table[100];\n", NULL},
	{"writable-data", "section .data.rel.local, symbol where", NULL,
	 HEAD "static int f(void) { return 1; } int (*where)(void) = f;\n", NULL},
	{"writable-data", "section .mine, symbol mine", NULL,
	 HEAD "int mine __attribute__((section(\".mine\"))) = 1;\n", NULL},
	{"bad-section", "section .extra, symbol extra", NULL,
	 HEAD "const int extra __attribute__((section(\".extra\"))) = 1;\n", NULL},
	{"constructor", "section .init_array", NULL,
	 HEAD "__attribute__((constructor)) static void f(void) { other_call(1); }\n", NULL},
	{"state-relocation", "in st", NULL,
	 HEAD "struct st { int (*f)(int); }; CELL_STATE(struct st, st) = { other_call };\n", NULL},
	{"state-relocation", "in st", NULL,
	 HEAD "struct st { const char *s; }; CELL_STATE(struct st, st) = { \"text\" };\n", NULL},
	{"bad-relocation", "R_X86_64_32S", "-fno-pic",
	 HEAD "static const int t[4] = {1}; int f(long i) { return t[i]; }\n", NULL},
	{"bad-relocation", "R_X86_64_32 against", NULL,
	 HEAD "int f(void) { int v; __asm__(\"mov $other_call, %0\" : \"=r\"(v)); return v; }\n",
	 NULL},
	{"bad-relocation", "does not know", NULL,
	 HEAD
	 "__asm__(\".text\\n.reloc 0, R_X86_64_GOTPC32, other_call\\n.byte 0,0,0,0,0,0,0,0\");\n",
	 NULL},
	{"ifunc", "symbol f", NULL,
	 HEAD
	 "static void *pick(void) { return 0; } int f(int) __attribute__((ifunc(\"pick\")));\n",
	 NULL},
	{"tls", "thread-local", NULL, HEAD "static __thread int t; int f(void) { return t++; }\n",
	 NULL},
	{"bad-relocation", "thread-local", NULL,
	 HEAD "extern __thread int t; int f(void) { return t++; }\n", NULL},
	{"common-symbol", "symbol shared", "-fcommon", HEAD "int shared;\n", NULL},
	{"no-info", "0 CELL_INFO", NULL, "#include <probe.h>\nint f(int a) { return a; }\n", NULL},
	{"no-info", "2 CELL_INFO", NULL, HEAD, HEAD},
	{"two-states", "CELL_STATE two", NULL,
	 HEAD "CELL_STATE(int, one); int f(void) { return one++; }\n",
	 "#include <probe.h>\nCELL_STATE(int, two); int g(void) { return two++; }\n"},
	{"two-states", "CELL_STATE two", NULL,
	 HEAD "CELL_STATE(int, one); CELL_STATE(int, two); int f(void) { return one++ + two++; }\n",
	 NULL},
	{"bad-state", "st.slots.run is the address", NULL,
	 HEAD "struct st { int n; struct { long x; int (*run)(int); } slots[4]; };\n"
	      "CELL_STATE(struct st, st); int f(void) { return st.n++; }\n",
	 NULL},
	{"bad-state", "st.table is the address", NULL,
	 HEAD "struct st { const struct probe_ops *table; };\n"
	      "CELL_STATE(struct st, st); int f(void) { return st.table != 0; }\n",
	 NULL},
	{"bad-export", "probe_open: the cell has no such", NULL, HEAD "CELL_EXPORT(probe_open);\n",
	 NULL},
	{"bad-export", "exported twice", NULL,
	 HEAD "CELL_EXPORT(probe_open); int probe_open(struct probe *p, size_t n) { return 0; }\n",
	 "#include <probe.h>\nCELL_EXPORT(probe_open);\n"},
	{"bad-export", "no such global function", NULL,
	 HEAD "CELL_EXPORT(hidden); static int hidden(void) { return 1; } int f(void) { return "
	      "hidden(); }\n",
	 NULL},
	{"undeclared-export", "hidden is declared in no public header", NULL,
	 HEAD "CELL_EXPORT(hidden); int hidden(void) { return 1; }\n", NULL},
	{"not-restartable", "probe_real", NULL,
	 HEAD "CELL_EXPORT_BLOCKING(probe_real); double probe_real(int a) { return a; }\n", NULL},
	{"not-restartable", "void (struct probe *)", NULL,
	 HEAD "CELL_EXPORT_BLOCKING(probe_close); void probe_close(struct probe *p) { "
	      "other_call(1); }\n",
	 NULL},
	{"undeclared-import", "import private_call", NULL,
	 HEAD "int private_call(int); int f(void) { return private_call(1); }\n", NULL},
	{"bad-provide", "IFACE_DEFINE(odd_ops)", NULL,
	 HEAD "struct odd_ops { int (*f)(void); }; static int f(void) { return 1; }\n"
	      "CELL_PROVIDE(odd_ops, x) = { f };\n",
	 NULL},
	{"bad-consume", "IFACE_DEFINE(odd_ops)", NULL, HEAD "CELL_CONSUMES(odd_ops);\n", NULL},
	{"bad-name", "Probe", NULL,
	 "#include <probe.h>\nCELL_INFO(.name = \"Probe\", .version = \"1.2.3\", .safety = "
	 "CELL_SAFE);\n",
	 NULL},
	{"bad-name", "expected \"probe\"", NULL,
	 "#include <probe.h>\nCELL_INFO(.name = \"prober\", .version = \"1.2.3\", .safety = "
	 "CELL_SAFE);\n",
	 NULL},
	{"bad-version", "1.2", NULL,
	 "#include <probe.h>\nCELL_INFO(.name = \"probe\", .version = \"1.2\", .safety = "
	 "CELL_SAFE);\n",
	 NULL},
	{"bad-sdk-abi", "SDK ABI 99", NULL,
	 "#include <probe.h>\n"
	 "CELL_INFO(.name = \"probe\", .version = \"1.2.3\", .safety = CELL_SAFE, .sdk_abi = "
	 "99);\n",
	 NULL},
	{"bad-info", "unknown grants 0x40", NULL,
	 "#include <probe.h>\n"
	 "CELL_INFO(.name = \"probe\", .version = \"1.2.3\", .safety = CELL_UNSAFE, "
	 ".unsafe_reason = \"x\", .grants = 64);\n",
	 NULL},
	{"bad-info", "CELL_SAFE or CELL_UNSAFE", NULL,
	 "#include <probe.h>\nCELL_INFO(.name = \"probe\", .version = \"1.2.3\");\n", NULL},
	{"bad-info", "gate grants", NULL,
	 "#include <probe.h>\n"
	 "CELL_INFO(.name = \"probe\", .version = \"1.2.3\", .safety = CELL_SAFE, .grants = 1);\n",
	 NULL},
	{"bad-info", ".unsafe_reason", NULL,
	 "#include <probe.h>\n"
	 "CELL_INFO(.name = \"probe\", .version = \"1.2.3\", .safety = CELL_SAFE, "
	 ".unsafe_reason = \"why\");\n",
	 NULL},
	{"no-reason", ".unsafe_reason is missing", NULL,
	 "#include <probe.h>\n"
	 "CELL_INFO(.name = \"probe\", .version = \"1.2.3\", .safety = CELL_UNSAFE);\n",
	 NULL},
	{"bad-info", ".quiescence", NULL,
	 "#include <probe.h>\n"
	 "CELL_INFO(.name = \"probe\", .version = \"1.2.3\", .safety = CELL_SAFE, .quiescence = "
	 "9);\n",
	 NULL},
	{"bad-info", "another SDK", NULL,
	 "#include <probe.h>\nchar x[7] __attribute__((section(\".theseus.info\"))) = \"x\";\n",
	 NULL},
	{"bad-object", "a.c: section .eh_frame is malformed", NULL,
	 HEAD "__asm__(\".section .eh_frame, \\\"a\\\", @progbits\\n.long 99\\n\");\n", NULL},
	{"link-failed", "multiple definition", NULL, HEAD "int twice(void) { return 1; }\n",
	 "int twice(void) { return 2; }\n"},
};

static void expect_refusal(const struct refusal *f)
{
	struct packed p = {0};
	struct reasons reasons = {0};
	bool said = false;

	test_compile(dir, "a", f->a, f->flag, includes);
	if (f->b)
		test_compile(dir, "b", f->b, f->flag, includes);
	if (pack_objects(f->b, NULL, &p, &reasons) != -EPERM)
		fail_msg("%s was not refused: %s", f->code, f->a);
	for (size_t i = 0; i < reasons.n; i++)
		said |= strstr(reasons.text[i], f->words) != NULL;
	if (strcmp(reasons.code, f->code) != 0 || !said)
		fail_msg("expected %s (%s), got %s (%s)", f->code, f->words, reasons.code,
			 reasons_first(&reasons));
	/* the source file is named */
	if (!strstr(reasons_first(&reasons), "a.c") && !strstr(reasons_first(&reasons), "b.c") &&
	    strcmp(f->code, "link-failed") != 0)
		fail_msg("no file in: %s", reasons_first(&reasons));
	assert_null(p.manifest);
	reasons_done(&reasons);
}

static void test_refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
		expect_refusal(&refusals[i]);
}

/* What was found in the sources: kept for an unsafe cell, the end of a safe one. */
static void test_safety(void **state)
{
	struct safety found = {.code_lines = 50, .unsafe_lines = 3};
	const struct abi_index *abi[] = {&index_, NULL};
	const char *objects[] = {NULL, NULL};
	const struct pack_input in = {"probe", objects, NULL, abi, &found};
	struct reasons reasons = {0};
	const Theseus__SafetyReport *r;
	struct packed p = {0};
	char path[TEST_PATH];

	(void)state;
	safety_add(&found, UNSAFE_ASM, "cells/probe/a.c:7");
	for (unsigned int i = 0; i < SAFETY_PLACES_MAX; i++)
		safety_add(&found, UNSAFE_GATE, "cells/probe/b.c:9");
	(void)snprintf(path, sizeof(path), "%s/a.o", dir);
	objects[0] = path;
	test_compile(dir, "a",
		     "#include <probe.h>\n"
		     "CELL_INFO(.name = \"probe\", .version = \"1.2.3\", .safety = CELL_UNSAFE, "
		     ".unsafe_reason = \"it probes\");\n",
		     NULL, includes);
	assert_int_equal(pack_cell(&in, &p, &reasons), 0);
	r = p.manifest->report;
	assert_string_equal(p.manifest->unsafe_reason, "it probes");
	assert_int_equal(r->code_lines, 50);
	assert_int_equal(r->unsafe_lines, 3);
	assert_int_equal(r->n_counts, 2);
	assert_string_equal(r->counts[1]->kind, "gate");
	assert_int_equal(r->counts[1]->operations, SAFETY_PLACES_MAX);
	assert_int_equal(r->n_places, SAFETY_PLACES_MAX);
	assert_string_equal(r->places[0]->where, "cells/probe/a.c:7");
	assert_string_equal(r->places[0]->kind, "asm");
	packed_done(&p);

	test_compile(dir, "a", HEAD, NULL, includes);
	assert_int_equal(pack_cell(&in, &p, &reasons), -EPERM);
	assert_string_equal(reasons.code, "unsafe-operation");
	assert_int_equal(reasons.n, SAFETY_PLACES_MAX + 1);
	assert_non_null(strstr(reasons.text[0], "cells/probe/a.c:7: asm"));
	assert_non_null(strstr(reasons.text[SAFETY_PLACES_MAX], "1 more"));
	reasons_done(&reasons);

	found = (struct safety){.code_lines = 50};
	assert_int_equal(pack_cell(&in, &p, &reasons), 0);
	assert_int_equal(p.manifest->report->code_lines, 50);
	assert_int_equal(p.manifest->report->n_counts, 0);
	packed_done(&p);
}

/* An object that was compiled without -gbtf has no schema to give. */
static void test_no_types(void **state)
{
	struct packed p = {0};
	struct reasons reasons = {0};
	struct buf said = {0};
	char object[TEST_PATH], tool[] = "objcopy", option[] = "-R.BTF";

	(void)state;
	test_compile(dir, "a", HEAD "CELL_STATE(int, st); int f(void) { return st++; }\n", NULL,
		     includes);
	(void)snprintf(object, sizeof(object), "%s/a.o", dir);
	assert_int_equal(child_run((char *[]){tool, option, object, NULL}, &said), 0);
	assert_int_equal(pack_objects(false, NULL, &p, &reasons), -EPERM);
	assert_string_equal(reasons.code, "bad-state");
	assert_non_null(strstr(reasons_first(&reasons), "-gbtf"));
	reasons_done(&reasons);
	buf_done(&said);
}

/* All that is wrong is said at once. */
static void test_all_reasons(void **state)
{
	struct packed p = {0};
	struct reasons reasons = {0};

	(void)state;
	test_compile(dir, "a",
		     "#include <probe.h>\n"
		     "CELL_INFO(.name = \"probe\", .version = \"x\", .safety = CELL_SAFE);\n"
		     "int counter; CELL_EXPORT(probe_open);\n"
		     "int nowhere(void); int f(void) { return nowhere() + counter++; }\n",
		     NULL, includes);
	assert_int_equal(pack_objects(false, NULL, &p, &reasons), -EPERM);
	assert_int_equal(reasons.n, 4);
	reasons_done(&reasons);
}

static void test_inputs(void **state)
{
	const struct abi_index *abi[] = {&index_, NULL};
	struct pack_input none = {"probe", (const char *[]){NULL}, NULL, abi};
	struct pack_input missing = {"probe", (const char *[]){"/nonexistent.o", NULL}, NULL, abi};
	struct packed p = {0};
	struct reasons reasons = {0};
	char garbage[TEST_PATH];
	struct pack_input text = {"probe", (const char *[]){garbage, NULL}, NULL, abi};

	(void)state;
	assert_int_equal(pack_cell(&none, &p, &reasons), -EPERM);
	assert_int_equal(pack_cell(&missing, &p, &reasons), -EPERM);
	assert_non_null(strstr(reasons.text[1], "/nonexistent.o"));
	test_write(dir, "garbage.o", "this is no object");
	(void)snprintf(garbage, sizeof(garbage), "%s/garbage.o", dir);
	assert_int_equal(pack_cell(&text, &p, &reasons), -EPERM);
	assert_non_null(strstr(reasons.text[2], "not an ELF object"));
	reasons_done(&reasons);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_manifest),
		cmocka_unit_test(test_object),
		cmocka_unit_test(test_deterministic),
		cmocka_unit_test(test_debug),
		cmocka_unit_test(test_schema),
		cmocka_unit_test(test_incomplete_type),
		cmocka_unit_test(test_unwinder),
		cmocka_unit_test(test_archive_state),
		cmocka_unit_test(test_got),
		cmocka_unit_test(test_archive),
		cmocka_unit_test(test_archive_barrier),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_safety),
		cmocka_unit_test(test_no_types),
		cmocka_unit_test(test_all_reasons),
		cmocka_unit_test(test_inputs),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
