/* SPDX-License-Identifier: MIT */
#ifndef SMFS_LOG_H
#define SMFS_LOG_H

#include <stdarg.h>
#include <stdbool.h>

/*
 * One line for each thing that an operator would act on: on standard error, or in the background to the system's log, which
 * nothing here ever waits for.
 */

void log_to_syslog(void);

/* PRIORITY is one of syslog(3)'s. Thread-safe; FORMAT without a newline. Control characters come out as "?". */
void log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_vline(int priority, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

/*
 * The same for what one user can bring about again and again: of each user UID, at most LINES lines about WHAT (a literal, in the
 * plural) in ten seconds. What is left out is counted, and told when they are over, by the next call of either function.
 */
#define LOG_NOBODY ((unsigned)-1)	/* no user's doing */
void log_limited(const char *what, unsigned lines, unsigned uid, int priority, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
void log_left_out(void);

#endif
