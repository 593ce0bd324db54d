/* SPDX-License-Identifier: MIT */

/* How far strangers' paths and links are followed: counted in components, never in seconds. */

#include "tree.h"

#include <errno.h>

#include "smfs/hints.h"

#define MOST_OF_ONE (256 + 4096)	/* steps, of links: own ones and the part of the reserve */
#define RESERVE 65536

/* PREFIX0, PREFIX1 and so on. */
static void make_links(const char *text, const char *prefix, unsigned count, uid_t owner)
{
	char name[64];

	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%s%u", prefix, i);
		make_link(text, name);
		assert_int_equal(lchown(name, owner, owner), 0);
	}
}

/* e/l, a link of 1,637 components that leads to e, and PATH, which leads through it as often as one path may. */
static void make_long_way(char path[128])
{
	char text[PATH_MAX] = "";

	make_dir("e", 0755);
	make_dir("e/d", 0755);
	for (int i = 0; i < 818; i++)
		strcat(text, "d/../");
	strcat(text, ".");
	make_link(text, "e/l");
	strcpy(path, "e");
	for (int i = 0; i < 39; i++)
		strcat(path, "/l");
}

static int follow_entry(struct hints *h, const char *name)
{
	struct keypath kp;
	const int err = hints_follow_entry(h, &keydir, &keydir.dir, name, &kp);

	keypath_close(&kp);
	return -err;
}

static int follow_record(struct hints *h, uid_t uid, const char *path)
{
	struct keypath kp;
	const int err = hints_follow(h, uid, &keydir, &keydir.dir, path, &kp);

	keypath_close(&kp);
	return -err;
}

static void a_hint_is_shorter_than_what_a_caller_names(void **state)
{
	char path[128];

	make_long_way(path);
	assert_int_equal(try("e/l", KEYPATH_HINT), 0);
	assert_int_equal(try(path, KEYPATH_HINT), ELOOP);
	assert_int_equal(try(path, 0), 0);	/* by name it is as long as the kernel lets it be */
}

static void links_of_one_stranger_cost_no_more_than_his_part(void **state)
{
	char path[128], name[32];
	struct hints h;

	make_long_way(path);
	make_links(path, "s", 40, NOBODY);
	make_file("key");
	make_links("key", "k", 50, STRANGER);
	hints_of_links(&h, 0);
	for (unsigned i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		assert_int_equal(follow_entry(&h, name), ELOOP);
	}
	assert_in_range(h.walked, 2048, MOST_OF_ONE);
	for (unsigned i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "k%u", i);
		assert_int_equal(follow_entry(&h, name), 0);
	}
	assert_int_equal(follow_entry(&h, "key"), 0);
	hints_free(&h);
}

static void links_of_a_hundred_strangers_leave_others_theirs(void **state)
{
	enum { HUNDRED = 100 };
	char path[128], name[32];
	struct hints h;

	make_long_way(path);
	make_file("key");
	make_links("key", "k", 100, STRANGER);
	for (unsigned i = 0; i < HUNDRED; i++) {
		snprintf(name, sizeof(name), "s%u.", i);
		make_links(path, name, 3, 100000 + i);
	}
	hints_of_links(&h, 0);
	for (unsigned i = 0; i < HUNDRED * 3; i++) {
		snprintf(name, sizeof(name), "s%u.%u", i / 3, i % 3);
		assert_int_equal(follow_entry(&h, name), ELOOP);
	}
	assert_in_range(h.walked, RESERVE, RESERVE + HUNDRED * 256);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "k%u", i);
		assert_int_equal(follow_entry(&h, name), 0);
	}
	hints_free(&h);
}

/* In their own directory they may have many; in a shared one they are as others. */
static void links_of_the_directory_s_owner_and_of_root(void **state)
{
	static const uid_t owners[] = { 0, NOBODY };
	struct hints h;

	make_file("key");
	make_links("key", "k", 1, NOBODY);
	make_links("key", "r", 1, 0);
	for (int shared = 0; shared < 2; shared++)
		for (int i = 0; i < 2; i++) {
			const bool many = !shared || owners[i] == 0;
			unsigned followed = 0;

			hints_of_links(&h, shared ? STRANGER : NOBODY);
			while (followed < 5000 && follow_entry(&h, i ? "k0" : "r0") == 0)
				followed++;
			assert_int_equal(followed, many ? 5000 : MOST_OF_ONE / 2);
			hints_free(&h);
		}
}

static void paths_that_strangers_record_leave_others_theirs(void **state)
{
	enum { HUNDRED = 100, EACH = 20 };
	char path[128], deep[64] = "";
	struct hints h;

	make_long_way(path);
	for (int i = 0; i < 15; i++) {
		strcat(deep, "d");
		make_dir(deep, 0755);
		strcat(deep, "/");
	}
	strcat(deep, "key");
	make_file(deep);
	hints_of_records(&h);
	for (unsigned i = 0; i < HUNDRED * EACH; i++)
		assert_int_equal(follow_record(&h, 100000 + i % HUNDRED, path), ELOOP);
	assert_in_range(h.walked, RESERVE, RESERVE + HUNDRED * EACH * 16);
	for (unsigned i = 0; i < 4000; i++)
		assert_int_equal(follow_record(&h, STRANGER, deep), 0);
	hints_free(&h);
}

static void who_is_many_gets_no_more(void **state)
{
	char path[128];
	struct hints h;

	make_long_way(path);
	hints_of_links(&h, 0);
	for (unsigned i = 0; i < 600; i++)
		assert_int_equal(follow_record(&h, 100000 + i, path), ELOOP);
	assert_in_range(h.walked, RESERVE, RESERVE + 512 * 256);
	hints_free(&h);
}

static const struct CMUnitTest tests[] = {
	TEST(a_hint_is_shorter_than_what_a_caller_names),
	TEST(links_of_one_stranger_cost_no_more_than_his_part),
	TEST(links_of_a_hundred_strangers_leave_others_theirs),
	TEST(links_of_the_directory_s_owner_and_of_root),
	TEST(paths_that_strangers_record_leave_others_theirs),
	TEST(who_is_many_gets_no_more),
};

TREE_MAIN(tests)
