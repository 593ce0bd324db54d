/* SPDX-License-Identifier: MIT */

/* Links: the same file and the same errno as the kernel's own resolving. */

#include "tree.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "smfs/pool.h"

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
			const char *dots = rand_r(&seed) % 3 ? ".." : ".";

			strcat(text, rand_r(&seed) % 3 ? names[rand_r(&seed) % 4] : dots);
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

struct walker {
	struct pool_job job;
	atomic_int expired, before, after, ended;
};

static void walk_until_expired(struct pool_job *job)
{
	struct walker *w = (struct walker *)job;

	w->before = try("key", 0);
	while (!pool_is_expired())
		usleep(1000);
	w->after = try("key", 0);
}

static void on_expire(struct pool_job *job)
{
	((struct walker *)job)->expired = 1;
}

static void on_end(struct pool_job *job)
{
	((struct walker *)job)->ended = 1;
}

static void a_walk_for_nobody_ends(void **state)
{
	struct pool *pool;
	struct walker w = { .job = { .work = walk_until_expired, .finish = on_end, .expire = on_expire, .discard = on_end,
				     .timeout_ms = 500 } };

	make_file("key");
	assert_int_equal(pool_start(&pool, NULL), 0);
	assert_int_equal(pool_submit(pool, &w.job), 0);
	for (int i = 0; i < 20000 && !w.ended; i++)
		usleep(1000);
	assert_int_equal(w.ended, 1);
	assert_int_equal(pool_stop(pool, 10000), 0);
	assert_int_equal(w.expired, 1);
	assert_int_equal(w.before, 0);
	assert_int_equal(w.after, ETIMEDOUT);
	assert_false(pool_is_expired());
	assert_int_equal(try("key", 0), 0);
}

static const struct CMUnitTest tests[] = {
	TEST(links_lead_where_the_kernel_goes),
	TEST(forty_links_and_no_more),
	TEST(links_to_others_processes_and_own),
	TEST(links_are_not_followed_on_a_nosymfollow_mount),
	TEST(protected_symlinks_are_honoured),
	TEST(random_trees_resolve_as_the_kernel_does),
	TEST(a_walk_for_nobody_ends),
};

TREE_MAIN(tests)
