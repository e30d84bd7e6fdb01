/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <theseus/errno.h>

#include "transport.h"

static struct pci_cap cap(uint8_t part, uint8_t len, uint8_t bar, uint32_t offset, uint32_t bytes)
{
	return (struct pci_cap){
		.offset = 0x40,
		.id = PCI_CAP_VENDOR,
		.data = {PCI_CAP_VENDOR | (uint32_t)len << 16 | (uint32_t)part << 24, bar, offset,
			 bytes},
	};
}

static int parse(struct pci_cap c, struct virtio_part_place *ret_place)
{
	enum virtio_part part = _VIRTIO_PART_INVALID;
	int r = virtio_part_parse(&c, &part, ret_place);

	return r > 0 ? (int)part : r;
}

static void places_are_read(void **state)
{
	struct virtio_part_place p;

	(void)state;
	assert_int_equal(parse(cap(VIRTIO_PART_COMMON, 16, 4, 0x1000, 56), &p), VIRTIO_PART_COMMON);
	assert_int_equal(p.bar, 4);
	assert_int_equal(p.offset, 0x1000);
	assert_int_equal(p.bytes, 56);
	assert_int_equal(parse(cap(VIRTIO_PART_NOTIFY, 20, 0, 0, 8), &p), VIRTIO_PART_NOTIFY);
	assert_int_equal(parse(cap(VIRTIO_PART_CONFIG, 16, 0, 0, 1u << 30), &p), VIRTIO_PART_CONFIG);
	assert_int_equal(p.bytes, VIRTIO_PART_BYTES_MAX); /* we need no more of it */
}

static void other_parts_are_passed_over(void **state)
{
	struct virtio_part_place p;

	(void)state;
	assert_int_equal(parse(cap(VIRTIO_PART_ISR, 16, 9, 1, 0), &p), 0);
	assert_int_equal(parse(cap(VIRTIO_PART_PCI, 20, 0, 0, 0), &p), 0);
	assert_int_equal(parse(cap(200, 16, 0, 0, 64), &p), 0);
}

static void nonsense_is_refused(void **state)
{
	struct virtio_part_place p;
	struct pci_cap late = cap(VIRTIO_PART_NOTIFY, 20, 0, 0, 8);

	(void)state;
	assert_int_equal(parse(cap(VIRTIO_PART_COMMON, 15, 0, 0, 56), &p), -EPROTO);
	assert_int_equal(parse(cap(VIRTIO_PART_COMMON, 16, 6, 0, 56), &p), -EPROTO);
	assert_int_equal(parse(cap(VIRTIO_PART_COMMON, 16, 0, 0, 55), &p), -EPROTO);
	assert_int_equal(parse(cap(VIRTIO_PART_COMMON, 16, 0, 0, 0), &p), -EPROTO);
	assert_int_equal(parse(cap(VIRTIO_PART_COMMON, 16, 0, 0xfffff000, 56), &p), -EPROTO);
	assert_int_equal(parse(cap(VIRTIO_PART_COMMON, 16, 0, 2, 56), &p), -EPROTO);
	assert_int_equal(parse(cap(VIRTIO_PART_NOTIFY, 16, 0, 0, 8), &p), -EPROTO);
	late.offset = 0xf0; /* its multiplier would lie past the end */
	assert_int_equal(parse(late, &p), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places_are_read),
		cmocka_unit_test(other_parts_are_passed_over),
		cmocka_unit_test(nonsense_is_refused),
	};

	return cmocka_run_group_tests_name("virtio-transport", tests, NULL, NULL);
}
