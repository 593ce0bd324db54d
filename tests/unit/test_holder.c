// SPDX-License-Identifier: MIT
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

static int make(void)
{
	int id = sm_segment_create(IPC_PRIVATE, 10000, 0666);

	assert_true(id >= 0);
	return id;
}

struct attach {
	int id;
	int flags, times;
	const char *comm;
	unsigned uid;
	bool elsewhere;		/* in another IPC namespace, where this id is another segment */
};

static void attach(void *arg)
{
	struct attach a = *(struct attach *)arg;

	prctl(PR_SET_NAME, a.comm);
	if (a.elsewhere && (unshare(CLONE_NEWIPC) < 0 || (a.id = make()) < 0))
		_exit(1);
	if (a.uid)
		unit_become(a.uid, a.uid);
	for (int i = 0; i < a.times; i++) {
		if (shmat(a.id, NULL, a.flags) == (void *)-1)
			_exit(1);
	}
	unit_ready();
	pause();
}

static pid_t start(struct attach a)
{
	return unit_start(attach, &a);
}

static void test_nobody(void **state)
{
	struct sm_holder *list;
	unsigned hidden = 99;
	int id = make();

	assert_int_equal(sm_holder_list(id, &list, &hidden), 0);
	assert_non_null(list);
	free(list);
	assert_int_equal(sm_holder_list(-1, &list, NULL), 0);
	free(list);
	sm_segment_remove(id);
}

static void test_everything_about_a_holder(void **state)
{
	struct sm_holder *list;
	int id = make(), other = make();
	pid_t reader = start((struct attach){ .id = id, .flags = SHM_RDONLY, .times = 1, .comm = "a (b) c", .uid = 4242 });
	pid_t writer = start((struct attach){ .id = id, .times = 3, .comm = "exactly15chars_and_more" });
	pid_t both = start((struct attach){ .id = other, .times = 1, .comm = "other" });
	int first = reader < writer ? 0 : 1;

	assert_int_equal(sm_holder_list(id, &list, NULL), 2);
	assert_int_equal(list[first].pid, reader);
	assert_int_equal(list[first].id, id);
	assert_int_equal(list[first].uid, 4242);
	assert_int_equal(list[first].attached, 1);
	assert_false(list[first].writable);
	assert_string_equal(list[first].comm, "a (b) c");
	assert_int_equal(list[!first].pid, writer);
	assert_int_equal(list[!first].uid, 0);
	assert_int_equal(list[!first].attached, 3);
	assert_true(list[!first].writable);
	assert_string_equal(list[!first].comm, "exactly15chars_");
	free(list);
	assert_int_equal(sm_holder_list(-1, &list, NULL), 3);
	assert_int_equal(list[2].id, other);
	assert_int_equal(list[2].pid, both);
	free(list);
	unit_end(reader);
	unit_end(writer);
	unit_end(both);
	assert_int_equal(sm_holder_list(-1, &list, NULL), 0);
	free(list);
	sm_segment_remove(id);
	sm_segment_remove(other);
}

static void test_a_removed_segment_still_has_holders(void **state)
{
	struct sm_holder *list;
	int id = make();
	pid_t pid = start((struct attach){ .id = id, .times = 1, .comm = "x" });

	sm_segment_remove(id);
	assert_int_equal(sm_holder_list(id, &list, NULL), 1);
	free(list);
	unit_end(pid);
}

static void test_another_namespace_is_not_ours(void **state)
{
	struct sm_holder *list;
	pid_t pid = start((struct attach){ .times = 1, .comm = "x", .elsewhere = true });

	assert_int_equal(sm_holder_list(-1, &list, NULL), 0);
	free(list);
	unit_end(pid);
}

static int list_as_a_stranger(void *arg)
{
	struct sm_holder *list;
	unsigned hidden = 0;
	int id = *(int *)arg;

	unit_become(4242, 4242);
	if (sm_holder_list(id, &list, &hidden) != 1)
		return 1;
	return list[0].uid == 4242 && hidden > 0 ? 0 : 2;
}

static void test_who_cannot_be_seen_is_counted(void **state)
{
	int id = make();
	pid_t roots = start((struct attach){ .id = id, .times = 1, .comm = "x" });
	pid_t theirs = start((struct attach){ .id = id, .times = 1, .comm = "x", .uid = 4242 });

	assert_int_equal(unit_in_child(list_as_a_stranger, &id), 0);
	unit_end(roots);
	unit_end(theirs);
	sm_segment_remove(id);
}

static void map_a_lookalike(void *arg)
{
	const char *name = "/tmp/SYSV12345678";
	struct stat st;
	int fd;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("x", "/tmp", "tmpfs", 0, NULL) < 0)
		_exit(1);
	do {
		fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (fd < 0 || fstat(fd, &st) < 0 || unlink(name) < 0 || st.st_ino > (ino_t)*(int *)arg)
			_exit(2);
	} while (st.st_ino != (ino_t)*(int *)arg);
	if (ftruncate(fd, 4096) < 0 || mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED || umount2("/tmp", MNT_DETACH) < 0)
		_exit(3);
	unit_ready();
	pause();
}

/* A file of somebody's own file system has the name and the inode number of an attachment. */
static void test_a_file_that_looks_like_an_attachment(void **state)
{
	struct sm_holder *list;
	FILE *next = fopen("/proc/sys/kernel/shm_next_id", "w");
	pid_t pid;
	int id;

	assert_non_null(next);
	fprintf(next, "200\n");
	assert_int_equal(fclose(next), 0);
	id = make();
	assert_int_equal(id, 200);
	pid = unit_start(map_a_lookalike, &id);
	assert_int_equal(sm_holder_list(id, &list, NULL), 0);
	free(list);
	assert_int_equal(sm_holder_list(-1, &list, NULL), 0);
	free(list);
	unit_end(pid);
	sm_segment_remove(id);
}

/* The kernel keeps huge pages on file systems of their own. */
static void test_a_holder_of_huge_pages(void **state)
{
	struct sm_holder *list;
	int id = shmget(IPC_PRIVATE, 2 << 20, IPC_CREAT | 0666 | SHM_HUGETLB | SHM_NORESERVE);
	pid_t pid;

	if (id < 0)
		unit_skip("no segment of huge pages is to be had");
	pid = start((struct attach){ .id = id, .times = 2, .comm = "x" });
	assert_int_equal(sm_holder_list(id, &list, NULL), 1);
	assert_int_equal(list->attached, 2);
	free(list);
	unit_end(pid);
	sm_segment_remove(id);
}

/* More mappings than one block of the file holds, and than the list starts with. */
static void test_many_mappings(void **state)
{
	struct sm_holder *list;
	int ids[300];
	void *at[300];

	for (int i = 0; i < 300; i++) {
		ids[i] = make();
		assert_int_equal(sm_segment_attach(ids[i], false, &at[i]), 0);
	}
	assert_int_equal(sm_holder_list(-1, &list, NULL), 300);
	for (int i = 0; i < 300; i++) {
		assert_int_equal(list[i].pid, getpid());
		assert_true(i == 0 || list[i].id > list[i - 1].id);
	}
	free(list);
	for (int i = 0; i < 300; i++) {
		assert_int_equal(sm_segment_own(ids[i]), 1);
		sm_segment_detach(at[i]);
		sm_segment_remove(ids[i]);
	}
}

static void test_failing_calls(void **state)
{
	struct sm_holder *list;
	int id = make();
	void *at;

	assert_int_equal(sm_segment_attach(id, false, &at), 0);
	fault_fail(FAULT_MALLOC, 1, ENOMEM);
	assert_int_equal(sm_holder_list(id, &list, NULL), -ENOMEM);
	fault_fail(FAULT_REALLOCARRAY, 1, ENOMEM);
	assert_int_equal(sm_holder_list(id, &list, NULL), -ENOMEM);
	fault_fail(FAULT_READDIR, 1, EIO);
	assert_int_equal(sm_holder_list(id, &list, NULL), -EIO);
	fault_fail(FAULT_READDIR, 5, EIO);	/* not the end: it would be a shorter list */
	assert_int_equal(sm_holder_list(id, &list, NULL), -EIO);
	sm_segment_detach(at);
	fault_fail(FAULT_CALLOC, 1, ENOMEM);
	assert_int_equal(sm_holder_list(id, &list, NULL), -ENOMEM);
	sm_segment_remove(id);
}

static const struct CMUnitTest tests[] = {
	UNIT(test_nobody),
	UNIT(test_everything_about_a_holder),
	UNIT(test_a_removed_segment_still_has_holders),
	UNIT(test_another_namespace_is_not_ours),
	UNIT(test_who_cannot_be_seen_is_counted),
	UNIT(test_a_file_that_looks_like_an_attachment),
	UNIT(test_a_holder_of_huge_pages),
	UNIT(test_many_mappings),
	UNIT(test_failing_calls),
};

UNIT_MAIN(tests)
