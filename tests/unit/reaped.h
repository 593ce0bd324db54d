/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_REAPED_H
#define TESTS_UNIT_REAPED_H

/* One object, unit_key:R with 4096 bytes, which the tests of repairs and of freeing after them look at. */

#include "unit.h"

extern int data, counter;	/* of what make() made */

void make(void);
void remove_both(void);

/* The counter's int; -1000 if there is none. */
int value(void);

/* Another program, laid out as the class does it: attach, plain ++, then WHAT until unit_end(). */
pid_t old_holder(void (*what)(int *at));
void rest(int *at);

#endif
