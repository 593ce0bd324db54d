/* SPDX-License-Identifier: MIT */
/*
 * A daemon that was killed leaves its mount behind, and every access to it fails with ENOTCONN: nothing is lost, but
 * nobody can mount there until it is taken away.
 */
#include "mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "smfs: %s: %s\n", what, why);
	return -1;
}

static int unmount_as_user(const char *path)
{
	char *argv[] = { "fusermount3", "-u", "-z", "-q", "--", (char *)path, NULL };
	pid_t pid;
	int status, err = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);

	if (err)
		return -err;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

static int clear_dead(const char *path)
{
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || unmount_as_user(path) == 0)
		return 0;
	return complain(path, "a dead mount is in the way and could not be removed: try fusermount3 -u on it");
}

int mountpoint_prepare(const char *path)
{
	struct stat st;

	if (stat(path, &st) && errno == ENOTCONN && clear_dead(path))
		return -1;
	if (stat(path, &st))
		return complain(path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return complain(path, "is not a directory; MOUNTPOINT must be one");
	return 0;
}

int mountpoint_check_device(void)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		return complain("/dev/fuse", "the kernel has no FUSE here: try modprobe fuse, as root");
	if (errno == EACCES || errno == EPERM)
		return complain("/dev/fuse", "may not be opened by this user: try chmod 666 /dev/fuse, as root");
	return complain("/dev/fuse", strerror(errno));
}

dev_t mountpoint_device(const char *path)
{
	struct statx st;

	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0, &st))
		return 0;
	return makedev(st.stx_dev_major, st.stx_dev_minor);
}
