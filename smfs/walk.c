/* SPDX-License-Identifier: MIT */

/*
 * A daemon that looks up a name in its own mount waits for itself, in a state that not even SIGKILL ends.
 * The kernel can be told to cross no mount at all (openat2), but not to cross all but some. So this takes
 * one component at a time: O_PATH | O_NOFOLLOW opens the root of a mount without a request to its file
 * system, statx with AT_STATX_DONT_SYNC tells the mount's id without one either, and nothing is looked up
 * beneath before the id is known to be harmless. The descriptor holds the mount, so the answer stays true.
 *
 * Links are read and followed here, for the same reason. Those in /proc that jump (fd/N, cwd, root, exe) are
 * followed by their text like any other: a jump could lead anywhere.
 */

#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"
#include "mounts.h"
#include "pool.h"

#define LINKS 40	/* as the kernel */

/* That a hint has led a thread into another mount than it started in; on that thread's stack. */
struct visit {
	uint64_t mount;
	pid_t thread;
	bool listed, hangs;
	LIST_ENTRY(visit) entry;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* of all visits; innermost */
static LIST_HEAD(, visit) visits = LIST_HEAD_INITIALIZER(visits);

struct walk {
	const struct keydir *root;
	uint64_t home;		/* the mount that the walk starts in */
	struct visit visit;
	struct keypath at;	/* a directory, until the last component */
	bool borrowed;		/* at.fd is root's or the start's */
	bool directory;		/* what the whole path has to lead to */
	bool cached;		/* ask no file system */
	bool hint;		/* enter no mount that might keep us waiting */
	unsigned links, steps;	/* followed; left */
	char *rest;		/* in text; what is still to be walked */
	char text[WALK_LONGEST];
};

static struct stat stat_from(const struct statx *stx)
{
	return (struct stat){
		.st_dev = makedev(stx->stx_dev_major, stx->stx_dev_minor),
		.st_ino = stx->stx_ino,
		.st_mode = stx->stx_mode,
		.st_nlink = stx->stx_nlink,
		.st_uid = stx->stx_uid,
		.st_gid = stx->stx_gid,
		.st_rdev = makedev(stx->stx_rdev_major, stx->stx_rdev_minor),
		.st_size = (off_t)stx->stx_size,
		.st_blksize = stx->stx_blksize,
		.st_blocks = (blkcnt_t)stx->stx_blocks,
		.st_atim = { stx->stx_atime.tv_sec, stx->stx_atime.tv_nsec },
		.st_mtim = { stx->stx_mtime.tv_sec, stx->stx_mtime.tv_nsec },
		.st_ctim = { stx->stx_ctime.tv_sec, stx->stx_ctime.tv_nsec },
	};
}

static int statx_fd(int fd, unsigned mask, struct statx *stx)
{
	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, mask, stx) == 0 ? 0 : -errno;
}

int walk_look(const struct keydir *root, const struct keypath *from, struct keypath *out)
{
	struct statx stx;
	int err = statx_fd(out->fd, STATX_BASIC_STATS | STATX_MNT_ID, &stx);
	const int denied = err == -EACCES ? err : 0;

	/*
	 * Another user's FUSE mount says no to everything but an empty question; the id comes with that,
	 * too.
	 */
	if (denied)
		err = statx_fd(out->fd, 0, &stx);
	if (err)
		return err;
	if (!(stx.stx_mask & STATX_MNT_ID))
		return -ENOSYS;
	out->st = stat_from(&stx);
	out->mount = stx.stx_mnt_id;
	if (from && from->mount == out->mount) {
		out->mount_flags = from->mount_flags;
		return denied;
	}
	const int flags = mounts_flags(root->mounts, out->mount);
	if (flags == -ENOENT || (flags >= 0 && flags & MOUNT_SMFS))
		return -EXDEV;
	if (flags < 0)
		return flags;
	out->mount_flags = flags;
	return denied;
}

/* ---- hints ---- */

static void end_visit(struct visit *v)
{
	LOCKED(&lock);

	LIST_REMOVE(v, entry);
	v->listed = false;
}

/* Before anything is looked up where W is: does a hint lead there? */
static int visit(struct walk *w)
{
	const bool abroad = w->hint && w->at.mount != w->home;
	struct visit *other;

	if (w->visit.listed && w->visit.mount != w->at.mount)
		end_visit(&w->visit);
	if (!abroad || w->visit.listed)
		return 0;

	LOCKED(&lock);

	LIST_FOREACH(other, &visits, entry)
		if (other->hangs && other->mount == w->at.mount)
			return -EREMOTE;
	w->visit = (struct visit){ .mount = w->at.mount, .thread = gettid(), .listed = true };
	LIST_INSERT_HEAD(&visits, &w->visit, entry);
	return 0;
}

bool walk_give_up(pid_t thread)
{
	struct visit *v;
	LOCKED(&lock);

	LIST_FOREACH(v, &visits, entry) {
		if (v->thread == thread) {
			v->hangs = true;
			return true;
		}
	}
	return false;
}

/* ---- steps ---- */

static void go_to(struct walk *w, const struct keypath *next, bool borrowed)
{
	if (!w->borrowed)
		close(w->at.fd);
	w->at = *next;
	w->at.path = NULL;
	w->borrowed = borrowed;
}

/* O_PATH and FLAGS. Of an older kernel nothing is had from its cache alone. */
static int open_path(int dir, const char *name, unsigned flags, bool cached)
{
	const struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC | flags, .resolve = cached ? RESOLVE_CACHED : 0,
	};

	if (!cached)
		return openat(dir, name, (int)how.flags);

	const int fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
	if (fd < 0 && (errno == ENOSYS || errno == EINVAL))
		errno = EAGAIN;
	return fd;
}

int walk_may_search(int dir, bool cached)
{
	if (!cached)
		return syscall(SYS_faccessat2, dir, "", X_OK, AT_EMPTY_PATH | AT_EACCESS) != 0 ? -errno : 0;

	const int fd = open_path(dir, ".", O_DIRECTORY, true);	/* looking up "." needs that right */
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* The next component, or NULL; what is left begins with its slash, if it had one. */
static char *next_component(struct walk *w, char *name)
{
	w->rest += strspn(w->rest, "/");

	const size_t n = strcspn(w->rest, "/");
	if (n == 0)
		return NULL;
	memcpy(name, w->rest, n);
	name[n] = '\0';
	w->rest += n;
	return name;
}

static bool is_same(const struct keypath *a, const struct keypath *b)
{
	return a->mount == b->mount && a->st.st_dev == b->st.st_dev && a->st.st_ino == b->st.st_ino;
}

static int go_up(struct walk *w)
{
	struct keypath next = KEYPATH_NONE;

	if (is_same(&w->at, &w->root->root))
		return 0;
	next.fd = open_path(w->at.fd, "..", O_DIRECTORY, w->cached);
	if (next.fd < 0)
		return -errno;
	const int err = walk_look(w->root, &w->at, &next);
	if (err) {
		close(next.fd);
		return err;
	}
	go_to(w, &next, false);
	return 0;
}

/*
 * A thread may look into its own process in /proc whatever its credentials are, so there a caller would be
 * shown what is the daemon's.
 */
static bool is_own_process(const struct keypath *dir, const char *name)
{
	const size_t digits = strspn(name, "0123456789");

	if (!(dir->mount_flags & MOUNT_PROC) || name[digits] || digits > 9)
		return false;
	return syscall(SYS_tgkill, getpid(), atoi(name), 0) == 0;
}

/* The entry NAME of the directory in which W is; a link is opened itself. */
static int open_entry(const struct walk *w, const char *name, bool directory, struct keypath *out)
{
	if (is_own_process(&w->at, name))
		return -ENOENT;
	/* O_DIRECTORY is what makes the kernel mount an automount point. A link is no directory. */
	out->fd = open_path(w->at.fd, name, directory ? O_DIRECTORY : 0, w->cached);
	if (out->fd < 0 && errno == ENOTDIR && directory)
		out->fd = open_path(w->at.fd, name, 0, w->cached);
	if (out->fd < 0)
		return -errno;
	const int err = walk_look(w->root, &w->at, out);
	return !err && w->hint && out->mount != w->at.mount && out->mount_flags & MOUNT_FUSE ? -EREMOTE : err;
}

/* fs.protected_symlinks: in /tmp and its like, only one's own links, and the directory owner's. */
static bool may_follow(const struct walk *w, const struct keypath *link)
{
	const mode_t shared = S_ISVTX | S_IWOTH;

	return !w->root->protected_symlinks || link->st.st_uid == geteuid() ||
	       (w->at.st.st_mode & shared) != shared || link->st.st_uid == w->at.st.st_uid;
}

/* Put the text of LINK before the rest of the path, and go where it starts. */
static int follow(struct walk *w, const struct keypath *link, bool last)
{
	char target[PATH_MAX];

	if (w->cached)
		return -EAGAIN;		/* its text may have to be fetched */
	if (++w->links > LINKS || link->mount_flags & MOUNT_NOSYMFOLLOW)
		return -ELOOP;
	if (last && !may_follow(w, link))
		return -EACCES;
	const ssize_t got = readlinkat(link->fd, "", target, sizeof(target));
	if (got < 0)
		return -errno;
	const size_t n = (size_t)got, rest = strlen(w->rest);
	if (n == 0)
		return -ENOENT;
	if (n + rest >= sizeof(w->text))
		return -ENAMETOOLONG;
	/* The rest is empty or begins with a slash. */
	memmove(w->text + n, w->rest, rest + 1);
	memcpy(w->text, target, n);
	w->rest = w->text;
	if (target[0] == '/')
		go_to(w, &w->root->root, true);
	return 0;
}

static int step(struct walk *w, const char *name)
{
	const bool last = w->rest[strspn(w->rest, "/")] == '\0';
	const bool directory = !last || *w->rest || w->directory;
	struct keypath next = KEYPATH_NONE;
	int err = open_entry(w, name, directory, &next);

	if (!err && S_ISLNK(next.st.st_mode))
		err = follow(w, &next, last);
	else if (!err && directory && !S_ISDIR(next.st.st_mode))
		err = -ENOTDIR;
	else if (!err) {
		go_to(w, &next, false);
		return 0;
	}
	if (next.fd >= 0)
		close(next.fd);
	return err;
}

static int walk_all(struct walk *w)
{
	char name[WALK_LONGEST];
	int err = 0;

	while (!err && next_component(w, name)) {
		if (pool_is_expired())
			return -ETIMEDOUT;	/* its caller has that already; the way may be 40 times 4 KiB long */
		if (w->steps == 0)
			return -ELOOP;
		w->steps--;
		err = visit(w);
		if (err)
			break;
		if (strcmp(name, "..") == 0)
			err = go_up(w);
		else if (strcmp(name, ".") != 0)
			err = step(w, name);
	}
	return err;
}

int walk_path(const struct keydir *root, const struct keypath *start, const char *path, unsigned flags,
	      unsigned *steps, struct keypath *out)
{
	struct walk w;
	const size_t n = strlen(path);
	int err;

	w.root = root;
	w.home = start->mount;
	w.visit.listed = false;
	w.at = *start;
	w.borrowed = true;
	w.directory = flags & KEYPATH_DIRECTORY;
	w.cached = flags & KEYPATH_CACHED;
	w.hint = flags & KEYPATH_HINT;
	w.links = 0;
	w.steps = steps ? *steps : w.hint ? KEYPATH_HINT_STEPS : UINT_MAX;
	w.rest = w.text;
	if (n >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(w.text, path, n + 1);
	err = walk_all(&w);
	if (steps)
		*steps = w.steps;
	if (w.visit.listed)
		end_visit(&w.visit);
	if (!err && w.borrowed) {
		/* Still where it started; what was known of that may be old. */
		w.at.fd = fcntl(w.at.fd, F_DUPFD_CLOEXEC, 0);
		err = w.at.fd < 0 ? -errno : walk_look(root, start, &w.at);
		w.borrowed = w.at.fd < 0;
	}
	if (err) {
		if (!w.borrowed)
			close(w.at.fd);
		return err;
	}
	*out = w.at;
	out->path = NULL;
	return 0;
}
