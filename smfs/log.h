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

/* The same, at most once in ten seconds for each *LAST (a static long, 0 at first). */
void log_limited(long *last, int priority, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
