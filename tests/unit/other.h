/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_OTHER_H
#define TESTS_UNIT_OTHER_H

/* Processes to look at, with credentials of their own. */

#include <linux/capability.h>
#include <sys/types.h>

#include "gate.h"

#define BIT(cap) (UINT64_C(1) << (cap))
#define USER 4711
#define GROUP 4712

struct other {
	pid_t pid;
	int ends;	/* it ends with us, at the latest */
};

/* A child that has become something by PREPARE and then stays. */
struct other other_start(void (*prepare)(void));
void other_end(struct other o);

/* Make CAPS the effective and permitted capabilities of this thread, or exit. */
void set_capabilities(uint64_t caps);

/*
 * For other_start(): USER and GROUP, in the groups 11, 12 and 13, with other real and saved ids; root with
 * few capabilities.
 */
void become_user(void);
void become_root_with_few_caps(void);

#endif
