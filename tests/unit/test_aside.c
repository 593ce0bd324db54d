/* SPDX-License-Identifier: MIT */

/* A copy of a segment that others may attach at any instant: known to be current or not, and made so after the removal. */

#include "smfs/aside.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gate.h"
#include "smfs/guard.h"
#include "smfs/share.h"

#define SIZE ((size_t)10000)

static struct sm_segment seg;
static struct aside a;

static int set_up(void **state)
{
	int id = shmget(IPC_PRIVATE, SIZE, IPC_CREAT | 0600);
	char *at = shmat(id, NULL, 0);

	memcpy(at, "old bytes", 9);
	at[9000] = 'z';
	shmdt(at);
	assert_int_equal(sm_segment_stat(id, &seg), 0);
	assert_int_equal(aside_take(&seg, SIZE, 0, NULL, &a), 0);
	return 0;
}

/* Nobody else is to be attached: it is gone then. */
static int tear_down(void **state)
{
	struct sm_segment now;

	aside_drop(&a);
	if (sm_segment_stat(seg.id, &now) == 0 && !now.removed)
		sm_segment_remove(seg.id);
	assert_int_equal(sm_segment_stat(seg.id, &now), -EIDRM);
	return 0;
}

static void wait_ms(int ms)
{
	const struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

/* Another process writes TEXT at its beginning, and leaves after it has written MORE, STAY_MS later, if that is not 0. */
static pid_t visit_and_stay(const char *text, const char *more, int stay_ms)
{
	int ready[2];
	char c;

	assert_int_equal(pipe(ready), 0);

	pid_t pid = fork();

	if (pid == 0) {
		char *at = shmat(seg.id, NULL, 0);

		if (at == (void *)-1)
			_exit(1);
		memcpy(at, text, strlen(text));
		if (stay_ms) {
			c = (char)(write(ready[1], "", 1) != 1);
			wait_ms(stay_ms);
			memcpy(at, more, strlen(more));
		}
		shmdt(at);
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), stay_ms ? 1 : 0);
	close(ready[0]);
	return pid;
}

static void end_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static bool is_current(void)
{
	struct sm_segment now;

	assert_int_equal(sm_segment_stat(seg.id, &now), 0);
	return aside_is_current(&a, &now);
}

static void assert_filled(const char *expected)
{
	char bytes[SIZE] = "";

	assert_int_equal(aside_fill(bytes, SIZE, &a), 0);
	assert_memory_equal(bytes, expected, 9);
	assert_int_equal(bytes[9000], 'z');
}

static void assert_gone(void)
{
	struct sm_segment now;

	assert_int_equal(sm_segment_stat(seg.id, &now), -EIDRM);
}

static void it_is_current_as_long_as_nobody_comes(void **state)
{
	assert_true(is_current());
	assert_filled("old bytes");
	sm_segment_remove(seg.id);
	aside_catch_up(&a);
	assert_gone();
	assert_filled("old bytes");
}

static void one_who_came_and_went_is_seen(void **state)
{
	end_of(visit_and_stay("new", NULL, 0));
	assert_false(is_current());
}

static void one_who_is_there_is_seen(void **state)
{
	pid_t pid = visit_and_stay("new", "", 100);

	assert_false(is_current());
	end_of(pid);
}

static void a_change_of_mode_is_seen(void **state)
{
	sm_segment_set(seg.id, (uid_t)-1, (gid_t)-1, 0644);
	assert_false(is_current());
}

static void while_somebody_is_attached_it_is_not_taken(void **state)
{
	struct aside other;

	assert_int_equal(aside_take(&seg, SIZE, 0, NULL, &other), -EBUSY);
}

static void what_was_written_just_before_the_removal_is_kept(void **state)
{
	assert_true(is_current());
	end_of(visit_and_stay("new", NULL, 0));
	sm_segment_remove(seg.id);
	aside_catch_up(&a);
	assert_gone();
	assert_filled("new bytes");
}

static void what_is_now_zero_is_zero(void **state)
{
	pid_t pid = fork();

	if (pid == 0) {
		char *at = shmat(seg.id, NULL, 0);

		memset(at, 0, 9);
		_exit(0);
	}
	end_of(pid);
	sm_segment_remove(seg.id);
	aside_catch_up(&a);
	assert_filled("\0\0\0\0\0\0\0\0");
}

static void who_is_about_to_leave_is_waited_for(void **state)
{
	pid_t pid = visit_and_stay("new", "NEW BYTES", 10);

	sm_segment_remove(seg.id);
	aside_catch_up(&a);
	end_of(pid);
	assert_gone();
	assert_filled("NEW BYTES");
}

static void who_stays_is_not_waited_for(void **state)
{
	pid_t pid = visit_and_stay("new", "", 100000);

	sm_segment_remove(seg.id);
	aside_catch_up(&a);
	assert_filled("new bytes");
	assert_null(a.at);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		EACH(it_is_current_as_long_as_nobody_comes),
		EACH(one_who_came_and_went_is_seen),
		EACH(one_who_is_there_is_seen),
		EACH(a_change_of_mode_is_seen),
		EACH(while_somebody_is_attached_it_is_not_taken),
		EACH(what_was_written_just_before_the_removal_is_kept),
		EACH(what_is_now_zero_is_zero),
		EACH(who_is_about_to_leave_is_waited_for),
		EACH(who_stays_is_not_waited_for),
	};

	if (unshare(CLONE_NEWIPC))
		return unit_skip("no private IPC namespace");
	guard_start();
	share_start((size_t)1 << 30, 1 << 20, 100);
	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
