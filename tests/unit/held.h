/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_HELD_H
#define TESTS_UNIT_HELD_H

/* One object, unit_key:H with 4096 bytes, which the tests of joining and of leaving hold. */

#include "unit.h"

#include <sys/types.h>

void make(void);		/* what is missing of it */
void remove_both(void);
int data_id(void);
int counter_id(void);

/* The counter's int; -1000 if there is none. */
int value(void);
unsigned long nattch(int id);

/* Where H stands is known to the library until it leaves. */
void join(struct hold *h);

/* Another process that has the counter attached, for MS milliseconds. */
pid_t attach_elsewhere(int ms);

#endif
