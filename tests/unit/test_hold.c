// SPDX-License-Identifier: MIT
#include "unit.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static size_t found;

static void make(void)
{
	assert_int_equal(pair_create(unit_data_key('H'), 4096, 0666, unit_key, &found), 0);
}

static int data_id(void)
{
	return sm_segment_find(unit_data_key('H'));
}

static int counter_id(void)
{
	return sm_segment_find(unit_counter_key('H'));
}

static void remove_both(void)
{
	sm_segment_remove(data_id());
	sm_segment_remove(counter_id());
}

static int value(void)
{
	int value = -1000;

	sm_counter_value(counter_id(), &value);
	return value;
}

static void put(int counter, uint32_t seq)
{
	struct word w = { counter, seq };
	void *at;

	assert_int_equal(sm_segment_attach(counter_id(), false, &at), 0);
	memcpy(at, &w, sizeof w);
	sm_segment_detach(at);
}

static unsigned long nattch(int id)
{
	struct sm_segment seg = { 0 };

	sm_segment_stat(id, &seg);
	return seg.nattch;
}

static long ms_since(struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
}

/* Another process that has the counter attached, for MS milliseconds. */
static pid_t attach_elsewhere(int ms)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		if (shmat(counter_id(), NULL, 0) == (void *)-1 || write(ready[1], "x", 1) != 1)
			_exit(1);
		nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Where H stands is known to the library until it leaves. */
static void join(struct hold *h)
{
	*h = (struct hold){ 0 };
	assert_int_equal(hold_join(h, unit_data_key('H'), 0), 0);
}

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
		put(garbage[i], 0xffffffff);
		join(&h);
		assert_int_equal(value(), 1);
		put(garbage[i], 0xffffffff);
		hold_leave(&h);
		assert_int_equal(unit_segments(), 0);
	}
	make();
	put(INT_MAX, 0);
	assert_int_equal(hold_join(&h, unit_data_key('H'), 0), -EOVERFLOW);
	assert_int_equal(value(), INT_MAX);
	put(INT_MAX - 1, 0);
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
				put(2, 0);
				hold_leave(&h);
				put(0, 0);
				continue;
			}
			assert_int_equal(r, -ENOMEM);
			assert_int_equal(value(), 0);
			assert_int_equal(nattch(data_id()) + nattch(counter_id()), 0);
		}
		put(2, 0);
		hold_leave(&h);
		put(0, 0);
	}
	remove_both();
}

static void test_a_dead_object_is_finished(void **state)
{
	static struct hold h;

	make();
	put(0, WORD_DEAD | 5);
	assert_int_equal(hold_join(&h, unit_data_key('H'), 0), -ENOENT);
	assert_int_equal(unit_segments(), 0);
	/* An old program counted on top of it. */
	make();
	put(1, WORD_DEAD | 5);
	assert_int_equal(hold_join(&h, unit_data_key('H'), 0), -ENOENT);
	assert_int_equal(unit_segments(), 0);
	/* A holder that finds its object dead leaves it to whoever is removing it. */
	make();
	join(&h);
	put(0, WORD_DEAD | 5);
	hold_leave(&h);
	assert_int_equal(unit_segments(), 2);
	remove_both();
}

static void revive(void *arg)
{
	put(1, 6);
}

/* Between seeing that it is dead and helping, another took it back into use. */
static void test_a_late_helper_removes_nothing(void **state)
{
	static struct hold h;
	int data, counter;

	make();
	data = data_id();
	counter = counter_id();
	put(0, WORD_DEAD | 5);
	fault_hook(FAULT_SHMGET, 3, revive, NULL);
	join(&h);
	assert_true(fault_clear());
	assert_int_equal(h.data_id, data);
	assert_int_equal(h.counter_id, counter);
	assert_int_equal(value(), 2);
	put(1, 9);
	hold_leave(&h);
	assert_int_equal(unit_segments(), 0);
}

static int join_as_a_stranger(void *arg)
{
	static struct hold h;
	int r;

	unit_become(4242, 4242);
	r = hold_join(&h, unit_data_key('H'), 0);
	if (r < 0)
		return -r;
	if (value() != 1)
		return 200;
	hold_leave(&h);
	return value() == 0 ? 0 : 201;
}

static void test_who_may_not_remove_leaves_the_counter_at_0(void **state)
{
	make();
	assert_int_equal(unit_in_child(join_as_a_stranger, NULL), 0);
	assert_int_equal(unit_segments(), 2);
	assert_int_equal(value(), 0);
	remove_both();
}

static void test_who_may_not_finish_a_dead_object_revives_it(void **state)
{
	make();
	put(0, WORD_DEAD | 5);
	assert_int_equal(unit_in_child(join_as_a_stranger, NULL), 0);
	assert_int_equal(unit_segments(), 2);
	remove_both();
}

static void test_but_not_while_its_last_leaver_may_be_alive(void **state)
{
	pid_t pid;

	make();
	put(0, WORD_DEAD | 5);
	pid = attach_elsewhere(10000);
	assert_int_equal(unit_in_child(join_as_a_stranger, NULL), EAGAIN);
	end(pid);
	pid = attach_elsewhere(300);
	assert_int_equal(unit_in_child(join_as_a_stranger, NULL), 0);
	end(pid);
	remove_both();
}

static void test_removal_refused_after_all(void **state)
{
	for (int nth = 1; nth <= 2; nth++) {
		static struct hold h;

		make();
		join(&h);
		fault_fail(FAULT_RMID, nth, EPERM);
		hold_leave(&h);
		assert_true(fault_clear());
		assert_int_equal(value(), 0);
		make();		/* where the data went, it is made again */
		join(&h);
		assert_int_equal(value(), 1);
		hold_leave(&h);
		assert_int_equal(unit_segments(), 0);
	}
}

static void test_what_others_have_attached_stays(void **state)
{
	struct timespec start;
	static struct hold h;
	pid_t pid;

	make();
	join(&h);
	pid = attach_elsewhere(10000);
	clock_gettime(CLOCK_MONOTONIC, &start);
	hold_leave(&h);
	assert_in_range(ms_since(&start), 900, 1500);
	assert_int_equal(unit_segments(), 2);
	assert_int_equal(value(), 0);
	end(pid);
	/* Who lets go in time has been on its way. */
	join(&h);
	pid = attach_elsewhere(100);
	clock_gettime(CLOCK_MONOTONIC, &start);
	hold_leave(&h);
	assert_in_range(ms_since(&start), 50, 500);
	assert_int_equal(unit_segments(), 0);
	end(pid);
}

static void test_ones_own_passing_attachments_do_not_count(void **state)
{
	static struct hold h;
	void *at;

	make();
	join(&h);
	assert_int_equal(sm_segment_attach(h.counter_id, true, &at), 0);
	hold_leave(&h);
	assert_int_equal(sm_segment_find(unit_counter_key('H')), -ENOENT);
	assert_int_equal(sm_segment_find(unit_data_key('H')), -ENOENT);
	sm_segment_detach(at);
}

/* But its other references do, even where the count has lost them. */
static void test_ones_own_other_holds_do_count(void **state)
{
	static struct hold a, b;

	make();
	join(&a);
	join(&b);
	put(1, 9);
	hold_leave(&a);
	assert_int_equal(value(), 0);
	assert_int_equal(unit_segments(), 2);
	hold_leave(&b);
	assert_int_equal(unit_segments(), 0);
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
	end(pid);
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

/* Somebody removed the counter, and the data has another one now: that one's holders use it. */
static void test_an_orphaned_holder_does_not_remove_others_data(void **state)
{
	static struct hold old, new;

	make();
	join(&old);
	sm_segment_remove(counter_id());
	make();
	join(&new);
	hold_leave(&old);
	assert_int_equal(new.data_id, data_id());
	assert_int_equal(value(), 1);
	hold_leave(&new);
	assert_int_equal(unit_segments(), 0);
}

static const struct CMUnitTest tests[] = {
	UNIT(test_join_and_leave),
	UNIT(test_half_an_object_is_none),
	UNIT(test_garbage_in_the_counter),
	UNIT(test_too_small),
	UNIT(test_the_object_changes_while_joining),
	UNIT(test_every_call_failing),
	UNIT(test_a_dead_object_is_finished),
	UNIT(test_a_late_helper_removes_nothing),
	UNIT(test_who_may_not_remove_leaves_the_counter_at_0),
	UNIT(test_who_may_not_finish_a_dead_object_revives_it),
	UNIT(test_but_not_while_its_last_leaver_may_be_alive),
	UNIT(test_removal_refused_after_all),
	UNIT(test_what_others_have_attached_stays),
	UNIT(test_ones_own_passing_attachments_do_not_count),
	UNIT(test_ones_own_other_holds_do_count),
	UNIT(test_own_attachments_are_not_subtracted_twice),
	UNIT(test_a_fork_holds_no_reference),
	UNIT(test_an_orphaned_holder_does_not_remove_others_data),
};

UNIT_MAIN(tests)
