/* SPDX-License-Identifier: MIT */

/* The monitor's passes: whom it waits for, and what it looks at once more. Its calls of the library are seen on their way. */

#include "smfs/monitor.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libsm/sm.h>

#include "gate.h"

#define MANY 30			/* counters of one creator */
#define RESTLESS_UID 3000
#define DATA_KEY(n) (('A' << 24) + (n))
#define SECONDS 20		/* until what must happen counts as not happening */

static _Atomic int waited_for, settled, looks;
static _Atomic int watched = -1;	/* its looks are counted */
static void (*_Atomic after_a_look)(void);

int __real_sm_counter_reap_free(int id, int data_id, int wait_ms, int *from, int *to, bool *freed);
int __wrap_sm_counter_reap_free(int id, int data_id, int wait_ms, int *from, int *to, bool *freed);
int __wrap_sm_counter_reap_free(int id, int data_id, int wait_ms, int *from, int *to, bool *freed)
{
	struct sm_segment seg;

	if (sm_segment_stat(id, &seg) == 0 && seg.cuid == RESTLESS_UID) {
		if (!settled)
			waited_for++;
		return -EAGAIN;
	}
	settled++;
	return __real_sm_counter_reap_free(id, data_id, wait_ms, from, to, freed);
}

int __real_sm_counter_leaked(int id, int *leaked);
int __wrap_sm_counter_leaked(int id, int *leaked);
int __wrap_sm_counter_leaked(int id, int *leaked)
{
	int r = __real_sm_counter_leaked(id, leaked);

	if (id == watched) {
		void (*fn)(void) = atomic_exchange(&after_a_look, NULL);

		looks++;
		if (fn)
			fn();
	}
	return r;
}

static int attach(int id)
{
	return shmat(id, NULL, 0) == (void *)-1 ? -1 : 0;
}

/* An object whose counter says COUNT; its counter's shmid. */
static int make(int n, int count)
{
	int counter = sm_counter_create(sm_key_counter(DATA_KEY(n)), 0666, "/a/key");
	_Atomic int *value = shmat(counter, NULL, 0);

	assert_true(counter >= 0 && value != (void *)-1);
	assert_true(sm_segment_create(DATA_KEY(n), 100, 0666) >= 0);
	atomic_store(value, count);
	shmdt(value);
	return counter;
}

static int begin(void **state)
{
	static bool runs;

	waited_for = settled = looks = 0;
	if (runs)
		return 0;
	runs = true;
	return monitor_start(1);
}

static int end(void **state)
{
	struct sm_segment *list;
	ssize_t n = sm_segment_list(&list);

	watched = -1;
	for (ssize_t i = 0; i < n; i++)
		sm_segment_remove(list[i].id);
	free(list);
	return n < 0;
}

static bool within_time(bool (*done)(void))
{
	for (int i = 0; i < SECONDS * 100; i++) {
		if (done())
			return true;
		nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	}
	return false;
}

static bool one_is_settled(void)
{
	return settled > 0;
}

static bool one_was_waited_for(void)
{
	return waited_for > 0;
}

/* Their counters say 1, nobody has them attached, and none of them holds still. */
static void make_restless_ones(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (setgid(RESTLESS_UID) || setuid(RESTLESS_UID))
			_exit(1);
		for (int n = 0; n < MANY; n++)
			make(n, 1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* However many there are of one creator's, each pass waits for one of them. */
static void who_makes_many_restless_counters_keeps_nobody_waiting(void **state)
{
	make_restless_ones();
	assert_true(within_time(one_was_waited_for));
	waited_for = 0;
	make(MANY, 1);
	assert_true(within_time(one_is_settled));
	/* the pass that had begun, and the one that saw it */
	assert_true(waited_for <= 2);
}

static pid_t holder;
static _Atomic pid_t visitor;

static pid_t start_attached(int id)
{
	int ready[2];
	char c = 0;

	assert_int_equal(pipe(ready), 0);

	pid_t pid = fork();

	if (pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) || attach(id) || write(ready[1], &c, 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

static void stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* nattch is what it was, and the last stamp is this process' own, as if it had detached after both. */
static void exchange_holder_for_visitor(void)
{
	void *at;

	stop(holder);
	visitor = start_attached(watched);
	at = shmat(watched, NULL, SHM_RDONLY);
	shmdt(at);
}

static bool was_exchanged(void)
{
	return visitor > 0;
}

static bool was_looked_at_often(void)
{
	return looks >= 2;
}

/*
 * The holder dies, and another attaches the counter without counting, in the instant between the monitor's look and its own
 * last stamp: nothing of the segment tells, so it looks once more.
 */
static void what_its_own_stamp_hides_is_looked_at_again(void **state)
{
	int counter = make(MANY + 1, 1);

	holder = start_attached(counter);
	visitor = 0;
	after_a_look = exchange_holder_for_visitor;
	watched = counter;
	assert_true(within_time(was_exchanged));
	assert_true(within_time(was_looked_at_often));
	stop(visitor);
	assert_true(within_time(one_is_settled));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_makes_many_restless_counters_keeps_nobody_waiting, begin, end),
		cmocka_unit_test_setup_teardown(what_its_own_stamp_hides_is_looked_at_again, begin, end),
	};

	if (unshare(CLONE_NEWIPC))
		return unit_skip("no private IPC namespace");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
