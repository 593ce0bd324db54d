// SPDX-License-Identifier: MIT
#include "unit.h"

#include <errno.h>
#include <sys/ipc.h>
#include <unistd.h>

static void test_equals_ftok(void **state)
{
	struct stat st;
	key_t key;

	assert_int_equal(stat(unit_key, &st), 0);
	for (int p = SM_PROJ_MIN; p <= SM_PROJ_MAX; p++) {
		assert_int_equal(sm_key_from_path(unit_key, (char)p, &key), 0);
		assert_int_equal(key, ftok(unit_key, p));
		assert_int_equal(key, sm_key_from_stat(&st, (char)p));
		assert_int_equal(sm_key_counter(key), ftok(unit_key, p - 58));
	}
	assert_int_equal(sm_key_from_path("/", 'A', &key), 0);
	assert_int_equal(key, ftok("/", 'A'));
}

static void test_halves_know_each_other(void **state)
{
	for (int p = SM_PROJ_MIN; p <= SM_PROJ_MAX; p++) {
		key_t key = unit_data_key((char)p), counter = sm_key_counter(key);

		assert_true(sm_key_is_data(key));
		assert_false(sm_key_is_counter(key));
		assert_true(sm_key_is_counter(counter));
		assert_false(sm_key_is_data(counter));
		assert_int_equal(sm_key_data(counter), key);
		assert_int_equal(sm_key_proj(key), p);
	}
}

static void test_top_bytes_that_are_neither(void **state)
{
	const unsigned tops[] = { 0, 1, 6, 123, 127, 128, 200, 255 };

	for (size_t i = 0; i < sizeof tops / sizeof *tops; i++) {
		key_t key = (key_t)(tops[i] << 24 | 0x1234);

		assert_false(sm_key_is_data(key));
		assert_false(sm_key_is_counter(key));
	}
	assert_true(sm_key_is_counter((key_t)0x07000000));
	assert_true(sm_key_is_counter((key_t)0x40ffffff));
	assert_true(sm_key_is_data((key_t)0x41000000));
	assert_true(sm_key_is_data((key_t)0x7affffff));
}

static void test_proj_out_of_range(void **state)
{
	key_t key = 17;

	for (int p = -128; p <= 127; p++) {
		if (p >= 'A' && p <= 'z')
			continue;
		assert_false(sm_proj_valid(p));
		assert_int_equal(sm_key_from_path(unit_key, (char)p, &key), -EINVAL);
	}
	assert_false(sm_proj_valid('A' + 256));
	assert_int_equal(key, 17);
}

static void test_only_the_low_bits_count(void **state)
{
	struct stat st = { .st_dev = 0x12345, .st_ino = 0x987654321 };

	assert_int_equal(sm_key_from_stat(&st, 'A'), 0x41454321);
}

static void test_errors_of_stat(void **state)
{
	char deep[5000];
	key_t key;

	assert_int_equal(sm_key_from_path("/nonexistent/file", 'A', &key), -ENOENT);
	assert_int_equal(sm_key_from_path("", 'A', &key), -ENOENT);
	assert_int_equal(sm_key_from_path("/dev/null/file", 'A', &key), -ENOTDIR);
	memset(deep, 'x', sizeof deep - 1);
	deep[sizeof deep - 1] = '\0';
	assert_int_equal(sm_key_from_path(deep, 'A', &key), -ENAMETOOLONG);
}

static void test_symbolic_links_are_followed(void **state)
{
	char link[80];
	key_t key;

	snprintf(link, sizeof link, "%s.link", unit_key);
	assert_int_equal(symlink(unit_key, link), 0);
	assert_int_equal(sm_key_from_path(link, 'A', &key), 0);
	unlink(link);
	assert_int_equal(key, unit_data_key('A'));
}

static const struct CMUnitTest tests[] = {
	UNIT(test_equals_ftok),
	UNIT(test_halves_know_each_other),
	UNIT(test_top_bytes_that_are_neither),
	UNIT(test_proj_out_of_range),
	UNIT(test_only_the_low_bits_count),
	UNIT(test_errors_of_stat),
	UNIT(test_symbolic_links_are_followed),
};

UNIT_MAIN(tests)
