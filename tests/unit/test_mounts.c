/* SPDX-License-Identifier: MIT */

/*
 * No smfs mount is ever entered. Those here are FUSE mounts that nobody serves: a request to one would hang,
 * and the alarm of the process that sent it would fail the test.
 */

#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

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

static const struct CMUnitTest tests[] = {
	TEST(unserved_mount_of_another_type_hangs),
	TEST(smfs_mount_is_never_entered),
	TEST(other_users_mounts),
	TEST(reused_mount_id_is_not_mistaken),
	TEST(mount_over_keydir_does_not_hide_it),
	TEST(mounts_that_come_and_go_meanwhile),
};

TREE_MAIN(tests)
