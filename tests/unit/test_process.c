/* SPDX-License-Identifier: MIT */
/* Numbers of processes come round again: a name is told only of one that was there at the time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"

#define EARLIER 5	/* seconds: beyond what rounding hides */

static void our_own(void **state)
{
	char name[PROCESS_NAME_MAX];

	prctl(PR_SET_NAME, "a) b (c 1 2 3 4");	/* as long as a name can be, and hard to parse */
	assert_true(process_name(getpid(), time(NULL), name));
	assert_string_equal(name, "a) b (c 1 2 3 4");
}

static void one_that_began_later(void **state)
{
	char name[PROCESS_NAME_MAX];
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	assert_true(process_name(pid, time(NULL), name));
	assert_false(process_name(pid, time(NULL) - EARLIER, name));
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(process_name(pid, time(NULL), name));
}

static void nobody(void **state)
{
	char name[PROCESS_NAME_MAX];

	assert_false(process_name(0, time(NULL), name));
	assert_false(process_name(-1, time(NULL), name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_own), cmocka_unit_test(one_that_began_later), cmocka_unit_test(nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
