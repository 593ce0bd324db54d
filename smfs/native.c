/* SPDX-License-Identifier: MIT */
/*
 * shmat(2) has no descriptor to give, but the kernel shows every mapping of a process in /proc/self/map_files, and
 * opening such an entry opens the inode behind it. That inode is the segment: its number is the shmid and its size
 * exactly shm_segsz. (For hugetlb the entry's range is rounded to the huge page, so the open below finds nothing.)
 */
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/stat.h>
#include <unistd.h>

#include "share.h"

int native_descriptor(const void *at, const struct sm_segment *seg)
{
	uintptr_t start = (uintptr_t)at, page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t end = (start + seg->size + page - 1) & ~(page - 1);
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)start, (unsigned long)end);

	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? -EOPNOTSUPP : -errno;
	if (share_is_scarce(fd)) {
		close(fd);
		return -EMFILE;
	}
	if (fstat(fd, &st) || st.st_ino != (ino_t)(unsigned)seg->id) {
		close(fd);
		return -ESTALE;
	}
	if ((size_t)st.st_size != seg->size) {
		close(fd);
		return -EOPNOTSUPP;
	}
	if (flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK) {
		close(fd);
		return -ESTALE;	/* another mount's smfs is putting another segment in its place */
	}
	return fd;
}

bool native_is_alone(int fd)
{
	return flock(fd, LOCK_EX | LOCK_NB) == 0;
}

void native_unclaim(int fd)
{
	flock(fd, LOCK_UN);
}

/*
 * linux/fuse.h of Linux 6.9, which older headers lack. libfuse has the same in fuse_passthrough_open(), but only with a
 * request at hand, and the last user of a descriptor may be no request.
 */
struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};

#define BACKING_OPEN _IOW(229, 1, struct backing_map)
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

static int session_fd = -1;

int native_register(int fd)
{
	struct backing_map map = { .fd = fd };

	if (session_fd < 0)
		return -EOPNOTSUPP;

	int id = ioctl(session_fd, BACKING_OPEN, &map);

	if (id > 0)
		return id;
	return id == 0 || errno == ENOTTY || errno == EINVAL || errno == ELOOP ? -EOPNOTSUPP : -errno;
}

void native_unregister(int backing_id)
{
	uint32_t id = (uint32_t)backing_id;

	ioctl(session_fd, BACKING_CLOSE, &id);
}

static int try_once(int id, const void *at)
{
	struct sm_segment seg;
	int err = sm_segment_stat(id, &seg);
	int fd = err ? err : native_descriptor(at, &seg);

	if (fd < 0)
		return fd;

	int backing = native_register(fd);

	close(fd);
	if (backing < 0)
		return backing;
	native_unregister(backing);
	return 0;
}

int native_start(int fuse_fd)
{
	void *at;
	int id = sm_segment_create(IPC_PRIVATE, 1, 0600);
	int err = id < 0 ? id : sm_segment_attach(id, false, &at);

	session_fd = fuse_fd;
	if (!err) {
		err = try_once(id, at);
		sm_segment_detach(at);
	}
	if (id >= 0)
		sm_segment_remove(id);
	if (err)
		session_fd = -1;
	return err;
}
