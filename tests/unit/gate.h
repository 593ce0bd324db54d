/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_GATE_H
#define TESTS_UNIT_GATE_H

/* What unit tests share: cmocka with what it needs, and the gate for those that need a privilege. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define UNIT_SKIPPED 77		/* for meson */
#define UNIT_LEFT_OUT(test, why) (printf("left out %s: %s\n", test, why), 0)	/* tools/check counts them */

/* The exit status of a test that cannot run here; a failure where all tests must run. */
static inline int unit_skip(const char *why)
{
	fprintf(stderr, "skipped: %s\n", why);
	return getenv("SMFS_TESTS_MUST_RUN") ? 1 : UNIT_SKIPPED;
}

#endif
