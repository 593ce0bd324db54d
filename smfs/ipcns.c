/* SPDX-License-Identifier: MIT */
/* setns(2) is for one thread and those that it makes afterwards, hence before the first. Our callers stay where they are. */
#include "ipcns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

#define PATH_LENGTH 64	/* of a path in /proc; a number that does not fit is no process' */

static int complain(const char *where, const char *why)
{
	fprintf(stderr, "smfs: -o ipcns=%s: %s\n", where, why);
	return -1;
}

static int complain_errno(const char *where, int err)
{
	if (err == EACCES || err == EPERM)
		return complain(where, "may not be entered by this user: it needs root (CAP_SYS_ADMIN and CAP_SYS_PTRACE)");
	if (err == ENOENT && ipcns_is_process(where))
		return complain(where, "there is no such process");
	return complain(where, strerror(err));
}

bool ipcns_is_process(const char *where)
{
	return *where && where[strspn(where, "0123456789")] == '\0';
}

int ipcns_keydir_open(const char *where, const char *keydir, struct keydir *out)
{
	char path[PATH_LENGTH];

	if (!ipcns_is_process(where))
		return keydir_open(out, keydir);
	snprintf(path, sizeof(path), "/proc/%.30s/root", where);

	AUTO_CLOSE int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/%.30s/mountinfo", where);
	return keydir_open_in(out, root, path, keydir);
}

int ipcns_enter(const char *where)
{
	char path[PATH_LENGTH];

	snprintf(path, sizeof(path), "/proc/%.30s/ns/ipc", where);

	AUTO_CLOSE int fd = open(ipcns_is_process(where) ? path : where, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return complain_errno(where, errno);
	if (setns(fd, CLONE_NEWIPC) == 0)
		return 0;
	if (errno == EINVAL)
		return complain(where, "is no IPC namespace: write the number of a process, or a file like /proc/PID/ns/ipc");
	return complain_errno(where, errno);
}
