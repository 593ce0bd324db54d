/* SPDX-License-Identifier: MIT */

/* What is read of a caller is what it is, and nothing where that is not certain. */

#include "other.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "smfs/caller.h"
#include "smfs/status.h"

#define MANY_GROUPS 4000

static void become_member_of_many(void)
{
	static gid_t groups[MANY_GROUPS];

	for (unsigned i = 0; i < MANY_GROUPS; i++)
		groups[i] = 1000000000 + i;
	if (setgroups(MANY_GROUPS, groups) || setresgid(GROUP, GROUP, GROUP) || setresuid(USER, USER, USER))
		_exit(1);
}

static void become_user_with_caps(void)
{
	if (prctl(PR_SET_KEEPCAPS, 1) || setgroups(0, NULL) || setresgid(GROUP, GROUP, GROUP) ||
	    setresuid(USER, USER, USER))
		_exit(1);
	set_capabilities(BIT(CAP_IPC_OWNER));
}

static void become_root_of_a_namespace(void)
{
	if (setgroups(0, NULL) || unshare(CLONE_NEWUSER))
		_exit(1);
	const int fd = open("/proc/self/uid_map", O_WRONLY);
	if (fd < 0 || write(fd, "0 0 1\n", 6) != 6)
		_exit(1);
	close(fd);
}

static void become_user_for_files(void)
{
	setfsgid(GROUP);
	setfsuid(USER);
}

static void take_an_awkward_name(void)
{
	become_user();
	prctl(PR_SET_NAME, "x\nUid:\t0\t0\t0\t0");
}

static void groups_are_read(void **state)
{
	const struct other o = other_start(become_user);
	struct caller c;

	assert_int_equal(caller_read(&c, USER, GROUP, o.pid), 0);
	assert_int_equal(c.uid, USER);
	assert_int_equal(c.gid, GROUP);
	assert_int_equal(c.tid, o.pid);
	assert_int_equal(c.caps, 0);
	assert_int_equal(c.ngroups, 3);
	assert_int_equal(caller_groups(&c)[0], 11);
	assert_int_equal(caller_groups(&c)[2], 13);
	caller_free(&c);
	other_end(o);
}

static void thousands_of_groups_are_read(void **state)
{
	const struct other o = other_start(become_member_of_many);
	struct caller c, copy;

	assert_int_equal(caller_read(&c, USER, GROUP, o.pid), 0);
	assert_int_equal(c.ngroups, MANY_GROUPS);
	assert_int_equal(caller_copy(&copy, &c), 0);
	caller_free(&c);
	assert_int_equal(copy.ngroups, MANY_GROUPS);
	for (unsigned i = 0; i < MANY_GROUPS; i++)
		assert_int_equal(caller_groups(&copy)[i], 1000000000 + i);
	assert_int_equal(caller_enter(&copy), 0);
	assert_int_equal(syscall(SYS_getgroups, 0, NULL), MANY_GROUPS);
	caller_leave();
	caller_free(&copy);
	other_end(o);
}

static void other_user_than_the_request_has_nothing(void **state)
{
	const struct other o = other_start(become_user);
	struct caller c;

	assert_int_equal(caller_read(&c, USER + 1, GROUP, o.pid), 0);
	assert_int_equal(c.ngroups, 0);
	assert_int_equal(c.uid, USER + 1);
	assert_int_equal(caller_read(&c, USER, GROUP + 1, o.pid), 0);
	assert_int_equal(c.ngroups, 0);
	assert_int_equal(c.gid, GROUP + 1);
	other_end(o);
	assert_int_equal(caller_read(&c, USER, GROUP, o.pid), 0);	/* gone */
	assert_int_equal(c.ngroups, 0);
	assert_int_equal(caller_read(&c, 0, 0, 0), 0);
	assert_int_equal(c.ngroups, 0);
	assert_int_equal(c.caps, 0);
}

static void name_of_a_command_is_not_a_field(void **state)
{
	const struct other o = other_start(take_an_awkward_name);
	struct caller c;

	assert_int_equal(caller_read(&c, 0, GROUP, o.pid), 0);
	assert_int_equal(c.ngroups, 0);
	assert_int_equal(c.caps, 0);
	assert_int_equal(caller_read(&c, USER, GROUP, o.pid), 0);
	assert_int_equal(c.ngroups, 3);
	other_end(o);
}

static void capabilities_are_roots_only(void **state)
{
	struct other o = other_start(become_root_with_few_caps);
	struct caller c;

	assert_int_equal(caller_read(&c, 0, 0, o.pid), 0);
	assert_int_equal(c.caps, BIT(CAP_IPC_OWNER) | BIT(CAP_CHOWN));
	other_end(o);
	o = other_start(become_user_with_caps);
	assert_int_equal(caller_read(&c, USER, GROUP, o.pid), 0);
	assert_int_equal(c.caps, 0);
	other_end(o);
	o = other_start(become_user_for_files);
	assert_int_equal(caller_read(&c, USER, GROUP, o.pid), 0);
	assert_int_equal(c.caps, 0);
	other_end(o);
}

static void root_of_another_user_namespace_has_none(void **state)
{
#ifdef __SANITIZE_THREAD__
	skip();		/* ThreadSanitizer makes a thread, and with threads there is no new user namespace */
#endif
	const struct other o = other_start(become_root_of_a_namespace);
	struct caller c;

	assert_int_equal(caller_read(&c, 0, 0, o.pid), 0);
	assert_int_equal(c.uid, 0);
	assert_int_equal(c.caps, 0);
	other_end(o);
}

static void text_that_is_not_whole_gives_nothing(void **state)
{
	static const char whole[] =
		"Name:\tx\nUid:\t1\t2\t3\t4711\nGid:\t1\t2\t3\t4712\nGroups:\t7 8 \n"
		"CapEff:\t00000000000000ff\n";

	for (size_t n = 0; n <= sizeof(whole) - 1; n++) {
		struct caller c = { .uid = USER, .gid = GROUP };
		char text[sizeof(whole)];

		memcpy(text, whole, n);
		text[n] = '\0';
		const bool all = n == sizeof(whole) - 1;
		assert_int_equal(status_parse(&c, text), all);
		assert_int_equal(c.ngroups, all ? 2 : 0);
		assert_int_equal(c.caps, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(groups_are_read),
		cmocka_unit_test(thousands_of_groups_are_read),
		cmocka_unit_test(other_user_than_the_request_has_nothing),
		cmocka_unit_test(name_of_a_command_is_not_a_field),
		cmocka_unit_test(capabilities_are_roots_only),
		cmocka_unit_test(root_of_another_user_namespace_has_none),
		cmocka_unit_test(text_that_is_not_whole_gives_nothing),
	};

	caller_start();
	if (geteuid() != 0 || !caller_takes_on_others())
		return unit_skip("not root: no other credentials to look at");
	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
