/* SPDX-License-Identifier: MIT */

/*
 * KEYDIR is kept as a descriptor, so that what is mounted over it or above it later does not matter, least
 * of all our own mount. That would also let a caller in who could not have walked to it from the root. So
 * the directories above it are kept too, and each caller must be allowed to search them.
 */

#include "keypath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "mounts.h"
#include "walk.h"

#define DEEPEST 256	/* directories above KEYDIR */

static const char deleted[] = " (deleted)";

static bool ends_in(const char *text, const char *tail)
{
	const size_t n = strlen(text), m = strlen(tail);

	return n > m && strcmp(text + n - m, tail) == 0;
}

/*
 * The kernel marks the path of a removed file, and a file may really be called so; then that name leads to
 * it. The number of links alone says nothing: it may have others, and some file systems never tell.
 */
static int check_deleted(const struct keydir *root, const struct keypath *kp, const char *text, unsigned flags)
{
	struct keypath other = KEYPATH_NONE;
	int err;

	if (!ends_in(text, deleted))
		return 0;
	if (kp->st.st_nlink == 0)
		return -ENOENT;
	err = walk_path(root, &root->root, text, flags & (KEYPATH_HINT | KEYPATH_CACHED), NULL, &other);
	if (err)
		return err == -EAGAIN && flags & KEYPATH_CACHED ? err : -ENOENT;
	keypath_close(&other);
	return other.st.st_dev != kp->st.st_dev || other.st.st_ino != kp->st.st_ino ? -ENOENT : 0;
}

/*
 * The path of KP as seen from the root; the kernel's text begins with the root's own. The kernel puts it together from names
 * that it has, and asks no file system.
 */
static int real_path(const struct keydir *root, const struct keypath *kp, unsigned flags, char **out)
{
	char link[40], text[PATH_MAX + 1];
	const size_t above = root->root.path && root->root.path[1] ? strlen(root->root.path) : 0;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", kp->fd);
	const ssize_t n = readlink(link, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	if (text[0] != '/')
		return -ENOENT;
	const char *path = text;
	if (above && strncmp(text, root->root.path, above) == 0 && strchr("/", text[above]))
		path = text[above] ? text + above : "/";
	const int err = check_deleted(root, kp, path, flags);
	if (err)
		return err;
	*out = strdup(path);
	return *out ? 0 : -ENOMEM;
}

/* What walk_path() gave, with the rest that the caller asked for. */
static int complete(const struct keydir *root, unsigned flags, struct keypath *out)
{
	/* A name leads to what exists, but nobody looked up the name of the start. */
	const bool doubtful = S_ISDIR(out->st.st_mode) && out->st.st_nlink == 0;
	AUTO_FREE char *path = NULL;

	if (!(flags & KEYPATH_REALPATH) && !doubtful)
		return 0;
	const int err = real_path(root, out, flags, &path);
	if (!err && flags & KEYPATH_REALPATH) {
		out->path = path;
		path = NULL;
	}
	return err;
}

static int walk_complete(const struct keydir *root, const struct keypath *start, const char *path,
			 unsigned flags, unsigned *steps, struct keypath *out)
{
	int err = walk_path(root, start, path, flags, steps, out);

	if (!err)
		err = complete(root, flags, out);
	if (err)
		keypath_close(out);
	return err == -EXDEV ? -ENOENT : err;
}

/* No component empty, "." or "..". */
static bool is_plain(const char *path)
{
	if (!*path)
		return true;
	for (const char *p = path;; p++) {
		const size_t n = strcspn(p, "/");

		if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		p += n;
		if (!*p)
			return true;
	}
}

/* May the thread search the directories on the way to KEYDIR? No name is looked up for it. */
static int check_above(const struct keydir *root, bool cached)
{
	int err = 0;

	for (unsigned i = 0; i < root->nabove && !err; i++)
		err = walk_may_search(root->above[i], cached);
	return err;
}

int keypath_resolve(const struct keydir *root, const char *path, unsigned flags, struct keypath *out)
{
	*out = (struct keypath)KEYPATH_NONE;
	if (!is_plain(path))
		return -ENOENT;
	const int err = check_above(root, flags & KEYPATH_CACHED);
	return err ? err : walk_complete(root, &root->dir, path, flags, NULL, out);
}

static int resolve_at(const struct keydir *root, const struct keypath *dir, const char *path, unsigned flags,
		      unsigned *steps, struct keypath *out)
{
	*out = (struct keypath)KEYPATH_NONE;
	if (!is_plain(path))
		return -ENOENT;
	if (!S_ISDIR(dir->st.st_mode))
		return -ENOTDIR;
	return walk_complete(root, dir, path, flags, steps, out);
}

int keypath_at(const struct keydir *root, const struct keypath *dir, const char *path, unsigned flags,
	       struct keypath *out)
{
	return resolve_at(root, dir, path, flags, NULL, out);
}

int keypath_at_hint(const struct keydir *root, const struct keypath *dir, const char *path, unsigned *steps,
		    struct keypath *out)
{
	return resolve_at(root, dir, path, KEYPATH_HINT, steps, out);
}

int keypath_open_directory(const struct keypath *kp)
{
	if (!S_ISDIR(kp->st.st_mode))
		return -ENOTDIR;
	/* "." stays in the directory whatever is mounted on it meanwhile. */
	const int fd = openat(kp->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

const char *keypath_below(const char *dir, const char *absolute)
{
	const size_t n = strcmp(dir, "/") == 0 ? 0 : strlen(dir);

	if (strncmp(dir, absolute, n) != 0 || !strchr("/", absolute[n]))
		return NULL;
	return absolute[n] ? absolute + n + 1 : "";
}

int keypath_copy(struct keypath *out, const struct keypath *kp)
{
	*out = *kp;
	out->path = NULL;
	out->fd = fcntl(kp->fd, F_DUPFD_CLOEXEC, 0);
	return out->fd < 0 ? -errno : 0;
}

void keypath_close(struct keypath *kp)
{
	if (kp->fd >= 0)
		close(kp->fd);
	free(kp->path);
	kp->fd = -1;
	kp->path = NULL;
}

/* ---- KEYDIR ------------------------------------------------------------------------------------- */

/* Not to be read by others on most systems, so once, now; to be read by nobody is as if it was on. */
static bool read_protected_symlinks(void)
{
	AUTO_CLOSE int fd = open("/proc/sys/fs/protected_symlinks", O_RDONLY | O_CLOEXEC);
	char text[4];

	return fd < 0 || read(fd, text, sizeof(text)) < 1 || text[0] != '0';
}

static int open_root(struct keydir *dir, int root_fd)
{
	dir->root.fd = root_fd >= 0 ? fcntl(root_fd, F_DUPFD_CLOEXEC, 0)
				    : open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir->root.fd < 0)
		return -errno;
	const int err = walk_look(dir, NULL, &dir->root);
	return err ? err : real_path(dir, &dir->root, 0, &dir->root.path);
}

static int open_keydir(struct keydir *dir, const char *path, bool other_root)
{
	struct keypath start AUTO(keypath_close) = KEYPATH_NONE;
	int err;

	if (*path == '/' || other_root)
		return walk_path(dir, &dir->root, path, KEYPATH_DIRECTORY, NULL, &dir->dir);
	start.fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (start.fd < 0)
		return -errno;
	err = walk_look(dir, NULL, &start);
	return err ? err : walk_path(dir, &start, path, KEYPATH_DIRECTORY, NULL, &dir->dir);
}

/* From KEYDIR up to the root, one descriptor each. */
static int open_above(struct keydir *dir)
{
	struct keypath at AUTO(keypath_close) = KEYPATH_NONE;
	int err = keypath_copy(&at, &dir->dir);

	dir->above = calloc(DEEPEST, sizeof(int));
	if (!dir->above)
		return -ENOMEM;
	while (!err && !(at.mount == dir->root.mount && at.st.st_ino == dir->root.st.st_ino)) {
		struct keypath next = KEYPATH_NONE;

		if (dir->nabove == DEEPEST)
			return -ENAMETOOLONG;
		err = walk_path(dir, &at, "..", 0, NULL, &next);
		if (err)
			break;
		dir->above[dir->nabove++] = next.fd;
		keypath_close(&at);
		err = keypath_copy(&at, &next);
	}
	return err;
}

static int open_all(struct keydir *out, int root_fd, const char *mountinfo, const char *path)
{
	int err;

	*out = (struct keydir){ .root = KEYPATH_NONE, .dir = KEYPATH_NONE };
	out->protected_symlinks = read_protected_symlinks();
	err = mounts_open(&out->mounts, mountinfo);
	if (!err)
		err = open_root(out, root_fd);
	if (!err)
		err = *path ? open_keydir(out, path, root_fd >= 0) : -ENOENT;
	if (!err)
		err = complete(out, KEYPATH_REALPATH, &out->dir);
	if (!err)
		err = open_above(out);
	return err == -EXDEV ? -EINVAL : err;
}

int keydir_open(struct keydir *out, const char *path)
{
	return open_all(out, -1, "/proc/self/mountinfo", path);
}

int keydir_open_in(struct keydir *out, int root_fd, const char *mountinfo, const char *path)
{
	return open_all(out, root_fd, mountinfo, path);
}

void keydir_close(struct keydir *dir)
{
	while (dir->nabove)
		close(dir->above[--dir->nabove]);
	free(dir->above);
	dir->above = NULL;
	keypath_close(&dir->dir);
	keypath_close(&dir->root);
	mounts_free(dir->mounts);
	dir->mounts = NULL;
}
