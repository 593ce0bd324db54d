// SPDX-License-Identifier: MIT
/* Joining: what it finds, what changes meanwhile, and whose an attachment is. Leaving is in test_leave.c. */
#include "held.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_join_and_leave(void **state)
{
	static struct hold a, b;

	assert_int_equal(hold_join(&a, unit_data_key('H'), 0), -ENOENT);
	make();
	assert_int_equal(hold_join(&a, unit_data_key('H'), 4096), 0);
	assert_int_equal(hold_join(&b, unit_data_key('H'), 1), 0);
	assert_int_equal(value(), 2);
	assert_int_equal(a.data_id, data_id());
	assert_int_equal(a.counter_id, counter_id());
	assert_int_equal(a.size, 4096);
	assert_int_equal(nattch(a.counter_id), 2);
	hold_leave(&a);
	assert_int_equal(value(), 1);
	hold_leave(&b);
	assert_int_equal(unit_segments(), 0);
	hold_leave(&a);
	hold_leave(&b);
}

static void test_half_an_object_is_none(void **state)
{
	static struct hold h;

	make();
	sm_segment_remove(counter_id());
	assert_int_equal(hold_join(&h, unit_data_key('H'), 0), -ENOENT);
	remove_both();
	make();
	sm_segment_remove(data_id());
	assert_int_equal(hold_join(&h, unit_data_key('H'), 0), -ENOENT);
	assert_int_equal(value(), 0);
	remove_both();
}

static void test_garbage_in_the_counter(void **state)
{
	const int garbage[] = { -1, INT_MIN, -77 };
	static struct hold h;

	for (int i = 0; i < 3; i++) {
		make();
		unit_put_word(counter_id(), garbage[i], 0xffffffff);
		join(&h);
		assert_int_equal(value(), 1);
		unit_put_word(counter_id(), garbage[i], 0xffffffff);
		hold_leave(&h);
		assert_int_equal(unit_segments(), 0);
	}
	make();
	unit_put_word(counter_id(), INT_MAX, 0);
	assert_int_equal(hold_join(&h, unit_data_key('H'), 0), -EOVERFLOW);
	assert_int_equal(value(), INT_MAX);
	unit_put_word(counter_id(), INT_MAX - 1, 0);
	join(&h);
	assert_int_equal(value(), INT_MAX);
	hold_leave(&h);
	assert_int_equal(value(), INT_MAX - 1);
	assert_int_equal(nattch(data_id()), 0);
	remove_both();
}

static void test_too_small(void **state)
{
	static struct hold h;

	make();
	assert_int_equal(hold_join(&h, unit_data_key('H'), 4097), -EINVAL);
	assert_int_equal(h.size, 4096);
	assert_int_equal(value(), 0);
	assert_int_equal(nattch(data_id()) + nattch(counter_id()), 0);
	remove_both();
	make();
	sm_segment_remove(counter_id());
	assert_true(sm_segment_create(unit_counter_key('H'), 2, 0666) >= 0);
	assert_int_equal(hold_join(&h, unit_data_key('H'), 0), -EINVAL);
	remove_both();
}

static void remake_both(void *arg)
{
	remove_both();
	make();
}

static void remake_data(void *arg)
{
	sm_segment_remove(data_id());
	make();
}

static void remake_counter(void *arg)
{
	sm_segment_remove(counter_id());
	make();
}

/* At each step of joining, somebody removes the object, or a half of it, and makes it again. */
static void test_the_object_changes_while_joining(void **state)
{
	static const enum fault_call calls[] = { FAULT_SHMGET, FAULT_SHMAT, FAULT_STAT, FAULT_MADVISE };
	static void (*const meddlers[])(void *) = { remake_both, remake_data, remake_counter };
	static struct hold h;

	for (int m = 0; m < 3; m++) {
		for (int c = 0; c < 4; c++) {
			for (int nth = 1; nth <= 4; nth++) {
				/* Between the two last looks at the keys is after the look at the data's. */
				if (m == 1 && calls[c] == FAULT_SHMGET && nth == 4)
					continue;
				make();
				fault_hook(calls[c], nth, meddlers[m], NULL);
				join(&h);
				fault_clear();
				assert_int_equal(h.data_id, data_id());
				assert_int_equal(h.counter_id, counter_id());
				assert_int_equal(value(), 1);
				assert_int_equal(nattch(h.data_id), 1);
				assert_int_equal(nattch(h.counter_id), 1);
				hold_leave(&h);
				assert_int_equal(unit_segments(), 0);
			}
		}
	}
}

static void test_every_call_failing(void **state)
{
	static const enum fault_call calls[] = { FAULT_SHMGET, FAULT_SHMAT, FAULT_STAT, FAULT_MADVISE };
	static struct hold h;
	int r;

	make();
	for (int c = 0; c < 4; c++) {
		for (int nth = 1;; nth++) {
			fault_fail(calls[c], nth, ENOMEM);
			r = hold_join(&h, unit_data_key('H'), 0);
			if (!fault_clear()) {
				assert_int_equal(r, 0);
				break;
			}
			if (r == 0) {
				/* Taken for "the keys name something else", and tried again. */
				assert_int_equal(value(), 1);
				unit_put_word(counter_id(), 2, 0);
				hold_leave(&h);
				unit_put_word(counter_id(), 0, 0);
				continue;
			}
			assert_int_equal(r, -ENOMEM);
			assert_int_equal(value(), 0);
			assert_int_equal(nattch(data_id()) + nattch(counter_id()), 0);
		}
		unit_put_word(counter_id(), 2, 0);
		hold_leave(&h);
		unit_put_word(counter_id(), 0, 0);
	}
	remove_both();
}

static void *extra;

static void attach_here(void *arg)
{
	sm_segment_attach(counter_id(), true, &extra);
}

/* A thread that attaches after nattch was read, and before our own attachments are counted. */
static void test_own_attachments_are_not_subtracted_twice(void **state)
{
	struct sm_segment seg;
	pid_t pid;
	void *at;

	make();
	pid = attach_elsewhere(10000);
	assert_int_equal(sm_segment_attach(counter_id(), true, &at), 0);
	fault_hook(FAULT_OPEN, 1, attach_here, NULL);
	assert_int_equal(hold_others(counter_id(), NULL, &seg), 1);
	assert_true(fault_clear());
	sm_segment_detach(extra);
	sm_segment_detach(at);
	unit_end(pid);
	remove_both();
}

static int as_a_forked_child(void *arg)
{
	struct hold *h = arg;

	if (hold_is_mine(h) || *(char *)h->data != 'x' || sm_segment_own(h->counter_id) != 0)
		return 1;
	hold_leave(h);
	if (value() != 1 || sm_segment_own(data_id()) != 0)
		return 2;
	join(h);
	if (value() != 2)
		return 3;
	hold_leave(h);
	return value() == 1 ? 0 : 4;
}

static void test_a_fork_holds_no_reference(void **state)
{
	static struct hold h;

	make();
	join(&h);
	*(char *)h.data = 'x';
	assert_int_equal(unit_in_child(as_a_forked_child, &h), 0);
	assert_int_equal(value(), 1);
	hold_leave(&h);
	assert_int_equal(unit_segments(), 0);
}

#define CUT 20000
/* As pid 1 of a namespace: a child in another one is pid 1, too. */
static void hold_while_a_namesake_leaves(void)
{
	static struct hold h;
	int status;

	if (hold_join(&h, unit_data_key('H'), 0))
		_exit(2);
	if (unshare(CLONE_NEWPID))
		_exit(3);

	pid_t pid = fork();

	if (pid == 0) {
		hold_leave(&h);
		_exit(getpid() == 1 ? 0 : 4);
	}
	if (waitpid(pid, &status, 0) != pid || status || page_load(h.page).counter != 1)
		_exit(5);
	hold_leave(&h);
	_exit(getpid() == 1 ? 0 : 6);
}

static void test_a_child_with_the_same_pid_holds_no_reference(void **state)
{
	size_t found;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (pair_create(unit_data_key('H'), 5, 0666, unit_key, &found) || unshare(CLONE_NEWPID))
			_exit(7);
		pid = fork();
		if (pid == 0)
			hold_while_a_namesake_leaves();
		_exit(waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 8);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(unit_segments(), 0);
}

#define PAGE 4096
#define VALGRIND_SHMAT "the shmat and mremap of valgrind have their own errors, and no room for large or huge pages"

/* An object of CUT bytes, whose data has another size than that. */
static void make_changed(off_t size)
{
	size_t found;
	void *at;

	assert_int_equal(pair_create(unit_data_key('H'), CUT, 0666, unit_key, &found), 0);
	assert_int_equal(sm_segment_attach(data_id(), false, &at), 0);
	unit_change_inode(at, 5 * PAGE, size);
	sm_segment_detach(at);
}

/* How /proc/self/maps shows what begins at AT; "" if nothing does. */
static const char *mapped_at(const char *at, char perms[5])
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long begin;
	char line[512];

	assert_non_null(maps);
	while (fgets(line, sizeof line, maps)) {
		if (sscanf(line, "%lx-%*x %4s", &begin, perms) == 2 && begin == (unsigned long)at)
			break;
		perms[0] = '\0';
	}
	fclose(maps);
	return perms;
}

static void test_what_is_missing_of_the_data_is_reserved(void **state)
{
	static struct hold h;
	char perms[5], *data;

	UNIT_NOT_UNDER("valgrind", VALGRIND_SHMAT);
	make_changed(PAGE);
	assert_int_equal(hold_join(&h, unit_data_key('H'), 0), 0);
	data = h.data;
	assert_int_equal(h.size, CUT);
	assert_int_equal(nattch(h.data_id), 1);
	data[PAGE - 1] = 'x';
	assert_string_equal(mapped_at(data + PAGE, perms), "---p");
	hold_leave(&h);
	assert_int_equal(unit_segments(), 0);
	assert_string_equal(mapped_at(data + PAGE, perms), "");
	make_changed(0);
	assert_int_equal(hold_join(&h, unit_data_key('H'), 0), -EIO);
	assert_int_equal(nattch(data_id()) + nattch(counter_id()), 0);
	remove_both();
}

static void test_longer_data_is_joined_as_it_is(void **state)
{
	static struct hold h;

	UNIT_NOT_UNDER("valgrind", VALGRIND_SHMAT);
	make_changed(16 * PAGE);
	assert_int_equal(hold_join(&h, unit_data_key('H'), 0), 0);
	assert_int_equal(h.size, CUT);
	assert_int_equal(nattch(h.data_id), 1);
	((char *)h.data)[16 * PAGE - 1] = 'x';
	hold_leave(&h);
	assert_int_equal(unit_segments(), 0);
}

static const struct CMUnitTest tests[] = {
	UNIT(test_join_and_leave),
	UNIT(test_half_an_object_is_none),
	UNIT(test_garbage_in_the_counter),
	UNIT(test_too_small),
	UNIT(test_the_object_changes_while_joining),
	UNIT(test_every_call_failing),
	UNIT(test_own_attachments_are_not_subtracted_twice),
	UNIT(test_a_fork_holds_no_reference),
	UNIT(test_a_child_with_the_same_pid_holds_no_reference),
	UNIT(test_what_is_missing_of_the_data_is_reserved),
	UNIT(test_longer_data_is_joined_as_it_is),
};

UNIT_MAIN(tests)
