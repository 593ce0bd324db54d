/* SPDX-License-Identifier: MIT */

/* What is thought to be mapped: the bits, not the pages. */

#include "smfs/touch.h"

#include <sys/mman.h>

#include "gate.h"

#define KIB ((size_t)1024)
#define SIZE (1000 * KIB)

static void nothing_is_known_of_none(void **state)
{
	assert_true(touch_is_new(NULL, 0, 1));
	touch_range(NULL, NULL, 0, 1);
}

static void a_range_is_new_once(void **state)
{
	char *at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct touch *t = touch_new(SIZE);

	assert_true(at != MAP_FAILED && t);
	assert_true(touch_is_new(t, 0, SIZE));
	touch_range(t, at, 100 * KIB, 1);		/* the chunk of 64 KiB around it */
	assert_false(touch_is_new(t, 64 * KIB, 64 * KIB));
	assert_true(touch_is_new(t, 64 * KIB - 1, 1));
	assert_true(touch_is_new(t, 128 * KIB, 1));
	assert_true(touch_is_new(t, 64 * KIB, 64 * KIB + 1));
	touch_range(t, at, 0, 0);
	assert_true(touch_is_new(t, 0, 1));
	touch_range(t, at, 0, SIZE);
	assert_false(touch_is_new(t, 0, SIZE));
	assert_false(touch_is_new(t, SIZE - 1, 1));
	free(t);
	munmap(at, SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_known_of_none),
		cmocka_unit_test(a_range_is_new_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
