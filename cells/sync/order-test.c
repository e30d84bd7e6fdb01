/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "order.h"

static int make_graph(void **state)
{
	*state = calloc(1, sizeof(struct order_graph));
	return *state ? 0 : -1;
}

static int free_graph(void **state)
{
	free(*state);
	return 0;
}

static void test_classes(void **state)
{
	struct order_graph *g = *state;
	uint32_t a = order_class(g, 0, "../../x/cells/task/sleep.c:12");

	assert_int_equal(a, 1);
	assert_string_equal(g->classes[a].place, "task/sleep.c:12");
	assert_int_equal(order_class(g, 0, "cells/task/sleep.c:12"), a);
	assert_int_equal(order_class(g, 0, "cells/task/sleep.c:13"), 2);
	/* one that has an address is alone, wherever it is taken */
	assert_int_equal(order_class(g, 0x1000, "cells/task/sleep.c:12"), 3);
	assert_int_equal(order_class(g, 0x1000, "elsewhere.c:1"), 3);
	assert_int_equal(order_class(g, 0x2000, "cells/task/sleep.c:12"), 4);
}

static void test_long_places(void **state)
{
	struct order_graph *g = *state;
	const char *place = "a/folder/a_file_with_a_name_that_is_much_longer_than_is_kept.c:12345";
	uint32_t class = order_class(g, 0, place);

	assert_int_equal(strlen(g->classes[class].place), ORDER_PLACE_MAX - 1);
	assert_int_equal(order_class(g, 0, place), class);
	assert_string_equal(order_place("file.c:1"), "file.c:1");
	assert_string_equal(order_place(""), "");
}

static void test_full_table(void **state)
{
	struct order_graph *g = *state;
	char place[32];

	for (uint32_t i = 1; i < ORDER_CLASSES; i++) {
		snprintf(place, sizeof(place), "file.c:%u", i);
		assert_int_equal(order_class(g, 0, place), i);
	}
	assert_int_equal(order_class(g, 0, "one/more.c:1"), 0);
	assert_int_equal(order_class(g, 0, "file.c:7"), 7);
	/* what has no class is not checked */
	assert_true(order_add(g, 0, 1) && order_add(g, 1, 0));
	/* a cycle through all of them is found */
	for (uint32_t i = 1; i + 1 < ORDER_CLASSES; i++)
		assert_true(order_add(g, i, i + 1));
	assert_false(order_add(g, ORDER_CLASSES - 1, 1));
}

static void test_cycles(void **state)
{
	struct order_graph *g = *state;

	assert_true(order_add(g, 1, 2));
	assert_true(order_add(g, 1, 2));
	assert_false(order_add(g, 2, 1));
	assert_false(order_add(g, 2, 1)); /* what was refused is not remembered */
	assert_true(order_add(g, 2, 70));
	assert_true(order_add(g, 70, 200));
	assert_false(order_add(g, 200, 1));
	assert_true(order_add(g, 1, 200));
	assert_true(order_add(g, 3, 1));
	assert_false(order_add(g, 200, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_classes, make_graph, free_graph),
		cmocka_unit_test_setup_teardown(test_long_places, make_graph, free_graph),
		cmocka_unit_test_setup_teardown(test_full_table, make_graph, free_graph),
		cmocka_unit_test_setup_teardown(test_cycles, make_graph, free_graph),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
