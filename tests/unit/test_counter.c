// SPDX-License-Identifier: MIT
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/shm.h>
#include <unistd.h>

static int make(const char *path)
{
	int id = sm_counter_create(unit_counter_key('A'), 0600, path);

	assert_true(id >= 0);
	return id;
}

static uint32_t seq_of(int id)
{
	struct word w;
	void *at;

	assert_int_equal(sm_segment_attach(id, true, &at), 0);
	memcpy(&w, at, sizeof w);
	sm_segment_detach(at);
	return w.seq;
}

static void test_a_new_counter(void **state)
{
	struct sm_counter c = { .value = 99 };
	struct sm_segment seg;
	int id = make("/tmp/some file");

	assert_int_equal(sm_counter_load(id, &c), 0);
	assert_int_equal(c.value, 0);
	assert_int_equal(c.changes, 0);
	assert_string_equal(c.path, "/tmp/some file");
	assert_int_equal(sm_segment_stat(id, &seg), 0);
	assert_int_equal(seg.size, 4096);
	assert_int_equal(seg.nattch, 0);
	assert_int_equal(sm_counter_create(unit_counter_key('A'), 0600, "/tmp/other"), -EEXIST);
	/* An old program asks for an int. */
	assert_int_equal(shmget(unit_counter_key('A'), sizeof(int), IPC_CREAT | 0666), id);
	sm_segment_remove(id);
}

static void test_paths_that_are_not_recorded(void **state)
{
	char longest[SM_PATH_CAPACITY + 1];
	const char *not_recorded[] = { NULL, "", "relative/path", longest };
	struct sm_counter c;
	int id;

	memset(longest, 'x', sizeof longest);
	longest[0] = '/';
	longest[SM_PATH_CAPACITY] = '\0';
	for (int i = 0; i < 4; i++) {
		id = make(not_recorded[i]);
		assert_int_equal(sm_counter_load(id, &c), 0);
		assert_string_equal(c.path, "");
		assert_true(c.marked);
		sm_segment_remove(id);
	}
	longest[SM_PATH_CAPACITY - 1] = '\0';
	id = make(longest);
	assert_int_equal(sm_counter_load(id, &c), 0);
	assert_string_equal(c.path, longest);
	sm_segment_remove(id);
}

/* A counter of an old program: 4 bytes, of which only the int means anything. */
static void test_a_segment_of_four_bytes(void **state)
{
	struct sm_counter c;
	int id = sm_segment_create(unit_counter_key('A'), 4, 0666), value;

	unit_put_word(id, 2, 0);
	assert_int_equal(sm_counter_load(id, &c), 0);
	assert_int_equal(c.value, 2);
	assert_string_equal(c.path, "");
	assert_false(c.marked);
	assert_int_equal(sm_counter_decrement(id, &value), 0);
	assert_int_equal(value, 1);
	assert_int_equal(sm_counter_decrement(id, NULL), 0);
	assert_int_equal(sm_counter_decrement(id, NULL), -ERANGE);
	assert_int_equal(seq_of(id), 2);
	sm_segment_remove(id);
	id = sm_segment_create(unit_counter_key('A'), 3, 0666);
	assert_int_equal(sm_counter_load(id, &c), -EINVAL);
	assert_int_equal(sm_counter_value(id, &value), -EINVAL);
	assert_int_equal(sm_counter_decrement(id, &value), -EINVAL);
	assert_int_equal(sm_counter_leaked(id, &value), -EINVAL);
	sm_segment_remove(id);
}

static void test_decrement_never_goes_below_zero(void **state)
{
	const int garbage[] = { 0, -1, -12345, INT_MIN };
	int id = make(NULL), value = 77;

	for (int i = 0; i < 4; i++) {
		unit_put_word(id, garbage[i], 5);
		assert_int_equal(sm_counter_decrement(id, &value), -ERANGE);
		assert_int_equal(sm_counter_value(id, &value), 0);
		assert_int_equal(value, garbage[i]);
		assert_int_equal(seq_of(id), 5);
	}
	unit_put_word(id, INT_MAX, 0x7fffffff);
	assert_int_equal(sm_counter_decrement(id, &value), 0);
	assert_int_equal(value, INT_MAX - 1);
	assert_int_equal(seq_of(id), 0);
	/* Being removed: there is nothing to take off any more. */
	unit_put_word(id, 1, WORD_DEAD | 3);
	assert_int_equal(sm_counter_decrement(id, &value), -ERANGE);
	sm_segment_remove(id);
}

static void test_only_a_plausible_word_is_dead(void **state)
{
	assert_true(word_dead((struct word){ 0, WORD_DEAD }));
	assert_true(word_dead((struct word){ 1, WORD_DEAD | 7 }));
	assert_false(word_dead((struct word){ 0, 0x7fffffff }));
	assert_false(word_dead((struct word){ -1, 0xffffffff }));
	assert_false(word_dead((struct word){ 65, WORD_DEAD }));
	assert_false(word_dead((struct word){ INT_MIN, WORD_DEAD }));
}

static void test_only_0_is_left(void **state)
{
	assert_true(word_left((struct word){ 0, WORD_LEFT }));
	assert_true(word_left(word_next_left((struct word){ 1, WORD_SEQ })));
	assert_false(word_left((struct word){ 0, WORD_SEQ }));
	assert_false(word_left((struct word){ 1, WORD_LEFT | 5 }));
	assert_false(word_left((struct word){ -1, WORD_LEFT | 5 }));
	/* Any other change takes it off. */
	assert_false(word_left(word_next((struct word){ 0, WORD_LEFT | WORD_SEQ }, 0)));
	assert_false(word_dead(word_next((struct word){ 0, WORD_LEFT | WORD_SEQ }, 0)));
	assert_true(word_dead(word_next_dead((struct word){ 0, WORD_LEFT | WORD_SEQ })));
	assert_false(word_left(word_next_dead((struct word){ 0, WORD_LEFT | 5 })));
	/* Beside DEAD the same bit is another. */
	assert_false(word_gone(word_next_dead((struct word){ 0, WORD_LEFT | 5 })));
	assert_true(word_gone(word_next_dead(word_next_gone((struct word){ 0, WORD_DEAD | WORD_SEQ }))));
	assert_false(word_left(word_next_gone((struct word){ 0, WORD_DEAD | 5 })));
	assert_false(word_gone((struct word){ 65, WORD_DEAD | WORD_GONE }));
	assert_false(word_gone((struct word){ 0, WORD_GONE | 5 }));
}

#define SWAPS 200000

static void *count_up(void *at)
{
	for (int i = 0; i < SWAPS; i++) {
		struct word w = word_load(at);

		while (!word_swap(at, &w, word_next(w, w.counter + 1)))
			;
	}
	return NULL;
}

static void test_no_swap_is_lost(void **state)
{
	_Atomic uint64_t at = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, count_up, &at), 0);
	count_up(&at);
	pthread_join(thread, NULL);
	assert_int_equal(word_load(&at).counter, 2 * SWAPS);
	assert_int_equal(word_load(&at).seq, 2 * SWAPS);
}

/* A page that cannot be had: the segment's inode was truncated behind everybody's back. */
static void test_a_truncated_segment_is_an_error_and_no_signal(void **state)
{
	int id = make("/good"), value, fd;
	struct sm_counter c;
	char path[80];
	void *at;

	assert_int_equal(sm_segment_attach(id, false, &at), 0);
	snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", (unsigned long)at, (unsigned long)at + 4096);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	close(fd);
	sm_segment_detach(at);
	assert_int_equal(sm_counter_load(id, &c), -EIO);
	assert_int_equal(sm_counter_value(id, &value), -EIO);
	assert_int_equal(sm_counter_decrement(id, &value), -EIO);
	sm_segment_remove(id);
}

static int steps, goes_at;

/* The page goes at one step, or is gone from the first on. */
static bool step_by_step(void (*step)(void *), void *arg)
{
	if (++steps == goes_at || goes_at == 0)
		return false;
	step(arg);
	return true;
}

static int load(int id)
{
	struct sm_counter c;

	return sm_counter_load(id, &c);
}

static int read_value(int id)
{
	int value;

	return sm_counter_value(id, &value);
}

static int decrement(int id)
{
	return sm_counter_decrement(id, NULL);
}

static int leaked(int id)
{
	int n;

	return sm_counter_leaked(id, &n);
}

static int reap(int id)
{
	return sm_counter_reap(id, 1000, NULL, NULL);
}

static int reap_free(int id)
{
	bool freed = false;
	int r = sm_counter_reap_free(id, -1, 1000, NULL, NULL, &freed);

	assert_false(freed);
	return r;
}

/* An error, at whatever step it goes; nothing that is not there is taken for done, and the next call is not concerned. */
static void test_a_page_that_goes_while_it_is_attached(void **state)
{
	static int (*const calls[])(int) = { load, read_value, decrement, leaked, reap, reap_free };
	struct sm_counter c;
	int id;

	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		for (goes_at = 0; goes_at <= 1; goes_at++) {
			steps = 0;
			id = make("/good");
			unit_put_word(id, 3, 7);
			counter_touch_with(step_by_step);
			assert_int_equal(calls[i](id), -EIO);
			counter_touch_with(NULL);
			assert_int_equal(sm_counter_load(id, &c), 0);
			assert_int_equal(c.value, 3);
			assert_int_equal(c.changes, 7);
			sm_segment_remove(id);
		}
	}
	/* a swap that finds nothing has not counted */
	id = make("/good");
	unit_put_word(id, 3, 7);
	steps = 0;
	goes_at = 2;
	counter_touch_with(step_by_step);
	assert_int_equal(decrement(id), -EIO);
	assert_int_equal(decrement(id), 0);
	counter_touch_with(NULL);
	assert_int_equal(sm_counter_load(id, &c), 0);
	assert_int_equal(c.value, 2);
	sm_segment_remove(id);
}

#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/"

/* The machine's pool of huge pages, as it is while nobody else tests with it; closing it lets them. */
static int lock_pool(char *free_pages, size_t size)
{
	int pool = open(POOL "nr_hugepages", O_RDONLY), fd;

	if (pool < 0 || flock(pool, LOCK_EX) < 0)
		unit_skip("no huge pages of 2 MiB here");
	fd = open(POOL "free_hugepages", O_RDONLY);
	assert_true(fd >= 0 && read(fd, free_pages, size) > 0);
	close(fd);
	return pool;
}

/* A counter of huge pages, of which there are none: it can be attached, and touching it is SIGBUS. */
static void test_a_huge_page_that_is_not_there(void **state)
{
	char free_pages[32] = "";
	int pool = lock_pool(free_pages, sizeof free_pages - 1);
	int id = shmget(unit_counter_key('A'), 2 << 20, IPC_CREAT | 0600 | SHM_HUGETLB | SHM_NORESERVE), value;
	struct sm_counter c;

	if (strcmp(free_pages, "0\n") != 0 || id < 0) {
		close(pool);
		sm_segment_remove(id);
		unit_skip("no segment of huge pages without a page is to be had");
	}
	assert_int_equal(sm_counter_load(id, &c), -EIO);
	assert_int_equal(sm_counter_decrement(id, &value), -EIO);
	assert_int_equal(sm_counter_leaked(id, &value), -EIO);
	sm_segment_remove(id);
	close(pool);
}

static int as_a_stranger(void *arg)
{
	struct sm_counter c;
	int id = *(int *)arg, value;

	unit_become(4242, 4242);
	return sm_counter_load(id, &c) != -EACCES || sm_counter_value(id, &value) != -EACCES ||
	       sm_counter_decrement(id, &value) != -EACCES || sm_counter_leaked(id, &value) != -EACCES;
}

static int as_a_reader(void *arg)
{
	int id = *(int *)arg, value;

	unit_become(4242, 4242);
	return sm_counter_value(id, &value) != 0 || sm_counter_leaked(id, &value) != 0 ||
	       sm_counter_decrement(id, &value) != -EACCES;
}

static void test_permissions(void **state)
{
	int id = make("/good");

	assert_int_equal(unit_in_child(as_a_stranger, &id), 0);
	assert_int_equal(sm_segment_set(id, (uid_t)-1, (gid_t)-1, 0604), 0);
	assert_int_equal(unit_in_child(as_a_reader, &id), 0);
	sm_segment_remove(id);
}

static int maker_kept_out(void *arg)
{
	unit_become(4242, 4242);
	return sm_counter_create(unit_counter_key('A'), 0400, "/good") < 0;
}

/* The mode is as asked from the first instant, so the path has to do without. */
static void test_a_mode_that_keeps_the_maker_from_writing(void **state)
{
	struct sm_segment seg;
	struct sm_counter c;

	assert_int_equal(unit_in_child(maker_kept_out, NULL), 0);
	assert_int_equal(sm_segment_stat_key(unit_counter_key('A'), &seg), 0);
	assert_int_equal(seg.mode, 0400);
	assert_int_equal(sm_counter_load(seg.id, &c), 0);
	assert_string_equal(c.path, "");
	sm_segment_remove(seg.id);
}

static void test_gone(void **state)
{
	struct sm_counter c;
	int id = make("/good"), value;

	sm_segment_remove(id);
	assert_int_equal(sm_counter_load(id, &c), -EIDRM);
	assert_int_equal(sm_counter_value(id, &value), -EIDRM);
	assert_int_equal(sm_counter_decrement(id, &value), -EIDRM);
	assert_int_equal(sm_counter_leaked(id, &value), -EIDRM);
}

static void test_failing_calls(void **state)
{
	struct sm_counter c;
	struct sm_segment seg;
	int id = make("/good"), value;

	fault_fail(FAULT_SHMAT, 1, EMFILE);
	assert_int_equal(sm_counter_load(id, &c), -EMFILE);
	fault_fail(FAULT_SHMAT, 1, ENOMEM);
	assert_int_equal(sm_counter_value(id, &value), -ENOMEM);
	fault_fail(FAULT_MADVISE, 1, EFAULT);
	assert_int_equal(sm_counter_value(id, &value), -EIO);
	fault_fail(FAULT_MADVISE, 1, ENOMEM);
	assert_int_equal(sm_counter_decrement(id, &value), -ENOMEM);
	/* A kernel without this advice. */
	fault_fail(FAULT_MADVISE, 1, EINVAL);
	assert_int_equal(sm_counter_value(id, &value), 0);
	assert_int_equal(sm_segment_stat(id, &seg), 0);
	assert_int_equal(seg.nattch, 0);
	sm_segment_remove(id);
	/* The path is worth another try, and not worth failing for. */
	fault_fail(FAULT_SHMAT, 1, ENOMEM);
	id = make("/good");
	assert_int_equal(sm_counter_load(id, &c), 0);
	assert_true(c.marked);
	assert_string_equal(c.path, "/good");
	sm_segment_remove(id);
	fault_fail(FAULT_SHMAT, 1, EMFILE);
	id = make("/good");
	assert_int_equal(sm_counter_load(id, &c), 0);
	assert_false(c.marked);
	assert_string_equal(c.path, "");
	sm_segment_remove(id);
	fault_fail(FAULT_SHMGET, 1, ENOSPC);
	assert_int_equal(sm_counter_create(unit_counter_key('A'), 0600, "/good"), -ENOSPC);
}

static const struct CMUnitTest tests[] = {
	UNIT(test_a_new_counter),
	UNIT(test_paths_that_are_not_recorded),
	UNIT(test_a_segment_of_four_bytes),
	UNIT(test_decrement_never_goes_below_zero),
	UNIT(test_only_a_plausible_word_is_dead),
	UNIT(test_only_0_is_left),
	UNIT(test_no_swap_is_lost),
	UNIT(test_a_truncated_segment_is_an_error_and_no_signal),
	UNIT(test_a_page_that_goes_while_it_is_attached),
	UNIT(test_a_huge_page_that_is_not_there),
	UNIT(test_permissions),
	UNIT(test_a_mode_that_keeps_the_maker_from_writing),
	UNIT(test_gone),
	UNIT(test_failing_calls),
};

UNIT_MAIN(tests)
