/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_TREE_H
#define TESTS_UNIT_TREE_H

/*
 * What the tests of key paths share: a tmpfs of its own for each test, opened as KEYDIR and the working
 * directory, in a private mount namespace; and FUSE mounts that nobody serves, so that one request to them
 * hangs.
 */

#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gate.h"
#include "smfs/keypath.h"

#define NOBODY 65534
#define STRANGER 4711

extern char base[];
extern struct keydir keydir;

void make_file(const char *path);
void make_dir(const char *path, mode_t mode);
void make_link(const char *text, const char *path);

/* A FUSE mount of TYPE that USER made and nobody serves. Its descriptor: closing it ends it. */
int mount_fuse(const char *type, const char *path, uid_t user);
void unmount(const char *path);

/* 0 or the errno of resolving PATH. */
int try(const char *path, unsigned flags);

/* The same in a child with other credentials, which must be done in two seconds; -1 if it was not. */
int try_as(uid_t uid, const char *path, unsigned flags);
int try_root(const char *path);

/* PATH leads to RELATIVE under the base. */
void assert_real_path(const char *path, const char *relative);

int tree_setup(void **state);
int tree_teardown(void **state);

/* The namespace for all tests of a program: 0, or what main is to exit with. */
int tree_start(void);
void tree_end(void);

#define TEST(f) cmocka_unit_test_setup_teardown(f, tree_setup, tree_teardown)

#define TREE_MAIN(tests) \
	int main(void) \
	{ \
		int status = tree_start(); \
		if (status == 0) { \
			status = cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0; \
			tree_end(); \
		} \
		return status; \
	}

#endif
