// SPDX-License-Identifier: MIT
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#define KEY 0x7f123456

/* The next segment made gets ID (only in a private namespace, which ours is). */
static void set_next_id(int id)
{
	FILE *f = fopen("/proc/sys/kernel/shm_next_id", "w");

	assert_non_null(f);
	fprintf(f, "%d\n", id);
	assert_int_equal(fclose(f), 0);
}

static int make(void)
{
	int id = sm_segment_create(KEY, 5000, 0640);

	assert_true(id >= 0);
	return id;
}

static void test_create_and_stat(void **state)
{
	struct sm_segment seg, again;
	int id = make();

	assert_int_equal(sm_segment_stat(id, &seg), 0);
	assert_int_equal(seg.id, id);
	assert_int_equal(seg.key, KEY);
	assert_int_equal(seg.size, 5000);
	assert_int_equal(seg.mode, 0640);
	assert_false(seg.removed);
	assert_false(seg.locked);
	assert_int_equal(seg.nattch, 0);
	assert_int_equal(seg.cpid, getpid());
	assert_int_equal(seg.lpid, 0);
	assert_int_equal(seg.atime, 0);
	assert_int_equal(seg.dtime, 0);
	assert_true(seg.ctime > 0);
	assert_int_equal(sm_segment_find(KEY), id);
	assert_int_equal(sm_segment_stat_key(KEY, &again), 0);
	assert_int_equal(again.id, id);
	assert_int_equal(sm_segment_create(KEY, 5000, 0600), -EEXIST);
	assert_int_equal(sm_segment_remove(id), 0);
	assert_int_equal(sm_segment_remove(id), -EIDRM);
	assert_int_equal(sm_segment_stat(id, &seg), -EIDRM);
	assert_int_equal(sm_segment_find(KEY), -ENOENT);
	assert_int_equal(sm_segment_stat_key(KEY, &seg), -ENOENT);
}

static int make_and_give_away(void *arg)
{
	int id;

	unit_become(1001, 1005);
	id = sm_segment_create(KEY, 4096, 0604);
	return id < 0 || sm_segment_set(id, 1002, 1003, (mode_t)-1) < 0;
}

/* Every field differs, so none can be copied from its neighbour. */
static void test_every_field_is_its_own(void **state)
{
	struct sm_segment seg;
	void *at;

	assert_int_equal(unit_in_child(make_and_give_away, NULL), 0);
	assert_int_equal(sm_segment_stat_key(KEY, &seg), 0);
	assert_int_equal(seg.uid, 1002);
	assert_int_equal(seg.gid, 1003);
	assert_int_equal(seg.cuid, 1001);
	assert_int_equal(seg.cgid, 1005);
	assert_int_equal(seg.mode, 0604);
	assert_int_not_equal(seg.cpid, getpid());
	assert_int_equal(sm_segment_set(seg.id, (uid_t)-1, 1004, 0751), 0);
	assert_int_equal(sm_segment_attach(seg.id, false, &at), 0);
	assert_int_equal(shmctl(seg.id, SHM_LOCK, NULL), 0);
	assert_int_equal(sm_segment_remove(seg.id), 0);
	assert_int_equal(sm_segment_stat(seg.id, &seg), 0);
	assert_int_equal(seg.uid, 1002);
	assert_int_equal(seg.gid, 1004);
	assert_int_equal(seg.mode, 0751);
	assert_int_equal(seg.key, 0);
	assert_true(seg.removed);
	assert_true(seg.locked);
	assert_int_equal(seg.nattch, 1);
	assert_int_equal(seg.lpid, getpid());
	assert_true(seg.atime > 0);
	assert_int_equal(sm_segment_own(seg.id), 1);
	assert_int_equal(sm_segment_detach(at), 0);
	assert_int_equal(sm_segment_detach(at), -EINVAL);
	assert_int_equal(sm_segment_stat(seg.id, &seg), -EIDRM);
}

static void test_no_lookup_makes_a_segment(void **state)
{
	struct sm_segment seg;

	assert_int_equal(sm_segment_find(IPC_PRIVATE), -ENOENT);
	assert_int_equal(sm_segment_stat_key(IPC_PRIVATE, &seg), -ENOENT);
	assert_int_equal(sm_segment_find(KEY), -ENOENT);
	assert_int_equal(sm_segment_stat(-1, &seg), -EIDRM);
	assert_int_equal(sm_segment_stat(0, &seg), -EIDRM);
	assert_int_equal(sm_segment_set(-1, 0, 0, 0), -EIDRM);
	assert_int_equal(unit_segments(), 0);
}

static void test_a_reused_slot_is_not_the_old_segment(void **state)
{
	struct sm_segment seg;
	int id = make(), other;

	assert_int_equal(sm_segment_remove(id), 0);
	other = make();
	assert_int_not_equal(other, id);
	/* Two ids of one slot (the slot is in the low 15 bits). */
	assert_int_equal(sm_segment_stat(other + 32768 * 5, &seg), -EIDRM);
	assert_int_equal(sm_segment_set(other + 32768 * 5, 1, 1, 0), -EIDRM);
	assert_int_equal(sm_segment_remove(other + 32768 * 5), -EIDRM);
	assert_int_equal(sm_segment_remove(other), 0);
	set_next_id(0);
	assert_int_equal(make(), 0);
	assert_int_equal(sm_segment_stat(0, &seg), 0);
	assert_int_equal(sm_segment_remove(0), 0);
}

static void test_attaching(void **state)
{
	int id = make();
	char *at;
	const char *ro;

	assert_int_equal(sm_segment_attach(id, false, (void **)&at), 0);
	assert_int_equal(sm_segment_attach(id, true, (void **)&ro), 0);
	at[4999] = 'x';
	assert_int_equal(ro[4999], 'x');
	assert_int_equal(sm_segment_own(id), 2);
	assert_int_equal(sm_segment_own(id + 1), 0);
	assert_int_equal(sm_segment_detach(at), 0);
	assert_int_equal(sm_segment_detach(ro), 0);
	assert_int_equal(sm_segment_own(id), 0);
	assert_int_equal(sm_segment_remove(id), 0);
	assert_int_equal(sm_segment_attach(id, false, (void **)&at), -EIDRM);
}

static int as_a_stranger(void *arg)
{
	int id = *(int *)arg;
	void *at;

	unit_become(4242, 4242);
	return sm_segment_find(KEY) != id || sm_segment_attach(id, true, &at) != -EACCES ||
	       sm_segment_set(id, (uid_t)-1, (gid_t)-1, 0666) != -EPERM || sm_segment_remove(id) != -EPERM;
}

static void test_strangers_find_and_see_but_touch_nothing(void **state)
{
	int id = make();

	assert_int_equal(unit_in_child(as_a_stranger, &id), 0);
	assert_int_equal(sm_segment_set(id, (uid_t)-1, (gid_t)-1, 01666), -EINVAL);
	assert_int_equal(sm_segment_remove(id), 0);
}

static int owner_without_read(void *arg)
{
	struct sm_segment seg;
	int id;

	unit_become(4242, 4242);
	id = sm_segment_create(KEY, 1, 0);
	return id < 0 || sm_segment_set(id, (uid_t)-1, (gid_t)-1, 0600) < 0 || sm_segment_stat(id, &seg) < 0 ||
	       seg.mode != 0600 || seg.uid != 4242 || sm_segment_remove(id) < 0;
}

static void test_an_owner_who_may_not_read_can_set(void **state)
{
	assert_int_equal(unit_in_child(owner_without_read, NULL), 0);
}

static void set_limit(const char *name, const char *value)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof path, "/proc/sys/kernel/%s", name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(value, f);
	assert_int_equal(fclose(f), 0);
}

static void test_limits(void **state)
{
	struct sm_limits before, limits;
	int id;

	assert_int_equal(sm_limits_get(&before), 0);
	assert_int_equal(before.used, 0);
	assert_int_equal(before.pages, 0);
	set_limit("shmmni", "1");
	set_limit("shmmax", "100000");
	set_limit("shmall", "77");
	id = make();
	assert_int_equal(sm_limits_get(&limits), 0);
	assert_int_equal(limits.shmmni, 1);
	assert_int_equal(limits.shmmax, 100000);
	assert_int_equal(limits.shmall, 77);
	assert_int_equal(limits.used, 1);
	assert_int_equal(limits.pages, 2);
	assert_int_equal(limits.resident, 0);
	assert_int_equal(sm_segment_create(IPC_PRIVATE, 1, 0600), -ENOSPC);
	assert_int_equal(sm_segment_create(IPC_PRIVATE, 100001, 0600), -EINVAL);
	assert_int_equal(sm_segment_create(IPC_PRIVATE, 0, 0600), -EINVAL);
	assert_int_equal(sm_segment_remove(id), 0);
	set_limit("shmmni", "4096");
	set_limit("shmmax", "18446744073692774399");
	set_limit("shmall", "18446744073692774399");
}

static void test_list(void **state)
{
	struct sm_segment *list;
	int ids[40];

	for (int i = 0; i < 40; i++)
		assert_true((ids[i] = sm_segment_create(IPC_PRIVATE, (size_t)i + 1, 0600)) >= 0);
	for (int i = 0; i < 40; i += 2)
		assert_int_equal(sm_segment_remove(ids[i]), 0);
	assert_int_equal(sm_segment_list(&list), 20);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(list[i].id, ids[2 * i + 1]);
		assert_int_equal(list[i].size, 2 * i + 2);
		assert_int_equal(sm_segment_remove(list[i].id), 0);
	}
	free(list);
	assert_int_equal(sm_segment_list(&list), 0);
	assert_non_null(list);
	free(list);
}

static void make_many(void *arg)
{
	for (int i = 0; i < 100; i++)
		sm_segment_create(IPC_PRIVATE, 1, 0600);
}

/* The table grows between asking for its size and reading it. */
static void test_list_while_others_make(void **state)
{
	struct sm_segment *list;
	ssize_t n;

	make_many(NULL);
	fault_hook(FAULT_STAT, 1, make_many, NULL);
	n = sm_segment_list(&list);
	assert_true(n >= 100);
	free(list);
	n = sm_segment_list(&list);
	assert_int_equal(n, 200);
	while (n > 0)
		sm_segment_remove(list[--n].id);
	free(list);
}

static void test_failing_calls(void **state)
{
	struct sm_segment seg, *list;
	struct sm_limits limits;
	void *at;
	int id = make();

	fault_fail(FAULT_SHMGET, 1, EACCES);
	assert_int_equal(sm_segment_find(KEY), -EACCES);
	fault_fail(FAULT_SHMGET, 1, ENOMEM);
	assert_int_equal(sm_segment_create(KEY, 1, 0), -ENOMEM);
	fault_fail(FAULT_STAT, 1, ENOSYS);
	assert_int_equal(sm_segment_stat(id, &seg), -ENOSYS);
	fault_fail(FAULT_STAT, 1, EIDRM);
	assert_int_equal(sm_segment_stat_key(KEY, &seg), -ENOENT);
	fault_fail(FAULT_STAT, 1, EINVAL);
	assert_int_equal(sm_segment_set(id, 0, 0, 0), -EIDRM);
	fault_fail(FAULT_SHMAT, 1, EMFILE);
	assert_int_equal(sm_segment_attach(id, true, &at), -EMFILE);
	fault_fail(FAULT_SHMAT, 1, EINVAL);
	assert_int_equal(sm_segment_attach(id, true, &at), -EIO);
	fault_fail(FAULT_SHMAT, 1, EIDRM);
	assert_int_equal(sm_segment_attach(id, true, &at), -EIDRM);
	fault_fail(FAULT_SHMCTL, 1, ENOSYS);
	assert_int_equal(sm_segment_list(&list), -ENOSYS);
	fault_fail(FAULT_MALLOC, 1, ENOMEM);
	assert_int_equal(sm_segment_list(&list), -ENOMEM);
	fault_fail(FAULT_SHMCTL, 1, ENOSYS);
	assert_int_equal(sm_limits_get(&limits), -ENOSYS);
	fault_fail(FAULT_SHMCTL, 2, ENOSYS);
	assert_int_equal(sm_limits_get(&limits), -ENOSYS);
	fault_fail(FAULT_OPEN, 1, EMFILE);
	assert_int_equal(sm_segment_own(id), 0);
	fault_fail(FAULT_READ, 1, EIO);
	assert_int_equal(sm_segment_own(id), 0);
	fault_fail(FAULT_MALLOC, 1, ENOMEM);
	assert_int_equal(sm_segment_own(id), 0);
	assert_int_equal(sm_segment_remove(id), 0);
}

static void test_list_out_of_memory_while_growing(void **state)
{
	struct sm_segment *list;
	ssize_t n;

	make();
	fault_hook(FAULT_SHMCTL, 1, make_many, NULL);
	assert_true((n = sm_segment_list(&list)) > 0);
	free(list);
	fault_clear();
	assert_int_equal(n, 101);
	n = sm_segment_list(&list);
	while (n > 0)
		sm_segment_remove(list[--n].id);
	free(list);
}

/* Mapped over its neighbour, it took the daemon's buffers away. */
static void test_a_longer_inode_is_mapped_over_nothing(void **state)
{
	struct sm_segment seg;
	void *at, *mapped;
	int id = make();

	assert_int_equal(sm_segment_attach(id, false, &at), 0);
	unit_change_inode(at, 8192, 65536);
	assert_int_equal(sm_segment_map(id, 5000, false, &mapped), -EIO);
	assert_int_equal(sm_segment_stat(id, &seg), 0);
	assert_int_equal(seg.nattch, 1);
	unit_change_inode(at, 8192, 4096);
	assert_int_equal(sm_segment_map(id, 5000, false, &mapped), 0);
	((char *)mapped)[0] = 'x';
	assert_int_equal(*(char *)at, 'x');
	assert_int_equal(msync((char *)mapped + 4096, 4096, MS_ASYNC), 0);	/* reserved: ENOMEM if nothing were there */
	assert_int_equal(sm_segment_unmap(mapped, 5000), 0);
	unit_change_inode(at, 8192, 0);
	assert_int_equal(sm_segment_map(id, 5000, false, &mapped), -EIO);
	assert_int_equal(sm_segment_unmap(at, 5000), 0);
	assert_int_equal(sm_segment_stat(id, &seg), 0);
	assert_int_equal(seg.nattch, 0);
	assert_int_equal(sm_segment_remove(id), 0);
}

#define MAPPERS 16
#define ROUNDS 2000

static void *map_and_unmap(void *arg)
{
	intptr_t id = (intptr_t)arg, failed = 0;

	for (int i = 0; i < ROUNDS; i++) {
		void *at, *other;
		bool mapped = sm_segment_map((int)id, 5000, true, &at) == 0;
		bool attached = sm_segment_attach((int)id, true, &other) == 0;

		failed += !mapped + !attached;
		if (mapped)
			sm_segment_unmap(at, 5000);
		if (attached)
			sm_segment_detach(other);
	}
	return (void *)failed;
}

/* Each leaves a gap for a moment, which another one must not take for his. */
static void test_many_threads_map(void **state)
{
	pthread_t threads[MAPPERS];
	int id = make();

	for (int i = 0; i < MAPPERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, map_and_unmap, (void *)(intptr_t)id), 0);
	for (int i = 0; i < MAPPERS; i++) {
		void *failed;

		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	assert_int_equal(sm_segment_remove(id), 0);
}

static const struct CMUnitTest tests[] = {
	UNIT(test_create_and_stat),
	UNIT(test_every_field_is_its_own),
	UNIT(test_no_lookup_makes_a_segment),
	UNIT(test_a_reused_slot_is_not_the_old_segment),
	UNIT(test_attaching),
	UNIT(test_strangers_find_and_see_but_touch_nothing),
	UNIT(test_an_owner_who_may_not_read_can_set),
	UNIT(test_a_longer_inode_is_mapped_over_nothing),
	UNIT(test_many_threads_map),
	UNIT(test_limits),
	UNIT(test_list),
	UNIT(test_list_while_others_make),
	UNIT(test_failing_calls),
	UNIT(test_list_out_of_memory_while_growing),
};

UNIT_MAIN(tests)
