/* SPDX-License-Identifier: MIT */

/* Whose job is next, without threads. */

#include "smfs/turns.h"

#include <string.h>

#include "gate.h"

static struct turns turns;
static struct pool_job jobs[10];

static int setup(void **state)
{
	turns_init(&turns, 2, 1000);
	memset(jobs, 0, sizeof(jobs));
	return 0;
}

/* Everything that is left runs and ends; then no user may be remembered but as a spare. */
static int teardown(void **state)
{
	struct pool_job *job;

	while ((job = turns_take(&turns)))
		turns_end(&turns, job->user);
	for (int i = 0; i < TURNS_BUCKETS; i++)
		assert_true(LIST_EMPTY(&turns.users[i]));
	assert_int_equal(turns.running, 0);
	turns_free(&turns);
	return 0;
}

static struct pool_job *add(int i, uid_t uid)
{
	jobs[i].uid = uid;
	assert_int_equal(turns_add(&turns, &jobs[i]), 0);
	return &jobs[i];
}

static void assert_next(int i)
{
	assert_ptr_equal(turns_take(&turns), i < 0 ? NULL : &jobs[i]);
}

static void one_users_jobs_come_in_order_up_to_the_limit(void **state)
{
	for (int i = 0; i < 4; i++)
		add(i, 1);
	assert_next(0);
	assert_next(1);
	assert_next(-1);
	turns_end(&turns, jobs[1].user);
	assert_next(2);
	assert_next(-1);
	turns_end(&turns, jobs[0].user);
	turns_end(&turns, jobs[2].user);
	assert_next(3);
	turns_end(&turns, jobs[3].user);
}

static void users_take_turns(void **state)
{
	add(0, 1);
	add(1, 1);
	add(2, 1 + TURNS_BUCKETS);	/* in the same bucket */
	add(3, 3);
	assert_next(0);
	assert_next(2);
	assert_next(3);
	assert_next(1);
	for (int i = 0; i < 4; i++)
		turns_end(&turns, jobs[i].user);
}

static void job_that_was_put_back_is_its_users_first(void **state)
{
	add(0, 1);
	add(1, 1);
	add(2, 2);
	assert_next(0);
	turns_put_back(&turns, &jobs[0]);
	assert_next(2);
	assert_next(0);
	assert_next(1);
	for (int i = 0; i < 3; i++)
		turns_end(&turns, jobs[i].user);
}

static void removed_job_does_not_run(void **state)
{
	add(0, 1);
	add(1, 2);
	assert_ptr_equal(turns_waiting(&turns), &jobs[0]);
	turns_remove(&turns, &jobs[0]);
	assert_ptr_equal(turns_waiting(&turns), &jobs[1]);
	assert_next(1);
	assert_null(turns_waiting(&turns));
	assert_next(-1);
	turns_end(&turns, jobs[1].user);
}

static void who_has_nothing_running_is_next(void **state)
{
	add(0, 1);
	add(1, 1);
	assert_next(0);
	add(2, 2);
	assert_next(2);
	assert_next(1);
	for (int i = 0; i < 3; i++)
		turns_end(&turns, jobs[i].user);
}

/* From three running jobs on, each user has one at a time. */
static void in_a_crowd_each_user_has_one(void **state)
{
	turns_init(&turns, 2, 3);
	for (int i = 0; i < 6; i++)
		add(i, (uid_t)i / 2 + 1);
	for (int i = 0; i < 6; i += 2)
		assert_next(i);
	assert_next(-1);
	add(6, 4);
	assert_next(6);
	assert_next(-1);
	turns_end(&turns, jobs[6].user);
	assert_next(-1);
	turns_end(&turns, jobs[0].user);	/* another of his own in its place */
	assert_next(1);
	assert_next(-1);
	turns_end(&turns, jobs[1].user);
	assert_next(3);				/* two run, so whoever is below the limit may have one more */
	assert_next(-1);
	turns_end(&turns, jobs[2].user);
	assert_next(5);
	for (int i = 3; i < 6; i++)
		turns_end(&turns, jobs[i].user);
}

/* Neither for a thread nor in the queue; but it has the same limits. */
static void what_holds_a_directory_waits_for_none_of_its_users_other_jobs(void **state)
{
	turns_init(&turns, 2, 5);
	for (int i = 3; i < 8; i++)
		jobs[i].holds_directory = true;
	for (int i = 0; i < 6; i++)
		add(i, 1);
	assert_next(0);
	assert_next(3);
	assert_next(1);
	assert_next(4);
	assert_next(-1);
	turns_end(&turns, jobs[0].user);
	assert_next(2);
	turns_end(&turns, jobs[3].user);
	assert_next(5);
	add(6, 2);
	assert_next(6);
	add(7, 2);
	assert_next(-1);	/* five run */
	turns_end(&turns, jobs[6].user);
	assert_next(7);
	turns_end(&turns, jobs[7].user);
	for (int i = 1; i < 6; i++)
		if (i != 3)
			turns_end(&turns, jobs[i].user);
}

/* More users than are kept as spares, twice. */
static void users_come_and_go(void **state)
{
	enum { USERS = 40 };
	static struct pool_job many[USERS];

	for (int round = 0; round < 2; round++) {
		for (uid_t i = 0; i < USERS; i++) {
			many[i].uid = i * 7;
			assert_int_equal(turns_add(&turns, &many[i]), 0);
		}
		for (int i = 0; i < USERS; i++)
			assert_ptr_equal(turns_take(&turns), &many[i]);
		for (int i = 0; i < USERS; i++)
			turns_end(&turns, many[i].user);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_users_jobs_come_in_order_up_to_the_limit),
		TEST(users_take_turns),
		TEST(job_that_was_put_back_is_its_users_first),
		TEST(removed_job_does_not_run),
		TEST(who_has_nothing_running_is_next),
		TEST(in_a_crowd_each_user_has_one),
		TEST(what_holds_a_directory_waits_for_none_of_its_users_other_jobs),
		TEST(users_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
