/* SPDX-License-Identifier: MIT */
#ifndef SMFS_MONITOR_H
#define SMFS_MONITOR_H

/*
 * The monitor of -o reap: takes off the references of dead holders and frees what the last of them left, looking every
 * SECONDS. Runs in a thread of its own for the life of the process, with the process' credentials; one log line for each
 * repair. Errors: those of pthread_create(3).
 */
int monitor_start(unsigned seconds);

#endif
