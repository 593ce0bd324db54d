// SPDX-License-Identifier: MIT
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ipc.h>

static void test_resident_memory(void **state)
{
	struct sm_usage *list;
	int touched = sm_segment_create(IPC_PRIVATE, 10 * 4096, 0600), untouched = sm_segment_create(0x80001234, 99, 0);
	char *at;

	assert_int_equal(sm_segment_attach(touched, false, (void **)&at), 0);
	at[0] = at[4096] = at[9 * 4096] = 'x';
	sm_segment_detach(at);
	assert_int_equal(sm_usage_list(&list), 2);
	assert_true(list[0].id < list[1].id);
	assert_int_equal(list[0].id, touched);
	assert_int_equal(list[0].resident + list[0].swapped, 3 * 4096);
	assert_int_equal(list[1].id, untouched);
	assert_int_equal(list[1].resident, 0);
	assert_int_equal(list[1].swapped, 0);
	free(list);
	sm_segment_remove(touched);
	sm_segment_remove(untouched);
}

static void test_none_and_many(void **state)
{
	struct sm_usage *list;
	int ids[1000];

	assert_int_equal(sm_usage_list(&list), 0);
	assert_non_null(list);
	free(list);
	for (int i = 0; i < 1000; i++)
		ids[i] = sm_segment_create(IPC_PRIVATE, (size_t)i + 1, 0600);
	assert_int_equal(sm_usage_list(&list), 1000);
	for (int i = 0; i < 1000; i++) {
		assert_true(i == 0 || list[i].id > list[i - 1].id);
		sm_segment_remove(ids[i]);
	}
	free(list);
}

static void test_failing_calls(void **state)
{
	struct sm_usage *list;
	int id = sm_segment_create(IPC_PRIVATE, 1, 0600);

	fault_fail(FAULT_OPEN, 1, ENOENT);
	assert_int_equal(sm_usage_list(&list), -ENOENT);
	fault_fail(FAULT_READ, 1, EIO);
	assert_int_equal(sm_usage_list(&list), -EIO);
	fault_fail(FAULT_READ, 1, EINTR);
	assert_int_equal(sm_usage_list(&list), 1);
	free(list);
	fault_fail(FAULT_MALLOC, 1, ENOMEM);
	assert_int_equal(sm_usage_list(&list), -ENOMEM);
	fault_fail(FAULT_REALLOCARRAY, 1, ENOMEM);
	assert_int_equal(sm_usage_list(&list), -ENOMEM);
	sm_segment_remove(id);
	fault_fail(FAULT_MALLOC, 2, ENOMEM);
	assert_int_equal(sm_usage_list(&list), -ENOMEM);
}

static const struct CMUnitTest tests[] = {
	UNIT(test_resident_memory),
	UNIT(test_none_and_many),
	UNIT(test_failing_calls),
};

UNIT_MAIN(tests)
