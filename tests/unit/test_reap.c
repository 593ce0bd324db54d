// SPDX-License-Identifier: MIT
#include "reaped.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int leaked(void)
{
	int leaked = -1000;

	sm_counter_leaked(counter, &leaked);
	return leaked;
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void test_nothing_leaked_is_told_at_once(void **state)
{
	const int values[] = { 0, -1, INT_MIN };
	long start = now_ms();
	int from, to;

	make();
	for (int i = 0; i < 3; i++) {
		unit_put_word(counter, values[i], 7);
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
	unit_end(dead);
	assert_int_equal(leaked(), 1);
	start = now_ms();
	assert_int_equal(sm_counter_reap(counter, 3000, &from, &to), 0);
	assert_true(now_ms() - start < 1500);
	assert_int_equal(from, 2);
	assert_int_equal(to, 1);
	assert_int_equal(value(), 1);
	assert_int_equal(leaked(), 0);
	unit_end(alive);
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
	unit_put_word(counter, 3, 1);
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
	unit_put_word(counter, 3, 0);
	fault_hook(FAULT_STAT, 2, leave_for_this_look, &j);	/* one in attaching */
	fault_hook(FAULT_OPEN, 1, join_after_this_look, &j);
	assert_int_equal(sm_counter_reap(counter, 0, &from, &to), 0);
	assert_int_equal(j.looks, 2);
	assert_int_equal(from, 3);
	assert_int_equal(to, 2);
	assert_true(fault_clear());
	unit_end(rests);
	unit_end(j.pid);
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
	unit_put_word(counter, 3, 1);
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
	unit_put_word(counter, 2, 1);
	assert_int_equal(leaked(), 1);
	assert_int_equal(sm_counter_reap(counter, 3000, &from, &to), 0);
	assert_int_equal(to, 1);
	hold_leave(&h);
	assert_int_equal(unit_segments(), 0);
}

static const struct CMUnitTest tests[] = {
	UNIT(test_nothing_leaked_is_told_at_once),
	UNIT(test_the_dead_are_taken_off_and_the_living_stay),
	UNIT(test_no_repair_while_somebody_comes_and_goes),
	UNIT(test_readings_of_different_moments),
	UNIT(test_readings_of_different_moments_and_a_thread_of_ours),
	UNIT(test_a_count_after_the_last_look),
	UNIT(test_ones_own_reference_is_alive),
};

UNIT_MAIN(tests)
