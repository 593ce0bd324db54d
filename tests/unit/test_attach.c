/* SPDX-License-Identifier: MIT */

/* Whoever attaches what is vast leaves others the addresses that they need. */

#include "gate.h"

#include <errno.h>
#include <libsm/sm.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <unistd.h>

#include "smfs/attach.h"

static int make(size_t size)
{
	const int id = shmget(IPC_PRIVATE, size, IPC_CREAT | SHM_NORESERVE | 0600);

	assert_true(id >= 0);
	return id;
}

static void vast_ones_have_half_together(void **state)
{
	const size_t half = (size_t)1 << 46, quarter = half / 2, small = 4096;
	const int a = make(quarter), b = make(half), c = make(small), d = make(half + 1);
	void *at[3];

	assert_int_equal(attach_map(d, half + 1, true, &at[0]), -ENOMEM);
	assert_int_equal(attach_map(a, quarter, true, &at[0]), 0);
	assert_int_equal(attach_map(b, half, true, &at[1]), -ENOMEM);
	assert_int_equal(attach_map(c, small, true, &at[1]), 0);
	assert_int_equal(attach_map(a, quarter, true, &at[2]), 0);
	attach_unmap(at[2], quarter);
	attach_unmap(at[1], small);
	attach_unmap(at[0], quarter);
	assert_int_equal(attach_map(b, half, true, &at[0]), 0);
	attach_unmap(at[0], half);
	for (int i = 0; i < 3; i++)
		assert_int_equal(shmctl((int[]){ a, b, c }[i], IPC_RMID, NULL), 0);
	assert_int_equal(shmctl(d, IPC_RMID, NULL), 0);
}

static void what_could_not_be_attached_takes_nothing(void **state)
{
	const size_t half = (size_t)1 << 46;
	const int id = make(half);
	void *at;

	for (int i = 0; i < 3; i++)
		assert_true(attach_map(id + 1, half, true, &at) < 0);
	assert_int_equal(attach_map(id, half, true, &at), 0);
	attach_unmap(at, half);
	assert_int_equal(shmctl(id, IPC_RMID, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vast_ones_have_half_together),
		cmocka_unit_test(what_could_not_be_attached_takes_nothing),
	};

#ifdef __SANITIZE_THREAD__
	return UNIT_LEFT_OUT("attach", "ThreadSanitizer leaves no room for it in the address space");
#endif
	if (unshare(CLONE_NEWIPC))
		return unit_skip("no private IPC namespace: run as root");
	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
