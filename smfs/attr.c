/* SPDX-License-Identifier: MIT */
/*
 * st_ino of a segment file is its shmid, as in /proc/PID/maps, so every other number lies above 2^32. Directories
 * have no number of their own in System V; theirs is a hash of their path in the upper half, stable over remounts.
 */
#include "attr.h"

#include <stdio.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 512u

enum {
	RANGE_REFCOUNT = 1,
	RANGE_INFO,
	RANGE_ID_INFO,
	RANGE_LINK,
	RANGE_STAGED,
};

static uint64_t in_range(uint64_t range, uint32_t low)
{
	return range << 32 | low;
}

uint64_t attr_ino_refcount(int counter_id)
{
	return in_range(RANGE_REFCOUNT, (uint32_t)counter_id);
}

uint64_t attr_ino_info(int id, bool by_id)
{
	return in_range(by_id ? RANGE_ID_INFO : RANGE_INFO, (uint32_t)id);
}

uint64_t attr_ino_link(key_t key)
{
	return in_range(RANGE_LINK, (uint32_t)key);
}

uint64_t attr_ino_staged(uint64_t serial)
{
	return in_range(RANGE_STAGED, (uint32_t)serial);
}

uint64_t attr_ino_directory(const char *path)
{
	uint64_t h = 0xcbf29ce484222325;	/* FNV-1a, 64 bits */

	for (; *path; path++)
		h = (h ^ (unsigned char)*path) * 0x100000001b3;
	return h | UINT64_C(1) << 63;
}

void attr_segment(const struct sm_segment *seg, uint64_t resident, struct stat *out)
{
	attr_beside(seg, (uint32_t)seg->id, S_IFREG | seg->mode, seg->size, out);
	out->st_blocks = (blkcnt_t)(resident / BLOCK);
	if (seg->removed)
		out->st_nlink = 0;
}

void attr_beside(const struct sm_segment *seg, uint64_t ino, mode_t mode, uint64_t size, struct stat *out)
{
	memset(out, 0, sizeof(*out));
	out->st_ino = ino;
	out->st_mode = mode;
	out->st_nlink = 1;
	out->st_uid = seg->uid;
	out->st_gid = seg->gid;
	out->st_size = (off_t)size;
	out->st_blksize = 1 << 20;	/* one request */
	out->st_atim.tv_sec = seg->atime;
	out->st_mtim.tv_sec = seg->dtime > seg->ctime ? seg->dtime : seg->ctime;
	out->st_ctim.tv_sec = seg->ctime;
}

void attr_directory(const struct stat *real, const char *path, struct stat *out)
{
	memset(out, 0, sizeof(*out));
	out->st_ino = attr_ino_directory(path);
	/*
	 * Without the sticky bit: with it fs.protected_regular makes the kernel refuse an open with O_CREAT of
	 * somebody else's object, which shmat(2) would allow.
	 */
	out->st_mode = S_IFDIR | (real->st_mode & 0777);
	out->st_nlink = 2;
	out->st_uid = real->st_uid;
	out->st_gid = real->st_gid;
	out->st_atim = real->st_atim;
	out->st_mtim = real->st_mtim;
	out->st_ctim = real->st_ctim;
}

static struct timespec first_seen;

static void see_first(void)
{
	clock_gettime(CLOCK_REALTIME, &first_seen);
}

void attr_own_directory(const char *path, struct stat *out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, see_first);
	memset(out, 0, sizeof(*out));
	out->st_ino = attr_ino_directory(path);
	out->st_mode = S_IFDIR | 0555;
	out->st_nlink = 2;
	out->st_uid = getuid();
	out->st_gid = getgid();
	/* a time that moves with the clock is to tar a directory that changes while it is read */
	out->st_atim = out->st_mtim = out->st_ctim = first_seen;
}

int attr_link_target(int id, char target[ATTR_TARGET_MAX])
{
	return snprintf(target, ATTR_TARGET_MAX, "../.id/%d", id);
}

void attr_link(const struct sm_segment *seg, struct stat *out)
{
	char target[ATTR_TARGET_MAX];

	attr_beside(seg, attr_ino_link(seg->key), S_IFLNK | 0777, (uint64_t)attr_link_target(seg->id, target), out);
}

void attr_statfs(const struct sm_limits *limits, uint64_t memory, struct statvfs *out)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), total = memory / page;

	memset(out, 0, sizeof(*out));
	if (limits->shmall < total)
		total = limits->shmall;
	out->f_bsize = out->f_frsize = page;
	out->f_blocks = total;
	out->f_bfree = out->f_bavail = limits->pages < total ? total - limits->pages : 0;
	out->f_files = limits->shmmni;
	out->f_ffree = out->f_favail = limits->used < limits->shmmni ? limits->shmmni - limits->used : 0;
	out->f_namemax = 255;
}
