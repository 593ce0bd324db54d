/* SPDX-License-Identifier: MIT */

/* What one user may have of the daemon. */

#include "smfs/share.h"

#include <errno.h>

#include "gate.h"

#define MIB ((size_t)1 << 20)

static void listings_together_are_bounded(void **state)
{
	share_start(MIB, 64 * MIB, 10);
	assert_int_equal(share_open(1), 0);
	assert_int_equal(share_open(1), 0);
	assert_int_equal(share_open(2), 0);
	assert_int_equal(share_list(1, 0, 60 * MIB), 0);
	assert_int_equal(share_list(1, 0, 10 * MIB), -ENOMEM);
	assert_int_equal(share_list(2, 0, 10 * MIB), 0);
	assert_int_equal(share_list(1, 0, 4 * MIB), 0);
	assert_int_equal(share_list(1, 4 * MIB, 0), 0);
	assert_int_equal(share_list(1, 60 * MIB, 0), 0);
	assert_int_equal(share_list(1, 0, 10 * MIB), 0);
	share_list(1, 10 * MIB, 0);
	share_list(2, 10 * MIB, 0);
	share_close(1);
	share_close(1);
	share_close(2);
}

static void a_listing_that_is_read_again_takes_the_place_of_the_first(void **state)
{
	assert_int_equal(share_open(1), 0);
	assert_int_equal(share_open(1), 0);
	assert_int_equal(share_list(1, 0, 30 * MIB), 0);
	assert_int_equal(share_list(1, 0, 30 * MIB), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(share_list(1, 30 * MIB, 30 * MIB), 0);
	assert_int_equal(share_list(1, 30 * MIB, 35 * MIB), -ENOMEM);
	assert_int_equal(share_list(1, 30 * MIB, 34 * MIB), 0);
	share_list(1, 34 * MIB, 0);
	share_list(1, 30 * MIB, 0);
	share_close(1);
	share_close(1);
}

static void one_alone_may_be_of_any_size(void **state)
{
	assert_int_equal(share_open(1), 0);
	assert_int_equal(share_open(1), 0);
	assert_int_equal(share_list(1, 0, 1000 * MIB), 0);
	assert_int_equal(share_list(1, 1000 * MIB, 1001 * MIB), 0);
	assert_int_equal(share_list(1, 0, 1), -ENOMEM);
	assert_int_equal(share_list(1, 0, 0), 0);
	share_list(1, 1001 * MIB, 0);
	share_close(1);
	share_close(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(listings_together_are_bounded),
		cmocka_unit_test(a_listing_that_is_read_again_takes_the_place_of_the_first),
		cmocka_unit_test(one_alone_may_be_of_any_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
