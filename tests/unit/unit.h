/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

/*
 * What every unit test has: an IPC namespace of its own, a key file, and after each test a look that no
 * segment was left and none is still attached.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <sys/types.h>

#include <cmocka.h>

#include <libsm/private.h>

#include "fault.h"

/* An existing file, made for this process. */
extern char unit_key[64];

int unit_setup(void **state);
int unit_teardown(void **state);

/* The main function: 0, 1, or 77 where private namespaces are not to be had (1 if SMFS_TESTS_MUST_RUN is set). */
int unit_namespace(void);
void unit_remove_key(void);

#define UNIT(test) cmocka_unit_test_setup_teardown(test, unit_setup, unit_teardown)

#define UNIT_MAIN(tests) \
	int main(void) \
	{ \
		int r = unit_namespace(); \
		if (r == 0) \
			r = unit_result(cmocka_run_group_tests(tests, NULL, NULL)); \
		unit_remove_key(); \
		return r; \
	}

/* Leave the running test out under this tool (SMFS_TOOL); tools/check counts those, and says WHY. */
#define UNIT_NOT_UNDER(tool, why) \
	do { \
		if (unit_is_under(tool)) { \
			printf("left out %s: %s\n", __func__, why); \
			return; \
		} \
	} while (0)
bool unit_is_under(const char *tool);

/* Leave the running test, which finds nothing here to run on: the program ends with 77. It fails if SMFS_TESTS_MUST_RUN is set. */
void unit_skip(const char *why);
int unit_result(int failed);

/* The keys of unit_key:P, and how many segments there are. */
key_t unit_data_key(char p);
key_t unit_counter_key(char p);
int unit_segments(void);

/* Write the word of a counter, as a stranger would. */
void unit_put_word(int counter_id, int counter, uint32_t seq);

/* A child that runs FN(ARG), once that has called unit_ready(), to which the test's end puts an end. It ends with 0 after FN. */
pid_t unit_start(void (*fn)(void *), void *arg);
void unit_ready(void);
/* Kill it and wait for it. */
void unit_end(pid_t pid);

/* Run FN(ARG) in a child and return its exit status; SIGKILL and the like are -1. */
int unit_in_child(int (*fn)(void *), void *arg);

/*
 * The inode behind the segment that has MAPPED bytes at AT gets another size than the segment, as whoever may open
 * /proc/PID/map_files can give it.
 */
void unit_change_inode(const void *at, size_t mapped, off_t size);

/* Become this user and group for good, with no capabilities; only in children. */
void unit_become(unsigned uid, unsigned gid);

#endif
