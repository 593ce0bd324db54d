/* SPDX-License-Identifier: MIT */

/* Key paths: what they lead to, for whom, and KEYDIR itself. */

#include "tree.h"

#include <errno.h>
#include <fcntl.h>

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
		"/", "/dir", "dir/", "dir//key", ".", "..", "./dir", "../x", "dir/.", "dir/..", "dir/./key",
		"dir/../dir",
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

/* ---- credentials -------------------------------------------------------------------------------- */

static void closed_directory_tells_nothing(void **state)
{
	make_dir("closed", 0700);
	make_file("closed/key");
	make_dir("listed", 0744);
	make_file("listed/key");
	make_link("closed/key", "link");
	make_link("closed/none", "dangling");
	static const char *const paths[] = {
		"closed/key", "closed/none", "listed/key", "listed/none", "link", "dangling",
	};
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

static void a_path_from_a_directory(void **state)
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
	assert_int_equal(keypath_at(&keydir, &copy, "", 0, &kp), 0);
	assert_int_equal(kp.st.st_ino, copy.st.st_ino);
	keypath_close(&kp);
	static const char *const names[] = { ".", "..", "dir/key", "key/../key", "/", "/key", "none" };
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

static void cached_asks_no_file_system(void **state)
{
	make_dir("dir", 0755);
	make_file("dir/key");
	make_file("key (deleted)");
	assert_int_equal(symlink("dir/key", "link"), 0);
	make_dir("silent", 0755);
	const int fuse = mount_fuse("fuse.silent", "silent", 0);	/* whoever asks it waits for ever */
	assert_int_equal(try("dir/key", KEYPATH_CACHED), 0);
	assert_int_equal(try("", KEYPATH_CACHED), 0);
	assert_int_equal(try("dir", KEYPATH_CACHED | KEYPATH_DIRECTORY), 0);
	assert_int_equal(try("dir/key", KEYPATH_CACHED | KEYPATH_DIRECTORY), ENOTDIR);
	assert_int_equal(try("dir/key", KEYPATH_CACHED | KEYPATH_REALPATH), 0);
	assert_int_equal(try("key (deleted)", KEYPATH_CACHED | KEYPATH_REALPATH), 0);
	assert_int_equal(try("link", KEYPATH_CACHED), EAGAIN);
	assert_int_equal(try("silent/key", KEYPATH_CACHED), EAGAIN);
	unmount("silent");
	close(fuse);
}

static const struct CMUnitTest tests[] = {
	TEST(stat_is_that_of_stat),
	TEST(empty_path_is_keydir),
	TEST(missing_and_wrong_kinds),
	TEST(paths_that_are_not_plain_do_not_exist),
	TEST(names_that_are_too_long),
	TEST(real_path_has_no_links),
	TEST(real_path_of_a_deleted_file),
	TEST(closed_directory_tells_nothing),
	TEST(keydir_below_a_closed_directory_is_closed),
	TEST(keydir_that_disappears),
	TEST(keydir_errors),
	TEST(keydir_by_other_names),
	TEST(another_root),
	TEST(a_path_from_a_directory),
	TEST(directory_is_read_beneath_a_mount_on_it),
	TEST(cached_asks_no_file_system),
};

TREE_MAIN(tests)
