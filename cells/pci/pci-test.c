/* SPDX-License-Identifier: MIT */
/* The pci cell on a model of configuration mechanism 1, with functions the test describes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <theseus/errno.h>
#include <theseus/gate-call.h>
#include <theseus/pci.h>
#include <theseus/platform.h>

/* included, not linked: the test starts each case with fresh state */
#include "pci.c"

#define MODEL_FUNCTIONS 80u

struct model_function {
	uint8_t bus, slot, fn;
	uint32_t config[64];
};

static struct {
	uint32_t latch;
	unsigned calls, accesses;
	int64_t fail; /* what the gate says to every call */
	unsigned n;
	struct model_function functions[MODEL_FUNCTIONS];
} model;

/* ---- stand-ins ---- */

static uint32_t *config_word(void)
{
	for (unsigned i = 0; i < model.n; i++) {
		struct model_function *f = &model.functions[i];

		if ((model.latch & 0x80000000u) && f->bus == (model.latch >> 16 & 0xff) &&
		    f->slot == (model.latch >> 11 & 31) && f->fn == (model.latch >> 8 & 7))
			return &f->config[model.latch >> 2 & 63];
	}
	return NULL;
}

int64_t gate_port(struct gate_port *ports, unsigned n)
{
	assert_in_range(n, 1, GATE_PORTS_MAX);
	model.calls++;
	if (model.fail < 0)
		return model.fail;
	for (unsigned i = 0; i < n; i++) {
		uint32_t *word;

		model.accesses++;
		assert_int_equal(ports[i].width, 4);
		if (ports[i].port == PLATFORM_PORT_PCI_ADDRESS) {
			assert_true(ports[i].write);
			model.latch = ports[i].value;
			continue;
		}
		assert_int_equal(ports[i].port, PLATFORM_PORT_PCI_DATA);
		word = config_word();
		if (!ports[i].write)
			ports[i].value = word ? *word : UINT32_MAX;
		else if (word)
			*word = ports[i].value;
	}
	return n;
}

static struct model_function *add(uint8_t bus, uint8_t slot, uint8_t fn, uint32_t id)
{
	struct model_function *f = &model.functions[model.n++];

	assert_true(model.n <= MODEL_FUNCTIONS);
	*f = (struct model_function){.bus = bus, .slot = slot, .fn = fn};
	f->config[0] = id;
	return f;
}

static int setup(void **state)
{
	(void)state;
	memset(&model, 0, sizeof(model));
	pci = (struct pci_state){.n_buses = 1};
	return 0;
}

/* ---- the search ---- */

static void an_empty_machine_has_nothing(void **state)
{
	struct pci_function f;

	(void)state;
	assert_int_equal(pci_find(PCI_ANY, PCI_ANY, 0, &f), -ENOENT);
	assert_int_equal(model.accesses, 2 * 32);
}

static void what_is_near_is_found_cheaply(void **state)
{
	struct pci_function f;

	(void)state;
	add(0, 0, 0, 0x12378086);
	add(0, 1, 0, 0x10431af4);
	assert_int_equal(pci_find(0x1af4, 0x1043, 0, &f), 0);
	assert_int_equal(f.slot, 1);
	assert_int_equal(model.calls, 1);
	assert_int_equal(pci_find(0x1af4, 0x1043, 0, &f), 0);
	assert_int_equal(model.calls, 1); /* known by now */
	assert_int_equal(pci_find(0x1af4, 0x1043, 1, &f), -ENOENT);
}

static void functions_and_bridges_are_followed(void **state)
{
	struct pci_function f;

	(void)state;
	add(0, 0, 0, 0x12378086);
	add(0, 5, 0, 0x00018086)->config[3] = 0x81 << 16; /* bridge, several functions */
	model.functions[1].config[6] = 0x000300;          /* secondary bus 3 */
	add(0, 5, 2, 0x00028086);
	add(3, 7, 0, 0x10431af4);
	assert_int_equal(pci_find(0x8086, 2, 0, &f), 0);
	assert_int_equal(f.fn, 2);
	assert_int_equal(pci_find(0x1af4, 0x1043, 0, &f), 0);
	assert_int_equal(f.bus, 3);
	assert_int_equal(f.slot, 7);
}

static void bridges_in_a_circle_end_the_search(void **state)
{
	struct pci_function f;

	(void)state;
	for (uint8_t bus = 0; bus < 40; bus++) {
		struct model_function *bridge = add(bus, 0, 0, 0x00018086);

		bridge->config[3] = 1 << 16;
		bridge->config[6] = (uint32_t)((bus + 1) % 40) << 8;
	}
	assert_int_equal(pci_find(0x1af4, 0x1043, 0, &f), -ENOENT);
	assert_true(model.calls < 16 * 12);
}

static void more_functions_than_places_are_cut(void **state)
{
	struct pci_function f;

	(void)state;
	for (uint8_t slot = 0; slot < 10; slot++) {
		for (uint8_t fn = 0; fn < 8; fn++)
			add(0, slot, fn, 0x00018086)->config[3] = 0x80 << 16;
	}
	assert_int_equal(pci_find(PCI_ANY, PCI_ANY, PCI_FUNCTIONS_MAX - 1, &f), 0);
	assert_int_equal(pci_find(PCI_ANY, PCI_ANY, PCI_FUNCTIONS_MAX, &f), -ENOENT);
}

static void a_gate_that_refuses_is_an_error(void **state)
{
	struct pci_function f = {0};
	uint8_t offset = 0;
	uint32_t value;

	(void)state;
	model.fail = -EPERM;
	assert_int_equal(pci_find(PCI_ANY, PCI_ANY, 0, &f), -EPERM);
	assert_int_equal(pci_read(&f, &offset, 1, &value), -EPERM);
	assert_int_equal(pci_write(&f, 4, 0), -EPERM);
	model.fail = 0;
	assert_int_equal(pci_find(PCI_ANY, PCI_ANY, 0, &f), -ENOENT); /* it may be tried again */
	assert_int_equal(pci_read(&f, &offset, 0, &value), -EINVAL);
	assert_int_equal(pci_read(&f, &offset, PCI_READ_MAX + 1, &value), -EINVAL);
}

/* ---- capabilities ---- */

static struct pci_function device(struct model_function **ret_model)
{
	struct model_function *m = add(0, 1, 0, 0x10431af4);

	m->config[1] = 1 << 20; /* has capabilities */
	m->config[13] = 0x40;
	*ret_model = m;
	return (struct pci_function){.slot = 1, .vendor = 0x1af4, .device = 0x1043};
}

static void capabilities_come_in_the_lists_order(void **state)
{
	struct pci_cap cap = {0};
	struct model_function *m;
	struct pci_function f = device(&m);

	(void)state;
	m->config[0x40 / 4] = 0x01106009;
	m->config[0x60 / 4] = 0x00005011;
	m->config[0x50 / 4] = 0x02100009;
	m->config[0x54 / 4] = 0x12345678;
	assert_int_equal(pci_cap_next(&f, PCI_CAP_VENDOR, &cap), 0);
	assert_int_equal(cap.offset, 0x40);
	assert_int_equal(pci_cap_next(&f, PCI_CAP_VENDOR, &cap), 0);
	assert_int_equal(cap.offset, 0x50);
	assert_int_equal(cap.data[1], 0x12345678);
	assert_int_equal(pci_cap_next(&f, PCI_CAP_VENDOR, &cap), -ENOENT);
	assert_int_equal(cap.offset, 0x50);
}

static void no_capabilities_bit_no_list(void **state)
{
	struct pci_cap cap = {0};
	struct model_function *m;
	struct pci_function f = device(&m);

	(void)state;
	m->config[1] = 0;
	m->config[0x40 / 4] = 0x09;
	assert_int_equal(pci_cap_next(&f, PCI_CAP_VENDOR, &cap), -ENOENT);
}

static void a_list_that_loops_ends(void **state)
{
	struct pci_cap cap = {0};
	struct model_function *m;
	struct pci_function f = device(&m);
	unsigned found = 0;

	(void)state;
	m->config[0x40 / 4] = 0x01106009;
	m->config[0x60 / 4] = 0x01104009;
	while (pci_cap_next(&f, PCI_CAP_VENDOR, &cap) == 0)
		assert_true(++found <= 64);
	/* one that loops without a match ends too */
	cap = (struct pci_cap){0};
	assert_int_equal(pci_cap_next(&f, PCI_CAP_MSIX, &cap), -ENOENT);
	m->config[0x40 / 4] = 0x4009; /* onto itself */
	cap = (struct pci_cap){0};
	while (pci_cap_next(&f, PCI_CAP_VENDOR, &cap) == 0)
		assert_true(++found <= 200);
}

static void a_list_that_leaves_the_space_ends(void **state)
{
	struct pci_cap cap = {0};
	struct model_function *m;
	struct pci_function f = device(&m);

	(void)state;
	m->config[0x40 / 4] = 0x0000ff05; /* next at 0xfc, the last register */
	m->config[0xfc / 4] = 0x00000809; /* next inside the header */
	assert_int_equal(pci_cap_next(&f, PCI_CAP_VENDOR, &cap), 0);
	assert_int_equal(cap.offset, 0xfc);
	assert_int_equal(cap.data[1], 0); /* past the end */
	assert_int_equal(pci_cap_next(&f, PCI_CAP_VENDOR, &cap), -ENOENT);
	m->config[13] = 0x04; /* starts inside the header */
	cap = (struct pci_cap){0};
	assert_int_equal(pci_cap_next(&f, PCI_CAP_VENDOR, &cap), -ENOENT);
}

/* ---- BARs and MSI-X ---- */

static void only_preset_memory_bars_count(void **state)
{
	paddr_t pa;

	(void)state;
	assert_int_equal(pci_bar_decode(6, 0xe0000000, 0, &pa), -EINVAL);
	assert_int_equal(pci_bar_decode(0, 0, 0, &pa), -ENODEV);          /* unset */
	assert_int_equal(pci_bar_decode(0, 0xc001, 0, &pa), -ENODEV);     /* ports */
	assert_int_equal(pci_bar_decode(0, 0xe0000100, 0, &pa), -ENODEV); /* not a page's start */
	assert_int_equal(pci_bar_decode(0, 0xe0000008, 7, &pa), 0);
	assert_int_equal(pa.v, 0xe0000000);
	assert_int_equal(pci_bar_decode(2, 0x0000000c, 8, &pa), 0);
	assert_int_equal(pa.v, 0x800000000);
	assert_int_equal(pci_bar_decode(5, 0xe0000004, 0, &pa), -ENODEV); /* wide, but the last */
}

static void msix_is_parsed_routed_and_enabled(void **state)
{
	struct pci_cap cap = {0};
	struct model_function *m;
	struct pci_function f = device(&m);
	struct pci_msix x;
	uint64_t entry[2] = {0};

	(void)state;
	m->config[0x40 / 4] = 0x40030011; /* 4 entries, all masked */
	m->config[0x44 / 4] = 0x1084;     /* at 0x1080 of BAR 4 */
	assert_int_equal(pci_cap_next(&f, PCI_CAP_ANY, &cap), 0);
	assert_int_equal(pci_msix_parse(&cap, &x), 0);
	assert_int_equal(x.bar, 4);
	assert_int_equal(x.offset, 0x1080);
	assert_int_equal(x.entries, 4);
	assert_int_equal(pci_msix_route(entry, 256, 0x40), -EINVAL);
	assert_int_equal(pci_msix_route(entry, 0, 0x10), -EINVAL);
	assert_int_equal(pci_msix_route(entry, 3, 0x41), 0);
	assert_int_equal(entry[0], 0xfee03000);
	assert_int_equal(entry[1], 0x41);
	m->config[1] = 0xf9100001;
	assert_int_equal(pci_enable(&f, &x), 0);
	assert_int_equal(m->config[1], 0x0406); /* ones in the upper half would clear status */
	assert_int_equal(m->config[0x40 / 4] >> 16, 0x8003);
	assert_int_equal(pci_disable(&f, &x), 0);
	assert_int_equal(m->config[1], 0x0400);
	assert_int_equal(m->config[0x40 / 4] >> 16, 0x4003);
	model.fail = -EPERM;
	assert_int_equal(pci_enable(&f, &x), -EPERM);
}

static void an_msix_table_far_out_is_refused(void **state)
{
	struct pci_cap cap = {.offset = 0x40, .id = PCI_CAP_MSIX, .data = {0x00030011, 0xfffffff8}};
	struct pci_msix x;

	(void)state;
	assert_int_equal(pci_msix_parse(&cap, &x), -EINVAL);
	cap.data[1] = 7; /* no such BAR */
	assert_int_equal(pci_msix_parse(&cap, &x), -EINVAL);
	cap = (struct pci_cap){.offset = 0x40, .id = PCI_CAP_VENDOR};
	assert_int_equal(pci_msix_parse(&cap, &x), -EINVAL);
}

#define CASE(fn) cmocka_unit_test_setup(fn, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_empty_machine_has_nothing),
		CASE(what_is_near_is_found_cheaply),
		CASE(functions_and_bridges_are_followed),
		CASE(bridges_in_a_circle_end_the_search),
		CASE(more_functions_than_places_are_cut),
		CASE(a_gate_that_refuses_is_an_error),
		CASE(capabilities_come_in_the_lists_order),
		CASE(no_capabilities_bit_no_list),
		CASE(a_list_that_loops_ends),
		CASE(a_list_that_leaves_the_space_ends),
		CASE(only_preset_memory_bars_count),
		CASE(msix_is_parsed_routed_and_enabled),
		CASE(an_msix_table_far_out_is_refused),
	};

	return cmocka_run_group_tests_name("pci", tests, NULL, NULL);
}
