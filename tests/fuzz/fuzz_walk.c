/* SPDX-License-Identifier: MIT */
/*
 * Texts of symbolic links: whoever may write to a directory under KEYDIR chooses them, and smfs follows them itself. The kernel,
 * which resolves the same path below the same root (RESOLVE_IN_ROOT), is what smfs has to agree with.
 *
 * An input is the texts of the links l0 to l3, each ended by a NUL.
 */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "smfs/keypath.h"
#include "smfs/walk.h"

#define LINKS 4

static char base[] = "/tmp/smfs-fuzz.XXXXXX";
static int root;
static struct keydir keydir;
static const char *const made[] = { "key", "d/key", "d/sub/key", "d/sub/up", "d/l" };

static void remove_links(void)
{
	for (char name[] = "l0"; name[1] < '0' + LINKS; name[1]++)
		unlinkat(root, name, 0);
}

static void clean_up(void)
{
	remove_links();
	for (unsigned i = 0; i < sizeof(made) / sizeof(*made); i++)
		unlinkat(root, made[i], 0);
	unlinkat(root, "d/sub", AT_REMOVEDIR);
	unlinkat(root, "d", AT_REMOVEDIR);
	rmdir(base);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	MUST(mkdtemp(base) && (root = open(base, O_PATH | O_DIRECTORY)) >= 0);
	atexit(clean_up);
	MUST(mkdirat(root, "d", 0755) == 0 && mkdirat(root, "d/sub", 0755) == 0);
	for (unsigned i = 0; i < 3; i++)
		close(openat(root, made[i], O_CREAT | O_WRONLY, 0644));
	MUST(symlinkat("..", root, "d/sub/up") == 0 && symlinkat("/l0", root, "d/l") == 0);
	MUST(keydir_open_in(&keydir, root, "/proc/self/mountinfo", "/") == 0);
	return 0;
}

static void make_links(const char *text, size_t n)
{
	char name[] = "l0", *copy = fuzz_string((const uint8_t *)text, n);

	remove_links();
	for (size_t at = 0; name[1] < '0' + LINKS && at < n; name[1]++) {
		/* an empty one, or a longer one, cannot be made */
		(void)!symlinkat(copy + at, root, name);
		at += strlen(copy + at) + 1;
	}
	free(copy);
}

/* The kernel's own descriptor, or the negative errno. */
static int kernels(const char *path, unsigned long long resolve)
{
	const struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | resolve };
	int fd;

	do	/* EAGAIN: somebody renamed or mounted something anywhere, while it went through ".." */
		fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	while (fd < 0 && errno == EAGAIN);
	return fd < 0 ? -errno : fd;
}

static void same_file(int fd, const struct keypath *kp)
{
	struct stat st;

	MUST(fstat(fd, &st) == 0 && st.st_dev == kp->st.st_dev && st.st_ino == kp->st.st_ino && st.st_mode == kp->st.st_mode);
	close(fd);
}

/* The walk's own room, and how far a hint is followed, are all that may make a difference. */
static void check(const char *path, unsigned flags)
{
	struct keypath kp;
	int expected = kernels(path, 0), err = keypath_resolve(&keydir, path, flags, &kp);

	if ((flags & KEYPATH_CACHED && err == -EAGAIN) || (flags & KEYPATH_HINT && err == -ELOOP) || err == -ENAMETOOLONG) {
		if (expected >= 0)
			close(expected);
	} else if (expected < 0) {
		MUST(err == expected);
	} else {
		MUST(err == 0);
		same_file(expected, &kp);
	}
	if (!err && flags & KEYPATH_REALPATH) {
		MUST(kp.path);
		int fd = kernels(kp.path, RESOLVE_NO_SYMLINKS);

		MUST(fd >= 0);
		same_file(fd, &kp);
	}
	keypath_close(&kp);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static const char *const paths[] = { "l0", "l0/key", "l1/sub", "d/l" };

	make_links((const char *)bytes, n);
	for (unsigned i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		check(paths[i], i == 0 ? KEYPATH_REALPATH : i == 1 ? KEYPATH_HINT : i == 2 ? KEYPATH_CACHED : 0);
	return 0;
}
