// SPDX-License-Identifier: MIT
#include "unit.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int data, counter;

static void make(void)
{
	size_t found;

	assert_int_equal(pair_create(unit_data_key('R'), 4096, 0666, unit_key, &found), 0);
	data = sm_segment_find(unit_data_key('R'));
	counter = sm_segment_find(unit_counter_key('R'));
}

static void remove_both(void)
{
	sm_segment_remove(data);
	sm_segment_remove(counter);
}

static int value(void)
{
	int value = -1000;

	sm_counter_value(counter, &value);
	return value;
}

static int leaked(void)
{
	int leaked = -1000;

	sm_counter_leaked(counter, &leaked);
	return leaked;
}

static void put(int v, uint32_t seq)
{
	struct word w = { v, seq };
	void *at;

	assert_int_equal(sm_segment_attach(counter, false, &at), 0);
	memcpy(at, &w, sizeof w);
	sm_segment_detach(at);
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Another program, laid out as the class does it: attach, plain ++, then WHAT until it is killed. */
static pid_t old_holder(void (*what)(int *at))
{
	int ready[2], *at;
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		at = shmat(counter, NULL, 0);
		if (at == (void *)-1)
			_exit(1);
		++*at;
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			what(at);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void rest(int *at)
{
	pause();
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_nothing_leaked_is_told_at_once(void **state)
{
	const int values[] = { 0, -1, INT_MIN };
	long start = now_ms();
	int from, to;

	make();
	for (int i = 0; i < 3; i++) {
		put(values[i], 7);
		assert_int_equal(leaked(), 0);
		from = to = 99;
		assert_int_equal(sm_counter_reap(counter, 3000, &from, &to), 0);
		assert_int_equal(from, values[i]);
		assert_int_equal(to, values[i]);
		assert_int_equal(sm_counter_reap(counter, -5, NULL, NULL), 0);
	}
	assert_true(now_ms() - start < 300);
	remove_both();
}

static void test_the_dead_are_taken_off_and_the_living_stay(void **state)
{
	pid_t dead, alive;
	int from, to;
	long start;

	make();
	alive = old_holder(rest);
	dead = old_holder(rest);
	assert_int_equal(value(), 2);
	assert_int_equal(leaked(), 0);
	end(dead);
	assert_int_equal(leaked(), 1);
	start = now_ms();
	assert_int_equal(sm_counter_reap(counter, 3000, &from, &to), 0);
	assert_true(now_ms() - start < 1500);
	assert_int_equal(from, 2);
	assert_int_equal(to, 1);
	assert_int_equal(value(), 1);
	assert_int_equal(leaked(), 0);
	end(alive);
	assert_int_equal(sm_counter_reap(counter, 3000, &from, &to), 0);
	assert_int_equal(value(), 0);
	/* Frees nothing. */
	assert_int_equal(unit_segments(), 2);
	remove_both();
}

/* Each look finds that somebody was there: he is stamped, though all else is as it was. */
static void pass_by(void *arg)
{
	pid_t pid = fork();

	if (pid == 0) {
		shmdt(shmat(counter, NULL, 0));
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	fault_hook(FAULT_STAT, 1, pass_by, NULL);
}

static void rest_now(void *arg)
{
	fault_clear();
}

static void test_no_repair_while_somebody_comes_and_goes(void **state)
{
	int from = 99, to = 99;

	make();
	put(3, 1);
	fault_hook(FAULT_STAT, 1, pass_by, NULL);
	assert_int_equal(sm_counter_reap(counter, 20, &from, &to), -EAGAIN);
	assert_true(fault_clear());
	assert_int_equal(value(), 3);
	assert_int_equal(from, 99);
	/* Then he rests, and the last stamp is his. */
	pass_by(NULL);
	fault_clear();
	fault_hook(FAULT_STAT, 2, pass_by, NULL);		/* one in attaching */
	fault_hook(FAULT_SHMAT, 2, rest_now, NULL);
	assert_int_equal(sm_counter_reap(counter, 1000, &from, &to), 0);
	assert_int_equal(to, 0);
	remove_both();
}

/* An old program that leaves and joins at the other end of a pipe: its count is as before, and no stamp but its pid. */
struct juggler {
	pid_t pid;
	int order, done;
	int looks;		/* that it was away for */
	bool we_stamp;
};

static void juggle(int order, int done)
{
	volatile int *at = NULL;
	char byte;

	do {
		if (!at) {
			at = shmat(counter, NULL, 0);
			++*at;
		} else {
			--*at;
			shmdt((void *)(uintptr_t)at);
			at = NULL;
		}
	} while (write(done, "x", 1) == 1 && read(order, &byte, 1) == 1);
}

static struct juggler juggler_start(void)
{
	int order[2], done[2];
	struct juggler j;
	char byte;

	assert_int_equal(pipe(order) | pipe(done), 0);
	j = (struct juggler){ .pid = fork(), .order = order[1], .done = done[0] };
	if (j.pid == 0) {
		close(order[1]);
		juggle(order[0], done[1]);
		_exit(0);
	}
	close(order[0]);
	close(done[1]);
	assert_int_equal(read(j.done, &byte, 1), 1);
	return j;
}

static void join_or_leave(struct juggler *j)
{
	void *at;
	char byte;

	assert_true(write(j->order, "x", 1) == 1 && read(j->done, &byte, 1) == 1);
	if (j->we_stamp) {
		assert_int_equal(sm_segment_attach(counter, true, &at), 0);
		sm_segment_detach(at);
	}
}

static void leave_for_this_look(void *arg)
{
	struct juggler *j = arg;

	join_or_leave(j);
	if (++j->looks == 1)
		fault_hook(FAULT_STAT, 1, leave_for_this_look, j);
}

static void join_after_this_look(void *arg)
{
	struct juggler *j = arg;

	join_or_leave(j);
	if (j->looks == 1)
		fault_hook(FAULT_OPEN, 1, join_after_this_look, j);
}

/*
 * The juggler is away whenever nattch is read, and back whenever the counter is: all four readings agree, in the same
 * second, and would have it dead. What tells is its pid; and where a thread of ours was there after it, our own mark.
 */
static void juggle_under_a_repair(bool we_stamp)
{
	struct juggler j;
	pid_t rests;
	int from, to;

	make();
	j = juggler_start();
	j.we_stamp = we_stamp;
	rests = old_holder(rest);
	put(3, 0);
	fault_hook(FAULT_STAT, 2, leave_for_this_look, &j);	/* one in attaching */
	fault_hook(FAULT_OPEN, 1, join_after_this_look, &j);
	assert_int_equal(sm_counter_reap(counter, 0, &from, &to), 0);
	assert_int_equal(j.looks, 2);
	assert_int_equal(from, 3);
	assert_int_equal(to, 2);
	assert_true(fault_clear());
	end(rests);
	end(j.pid);
	close(j.order);
	close(j.done);
	remove_both();
}

static void test_readings_of_different_moments(void **state)
{
	juggle_under_a_repair(false);
}

static void test_readings_of_different_moments_and_a_thread_of_ours(void **state)
{
	juggle_under_a_repair(true);
}

static void one_more(void *at)
{
	++*(volatile int *)at;
}

/* Attached long ago, he counts when all has been looked at: that is no longer the counter that was seen. */
static void test_a_count_after_the_last_look(void **state)
{
	int from, to;
	void *at;

	make();
	assert_int_equal(sm_segment_attach(counter, false, &at), 0);
	put(3, 1);
	fault_hook(FAULT_OPEN, 2, one_more, at);
	assert_int_equal(sm_counter_reap(counter, 0, &from, &to), 0);
	assert_true(fault_clear());
	assert_int_equal(from, 4);
	assert_int_equal(to, 0);
	sm_segment_detach(at);
	remove_both();
}

static void test_ones_own_reference_is_alive(void **state)
{
	static struct hold h;
	int from, to;

	make();
	assert_int_equal(hold_join(&h, unit_data_key('R'), 0), 0);
	assert_int_equal(leaked(), 0);
	assert_int_equal(sm_counter_reap(counter, 3000, &from, &to), 0);
	assert_int_equal(from, 1);
	assert_int_equal(to, 1);
	put(2, 1);
	assert_int_equal(leaked(), 1);
	assert_int_equal(sm_counter_reap(counter, 3000, &from, &to), 0);
	assert_int_equal(to, 1);
	hold_leave(&h);
	assert_int_equal(unit_segments(), 0);
}

static void test_the_last_repair_frees(void **state)
{
	bool freed = false;
	int from, to;

	make();
	put(2, 1);
	assert_int_equal(sm_counter_reap_free(counter, data, 3000, &from, &to, &freed), 0);
	assert_int_equal(from, 2);
	assert_int_equal(to, 0);
	assert_true(freed);
	assert_int_equal(unit_segments(), 0);
	assert_int_equal(sm_counter_reap_free(counter, data, 3000, NULL, NULL, NULL), -EIDRM);
}

static void test_who_is_not_repaired_is_not_freed(void **state)
{
	bool freed = true;
	int from, to;
	pid_t alive;

	make();
	/* Made, and never held. */
	assert_int_equal(sm_counter_reap_free(counter, data, 3000, &from, &to, &freed), 0);
	assert_false(freed);
	alive = old_holder(rest);
	put(3, 1);
	assert_int_equal(sm_counter_reap_free(counter, data, 3000, &from, &to, &freed), 0);
	assert_int_equal(from, 3);
	assert_int_equal(to, 1);
	assert_false(freed);
	assert_int_equal(unit_segments(), 2);
	end(alive);
	remove_both();
}

static int reap_as_a_stranger(void *arg)
{
	bool freed = true;
	int from, to;

	unit_become(4242, 4242);
	if (sm_counter_reap_free(counter, data, 3000, &from, &to, &freed) != -EPERM)
		return 1;
	return from == 1 && to == 0 && !freed ? 0 : 2;
}

static void test_who_may_not_free_leaves_the_counter_at_0(void **state)
{
	make();
	put(1, 1);
	assert_int_equal(unit_in_child(reap_as_a_stranger, NULL), 0);
	assert_int_equal(unit_segments(), 2);
	assert_int_equal(value(), 0);
	/* Refused although it looked allowed. */
	put(1, 1);
	fault_fail(FAULT_RMID, 1, EPERM);
	assert_int_equal(sm_counter_reap_free(counter, data, 3000, NULL, NULL, NULL), -EPERM);
	assert_int_equal(value(), 0);
	assert_int_equal(unit_segments(), 2);
	remove_both();
}

static void test_what_a_dead_leaver_began_is_finished(void **state)
{
	bool freed = false;
	pid_t leaver;

	make();
	leaver = old_holder(rest);
	put(0, WORD_DEAD | 3);
	assert_int_equal(sm_counter_reap_free(counter, data, 0, NULL, NULL, &freed), -EBUSY);
	assert_false(freed);
	assert_int_equal(unit_segments(), 2);
	end(leaver);
	assert_int_equal(sm_counter_reap_free(counter, data, 0, NULL, NULL, &freed), 0);
	assert_true(freed);
	assert_int_equal(unit_segments(), 0);
	/* He got as far as the data. */
	make();
	put(0, WORD_DEAD | 3);
	sm_segment_remove(data);
	assert_int_equal(sm_counter_reap_free(counter, -1, 0, NULL, NULL, &freed), 0);
	assert_true(freed);
	assert_int_equal(unit_segments(), 0);
}

static void test_a_counter_without_data(void **state)
{
	bool freed = true;

	/* Somebody is making the object, maybe. */
	make();
	sm_segment_remove(data);
	assert_int_equal(sm_counter_reap_free(counter, -1, 0, NULL, NULL, &freed), 0);
	assert_false(freed);
	/* An old program died between removing the two. */
	put(1, 0);
	assert_int_equal(sm_counter_reap_free(counter, -1, 1000, NULL, NULL, &freed), 0);
	assert_true(freed);
	assert_int_equal(unit_segments(), 0);
	/* And where there is data after all. */
	make();
	put(0, WORD_DEAD | 5);
	assert_int_equal(sm_counter_reap_free(counter, -1, 0, NULL, NULL, &freed), 0);
	assert_false(freed);
	remove_both();
}

/* The last leaver went while somebody had the counter attached who does not count. */
static void test_what_a_leaver_left_to_nobody_is_freed(void **state)
{
	static struct hold h;
	bool freed = true;
	pid_t other;

	make();
	assert_int_equal(hold_join(&h, unit_data_key('R'), 0), 0);
	other = old_holder(rest);
	put(1, 1);
	hold_leave(&h);
	assert_int_equal(value(), 0);
	assert_int_equal(sm_counter_reap_free(counter, data, 0, NULL, NULL, &freed), -EBUSY);
	assert_false(freed);
	end(other);
	assert_int_equal(sm_counter_reap_free(counter, data, 0, NULL, NULL, &freed), 0);
	assert_true(freed);
	assert_int_equal(unit_segments(), 0);
}

/* A forked child of the dead has the data only. */
static void test_what_is_in_use_is_freed_later(void **state)
{
	bool freed = true;
	int from, to;
	void *at;
	pid_t child;

	make();
	assert_int_equal(sm_segment_attach(data, false, &at), 0);
	child = fork();
	if (child == 0)
		for (;;)
			pause();
	sm_segment_detach(at);
	put(1, 1);
	assert_int_equal(sm_counter_reap_free(counter, data, 1000, &from, &to, &freed), -EBUSY);
	assert_int_equal(from, 1);
	assert_int_equal(to, 0);
	assert_false(freed);
	assert_int_equal(unit_segments(), 2);
	end(child);
	assert_int_equal(sm_counter_reap_free(counter, data, 0, &from, &to, &freed), 0);
	assert_int_equal(from, 0);
	assert_true(freed);
	assert_int_equal(unit_segments(), 0);
}

/* Whatever changes the counter afterwards, it is another story. */
static void test_only_what_was_left_last_is_freed(void **state)
{
	static struct hold h;
	bool freed = true;

	make();
	put(0, WORD_LEFT | 1);
	assert_int_equal(hold_join(&h, unit_data_key('R'), 0), 0);
	assert_int_equal(sm_counter_decrement(counter, NULL), 0);
	assert_int_equal(sm_counter_reap_free(counter, data, 0, NULL, NULL, &freed), 0);
	assert_false(freed);
	put(1, WORD_LEFT | 1);
	assert_int_equal(sm_counter_reap_free(counter, data, 0, NULL, NULL, &freed), 0);
	assert_false(freed);
	hold_leave(&h);
	assert_int_equal(unit_segments(), 0);
}

static void replace_data(void *arg)
{
	sm_segment_remove(data);
	assert_true(sm_segment_create(unit_data_key('R'), 4096, 0666) >= 0);
}

/* The data segment is another than the one that the caller found. */
static void test_a_pair_torn_apart_is_not_freed(void **state)
{
	bool freed = true;
	int old, now;

	make();
	old = data;
	replace_data(NULL);
	put(1, 1);
	assert_int_equal(sm_counter_reap_free(counter, old, 3000, NULL, NULL, &freed), 0);
	assert_false(freed);
	assert_int_equal(value(), 0);
	assert_int_equal(unit_segments(), 2);
	/* While the repair was waiting. */
	now = data = sm_segment_find(unit_data_key('R'));
	put(1, 1);
	fault_hook(FAULT_STAT, 5, replace_data, NULL);
	assert_int_equal(sm_counter_reap_free(counter, now, 3000, NULL, NULL, &freed), 0);
	assert_true(fault_clear());
	assert_false(freed);
	assert_int_equal(value(), 0);
	data = sm_segment_find(unit_data_key('R'));
	remove_both();
}

static void test_failing_calls(void **state)
{
	make();
	put(1, 1);
	fault_fail(FAULT_SHMAT, 1, ENOMEM);
	assert_int_equal(sm_counter_reap(counter, 100, NULL, NULL), -ENOMEM);
	fault_fail(FAULT_SHMAT, 1, EMFILE);
	assert_int_equal(sm_counter_reap_free(counter, data, 100, NULL, NULL, NULL), -EMFILE);
	/* What cannot be seen is alive. */
	fault_fail(FAULT_STAT, 2, ENOSYS);
	assert_int_equal(sm_counter_reap(counter, 100, NULL, NULL), 0);
	assert_int_equal(value(), 1);
	remove_both();
	assert_int_equal(sm_counter_reap(counter, 100, NULL, NULL), -EIDRM);
}

static const struct CMUnitTest tests[] = {
	UNIT(test_nothing_leaked_is_told_at_once),
	UNIT(test_the_dead_are_taken_off_and_the_living_stay),
	UNIT(test_no_repair_while_somebody_comes_and_goes),
	UNIT(test_readings_of_different_moments),
	UNIT(test_readings_of_different_moments_and_a_thread_of_ours),
	UNIT(test_a_count_after_the_last_look),
	UNIT(test_ones_own_reference_is_alive),
	UNIT(test_the_last_repair_frees),
	UNIT(test_who_is_not_repaired_is_not_freed),
	UNIT(test_who_may_not_free_leaves_the_counter_at_0),
	UNIT(test_what_a_dead_leaver_began_is_finished),
	UNIT(test_a_counter_without_data),
	UNIT(test_what_a_leaver_left_to_nobody_is_freed),
	UNIT(test_what_is_in_use_is_freed_later),
	UNIT(test_only_what_was_left_last_is_freed),
	UNIT(test_a_pair_torn_apart_is_not_freed),
	UNIT(test_failing_calls),
};

UNIT_MAIN(tests)
