/* SPDX-License-Identifier: MIT */
#ifndef SMFS_NOTIFY_H
#define SMFS_NOTIFY_H

/*
 * Tell STATE ("READY=1", "STOPPING=1") to the service manager that started this process, as sd_notify(3) does. Nothing
 * happens where there is none ($NOTIFY_SOCKET is not set), and what cannot be sent is only logged.
 */
void notify_send(const char *state);

#endif
