/* SPDX-License-Identifier: MIT */
#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

char base[] = "/tmp/keypath.XXXXXX";
struct keydir keydir;
static unsigned fds_before;

static unsigned count_fds(void)
{
	unsigned n = 0;
	DIR *dir = opendir("/proc/self/fd");

	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir));)
		n++;
	closedir(dir);
	return n;
}

void make_file(const char *path)
{
	const int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);

	assert_true(fd >= 0);
	close(fd);
}

void make_dir(const char *path, mode_t mode)
{
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chmod(path, mode), 0);
}

void make_link(const char *text, const char *path)
{
	assert_int_equal(symlink(text, path), 0);
}

int mount_fuse(const char *type, const char *path, uid_t user)
{
	char options[100];
	const int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%u,group_id=0", fd, user);
	assert_int_equal(mount("unserved", path, type, 0, options), 0);
	return fd;
}

void unmount(const char *path)
{
	assert_int_equal(umount2(path, MNT_DETACH), 0);
}

int try(const char *path, unsigned flags)
{
	struct keypath kp;
	const int err = keypath_resolve(&keydir, path, flags, &kp);

	keypath_close(&kp);
	return -err;
}

int try_as(uid_t uid, const char *path, unsigned flags)
{
	int status;
	const pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(2);
		if (uid && (setgid(uid) || setuid(uid)))
			_exit(200);
		_exit(try(path, flags));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int try_root(const char *path)
{
	return try_as(0, path, 0);
}

void assert_real_path(const char *path, const char *relative)
{
	char expected[PATH_MAX];
	struct keypath kp;

	snprintf(expected, sizeof(expected), "%s%s%s", base, *relative ? "/" : "", relative);
	assert_int_equal(keypath_resolve(&keydir, path, KEYPATH_REALPATH, &kp), 0);
	assert_string_equal(kp.path, expected);
	keypath_close(&kp);
}

int tree_setup(void **state)
{
	assert_int_equal(mount("none", base, "tmpfs", 0, "mode=755"), 0);
	assert_int_equal(chdir(base), 0);
	fds_before = count_fds();
	assert_int_equal(keydir_open(&keydir, base), 0);
	return 0;
}

int tree_teardown(void **state)
{
	keydir_close(&keydir);
	assert_int_equal(count_fds(), fds_before);
	assert_int_equal(chdir("/"), 0);
	unmount(base);
	return 0;
}

int tree_start(void)
{
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		return unit_skip("no private mount namespace: run as root");
	if (access("/dev/fuse", R_OK | W_OK) != 0)
		return unit_skip("no /dev/fuse");
	umask(022);
	return mkdtemp(base) ? 0 : unit_skip("no temporary directory");
}

void tree_end(void)
{
	rmdir(base);
}
