/* SPDX-License-Identifier: MIT */
#ifndef SMFS_PROCESS_H
#define SMFS_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#define PROCESS_NAME_MAX 16	/* of a command, its NUL included */

/*
 * The command name of process PID if it lives and is the one that did something at WHEN, by the wall clock: a process that
 * began later has only been given the same number. Callable from any thread; as the caller, where /proc hides others.
 */
bool process_name(pid_t pid, time_t when, char name[PROCESS_NAME_MAX]);

#endif
