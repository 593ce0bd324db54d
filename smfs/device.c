/* SPDX-License-Identifier: MIT */
/*
 * libfuse complains on standard error of every failed call on /dev/fuse, and of two there is nothing to complain:
 *
 *   ECONNABORTED   reading: it was unmounted while a request was being handed over. ENODEV says the same.
 *   EFAULT         writing: a page of a segment went while the reply was copied from it. The kernel has answered the
 *                  request already, with EIO.
 */
#include "device.h"

#define FUSE_USE_VERSION 317
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#define CLONE _IOR(229, 0, uint32_t)	/* FUSE_DEV_IOC_CLONE of linux/fuse.h */

static ssize_t device_read(int fd, void *buf, size_t size, void *unused)
{
	ssize_t n = read(fd, buf, size);

	if (n < 0 && errno == ECONNABORTED)
		errno = ENODEV;
	return n;
}

static ssize_t device_writev(int fd, struct iovec *iov, int count, void *unused)
{
	ssize_t n = writev(fd, iov, count);

	if (n < 0 && errno == EFAULT) {
		n = 0;
		for (int i = 0; i < count; i++)
			n += (ssize_t)iov[i].iov_len;
	}
	return n;
}

static int device_clone(int master)
{
	uint32_t of = (uint32_t)master;
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd >= 0 && ioctl(fd, CLONE, &of)) {
		close(fd);
		return -1;
	}
	return fd;
}

int device_start(struct fuse_session *se)
{
	static const struct fuse_custom_io io = {
		.read = device_read, .writev = device_writev, .clone_fd = device_clone,
	};

	return fuse_session_custom_io(se, &io, sizeof(io), fuse_session_fd(se));
}
