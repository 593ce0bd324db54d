/* SPDX-License-Identifier: MIT */

/*
 * A thread that enters a caller is judged as that one by the kernel, alone among the threads, and comes back
 * whole.
 */

#include "other.h"

#include <errno.h>
#include <grp.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "smfs/caller.h"

/* ---- what the kernel says of a thread ----------------------------------------------------------- */

struct creds {
	uid_t ruid, euid, suid, fsuid;
	gid_t rgid, egid, sgid, fsgid;
	uint64_t effective, permitted, inheritable;
	int ngroups;
	gid_t groups[64];
};

static void get_caps(uint64_t *effective, uint64_t *permitted, uint64_t *inheritable)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	assert_int_equal(syscall(SYS_capget, &header, data), 0);
	*effective = data[0].effective | (uint64_t)data[1].effective << 32;
	*permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	*inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
}

static struct creds creds_now(void)
{
	struct creds c;

	memset(&c, 0, sizeof(c));
	syscall(SYS_getresuid, &c.ruid, &c.euid, &c.suid);
	syscall(SYS_getresgid, &c.rgid, &c.egid, &c.sgid);
	c.fsuid = (uid_t)setfsuid((uid_t)-1);
	c.fsgid = (gid_t)setfsgid((gid_t)-1);
	c.ngroups = (int)syscall(SYS_getgroups, 64, c.groups);
	get_caps(&c.effective, &c.permitted, &c.inheritable);
	return c;
}

static void assert_creds(const struct creds *expected)
{
	const struct creds now = creds_now();

	assert_memory_equal(&now, expected, sizeof(now));
}

/* ---- entering ----------------------------------------------------------------------------------- */

static int setup(void **state)
{
	caller_start();
	return 0;
}

static struct caller user(void)
{
	return (struct caller){ .uid = USER, .gid = GROUP, .ngroups = 2, .groups = { 21, 22 } };
}

static void thread_becomes_the_user_and_comes_back(void **state)
{
	const struct caller c = user();
	const struct creds before = creds_now();
	struct creds expected = before;

	expected.euid = expected.fsuid = USER;
	expected.egid = expected.fsgid = GROUP;
	expected.effective = 0;
	memset(expected.groups, 0, sizeof(expected.groups));
	expected.ngroups = 2;
	expected.groups[0] = 21;
	expected.groups[1] = 22;
	assert_int_equal(caller_enter(&c), 0);
	assert_creds(&expected);
	assert_int_equal(caller_enter(&c), -EDEADLK);
	assert_creds(&expected);
	caller_leave();
	assert_creds(&before);
	caller_leave();
	assert_creds(&before);
}

static void scope_leaves_by_itself(void **state)
{
	const struct caller c = user();
	const struct creds before = creds_now();

	{
		CALLER_SCOPE(err, &c);
		assert_int_equal(err, 0);
		assert_int_equal(geteuid(), USER);
		{
			CALLER_SCOPE(nested, &c);
			assert_int_equal(nested, -EDEADLK);
		}
		assert_int_equal(geteuid(), USER);
	}
	assert_creds(&before);
}

static void root_caller_lowers_what_it_lacks(void **state)
{
	const struct creds before = creds_now();
	struct creds expected = before;
	const struct caller c = { .uid = 0, .gid = 0, .caps = BIT(CAP_IPC_OWNER) | BIT(63) };

	expected.effective = BIT(CAP_IPC_OWNER);
	expected.ngroups = 0;
	memset(expected.groups, 0, sizeof(expected.groups));
	assert_int_equal(caller_enter(&c), 0);
	assert_creds(&expected);
	caller_leave();
	assert_creds(&before);
}

static void root_like_us_changes_nothing(void **state)
{
	const struct creds before = creds_now();
	const struct caller c = { .uid = 0, .gid = 0, .caps = UINT64_MAX, .ngroups = 1, .groups = { 99 } };

	assert_int_equal(caller_enter(&c), 0);
	assert_creds(&before);
	caller_leave();
	assert_creds(&before);
}

static void every_part_alone(void **state)
{
	const struct creds before = creds_now();
	const struct caller callers[] = {
		{ .uid = USER, .gid = 0 }, { .uid = 0, .gid = GROUP, .caps = UINT64_MAX },
		{ .uid = 0, .gid = GROUP }, { .uid = USER, .gid = GROUP },
		{ .uid = USER, .gid = 0, .caps = UINT64_MAX },
	};

	for (size_t i = 0; i < sizeof(callers) / sizeof(callers[0]); i++) {
		assert_int_equal(caller_enter(&callers[i]), 0);
		const struct creds now = creds_now();
		assert_int_equal(now.euid, callers[i].uid);
		assert_int_equal(now.egid, callers[i].gid);
		assert_int_equal(now.ngroups, 0);
		assert_int_equal(now.effective, callers[i].uid ? 0 : before.effective & callers[i].caps);
		caller_leave();
		assert_creds(&before);
	}
}

static void nobody_at_all_is_refused(void **state)
{
	const struct creds before = creds_now();
	const struct caller callers[] = {
		{ .uid = (uid_t)-1, .gid = GROUP }, { .uid = USER, .gid = (gid_t)-1 },
		{ .uid = (uid_t)-1, .gid = (gid_t)-1 },
	};

	for (int i = 0; i < 3; i++) {
		assert_int_equal(caller_enter(&callers[i]), -EACCES);
		assert_creds(&before);
	}
}

static void *other_thread(void *arg)
{
	*(struct creds *)arg = creds_now();
	return NULL;
}

static pthread_barrier_t entered, looked;

static void *entering_thread(void *arg)
{
	const struct caller c = user();

	assert_int_equal(caller_enter(&c), 0);
	pthread_barrier_wait(&entered);
	pthread_barrier_wait(&looked);
	caller_leave();
	return NULL;
}

static void other_threads_stay_what_they_are(void **state)
{
	const struct creds before = creds_now();
	struct creds third;
	pthread_t enters, looks;

	pthread_barrier_init(&entered, NULL, 2);
	pthread_barrier_init(&looked, NULL, 2);
	pthread_create(&enters, NULL, entering_thread, NULL);
	pthread_barrier_wait(&entered);
	assert_creds(&before);
	pthread_create(&looks, NULL, other_thread, &third);
	pthread_join(looks, NULL);
	assert_memory_equal(&third, &before, sizeof(third));
	pthread_barrier_wait(&looked);
	pthread_join(enters, NULL);
}

static void *storming_thread(void *arg)
{
	const unsigned me = (unsigned)(uintptr_t)arg;
	const struct caller c = { .uid = me, .gid = me + 1, .ngroups = 1, .groups = { me + 2 } };

	for (int i = 0; i < 2000; i++) {
		gid_t group = 0;

		if (caller_enter(&c) != 0)
			return "enter";
		if (geteuid() != me || getegid() != me + 1 || getgroups(1, &group) != 1 || group != me + 2)
			return "someone else";
		caller_leave();
		if (geteuid() != 0 || getegid() != 0)
			return "not back";
	}
	return NULL;
}

static void many_threads_are_many_callers(void **state)
{
	pthread_t threads[8];

	for (uintptr_t i = 0; i < 8; i++)
		pthread_create(&threads[i], NULL, storming_thread, (void *)(i * 10 + 5000));
	for (int i = 0; i < 8; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		if (wrong)
			fail_msg("%s", (const char *)wrong);
	}
}

/* ---- what the process is ------------------------------------------------------------------------ */

/* Run F in a child: what it asserts is what the child exits with. */
static void in_child(void (*f)(void))
{
	int status;
	const pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		f();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

#define CHECK(condition) do { \
	if (!(condition)) { \
		fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
		_exit(1); \
	} \
} while (0)

static void be_an_ordinary_user(void)
{
	const struct caller self = { .uid = USER, .gid = GROUP }, others[] = {
		{ .uid = USER + 1, .gid = GROUP }, { .uid = USER, .gid = GROUP + 1 },
		{ .uid = 0, .gid = 0, .caps = UINT64_MAX },
	};

	CHECK(setgroups(1, (gid_t[]){ 33 }) == 0);
	CHECK(setresgid(GROUP, GROUP, GROUP) == 0 && setresuid(USER, USER, USER) == 0);
	caller_start();
	CHECK(!caller_takes_on_others());
	const struct creds before = creds_now();
	CHECK(caller_enter(&self) == 0);
	caller_leave();
	for (int i = 0; i < 3; i++)
		CHECK(caller_enter(&others[i]) == -EACCES);
	CHECK(caller_reduce() == 0);
	CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
	const struct creds after = creds_now();
	CHECK(memcmp(&before, &after, sizeof(before)) == 0);
}

static void ordinary_users_daemon_serves_that_user_only(void **state)
{
	in_child(be_an_ordinary_user);
}

/* As systemd starts a service with User= and AmbientCapabilities=. */
static void be_a_user_with_capabilities(void)
{
	const uint64_t has = BIT(CAP_SETUID) | BIT(CAP_SETGID) | BIT(CAP_IPC_OWNER);
	const struct caller callers[] = {
		{ .uid = USER, .gid = GROUP }, { .uid = USER + 1, .gid = GROUP + 1 },
		{ .uid = 0, .gid = 0, .caps = UINT64_MAX }, { .uid = 0, .gid = 0, .caps = BIT(CAP_IPC_OWNER) },
	};

	CHECK(prctl(PR_SET_KEEPCAPS, 1) == 0 && setgroups(0, NULL) == 0);
	CHECK(setresgid(GROUP, GROUP, GROUP) == 0 && setresuid(USER, USER, USER) == 0);
	set_capabilities(has);
	caller_start();
	CHECK(caller_takes_on_others());
	const struct creds before = creds_now();
	for (int i = 0; i < 4; i++) {
		CHECK(caller_enter(&callers[i]) == 0);
		const struct creds in = creds_now();
		CHECK(in.euid == callers[i].uid && in.egid == callers[i].gid);
		CHECK(in.effective == (callers[i].uid ? 0 : has & callers[i].caps));
		caller_leave();
		const struct creds after = creds_now();
		CHECK(memcmp(&before, &after, sizeof(before)) == 0);
	}
}

static void unprivileged_user_with_capabilities_lends_none(void **state)
{
	in_child(be_a_user_with_capabilities);
}

static void be_root_without_fixup(void)
{
	const struct caller c = user();

	CHECK(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) == 0);
	caller_start();
	const struct creds before = creds_now();
	CHECK(caller_enter(&c) == 0);
	CHECK(creds_now().effective == 0);
	caller_leave();
	const struct creds after = creds_now();
	CHECK(memcmp(&before, &after, sizeof(before)) == 0);
}

static void securebits_do_not_leave_capabilities_behind(void **state)
{
	in_child(be_root_without_fixup);
}

static void be_reduced(void)
{
	const uint64_t table = BIT(CAP_CHECKPOINT_RESTORE) | BIT(CAP_SYS_ADMIN) | BIT(CAP_IPC_OWNER) |
			       BIT(CAP_SETUID) | BIT(CAP_SETGID) | BIT(CAP_SYS_PTRACE) | BIT(CAP_DAC_READ_SEARCH);
	const uint64_t had = creds_now().permitted;
	const struct caller c = user(), root = { .uid = 0, .gid = 0, .caps = UINT64_MAX };

	CHECK(caller_reduce() == 0);
	const struct creds reduced = creds_now();
	CHECK(reduced.permitted == (had & table) && reduced.effective == reduced.permitted);
	CHECK(reduced.inheritable == 0);
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		CHECK(prctl(PR_CAPBSET_READ, cap) == (table & had & BIT(cap) ? 1 : 0));
	CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	CHECK(caller_takes_on_others());
	CHECK(caller_enter(&c) == 0);
	CHECK(creds_now().effective == 0);
	caller_leave();
	CHECK(caller_enter(&root) == 0);
	CHECK(creds_now().effective == reduced.effective);
	caller_leave();
	const struct creds after = creds_now();
	CHECK(memcmp(&reduced, &after, sizeof(after)) == 0);
}

static void reduced_daemon_keeps_the_table_only(void **state)
{
	in_child(be_reduced);
}

/* ---- cost --------------------------------------------------------------------------------------- */

/* Of this thread's own time: others may use the machine. */
static double us_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)(now.tv_sec - start->tv_sec) * 1e6 + (double)(now.tv_nsec - start->tv_nsec) / 1e3;
}

/* For the eye. */
static void measure(void **state)
{
	enum { TIMES = 5000 };
	const struct other o = other_start(become_user), r = other_start(become_root_with_few_caps);
	struct timespec start;
	struct caller c;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
	for (int i = 0; i < TIMES; i++)
		assert_int_equal(caller_read(&c, 0, 0, r.pid), 0);
	printf("read root %.2f us, ", us_since(&start) / TIMES);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
	for (int i = 0; i < TIMES; i++)
		assert_int_equal(caller_read(&c, USER, GROUP, o.pid), 0);
	printf("read user %.2f us, ", us_since(&start) / TIMES);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
	for (int i = 0; i < TIMES; i++) {
		assert_int_equal(caller_enter(&c), 0);
		caller_leave();
	}
	printf("enter and leave %.2f us\n", us_since(&start) / TIMES);
	other_end(o);
	other_end(r);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(thread_becomes_the_user_and_comes_back),
		TEST(scope_leaves_by_itself),
		TEST(root_caller_lowers_what_it_lacks),
		TEST(root_like_us_changes_nothing),
		TEST(every_part_alone),
		TEST(nobody_at_all_is_refused),
		TEST(other_threads_stay_what_they_are),
		TEST(many_threads_are_many_callers),
		TEST(ordinary_users_daemon_serves_that_user_only),
		TEST(unprivileged_user_with_capabilities_lends_none),
		TEST(securebits_do_not_leave_capabilities_behind),
		TEST(reduced_daemon_keeps_the_table_only),
		TEST(measure),
	};

	caller_start();
	if (geteuid() != 0 || !caller_takes_on_others())
		return unit_skip("not root: no other credentials to take on");
	/* Groups of our own, so that losing them shows. */
	if (setgroups(2, (gid_t[]){ 31, 32 }) != 0)
		return unit_skip("no right to set groups");
	caller_start();
	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
