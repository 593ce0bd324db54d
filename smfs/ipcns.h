/* SPDX-License-Identifier: MIT */
#ifndef SMFS_IPCNS_H
#define SMFS_IPCNS_H

#include <stdbool.h>

#include "keypath.h"

/* Another IPC namespace: WHERE is the number of a process in it, or a file that stands for it (/proc/PID/ns/ipc). */

bool ipcns_is_process(const char *where);

/*
 * KEYDIR in the root of that process, where it must be absolute; in our own if WHERE is a file. Errors: those of
 * keydir_open().
 */
int ipcns_keydir_open(const char *where, const char *keydir, struct keydir *out);

/* Move this process there, before its first thread: 0, or -1 after a line on standard error that says what is wrong. */
int ipcns_enter(const char *where);

#endif
