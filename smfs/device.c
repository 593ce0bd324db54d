/* SPDX-License-Identifier: MIT */
/*
 * libfuse complains on standard error of every failed call on /dev/fuse, and of two there is nothing to complain:
 *
 *   ECONNABORTED   reading: it was unmounted while a request was being handed over. ENODEV says the same.
 *   EFAULT         writing: a page of a segment went while the reply was copied from it. The kernel has answered the
 *                  request already, with EIO.
 *
 * And it answers ENOMEM where it has no memory for a request, which nobody reads where something is given back: the
 * kernel asks only once.
 */
#include "device.h"

#define FUSE_USE_VERSION 317
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static ssize_t device_read(int fd, void *buf, size_t size, void *unused)
{
	ssize_t n = read(fd, buf, size);

	if (n < 0 && errno == ECONNABORTED)
		errno = ENODEV;
	return n;
}

/* Of the request that this thread has: it gives something back; libfuse had no memory for it. */
static __thread bool gives_back, refused;

/* libfuse's own: what smfs gives back, it has given back, and answers 0. */
static bool is_refusal(const struct iovec *iov, int count)
{
	const struct fuse_out_header *out = iov->iov_base;

	return gives_back && count == 1 && iov->iov_len == sizeof(*out) && out->error == -ENOMEM;
}

static ssize_t device_writev(int fd, struct iovec *iov, int count, void *unused)
{
	if (is_refusal(iov, count)) {
		refused = true;
		return (ssize_t)iov->iov_len;
	}

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

	if (fd >= 0 && ioctl(fd, FUSE_DEV_IOC_CLONE, &of)) {
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

void device_process(struct fuse_session *se, const struct fuse_buf *request)
{
	const struct fuse_in_header *in = request->mem;
	const struct timespec pause = { .tv_nsec = 10000000 };

	gives_back = in->opcode == FUSE_RELEASE || in->opcode == FUSE_RELEASEDIR || in->opcode == FUSE_FORGET ||
		     in->opcode == FUSE_BATCH_FORGET;
	for (;;) {
		refused = false;
		fuse_session_process_buf(se, request);
		if (!refused)
			break;
		nanosleep(&pause, NULL);
	}
	gives_back = false;
}
