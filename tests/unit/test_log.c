/* SPDX-License-Identifier: MIT */

/* How often a user is told of. The clock is the test's. */

#include "smfs/log.h"

#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "gate.h"

static long seconds;

int __wrap_clock_gettime(clockid_t clock, struct timespec *t);

int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
	*t = (struct timespec){ .tv_sec = seconds };
	return 0;
}

static FILE *caught;
static int kept;

/* Each test begins when all that was told before is forgotten. */
static int catch_lines(void **state)
{
	seconds += 1000;
	log_left_out();
	fflush(stderr);
	caught = tmpfile();
	kept = dup(STDERR_FILENO);
	return caught && kept >= 0 && dup2(fileno(caught), STDERR_FILENO) >= 0 ? 0 : -1;
}

static int let_go(void **state)
{
	dup2(kept, STDERR_FILENO);
	close(kept);
	fclose(caught);
	return 0;
}

/* What was written since the last call. */
static const char *lines(void)
{
	static char text[1 << 16];
	ssize_t n = pread(fileno(caught), text, sizeof(text) - 1, 0);

	text[n < 0 ? 0 : n] = '\0';
	assert_int_equal(ftruncate(fileno(caught), 0), 0);
	lseek(fileno(caught), 0, SEEK_SET);
	return text;
}

static unsigned count(const char *text)
{
	unsigned n = 0;

	for (; (text = strchr(text, '\n')); text++)
		n++;
	return n;
}

static void say(unsigned uid)
{
	log_limited("open files", 1, uid, LOG_WARNING, "user %u", uid);
}

static void each_users_first_line_is_there(void **state)
{
	for (int i = 0; i < 3; i++) {
		say(3000);
		say(3001);
		say(3002);
	}
	assert_string_equal(lines(), "smfs: user 3000\nsmfs: user 3001\nsmfs: user 3002\n");
}

static void the_next_says_how_many_were_left_out(void **state)
{
	for (int i = 0; i < 8; i++)
		say(3000);
	say(3001);
	seconds += 9;
	say(3000);
	assert_string_equal(lines(), "smfs: user 3000\nsmfs: user 3001\n");
	seconds += 1;
	say(3000);
	assert_string_equal(lines(), "smfs: 8 more lines about open files of user 3000 left out\nsmfs: user 3000\n");
	/* and not again */
	seconds += 10;
	say(3000);
	assert_string_equal(lines(), "smfs: user 3000\n");
}

static void each_message_has_its_own_limit(void **state)
{
	say(3000);
	for (int i = 0; i < 5; i++)
		log_limited("repairs", 3, 3000, LOG_NOTICE, "repair %d", i);
	assert_string_equal(lines(), "smfs: user 3000\nsmfs: repair 0\nsmfs: repair 1\nsmfs: repair 2\n");
}

static void it_is_told_without_another_line(void **state)
{
	for (int i = 0; i < 3; i++)
		log_limited("memory", 1, LOG_NOBODY, LOG_WARNING, "memory is short");
	log_left_out();
	assert_string_equal(lines(), "smfs: memory is short\n");
	seconds += 10;
	log_left_out();
	assert_string_equal(lines(), "smfs: 2 more lines about memory left out\n");
	log_left_out();
	assert_string_equal(lines(), "");
}

/* As many users as one can have by subuid(5): neither memory nor lines grow. */
static void many_users_are_no_flood(void **state)
{
	const char *text;

	for (unsigned uid = 10000; uid < 12000; uid++)
		say(uid);
	text = lines();
	assert_int_equal(count(text), 64);
	assert_null(strstr(text, "user 10064\n"));
	seconds += 10;
	say(1);
	assert_string_equal(lines(), "smfs: 1936 more lines about other users left out\nsmfs: user 1\n");
}

#define CAUGHT(test) cmocka_unit_test_setup_teardown(test, catch_lines, let_go)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CAUGHT(each_users_first_line_is_there),
		CAUGHT(the_next_says_how_many_were_left_out),
		CAUGHT(each_message_has_its_own_limit),
		CAUGHT(it_is_told_without_another_line),
		CAUGHT(many_users_are_no_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
