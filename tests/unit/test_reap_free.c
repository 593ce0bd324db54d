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

static void test_the_last_repair_frees(void **state)
{
	bool freed = false;
	int from, to;

	make();
	unit_put_word(counter, 2, 1);
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
	unit_put_word(counter, 3, 1);
	assert_int_equal(sm_counter_reap_free(counter, data, 3000, &from, &to, &freed), 0);
	assert_int_equal(from, 3);
	assert_int_equal(to, 1);
	assert_false(freed);
	assert_int_equal(unit_segments(), 2);
	unit_end(alive);
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
	unit_put_word(counter, 1, 1);
	assert_int_equal(unit_in_child(reap_as_a_stranger, NULL), 0);
	assert_int_equal(unit_segments(), 2);
	assert_int_equal(value(), 0);
	/* Refused although it looked allowed. */
	unit_put_word(counter, 1, 1);
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
	unit_put_word(counter, 0, WORD_DEAD | 3);
	assert_int_equal(sm_counter_reap_free(counter, data, 0, NULL, NULL, &freed), -EBUSY);
	assert_false(freed);
	assert_int_equal(unit_segments(), 2);
	unit_end(leaver);
	assert_int_equal(sm_counter_reap_free(counter, data, 0, NULL, NULL, &freed), 0);
	assert_true(freed);
	assert_int_equal(unit_segments(), 0);
	/* He got as far as the data. */
	make();
	unit_put_word(counter, 0, WORD_DEAD | 3);
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
	unit_put_word(counter, 1, 0);
	assert_int_equal(sm_counter_reap_free(counter, -1, 1000, NULL, NULL, &freed), 0);
	assert_true(freed);
	assert_int_equal(unit_segments(), 0);
	/* And where there is data after all. */
	make();
	unit_put_word(counter, 0, WORD_DEAD | 5);
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
	unit_put_word(counter, 1, 1);
	hold_leave(&h);
	assert_int_equal(value(), 0);
	assert_int_equal(sm_counter_reap_free(counter, data, 0, NULL, NULL, &freed), -EBUSY);
	assert_false(freed);
	unit_end(other);
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
	unit_put_word(counter, 1, 1);
	assert_int_equal(sm_counter_reap_free(counter, data, 1000, &from, &to, &freed), -EBUSY);
	assert_int_equal(from, 1);
	assert_int_equal(to, 0);
	assert_false(freed);
	assert_int_equal(unit_segments(), 2);
	unit_end(child);
	assert_int_equal(sm_counter_reap_free(counter, data, 0, &from, &to, &freed), 0);
	assert_int_equal(from, 0);
	assert_true(freed);
	assert_int_equal(unit_segments(), 0);
}

static void use_data(void *unused)
{
	if (shmat(data, NULL, 0) == (void *)-1)
		_exit(1);
	unit_ready();
	pause();
}

static void attach_data(void *arg)
{
	assert_int_equal(sm_segment_attach(data, false, arg), 0);
}

/* Another thread of this process attaches the data between the two readings: it is not the one that nattch counted before. */
static void test_what_is_in_use_while_we_attach_it_too(void **state)
{
	bool freed = true;
	int from, to;
	void *at;
	pid_t user;

	make();
	user = unit_start(use_data, NULL);
	unit_put_word(counter, 1, 1);
	assert_int_equal(sm_counter_reap_free(counter, data, 1000, &from, &to, &freed), -EBUSY);
	fault_hook(FAULT_OPEN, 1, attach_data, &at);
	assert_int_equal(sm_counter_reap_free(counter, data, 1000, &from, &to, &freed), -EBUSY);
	assert_true(fault_clear());
	assert_false(freed);
	assert_int_equal(unit_segments(), 2);
	sm_segment_detach(at);
	unit_end(user);
	remove_both();
}

/* Whatever changes the counter afterwards, it is another story. */
static void test_only_what_was_left_last_is_freed(void **state)
{
	static struct hold h;
	bool freed = true;

	make();
	unit_put_word(counter, 0, WORD_LEFT | 1);
	assert_int_equal(hold_join(&h, unit_data_key('R'), 0), 0);
	assert_int_equal(sm_counter_decrement(counter, NULL), 0);
	assert_int_equal(sm_counter_reap_free(counter, data, 0, NULL, NULL, &freed), 0);
	assert_false(freed);
	unit_put_word(counter, 1, WORD_LEFT | 1);
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
	unit_put_word(counter, 1, 1);
	assert_int_equal(sm_counter_reap_free(counter, old, 3000, NULL, NULL, &freed), 0);
	assert_false(freed);
	assert_int_equal(value(), 0);
	assert_int_equal(unit_segments(), 2);
	/* While the repair was waiting. */
	now = data = sm_segment_find(unit_data_key('R'));
	unit_put_word(counter, 1, 1);
	fault_hook(FAULT_STAT, 7, replace_data, NULL);
	assert_int_equal(sm_counter_reap_free(counter, now, 3000, NULL, NULL, &freed), 0);
	assert_true(fault_clear());
	assert_false(freed);
	assert_int_equal(value(), 0);
	data = sm_segment_find(unit_data_key('R'));
	remove_both();
}

/* Another program's segments: LONE, or with data beside them. */
static void look_at_a_stranger(size_t size, bool lone, int value, uint32_t seq)
{
	char before[64], *at;
	bool freed = true;
	struct sm_segment was, is;

	data = lone ? -1 : sm_segment_create(unit_data_key('R'), 4096, 0600);
	counter = sm_segment_create(unit_counter_key('R'), size, 0600);
	assert_int_equal(sm_segment_attach(counter, false, (void **)&at), 0);
	memset(at, 'x', size < sizeof before ? size : sizeof before);
	if (size >= sizeof(int))
		unit_put_word(counter, value, seq);
	memcpy(before, at, sizeof before);
	sm_segment_detach(at);
	assert_int_equal(sm_segment_stat(counter, &was), 0);
	fault_clear();
	assert_int_equal(sm_counter_reap_free(counter, data, 100, NULL, NULL, &freed), -EINVAL);
	assert_int_equal(fault_count(FAULT_SHMAT), size == 4096 ? 1 : 0);	/* to read the magic number */
	assert_int_equal(sm_segment_stat(counter, &is), 0);
	assert_int_equal(is.nattch, 0);
	assert_int_equal(sm_segment_attach(counter, true, (void **)&at), 0);
	assert_memory_equal(at, before, sizeof before);
	sm_segment_detach(at);
	remove_both();
}

static void test_strangers_are_left_alone(void **state)
{
	const size_t sizes[] = { 1, 3, 4, 5, 8, 4095, 4096, 4097, 8192 };

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		for (int lone = 0; lone < 2; lone++) {
			if (sizes[i] == sizeof(int) && !lone)
				continue;	/* that is what the class makes */
			look_at_a_stranger(sizes[i], lone, 5, 0x12345678 & WORD_SEQ);
			look_at_a_stranger(sizes[i], lone, 0, WORD_DEAD | 3);
			look_at_a_stranger(sizes[i], lone, 0, WORD_LEFT | 3);
		}
	}
}

/* The data that the caller found is that of another key. */
static void test_data_of_another_key_makes_no_counter(void **state)
{
	int other = sm_segment_create(unit_data_key('S'), 4096, 0600);

	counter = sm_segment_create(unit_counter_key('R'), sizeof(int), 0600);
	unit_put_word(counter, 5, 0);
	assert_int_equal(sm_counter_reap_free(counter, other, 100, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(value(), 5);
	sm_segment_remove(other);
	sm_segment_remove(counter);
}

/* As the class makes it: four bytes, with data. */
static void test_an_old_programs_object_is_freed(void **state)
{
	bool freed = false;

	data = sm_segment_create(unit_data_key('R'), 4096, 0600);
	counter = sm_segment_create(unit_counter_key('R'), sizeof(int), 0600);
	unit_put_word(counter, 2, 0);
	assert_int_equal(sm_counter_reap_free(counter, data, 3000, NULL, NULL, &freed), 0);
	assert_true(freed);
	assert_int_equal(unit_segments(), 0);
}

/* Killed between making and marking the counter; others made the data, or used both. */
static void test_an_object_whose_maker_was_killed_is_freed(void **state)
{
	bool freed = false;

	for (int made = 0; made < 2; made++) {
		sm_object *obj = sm_object_new(unit_key, 'R', made ? 0 : 4096);

		counter = sm_segment_create(unit_counter_key('R'), SM_COUNTER_SIZE, 0600);
		if (made)
			sm_segment_create(unit_data_key('R'), 4096, 0600);
		assert_int_equal(made ? sm_access(obj) : sm_create(obj), 0);
		data = sm_segment_find(unit_data_key('R'));
		unit_put_word(counter, 7, 1);
		assert_int_equal(sm_counter_reap_free(counter, data, 3000, NULL, NULL, &freed), 0);
		assert_int_equal(freed, !made);
		if (made)
			assert_int_equal(value(), 1);
		sm_object_free(obj);
	}
	assert_int_equal(unit_segments(), 0);
}

static void test_failing_calls(void **state)
{
	make();
	unit_put_word(counter, 1, 1);
	fault_fail(FAULT_SHMAT, 1, ENOMEM);
	assert_int_equal(sm_counter_reap(counter, 100, NULL, NULL), -ENOMEM);
	fault_fail(FAULT_SHMAT, 1, EMFILE);
	assert_int_equal(sm_counter_reap_free(counter, data, 100, NULL, NULL, NULL), -EMFILE);
	fault_fail(FAULT_SHMAT, 2, ENOMEM);
	assert_int_equal(sm_counter_reap_free(counter, data, 100, NULL, NULL, NULL), -ENOMEM);
	/* What cannot be seen is alive. */
	fault_fail(FAULT_STAT, 2, ENOSYS);
	assert_int_equal(sm_counter_reap(counter, 100, NULL, NULL), 0);
	assert_int_equal(value(), 1);
	remove_both();
	assert_int_equal(sm_counter_reap(counter, 100, NULL, NULL), -EIDRM);
}

static const struct CMUnitTest tests[] = {
	UNIT(test_the_last_repair_frees),
	UNIT(test_who_is_not_repaired_is_not_freed),
	UNIT(test_who_may_not_free_leaves_the_counter_at_0),
	UNIT(test_what_a_dead_leaver_began_is_finished),
	UNIT(test_a_counter_without_data),
	UNIT(test_what_a_leaver_left_to_nobody_is_freed),
	UNIT(test_what_is_in_use_is_freed_later),
	UNIT(test_what_is_in_use_while_we_attach_it_too),
	UNIT(test_only_what_was_left_last_is_freed),
	UNIT(test_a_pair_torn_apart_is_not_freed),
	UNIT(test_strangers_are_left_alone),
	UNIT(test_data_of_another_key_makes_no_counter),
	UNIT(test_an_old_programs_object_is_freed),
	UNIT(test_an_object_whose_maker_was_killed_is_freed),
	UNIT(test_failing_calls),
};

UNIT_MAIN(tests)
