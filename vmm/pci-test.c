/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "cm.h"
#include "msix.h"
#include "pci.h"

#define BAR_ADDRESS 0xe0000000u
#define BAR_SIZE 0x2000u

static struct pci_bus bus;
static struct pci_function function, bridge;
static struct msix msix;
static uint32_t last_offset;
static uint64_t last_written;
static unsigned int n_sent;
static uint64_t sent_address;
static uint32_t sent_data;

static void bar_read(struct pci_function *f, unsigned int bar, uint32_t offset, void *data,
		     unsigned int len)
{
	(void)f;
	assert_int_equal(bar, 0);
	last_offset = offset;
	memset(data, 0x5a, len);
}

static void bar_write(struct pci_function *f, unsigned int bar, uint32_t offset, const void *data,
		      unsigned int len)
{
	(void)f;
	assert_int_equal(bar, 0);
	last_offset = offset;
	last_written = 0;
	memcpy(&last_written, data, len);
}

static void config_written(struct pci_function *f, unsigned int offset, unsigned int len)
{
	(void)offset;
	(void)len;
	msix_config_written(&msix, f);
}

static int send_msi(void *ctx, uint64_t address, uint32_t data)
{
	(void)ctx;
	n_sent++;
	sent_address = address;
	sent_data = data;
	return 0;
}

static int set_up(void **state)
{
	static const struct pci_ops ops = {
		.bar_read = bar_read, .bar_write = bar_write, .config_written = config_written};
	static const struct pci_id id = {
		.vendor = 0x1af4, .device = 0x1043, .class_code = 0x078000, .revision = 1};

	(void)state;
	bus = (struct pci_bus){0};
	pci_function_init(&function, &id, &ops);
	pci_function_add_bar(&function, 0, BAR_ADDRESS, BAR_SIZE);
	msix_init(&msix, &function, 3, 0, 0x1000, 0x1800, (struct msi_sink){send_msi, NULL});
	pci_host_bridge_init(&bridge);
	bus.slots[0] = &bridge;
	bus.slots[4] = &function;
	n_sent = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	pci_function_deinit(&function);
	pci_function_deinit(&bridge);
	return 0;
}

static void address(uint32_t slot, uint32_t offset)
{
	uint32_t a = 0x80000000u | slot << 11 | (offset & 0xfc);

	pci_io_write(&bus, 0xcf8, &a, 4);
}

static uint32_t config_read(uint32_t slot, uint32_t offset, unsigned int len)
{
	uint32_t v = 0;

	address(slot, offset);
	pci_io_read(&bus, (uint16_t)(0xcfc + (offset & 3)), &v, len);
	return v;
}

static void config_write(uint32_t slot, uint32_t offset, uint32_t v, unsigned int len)
{
	address(slot, offset);
	pci_io_write(&bus, (uint16_t)(0xcfc + (offset & 3)), &v, len);
}

static void test_identity(void **state)
{
	(void)state;
	assert_int_equal(config_read(0, 0, 4), 0x00081b36);
	assert_int_equal(config_read(0, PCI_CLASS_DEVICE, 2), 0x0600);
	assert_int_equal(config_read(4, 0, 4), 0x10431af4);
	assert_int_equal(config_read(4, 2, 2), 0x1043);
	assert_int_equal(config_read(4, 3, 1), 0x10);
	assert_int_equal(config_read(4, PCI_HEADER_TYPE, 1), 0);
	config_write(4, 0, 0xffffffff, 4);
	config_write(4, PCI_CLASS_REVISION, 0, 4);
	assert_int_equal(config_read(4, 0, 4), 0x10431af4);
	assert_int_equal(config_read(4, PCI_CLASS_REVISION, 1), 1);
}

static void test_nothing_there(void **state)
{
	const uint32_t other_bus = 0x80010000u, other_function = 0x80002100u,
		       disabled = 0x00002000u;
	uint32_t v;

	(void)state;
	assert_int_equal(config_read(5, 0, 4), 0xffffffff);
	assert_int_equal(config_read(31, 0, 2), 0xffff);
	pci_io_write(&bus, 0xcf8, &other_bus, 4);
	pci_io_read(&bus, 0xcfc, &v, 4);
	assert_int_equal(v, 0xffffffff);
	pci_io_write(&bus, 0xcf8, &other_function, 4);
	pci_io_read(&bus, 0xcfc, &v, 4);
	assert_int_equal(v, 0xffffffff);
	pci_io_write(&bus, 0xcf8, &disabled, 4);
	pci_io_read(&bus, 0xcfc, &v, 4);
	assert_int_equal(v, 0xffffffff);
	/* an access that leaves the data register */
	address(4, 0);
	v = 0;
	pci_io_read(&bus, 0xcfe, &v, 4);
	assert_int_equal(v, 0xffffffff);
	pci_io_read(&bus, 0xcf8, &v, 4);
	assert_int_equal(v, 0x80002000);
	pci_io_read(&bus, 0xcf8, &v, 2);
	assert_int_equal(v, 0x8000ffff);
}

static void test_bar(void **state)
{
	uint32_t v;
	uint64_t w = 0x1122334455667788;

	(void)state;
	assert_int_equal(config_read(4, PCI_BASE_ADDRESS_0, 4), BAR_ADDRESS);
	config_write(4, PCI_BASE_ADDRESS_0, 0xffffffff, 4);
	assert_int_equal(config_read(4, PCI_BASE_ADDRESS_0, 4), ~(BAR_SIZE - 1));
	config_write(4, PCI_BASE_ADDRESS_0, BAR_ADDRESS, 4);
	config_write(4, PCI_BASE_ADDRESS_0 + 4, 0xffffffff, 4);
	assert_int_equal(config_read(4, PCI_BASE_ADDRESS_0 + 4, 4), 0);

	assert_true(pci_mmio_read(&bus, BAR_ADDRESS + 0x123, &v, 4));
	assert_int_equal(last_offset, 0x123);
	assert_int_equal(v, 0x5a5a5a5a);
	assert_true(pci_mmio_write(&bus, BAR_ADDRESS + BAR_SIZE - 8, &w, 8));
	assert_true(last_written == w);
	assert_false(pci_mmio_read(&bus, BAR_ADDRESS + BAR_SIZE - 2, &v, 4));
	assert_int_equal(v, 0xffffffff);
	assert_false(pci_mmio_read(&bus, BAR_ADDRESS - 1, &v, 1));
	assert_false(pci_mmio_write(&bus, BAR_ADDRESS + BAR_SIZE, &v, 1));
	assert_false(pci_mmio_write(&bus, UINT64_MAX, &v, 1));
	assert_false(pci_mmio_write(&bus, BAR_ADDRESS + (1ull << 32), &v, 1));
	config_write(4, PCI_COMMAND, 0, 2);
	assert_false(pci_mmio_read(&bus, BAR_ADDRESS, &v, 4));
	config_write(4, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	config_write(4, PCI_BASE_ADDRESS_0, 0xe8000000, 4);
	assert_true(pci_mmio_read(&bus, 0xe8000000, &v, 4));
	assert_false(pci_mmio_read(&bus, BAR_ADDRESS, &v, 4));
}

static void write_entry(unsigned int vector, uint32_t control)
{
	const uint32_t entry[4] = {0xfee01000, 0x1, 0x4040 + vector, control};

	for (unsigned int i = 0; i < 4; i++)
		msix_table_write(&msix, vector * 16 + 4 * i, &entry[i], 4);
}

static void test_msix(void **state)
{
	const uint32_t cap = config_read(4, PCI_CAPABILITY_LIST, 1);
	uint32_t v;

	(void)state;
	assert_int_equal(config_read(4, cap, 1), PCI_CAP_ID_MSIX);
	assert_int_equal(config_read(4, cap + PCI_MSIX_FLAGS, 2), 2);
	assert_int_equal(config_read(4, cap + PCI_MSIX_TABLE, 4), 0x1000);
	write_entry(1, 0);
	msix_raise(&msix, 1); /* off: kept */
	assert_int_equal(n_sent, 0);
	config_write(4, cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE, 2);
	assert_int_equal(n_sent, 1);
	assert_true(sent_address == 0x1fee01000);
	assert_int_equal(sent_data, 0x4041);
	msix_raise(&msix, 1);
	assert_int_equal(n_sent, 2);
	config_write(4, cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL, 2);
	msix_raise(&msix, 1);
	assert_int_equal(n_sent, 2);
	assert_true(msix.pending == 2);
	config_write(4, cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE, 2);
	assert_int_equal(n_sent, 3);
	write_entry(1, PCI_MSIX_ENTRY_CTRL_MASKBIT);
	msix_raise(&msix, 1);
	msix_raise(&msix, 1);
	assert_int_equal(n_sent, 3);
	write_entry(1, 0);
	assert_int_equal(n_sent, 4);
	msix_raise(&msix, 2); /* masked since reset */
	msix_raise(&msix, 3); /* there is none */
	msix_raise(&msix, MSIX_NO_VECTOR);
	assert_int_equal(n_sent, 4);
	msix_table_read(&msix, 16, &v, 4);
	assert_int_equal(v, 0xfee01000);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_identity),
		TEST(test_nothing_there),
		TEST(test_bar),
		TEST(test_msix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
