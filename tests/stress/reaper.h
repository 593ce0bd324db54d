/* SPDX-License-Identifier: MIT */
#ifndef STRESS_REAPER_H
#define STRESS_REAPER_H

#include <sys/types.h>

/* A process that repairs and frees every object without a pause, until it is killed. */
pid_t reaper_start(void);

#endif
