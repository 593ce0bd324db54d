// SPDX-License-Identifier: MIT
/*
 * Whoever removes an object can be stopped or killed at each point between setting DEAD and having removed both
 * segments. The next one must get by, and what it then holds must stay when the stopped one goes on. And whoever is
 * stopped itself while joining, for longer than a join may take, has not tried for that long.
 */
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define P 'Z'
#define JOIN_MS 2000		/* hold_join() gives up after that */

static void make(void)
{
	size_t found;

	assert_int_equal(pair_create(unit_data_key(P), 4096, 0666, unit_key, &found), 0);
}

static int data_id(void)
{
	return sm_segment_find(unit_data_key(P));
}

static int counter_id(void)
{
	return sm_segment_find(unit_counter_key(P));
}

/* ---- removers, each a process of its own ---- */

static void leave_as_last(void)
{
	struct hold h = { 0 };

	if (hold_join(&h, unit_data_key(P), 0) == 0)
		hold_leave(&h);
}

static void meet_a_dead_one(void)
{
	struct hold h = { 0 };

	unit_put_word(counter_id(), 0, WORD_DEAD | 8);
	if (hold_join(&h, unit_data_key(P), 0) == 0)
		hold_leave(&h);
}

static void meet_a_dead_one_creating(void)
{
	size_t found;

	unit_put_word(counter_id(), 0, WORD_DEAD | 8);
	pair_create(unit_data_key(P), 4096, 0666, unit_key, &found);
}

static void repair_to_nothing(void)
{
	unit_put_word(counter_id(), 2, 8);
	sm_counter_reap_free(counter_id(), data_id(), 3000, NULL, NULL, NULL);
}

static void finish_for_a_dead_one(void)
{
	unit_put_word(counter_id(), 0, WORD_DEAD | 8);
	sm_counter_reap_free(counter_id(), data_id(), 0, NULL, NULL, NULL);
}

static void be_asked_to(void)
{
	pair_destroy(data_id(), counter_id(), false);
}

static const struct {
	const char *name;
	void (*run)(void);
} removers[] = {
	{ "the last leaver", leave_as_last },
	{ "a joiner that helps", meet_a_dead_one },
	{ "a creator that helps", meet_a_dead_one_creating },
	{ "a repair", repair_to_nothing },
	{ "a monitor that finishes", finish_for_a_dead_one },
	{ "one who was asked to", be_asked_to },
};

#define REMOVERS (sizeof removers / sizeof *removers)

static void strike(void *arg)
{
	kill(getpid(), *(int *)arg);
}

/* Start remover R, which gets SIG just before its NTH removal, or, of 0, as soon as both are removed. */
static pid_t start(size_t r, int nth, int sig)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		if (nth > 0) {
			fault_hook(FAULT_RMID, nth, strike, &sig);
			removers[r].run();
			_exit(3);	/* or it was stopped and has gone on */
		}
		removers[r].run();
		strike(&sig);
		_exit(3);
	}
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	if (sig == SIGSTOP ? !WIFSTOPPED(status) : !WIFSIGNALED(status))
		fail_msg("%s was not interrupted at removal %d: status %#x", removers[r].name, nth, status);
	return pid;
}

static void go_on(pid_t pid)
{
	int status;

	kill(pid, SIGCONT);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
}

/* The object can be made and held. */
static sm_object *get_by(const char *after, int nth)
{
	sm_object *obj = sm_object_new(unit_key, P, 4096);

	if (sm_create(obj) < 0 || sm_access(obj) < 0)
		fail_msg("after %s at removal %d: %s", after, nth, sm_error_text(obj));
	assert_int_equal(sm_refcount(obj), 1);
	return obj;
}

static void still_there(const sm_object *obj)
{
	assert_int_equal(data_id(), obj->hold.data_id);
	assert_int_equal(counter_id(), obj->hold.counter_id);
}

static void test_a_killed_remover_stops_nobody(void **state)
{
	for (size_t r = 0; r < REMOVERS; r++) {
		for (int nth = 0; nth <= 2; nth++) {
			make();
			start(r, nth, SIGKILL);
			sm_object_free(get_by(removers[r].name, nth));
			assert_int_equal(unit_segments(), 0);
		}
	}
}

static void test_a_stopped_remover_stops_nobody(void **state)
{
	for (size_t r = 0; r < REMOVERS; r++) {
		for (int nth = 0; nth <= 2; nth++) {
			sm_object *obj;
			pid_t pid;

			make();
			pid = start(r, nth, SIGSTOP);
			obj = get_by(removers[r].name, nth);
			still_there(obj);
			/* What it removes now is long gone. */
			go_on(pid);
			still_there(obj);
			assert_int_equal(sm_refcount(obj), 1);
			sm_object_free(obj);
			assert_int_equal(unit_segments(), 0);
		}
	}
}

/* Those who help are stopped as well, one after the other. */
static void test_a_row_of_stopped_helpers(void **state)
{
	enum { ROW = 6 };
	pid_t pids[ROW];
	sm_object *obj;

	make();
	for (int i = 0; i < ROW; i++)
		pids[i] = start(i ? 1 + (size_t)i % 2 : 0, 1, SIGSTOP);
	obj = get_by("a row of stopped ones", 1);
	for (int i = 0; i < ROW; i++) {
		go_on(pids[(i * 5 + 3) % ROW]);
		still_there(obj);
	}
	sm_object_free(obj);
	assert_int_equal(unit_segments(), 0);
}

/* ---- a maker that looks before DEAD is there, and makes its data after that ---- */

static struct {
	pid_t leaver;
	sm_object *third;
} slow;

static void stop_me(void *arg)
{
	raise(SIGSTOP);
}

/* It is stopped with the decision to remove both, and again before it removes the counter. */
static pid_t start_a_leaver(void)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		struct hold h = { 0 };

		if (hold_join(&h, unit_data_key(P), 0))
			_exit(4);
		fault_hook(FAULT_SHMGET, 1, stop_me, NULL);
		fault_hook(FAULT_RMID, 2, stop_me, NULL);
		hold_leave(&h);
		_exit(3);
	}
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	return pid;
}

static void let_the_leaver_remove_the_data(void *arg)
{
	int status;

	kill(slow.leaver, SIGCONT);
	assert_int_equal(waitpid(slow.leaver, &status, WUNTRACED), slow.leaver);
	assert_true(WIFSTOPPED(status));
	assert_true(data_id() < 0);
}

static void let_the_leaver_end_and_a_third_come(void *arg)
{
	go_on(slow.leaver);
	slow.third = get_by("a slow maker", 1);
}

/*
 * What the maker has made it would, helping, remove as the old one's. By then somebody may have made the next counter beside
 * it, and hold it.
 */
static void test_a_slow_maker_removes_nobodys_data(void **state)
{
	size_t found;

	make();
	slow.third = NULL;
	slow.leaver = start_a_leaver();
	fault_hook(FAULT_SHMGET, 4, let_the_leaver_remove_the_data, NULL);
	fault_hook(FAULT_RMID, 1, let_the_leaver_end_and_a_third_come, NULL);
	assert_int_equal(pair_create(unit_data_key(P), 4096, 0666, unit_key, &found), 0);
	assert_true(fault_clear());
	assert_non_null(slow.third);
	still_there(slow.third);
	sm_object_free(slow.third);
	assert_int_equal(unit_segments(), 0);
}

/* The object is replaced by another, and the joiner gets no turn for longer than it may take. */
static void replace_and_be_late(void *arg)
{
	sm_segment_remove(data_id());
	sm_segment_remove(counter_id());
	make();
	usleep((JOIN_MS + 100) * 1000);
}

static void test_a_joiner_that_was_stopped_has_its_tries(void **state)
{
	static struct hold h;

	make();
	fault_hook(FAULT_SHMAT, 1, replace_and_be_late, NULL);
	assert_int_equal(hold_join(&h, unit_data_key(P), 0), 0);
	assert_true(fault_clear());
	hold_leave(&h);
	assert_int_equal(unit_segments(), 0);
}

static void test_a_creator_that_was_stopped_has_its_tries(void **state)
{
	size_t found;

	make();
	fault_hook(FAULT_SHMAT, 1, replace_and_be_late, NULL);
	assert_int_equal(pair_create(unit_data_key(P), 4096, 0666, unit_key, &found), 0);
	assert_true(fault_clear());
	sm_segment_remove(data_id());
	sm_segment_remove(counter_id());
}

static const struct CMUnitTest tests[] = {
	UNIT(test_a_killed_remover_stops_nobody),
	UNIT(test_a_stopped_remover_stops_nobody),
	UNIT(test_a_row_of_stopped_helpers),
	UNIT(test_a_slow_maker_removes_nobodys_data),
	UNIT(test_a_joiner_that_was_stopped_has_its_tries),
	UNIT(test_a_creator_that_was_stopped_has_its_tries),
};

UNIT_MAIN(tests)
