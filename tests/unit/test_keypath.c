/* SPDX-License-Identifier: MIT */

/*
 * Key paths: the same file and the same errno as the kernel's own resolving, except that no smfs mount is ever
 * entered. The smfs mounts here are real FUSE mounts that nobody serves: a single request to one would hang, and
 * the alarm of the child that sent it would fail the test.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gate.h"
#include "smfs/keypath.h"

#define NOBODY 65534
#define STRANGER 4711

static char base[] = "/tmp/keypath.XXXXXX";	/* a tmpfs, the working directory of each test */
static struct keydir keydir;
static unsigned fds_before;

/* ---- helpers ------------------------------------------------------------------------------------ */

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

static void make_file(const char *path)
{
	const int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);

	assert_true(fd >= 0);
	close(fd);
}

static void make_dir(const char *path, mode_t mode)
{
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void make_link(const char *text, const char *path)
{
	assert_int_equal(symlink(text, path), 0);
}

/* A FUSE mount of TYPE that USER made and nobody serves. Its descriptor: closing it ends it. */
static int mount_fuse(const char *type, const char *path, uid_t user)
{
	char options[100];
	const int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%u,group_id=0", fd, user);
	assert_int_equal(mount("unserved", path, type, 0, options), 0);
	return fd;
}

static void unmount(const char *path)
{
	assert_int_equal(umount2(path, MNT_DETACH), 0);
}

/* 0 or the errno of resolving PATH. */
static int try(const char *path, unsigned flags)
{
	struct keypath kp;
	const int err = keypath_resolve(&keydir, path, flags, &kp);

	keypath_close(&kp);
	return -err;
}

/* The same in a child with other credentials, which must be done in two seconds; -1 if it was not. */
static int try_as(uid_t uid, const char *path, unsigned flags)
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

static int try_root(const char *path)
{
	return try_as(0, path, 0);
}

static void assert_real_path(const char *path, const char *relative)
{
	char expected[PATH_MAX];
	struct keypath kp;

	snprintf(expected, sizeof(expected), "%s%s%s", base, *relative ? "/" : "", relative);
	assert_int_equal(keypath_resolve(&keydir, path, KEYPATH_REALPATH, &kp), 0);
	assert_string_equal(kp.path, expected);
	keypath_close(&kp);
}

static int setup(void **state)
{
	assert_int_equal(mount("none", base, "tmpfs", 0, "mode=755"), 0);
	assert_int_equal(chdir(base), 0);
	fds_before = count_fds();
	assert_int_equal(keydir_open(&keydir, base), 0);
	return 0;
}

static int teardown(void **state)
{
	keydir_close(&keydir);
	assert_int_equal(count_fds(), fds_before);
	assert_int_equal(chdir("/"), 0);
	unmount(base);
	return 0;
}

/* ---- what is there ------------------------------------------------------------------------------ */

static void stat_is_that_of_stat(void **state)
{
	struct keypath kp;
	struct stat st;

	make_file("key");
	assert_int_equal(chmod("key", 04751), 0);
	assert_int_equal(chown("key", 12, 34), 0);
	assert_int_equal(chmod("key", 04751), 0);
	assert_int_equal(truncate("key", 5000), 0);
	assert_int_equal(link("key", "other"), 0);
	assert_int_equal(keypath_resolve(&keydir, "key", 0, &kp), 0);
	assert_int_equal(stat("key", &st), 0);
	assert_memory_equal(&st, &kp.st, sizeof(st));
	assert_null(kp.path);
	assert_int_equal(fcntl(kp.fd, F_GETFL) & O_PATH, O_PATH);
	assert_int_equal(fcntl(kp.fd, F_GETFD), FD_CLOEXEC);
	keypath_close(&kp);
}

static void empty_path_is_keydir(void **state)
{
	assert_int_equal(try("", KEYPATH_DIRECTORY), 0);
	assert_real_path("", "");
	assert_string_equal(keydir.dir.path, base);
}

static void missing_and_wrong_kinds(void **state)
{
	make_file("key");
	make_dir("dir", 0755);
	assert_int_equal(try("none", 0), ENOENT);
	assert_int_equal(try("none/key", 0), ENOENT);
	assert_int_equal(try("key/x", 0), ENOTDIR);
	assert_int_equal(try("key", KEYPATH_DIRECTORY), ENOTDIR);
	assert_int_equal(try("dir", KEYPATH_DIRECTORY), 0);
	assert_int_equal(try("dir", 0), 0);
}

static void paths_that_are_not_plain_do_not_exist(void **state)
{
	static const char *const paths[] = {
		"/", "/dir", "dir/", "dir//key", ".", "..", "./dir", "../x", "dir/.", "dir/..", "dir/./key", "dir/../dir",
	};

	make_dir("dir", 0755);
	make_file("dir/key");
	assert_int_equal(try("dir/key", 0), 0);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		assert_int_equal(try(paths[i], 0), ENOENT);
	make_dir("...", 0755);
	make_file(".../..x");
	assert_int_equal(try(".../..x", 0), 0);
}

static void names_that_are_too_long(void **state)
{
	char name[257], path[PATH_MAX + 10];

	memset(name, 'n', 255);
	name[255] = '\0';
	make_file(name);
	assert_int_equal(try(name, 0), 0);
	memset(name, 'n', 256);
	name[256] = '\0';
	assert_int_equal(try(name, 0), ENAMETOOLONG);
	for (size_t i = 0; i + 2 < sizeof(path); i += 2)
		memcpy(path + i, "d/", 2);
	path[PATH_MAX + 1] = '\0';
	assert_int_equal(try(path, 0), ENAMETOOLONG);
}

static void real_path_has_no_links(void **state)
{
	make_dir("dir", 0755);
	make_dir("dir/sub", 0755);
	make_file("dir/sub/key");
	make_link("dir/sub", "link");
	make_link("../../link/key", "dir/sub/back");
	assert_real_path("link/key", "dir/sub/key");
	assert_real_path("link/back", "dir/sub/key");
	assert_real_path("link", "dir/sub");
}

static void real_path_of_a_deleted_file(void **state)
{
	struct keypath dir, kp;

	make_dir("dir", 0755);
	make_file("key (deleted)");
	assert_real_path("key (deleted)", "key (deleted)");
	assert_int_equal(keypath_resolve(&keydir, "dir", 0, &dir), 0);
	assert_int_equal(rmdir("dir"), 0);
	assert_int_equal(keypath_at(&keydir, &dir, "x", KEYPATH_REALPATH, &kp), -ENOENT);
	keypath_close(&dir);
}

/* ---- links -------------------------------------------------------------------------------------- */

static void links_lead_where_the_kernel_goes(void **state)
{
	char text[PATH_MAX];

	make_dir("dir", 0755);
	make_file("dir/key");
	make_link("dir", "relative");
	snprintf(text, sizeof(text), "%s/dir", base);
	make_link(text, "absolute");
	make_link("../dir/../dir/./key", "dir/round");
	make_link("dir/key/", "slash");
	make_link("dir/key/.", "dot");
	make_link("nothing", "dangling");
	make_link("dir///", "slashes");
	make_link("/../../../../../..", "above");
	snprintf(text, sizeof(text), "../../../../../../../../../%s/dir/key", base);
	make_link(text, "far");
	assert_int_equal(try("relative/key", 0), 0);
	assert_int_equal(try("absolute/key", 0), 0);
	assert_int_equal(try("dir/round", 0), 0);
	assert_int_equal(try("slash", 0), ENOTDIR);
	assert_int_equal(try("dot", 0), ENOTDIR);
	assert_int_equal(try("dangling", 0), ENOENT);
	assert_int_equal(try("slashes", KEYPATH_DIRECTORY), 0);
	assert_int_equal(try("above", KEYPATH_DIRECTORY), 0);
	assert_real_path("far", "dir/key");
}

static void forty_links_and_no_more(void **state)
{
	char text[16], name[16];

	make_file("l0");
	for (int i = 1; i <= 41; i++) {
		snprintf(text, sizeof(text), "l%d", i - 1);
		snprintf(name, sizeof(name), "l%d", i);
		make_link(text, name);
	}
	assert_int_equal(try("l40", 0), 0);
	assert_int_equal(try("l41", 0), ELOOP);
	make_link("loop", "loop");
	assert_int_equal(try("loop", 0), ELOOP);
	assert_int_equal(try("loop/x", 0), ELOOP);
}

static void links_to_others_processes_and_own(void **state)
{
	char path[64];

	make_link("/proc", "proc");
	assert_int_equal(try("proc/version", 0), 0);
	assert_int_equal(try("proc/1", KEYPATH_DIRECTORY), 0);
	assert_int_equal(try("proc/self", 0), ENOENT);
	assert_int_equal(try("proc/thread-self", 0), ENOENT);
	snprintf(path, sizeof(path), "proc/%d/fd", getpid());
	assert_int_equal(try(path, 0), ENOENT);
}

static void links_are_not_followed_on_a_nosymfollow_mount(void **state)
{
	make_dir("m", 0755);
	if (mount("none", "m", "tmpfs", 256 /* MS_NOSYMFOLLOW */, NULL) != 0)
		fail();
	make_file("m/key");
	make_link("key", "m/link");
	assert_int_equal(try("m/key", 0), 0);
	assert_int_equal(try("m/link", 0), ELOOP);
	unmount("m");
}

static void protected_symlinks_are_honoured(void **state)
{
	make_dir("shared", 01777);
	make_dir("target", 0755);
	make_file("target/key");
	make_link("../target", "shared/stranger");
	make_link("../target", "shared/own");
	make_link("../target", "shared/root");
	assert_int_equal(lchown("shared/stranger", STRANGER, STRANGER), 0);
	assert_int_equal(lchown("shared/own", NOBODY, NOBODY), 0);

	keydir.protected_symlinks = true;
	assert_int_equal(try_as(NOBODY, "shared/stranger", 0), EACCES);
	assert_int_equal(try_as(0, "shared/stranger", 0), EACCES);
	assert_int_equal(try_as(NOBODY, "shared/own", 0), 0);
	assert_int_equal(try_as(NOBODY, "shared/root", 0), 0);
	assert_int_equal(try_as(NOBODY, "shared/stranger/key", 0), 0);	/* as the kernel: last ones only */
	keydir.protected_symlinks = false;
	assert_int_equal(try_as(NOBODY, "shared/stranger", 0), 0);
}

static void random_trees_resolve_as_the_kernel_does(void **state)
{
	static const char *const names[] = { "a", "b", "c", "d" };
	unsigned seed = 7, found = 0;

	keydir.protected_symlinks = false;
	for (int i = 0; i < 300; i++) {
		char path[200] = "", text[200] = "";

		for (int depth = 1 + rand_r(&seed) % 3; depth; depth--) {
			strcat(path, names[rand_r(&seed) % 4]);
			strcat(path, depth > 1 ? "/" : "");
		}
		for (int n = 1 + rand_r(&seed) % 4; n; n--) {
			strcat(text, rand_r(&seed) % 3 ? names[rand_r(&seed) % 4] : rand_r(&seed) % 3 ? ".." : ".");
			strcat(text, n > 1 || rand_r(&seed) % 8 == 0 ? "/" : "");
		}
		if (rand_r(&seed) % 2)
			mkdir(path, 0755);
		else if (rand_r(&seed) % 3)
			(void)!symlink(text, path);
		else
			(void)!mknod(path, S_IFREG | 0644, 0);
	}
	for (int i = 0; i < 3000; i++) {
		char path[200] = "";
		struct keypath kp;
		struct stat st;

		for (int depth = 1 + rand_r(&seed) % 4; depth; depth--) {
			strcat(path, names[rand_r(&seed) % 4]);
			strcat(path, depth > 1 ? "/" : "");
		}
		const int expected = stat(path, &st) == 0 ? 0 : -errno;
		const int err = keypath_resolve(&keydir, path, 0, &kp);
		if (err != expected)
			fail_msg("%s: %d, not %d", path, err, expected);
		if (!err)
			assert_memory_equal(&st, &kp.st, sizeof(st));
		found += !err;
		keypath_close(&kp);
	}
	assert_in_range(found, 300, 2700);
}

/* ---- smfs mounts -------------------------------------------------------------------------------- */

static void unserved_mount_of_another_type_hangs(void **state)
{
	make_dir("m", 0755);
	const int fd = mount_fuse("fuse.other", "m", 0);
	assert_int_equal(try_root("m"), 0);
	assert_int_equal(try_root("m/x"), -1);	/* the control: this is what must never happen below */
	unmount("m");
	close(fd);
}

static void smfs_mount_is_never_entered(void **state)
{
	char text[PATH_MAX];

	make_dir("m", 0755);
	make_dir("bound", 0755);
	make_file("m/key");
	make_link("m/key", "link");
	make_link("bound/../m", "bound-link");
	snprintf(text, sizeof(text), "%s/m/x/y", base);
	make_link(text, "absolute");
	assert_int_equal(try("m/key", 0), 0);
	const int fd = mount_fuse("fuse.smfs", "m", 0);
	assert_int_equal(mount("m", "bound", NULL, MS_BIND, NULL), 0);
	static const char *const paths[] = {
		"m", "m/key", "m/x/y", "link", "absolute", "bound", "bound/key", "bound-link", "bound-link/x",
	};
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		assert_int_equal(try_as(0, paths[i], 0), ENOENT);
		assert_int_equal(try_as(0, paths[i], KEYPATH_DIRECTORY | KEYPATH_REALPATH), ENOENT);
		assert_int_equal(try_as(NOBODY, paths[i], 0), ENOENT);
	}
	unmount("bound");
	unmount("m");
	assert_int_equal(try("m/key", 0), 0);
	close(fd);
}

static void other_users_mounts(void **state)
{
	make_dir("m", 0755);
	make_dir("other", 0755);
	const int smfs = mount_fuse("fuse.smfs", "m", NOBODY);
	const int other = mount_fuse("fuse.other", "other", NOBODY);
	assert_int_equal(try_root("m"), ENOENT);
	assert_int_equal(try_root("m/x"), ENOENT);
	assert_int_equal(try_root("other"), EACCES);
	assert_int_equal(try_root("other/x"), EACCES);
	unmount("other");
	unmount("m");
	close(other);
	close(smfs);
}

/* Not in children: they would share the descriptor that tells of changes, and take the news from us. */
static void reused_mount_id_is_not_mistaken(void **state)
{
	make_dir("m", 0755);
	alarm(10);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(mount("none", "m", "tmpfs", 0, NULL), 0);
		make_file("m/key");
		assert_int_equal(try("m/key", 0), 0);
		unmount("m");
		const int fd = mount_fuse("fuse.smfs", "m", 0);
		assert_int_equal(try("m/key", 0), ENOENT);
		unmount("m");
		close(fd);
	}
	alarm(0);
}

static void mount_over_keydir_does_not_hide_it(void **state)
{
	make_dir("dir", 0755);
	make_file("dir/key");
	make_link("key", "dir/link");
	make_link("../dir/key", "dir/out");
	keydir_close(&keydir);
	assert_int_equal(keydir_open(&keydir, "dir"), 0);
	const int fd = mount_fuse("fuse.smfs", "dir", 0);
	assert_int_equal(try_root(""), 0);
	assert_int_equal(try_root("key"), 0);
	assert_int_equal(try_root("link"), 0);
	assert_int_equal(try_root("out"), ENOENT);	/* where the caller, too, would meet the mount */

	struct keydir inside;
	assert_int_equal(keydir_open(&inside, "dir"), -EINVAL);
	keydir_close(&inside);
	assert_int_equal(keydir_open(&inside, "dir/deeper"), -EINVAL);
	keydir_close(&inside);
	unmount("dir");
	close(fd);
}

static atomic_bool mover_ends;

static void *mover(void *arg)
{
	while (!mover_ends) {
		const int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
		char options[100];

		snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
		mount("unserved", "m", "fuse.smfs", 0, options);
		umount2("m", MNT_DETACH);
		close(fd);
		mount("none", "m", "tmpfs", 0, NULL);
		umount2("m", MNT_DETACH);
	}
	return NULL;
}

/* Two threads resolve while a third one mounts and unmounts there; a request to the mount would hang them. */
static void *resolver(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		const int err = try("m/key", 0);
		if (err != 0 && err != ENOENT && err != ENOTCONN)
			return (void *)(intptr_t)err;
	}
	return NULL;
}

static void mounts_that_come_and_go_meanwhile(void **state)
{
	pthread_t moves, one, two;
	void *a, *b;

	make_dir("m", 0755);
	make_file("m/key");
	mover_ends = false;
	alarm(30);
	pthread_create(&moves, NULL, mover, NULL);
	pthread_create(&one, NULL, resolver, NULL);
	pthread_create(&two, NULL, resolver, NULL);
	pthread_join(one, &a);
	pthread_join(two, &b);
	mover_ends = true;
	pthread_join(moves, NULL);
	alarm(0);
	assert_null(a);
	assert_null(b);
}

/* ---- credentials -------------------------------------------------------------------------------- */

static void closed_directory_tells_nothing(void **state)
{
	make_dir("closed", 0700);
	make_file("closed/key");
	make_dir("listed", 0744);
	make_file("listed/key");
	make_link("closed/key", "link");
	make_link("closed/none", "dangling");
	static const char *const paths[] = { "closed/key", "closed/none", "listed/key", "listed/none", "link", "dangling" };
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		assert_int_equal(try_as(NOBODY, paths[i], 0), EACCES);
	assert_int_equal(try_as(NOBODY, "closed", 0), 0);
	assert_int_equal(try_root("closed/key"), 0);
}

static void keydir_below_a_closed_directory_is_closed(void **state)
{
	make_dir("closed", 0700);
	make_dir("closed/dir", 0755);
	make_dir("closed/dir/open", 0755);
	make_file("closed/dir/open/key");
	keydir_close(&keydir);
	assert_int_equal(keydir_open(&keydir, "closed/dir/open"), 0);
	assert_int_equal(try_as(NOBODY, "key", 0), EACCES);
	assert_int_equal(try_as(NOBODY, "none", 0), EACCES);
	assert_int_equal(try_as(NOBODY, "", 0), EACCES);
	assert_int_equal(try_root("key"), 0);
	assert_int_equal(chmod("closed", 0711), 0);
	assert_int_equal(try_as(NOBODY, "key", 0), 0);
}

/* ---- KEYDIR ------------------------------------------------------------------------------------- */

static void keydir_that_disappears(void **state)
{
	make_dir("dir", 0755);
	make_file("dir/key");
	keydir_close(&keydir);
	assert_int_equal(keydir_open(&keydir, "dir"), 0);
	assert_int_equal(try("key", 0), 0);
	assert_int_equal(unlink("dir/key"), 0);
	assert_int_equal(rmdir("dir"), 0);
	assert_int_equal(try("", 0), ENOENT);
	assert_int_equal(try("key", 0), ENOENT);
}

static void keydir_errors(void **state)
{
	struct keydir dir;

	make_file("key");
	assert_int_equal(keydir_open(&dir, "key"), -ENOTDIR);
	keydir_close(&dir);
	assert_int_equal(keydir_open(&dir, "none"), -ENOENT);
	keydir_close(&dir);
	assert_int_equal(keydir_open(&dir, ""), -ENOENT);
	keydir_close(&dir);
}

static void keydir_by_other_names(void **state)
{
	struct keydir dir;
	char path[PATH_MAX];

	make_dir("dir", 0755);
	make_link("dir", "link");
	snprintf(path, sizeof(path), "%s/dir", base);
	static const char *const names[] = { "dir", "./dir/.", "link", "link/", "../dir/../dir", "dir/../link" };
	assert_int_equal(chdir("dir"), 0);
	assert_int_equal(keydir_open(&dir, "."), 0);
	assert_string_equal(dir.dir.path, path);
	keydir_close(&dir);
	assert_int_equal(chdir(base), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i][0] == '.' && names[i][1] == '.')
			assert_int_equal(chdir("dir"), 0);
		assert_int_equal(keydir_open(&dir, names[i]), 0);
		assert_string_equal(dir.dir.path, path);
		keydir_close(&dir);
		assert_int_equal(chdir(base), 0);
	}
	assert_int_equal(keydir_open(&dir, "/"), 0);
	assert_string_equal(dir.dir.path, "/");
	assert_int_equal(dir.nabove, 0);
	keydir_close(&dir);
}

static void another_root(void **state)
{
	struct keydir dir;
	struct keypath kp;

	make_dir("root", 0755);
	make_dir("root/etc", 0755);
	make_file("root/etc/key");
	make_link("/etc/key", "root/absolute");
	make_link("../../../../etc/key", "root/etc/up");
	const int fd = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(keydir_open_in(&dir, fd, "/proc/self/mountinfo", "/"), 0);
	close(fd);
	static const char *const names[] = { "absolute", "etc/up", "etc/key" };
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(keypath_resolve(&dir, names[i], KEYPATH_REALPATH, &kp), 0);
		assert_string_equal(kp.path, "/etc/key");
		keypath_close(&kp);
	}
	keydir_close(&dir);
}

/* ---- directories in hand ------------------------------------------------------------------------ */

static void one_name_in_a_directory(void **state)
{
	struct keypath dir, kp, copy;

	make_dir("dir", 0755);
	make_file("dir/key");
	make_link("../dir/key", "dir/link");
	assert_int_equal(keypath_resolve(&keydir, "dir", 0, &dir), 0);
	assert_int_equal(keypath_copy(&copy, &dir), 0);
	keypath_close(&dir);
	assert_int_equal(keypath_at(&keydir, &copy, "link", KEYPATH_REALPATH, &kp), 0);
	assert_true(strcmp(kp.path + strlen(base), "/dir/key") == 0);
	assert_int_equal(keypath_at(&keydir, &kp, "x", 0, &dir), -ENOTDIR);
	keypath_close(&kp);
	static const char *const names[] = { "", ".", "..", "dir/key", "/", "none" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(keypath_at(&keydir, &copy, names[i], 0, &kp), -ENOENT);
	keypath_close(&copy);
}

static void directory_is_read_beneath_a_mount_on_it(void **state)
{
	struct keypath kp;

	make_dir("dir", 0755);
	make_file("dir/key");
	make_file("file");
	assert_int_equal(keypath_resolve(&keydir, "file", 0, &kp), 0);
	assert_int_equal(keypath_open_directory(&kp), -ENOTDIR);
	keypath_close(&kp);
	assert_int_equal(keypath_resolve(&keydir, "dir", 0, &kp), 0);
	const int fuse = mount_fuse("fuse.smfs", "dir", 0);
	const int fd = keypath_open_directory(&kp);
	assert_true(fd >= 0);
	assert_int_equal(faccessat(fd, "key", F_OK, 0), 0);
	close(fd);
	keypath_close(&kp);
	unmount("dir");
	close(fuse);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(stat_is_that_of_stat),
		TEST(empty_path_is_keydir),
		TEST(missing_and_wrong_kinds),
		TEST(paths_that_are_not_plain_do_not_exist),
		TEST(names_that_are_too_long),
		TEST(real_path_has_no_links),
		TEST(real_path_of_a_deleted_file),
		TEST(links_lead_where_the_kernel_goes),
		TEST(forty_links_and_no_more),
		TEST(links_to_others_processes_and_own),
		TEST(links_are_not_followed_on_a_nosymfollow_mount),
		TEST(protected_symlinks_are_honoured),
		TEST(random_trees_resolve_as_the_kernel_does),
		TEST(unserved_mount_of_another_type_hangs),
		TEST(smfs_mount_is_never_entered),
		TEST(other_users_mounts),
		TEST(reused_mount_id_is_not_mistaken),
		TEST(mount_over_keydir_does_not_hide_it),
		TEST(mounts_that_come_and_go_meanwhile),
		TEST(closed_directory_tells_nothing),
		TEST(keydir_below_a_closed_directory_is_closed),
		TEST(keydir_that_disappears),
		TEST(keydir_errors),
		TEST(keydir_by_other_names),
		TEST(another_root),
		TEST(one_name_in_a_directory),
		TEST(directory_is_read_beneath_a_mount_on_it),
	};
	int failed;

	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		return unit_skip("no private mount namespace: run as root");
	if (access("/dev/fuse", R_OK | W_OK) != 0)
		return unit_skip("no /dev/fuse");
	umask(022);
	if (!mkdtemp(base))
		return unit_skip("no temporary directory");
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(base);
	return failed ? 1 : 0;
}
