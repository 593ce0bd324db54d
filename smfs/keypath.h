/* SPDX-License-Identifier: MIT */
#ifndef SMFS_KEYPATH_H
#define SMFS_KEYPATH_H

/*
 * Key paths: from a path under KEYDIR to a descriptor, without ever entering an smfs mount and with the
 * credentials in force in the calling thread, which has entered the caller before (caller.h).
 *
 * Nothing here opens a key file: descriptors are O_PATH. Any of it may hang where a file system does not
 * answer, so it belongs on a pool thread (pool.h). All functions are thread-safe once keydir_open() is done.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct mounts;

/* A directory on the way, or the result; both descriptors and mounts are known by their mount's id. */
struct keypath {
	int fd;			/* O_PATH; -1: none */
	uint64_t mount;		/* id of the mount it is in */
	int mount_flags;	/* mounts.h */
	struct stat st;
	char *path;		/* KEYPATH_REALPATH: absolute, without links, from the root; else NULL */
};

#define KEYPATH_NONE { .fd = -1 }

struct keydir {
	struct keypath root;	/* where absolute links start and ".." ends */
	struct keypath dir;	/* KEYDIR; dir.path is its real path */
	int *above;		/* O_PATH, the directories above KEYDIR, up to the root */
	unsigned nabove;
	bool protected_symlinks;	/* fs.protected_symlinks at start */
	struct mounts *mounts;
};

/*
 * Open PATH (absolute, or relative to the working directory) as KEYDIR, with "/" as the root. It stays this
 * directory whatever is mounted over it later. Errors: those of open(2); ENOTDIR; EINVAL (it lies in an smfs
 * mount); ENOMEM. OUT is safe to close after an error too.
 */
int keydir_open(struct keydir *out, const char *path);

/*
 * The same in another root: ROOT_FD is a descriptor of it (borrowed), MOUNTINFO the mountinfo file of a
 * process there ("/proc/PID/mountinfo", read through a descriptor opened now). PATH is absolute in that
 * root.
 */
int keydir_open_in(struct keydir *out, int root_fd, const char *mountinfo, const char *path);

void keydir_close(struct keydir *dir);

enum keypath_flags {
	KEYPATH_DIRECTORY = 1,	/* the last component must be a directory: ENOTDIR */
	KEYPATH_REALPATH = 2,	/* fill out->path */
	KEYPATH_CACHED = 4,	/* ask no file system, and never wait: EAGAIN where the kernel's caches cannot tell */
	/*
	 * A stranger wrote it: EREMOTE where it leaves its start's mount for a FUSE one, whose server may be his, or for
	 * one in which a thread hangs (walk_give_up()).
	 */
	KEYPATH_HINT = 8,
};

#define KEYPATH_HINT_STEPS 2048	/* components of one hint, links' included: half of PATH_MAX, a path's without links */

/*
 * Resolve PATH, relative to KEYDIR; "" is KEYDIR itself. Symbolic links are followed as the calling thread
 * may follow them, the last one too. Close OUT with keypath_close(); it is safe to close after an error.
 * Errors: ENOENT (nothing there, or in an smfs mount, or PATH has an empty, "." or ".." component, or KEYDIR
 * is gone); EACCES (a directory that the thread may not search, those above KEYDIR included); ENOTDIR;
 * ELOOP (too many links, or a hint that is too long); ENAMETOOLONG; ENOMEM, EMFILE; ETIMEDOUT (the calling
 * thread's pool job has expired); those of the file systems on the way.
 */
int keypath_resolve(const struct keydir *root, const char *path, unsigned flags, struct keypath *out);

/* The same for PATH from DIR, a directory resolved before; "" is DIR itself. */
int keypath_at(const struct keydir *root, const struct keypath *dir, const char *path, unsigned flags,
	       struct keypath *out);

/* The same for PATH from DIR as a hint of at most *STEPS components; *STEPS becomes how many are left. */
int keypath_at_hint(const struct keydir *root, const struct keypath *dir, const char *path, unsigned *steps,
		    struct keypath *out);

/*
 * A descriptor of the directory KP to read its entries from (getdents, fdopendir); the thread must have read
 * permission. Errors: ENOTDIR, EACCES, those of open(2).
 */
int keypath_open_directory(const struct keypath *kp);

/* ABSOLUTE as seen from the directory whose real path is DIR: "" for itself, NULL if it is not below. Pure. */
const char *keypath_below(const char *dir, const char *absolute);

/* A copy with a descriptor of its own, without the path. Errors: EMFILE. */
int keypath_copy(struct keypath *out, const struct keypath *kp);

void keypath_close(struct keypath *kp);

#endif
