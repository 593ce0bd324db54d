// SPDX-License-Identifier: MIT
/*
 * Many processes that make, join and leave one object at the same time. Whoever holds it must hold the one
 * that the keys name, with its own bytes in it as it left them; when all stand still, the count is right;
 * when all have left, nothing remains. In the second test processes are killed at any instant.
 */
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORKERS 8
#define ROUNDS 8
#define ROUND_MS 100

struct shared {
	_Atomic int round;		/* the round that workers are to churn in; odd: hold and wait */
	_Atomic int holding;
	_Atomic long accesses;
	_Atomic int bad;
	char what[256];
};

static struct shared *shared;

static void bad(const char *what, long a, long b)
{
	if (atomic_exchange(&shared->bad, 1) == 0)
		snprintf(shared->what, sizeof shared->what, "%s (%ld, %ld)", what, a, b);
}

static void sleep_us(long us)
{
	nanosleep(&(struct timespec){ us / 1000000, us % 1000000 * 1000 }, NULL);
}

/* The invariants of a holder, and its canary in its own slot. */
static void hold_a_while(sm_object *obj, int me, unsigned *seed)
{
	volatile long *slots = sm_data(obj);
	long mark = (long)rand_r(seed) << 16 | me;
	int looks = rand_r(seed) % 4;

	slots[me] = mark;
	for (int i = 0; i <= looks; i++) {
		int data = sm_segment_find(unit_data_key('R')), counter = sm_segment_find(unit_counter_key('R'));

		if (data != obj->hold.data_id)
			bad("the data key names another segment than the holder's", data, obj->hold.data_id);
		if (counter != obj->hold.counter_id)
			bad("the counter key names another segment than the holder's", counter, obj->hold.counter_id);
		if (slots[me] != mark)
			bad("a holder's bytes changed", slots[me], mark);
		if (sm_refcount(obj) < 1)
			bad("the count is below the holders", sm_refcount(obj), 1);
		if (rand_r(seed) % 3 == 0)
			sleep_us(rand_r(seed) % 300);
	}
}

static sm_object *enter(unsigned *seed)
{
	sm_object *obj = sm_object_new(unit_key, 'R', 4096);

	/* Some only join what is there. */
	if (rand_r(seed) % 4 && sm_create(obj) < 0)
		bad("sm_create", sm_error(obj), 0);
	if (sm_access(obj) == 0)
		return obj;
	if (sm_error(obj) != ENOENT)
		bad("sm_access", sm_error(obj), 0);
	sm_object_free(obj);
	return NULL;
}

static void worker(int me)
{
	unsigned seed = (unsigned)(me * 7919 + getpid());

	for (;;) {
		int round = atomic_load(&shared->round);
		sm_object *obj = enter(&seed);

		if (round < 0) {
			sm_object_free(obj);
			_exit(0);
		}
		if (!obj)
			continue;
		atomic_fetch_add(&shared->accesses, 1);
		hold_a_while(obj, me, &seed);
		if (round % 2) {
			atomic_fetch_add(&shared->holding, 1);
			while (atomic_load(&shared->round) == round)
				sleep_us(500);
		}
		sm_object_free(obj);
	}
}

static void start(pid_t pids[WORKERS])
{
	fflush(NULL);
	for (int i = 0; i < WORKERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			worker(i);
		assert_true(pids[i] > 0);
	}
}

static int setup(void **state)
{
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return shared == MAP_FAILED ? -1 : unit_setup(state);
}

static int teardown(void **state)
{
	munmap(shared, sizeof *shared);
	return unit_teardown(state);
}

static void test_no_count_is_lost(void **state)
{
	pid_t pids[WORKERS];
	int value, status;

	start(pids);
	for (int i = 0; i < ROUNDS; i++) {
		sleep_us(ROUND_MS * 1000);
		atomic_fetch_add(&shared->round, 1);
		while (atomic_load(&shared->holding) < WORKERS && !atomic_load(&shared->bad))
			sleep_us(500);
		if (sm_counter_value(sm_segment_find(unit_counter_key('R')), &value) < 0 || value != WORKERS)
			bad("the count of all who hold", value, WORKERS);
		atomic_store(&shared->holding, 0);
		atomic_fetch_add(&shared->round, 1);
	}
	atomic_store(&shared->round, -1);
	for (int i = 0; i < WORKERS; i++) {
		waitpid(pids[i], &status, 0);
		if (status != 0)
			bad("a worker's status", status, 0);
	}
	if (atomic_load(&shared->bad))
		fail_msg("%s", shared->what);
	print_message("%ld accesses\n", atomic_load(&shared->accesses));
	assert_true(atomic_load(&shared->accesses) > 100);
}

/* What is left after all have been killed or have left: leaked references at most, and repair frees them. */
static void clean_up_after_the_dead(void)
{
	int from, to, data, counter, r;
	bool freed = false;

	for (int i = 0; i < 3 && !freed; i++) {
		data = sm_segment_find(unit_data_key('R'));
		counter = sm_segment_find(unit_counter_key('R'));
		if (data < 0 || counter < 0)
			break;
		r = sm_counter_reap_free(counter, data, 1500, &from, &to, &freed);
		assert_true(r == 0 || r == -EIDRM);
		if (from == 0 && !freed)
			break;
	}
}

static void test_killed_at_any_instant(void **state)
{
	unsigned seed = (unsigned)getpid();
	sm_object *obj;
	pid_t pids[WORKERS];
	int deaths = 0;

	start(pids);
	for (int ms = 0; ms < 1000; ms += 2) {
		int i = rand_r(&seed) % WORKERS;

		sleep_us(2000);
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
		deaths++;
		fflush(NULL);
		pids[i] = fork();
		if (pids[i] == 0)
			worker(i);
	}
	for (int i = 0; i < WORKERS; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	if (atomic_load(&shared->bad))
		fail_msg("%s", shared->what);
	clean_up_after_the_dead();
	/* A leaver that died between counter and data, or a creator between the two, leaves a half; the next heals it. */
	obj = sm_object_new(unit_key, 'R', 4096);
	assert_int_equal(sm_create(obj), 0);
	assert_int_equal(sm_access(obj), 0);
	assert_int_equal(sm_refcount(obj), 1);
	sm_object_free(obj);
	print_message("%d deaths, %ld accesses\n", deaths, atomic_load(&shared->accesses));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(test_no_count_is_lost, setup, teardown),
	cmocka_unit_test_setup_teardown(test_killed_at_any_instant, setup, teardown),
};

UNIT_MAIN(tests)
