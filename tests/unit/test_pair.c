// SPDX-License-Identifier: MIT
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t found;

static int make(size_t size)
{
	found = 0;
	return pair_create(unit_data_key('P'), size, 0640, "/some/path", &found);
}

static int data_id(void)
{
	return sm_segment_find(unit_data_key('P'));
}

static int counter_id(void)
{
	return sm_segment_find(unit_counter_key('P'));
}

static void remove_both(void *arg)
{
	sm_segment_remove(data_id());
	sm_segment_remove(counter_id());
}

/* A living pair, of SIZE bytes, with nobody attached. */
static void check_pair(size_t size)
{
	struct sm_segment seg;
	struct page *page;

	assert_int_equal(unit_segments(), 2);
	assert_int_equal(sm_segment_stat_key(unit_data_key('P'), &seg), 0);
	assert_int_equal(seg.size, size);
	assert_int_equal(seg.nattch, 0);
	assert_int_equal(sm_segment_stat_key(unit_counter_key('P'), &seg), 0);
	assert_int_equal(seg.nattch, 0);
	assert_int_equal(counter_attach(seg.id, false, &page, NULL), 0);
	assert_false(word_dead(word_load(&page->word)));
	counter_detach(page, 0);
}

static void test_a_new_pair(void **state)
{
	struct sm_segment seg;
	struct sm_counter c;

	assert_int_equal(make(5000), 0);
	assert_int_equal(found, 5000);
	check_pair(5000);
	assert_int_equal(sm_segment_stat(data_id(), &seg), 0);
	assert_int_equal(seg.mode, 0640);
	assert_int_equal(sm_segment_stat(counter_id(), &seg), 0);
	assert_int_equal(seg.mode, 0640);
	assert_int_equal(sm_counter_load(counter_id(), &c), 0);
	assert_int_equal(c.value, 0);
	assert_string_equal(c.path, "/some/path");
	remove_both(NULL);
}

static void test_an_existing_pair(void **state)
{
	int data, counter;

	assert_int_equal(make(5000), 0);
	data = data_id();
	counter = counter_id();
	assert_int_equal(make(4000), 0);
	assert_int_equal(found, 5000);
	assert_int_equal(make(5001), -EINVAL);
	assert_int_equal(found, 5000);
	assert_int_equal(data_id(), data);
	assert_int_equal(counter_id(), counter);
	check_pair(5000);
	remove_both(NULL);
}

static void test_a_missing_half_is_made(void **state)
{
	struct sm_counter c;

	assert_int_equal(make(5000), 0);
	unit_put_word(counter_id(), 3, 8);
	sm_segment_remove(data_id());
	assert_int_equal(make(6000), 0);
	check_pair(6000);
	assert_int_equal(sm_counter_load(counter_id(), &c), 0);
	assert_int_equal(c.value, 3);
	sm_segment_remove(counter_id());
	/* Not for a size that is refused. */
	assert_int_equal(make(6001), -EINVAL);
	assert_int_equal(unit_segments(), 1);
	assert_int_equal(make(6000), 0);
	check_pair(6000);
	remove_both(NULL);
}

static void test_an_old_counter_of_four_bytes(void **state)
{
	assert_true(sm_segment_create(unit_counter_key('P'), 4, 0666) >= 0);
	assert_int_equal(make(100), 0);
	check_pair(100);
	remove_both(NULL);
	assert_true(sm_segment_create(unit_counter_key('P'), 3, 0666) >= 0);
	assert_int_equal(make(100), -EINVAL);
	assert_int_equal(unit_segments(), 1);
	remove_both(NULL);
}

static void test_a_dead_pair_is_finished_first(void **state)
{
	int data, counter;

	assert_int_equal(make(5000), 0);
	data = data_id();
	counter = counter_id();
	unit_put_word(counter_id(), 0, WORD_DEAD | 3);
	assert_int_equal(make(4000), 0);
	assert_int_not_equal(data_id(), data);
	assert_int_not_equal(counter_id(), counter);
	check_pair(4000);
	/* Its last leaver died after removing the data. */
	unit_put_word(counter_id(), 0, WORD_DEAD | 3);
	sm_segment_remove(data_id());
	assert_int_equal(make(100), 0);
	check_pair(100);
	remove_both(NULL);
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

static void test_no_counter_is_left_where_data_cannot_be(void **state)
{
	set_limit("shmmni", "1");
	assert_int_equal(make(100), -ENOSPC);
	assert_int_equal(unit_segments(), 0);
	set_limit("shmmni", "4096");
	set_limit("shmmax", "10000");
	assert_int_equal(make(10001), -EINVAL);
	assert_int_equal(unit_segments(), 0);
	set_limit("shmmax", "18446744073692774399");
	/* One that was there before stays. */
	assert_true(sm_counter_create(unit_counter_key('P'), 0600, NULL) >= 0);
	set_limit("shmmni", "1");
	assert_int_equal(make(100), -ENOSPC);
	set_limit("shmmni", "4096");
	assert_int_equal(unit_segments(), 1);
	remove_both(NULL);
}

static void remove_data(void *arg)
{
	sm_segment_remove(data_id());
}

static void remove_counter(void *arg)
{
	sm_segment_remove(counter_id());
}

static void make_all(void *arg)
{
	make(5000);
}

static void make_counter(void *arg)
{
	sm_counter_create(unit_counter_key('P'), 0640, NULL);
}

static void make_data(void *arg)
{
	sm_segment_create(unit_data_key('P'), 5000, 0640);
}

static void kill_word(void *arg)
{
	if (counter_id() >= 0)
		unit_put_word(counter_id(), 0, WORD_DEAD | 11);
}

/* Whatever somebody else does at any step before the last look, a living pair is there in the end. */
static void test_others_at_work_meanwhile(void **state)
{
	static void (*const meddlers[])(void *) = {
		make_all, make_counter, make_data, remove_both, remove_data, remove_counter, kill_word,
	};
	static const enum fault_call calls[] = { FAULT_SHMGET, FAULT_SHMAT, FAULT_STAT, FAULT_MADVISE };

	for (int m = 0; m < 7; m++) {
		for (int c = 0; c < 4; c++) {
			/* Up to the data, which is the sixth shmget of a new pair. */
			for (int nth = 1; nth <= 6; nth++) {
				for (int existing = 0; existing < 2; existing++) {
					if (existing)
						assert_int_equal(make(5000), 0);
					if (existing && calls[c] == FAULT_SHMGET && nth >= 5)
						goto next;	/* its last looks */
					fault_clear();
					fault_hook(calls[c], nth, meddlers[m], NULL);
					assert_int_equal(make(5000), 0);
					if (!fault_clear())
						goto next;
					check_pair(5000);
next:
					remove_both(NULL);
				}
			}
		}
	}
}

static void test_every_call_failing(void **state)
{
	static const enum fault_call calls[] = { FAULT_SHMGET, FAULT_SHMAT, FAULT_STAT, FAULT_MADVISE };
	bool more = true;
	int r;

	for (int c = 0; c < 4; c++) {
		more = true;
		for (int nth = 1; more; nth++) {
			fault_fail(calls[c], nth, ENOMEM);
			r = make(5000);
			more = fault_clear();
			if (r == 0) {
				check_pair(5000);
			} else {
				assert_int_equal(r, -ENOMEM);
				assert_int_equal(unit_segments(), 0);
			}
			remove_both(NULL);
		}
	}
}

/* The data of another creator appears while ours, just refused, is being taken back. */
static void test_a_counter_that_found_a_use_is_not_taken_back(void **state)
{
	fault_fail(FAULT_SHMGET, 6, ENOSPC);
	fault_hook(FAULT_SHMGET, 7, make_data, NULL);
	assert_int_equal(make(5000), 0);
	assert_true(fault_clear());
	check_pair(5000);
	remove_both(NULL);
}

static int make_for_nobody(void *arg)
{
	int mode = *(int *)arg;

	unit_become(4242, 4242);
	return pair_create(unit_data_key('P'), 100, (mode_t)mode, "/x", &found) == 0 ? 0 : 1;
}

static int fail_for_nobody(void *arg)
{
	unit_become(4242, 4242);
	fault_fail(FAULT_SHMGET, 6, ENOSPC);
	return pair_create(unit_data_key('P'), 100, 0, "/x", &found) == -ENOSPC ? 0 : 1;
}

static void test_modes_that_keep_out_their_maker(void **state)
{
	const int modes[] = { 0, 0400, 0200, 0044 };

	for (int i = 0; i < 4; i++) {
		assert_int_equal(unit_in_child(make_for_nobody, (void *)&modes[i]), 0);
		check_pair(100);
		remove_both(NULL);
	}
	assert_int_equal(unit_in_child(fail_for_nobody, NULL), 0);
}

static int make_as_a_stranger(void *arg)
{
	unit_become(4242, 4242);
	return -make(5000);
}

static void test_somebody_elses(void **state)
{
	assert_int_equal(make(5000), 0);
	assert_int_equal(unit_in_child(make_as_a_stranger, NULL), EACCES);
	check_pair(5000);
	remove_both(NULL);
}

static const struct CMUnitTest tests[] = {
	UNIT(test_a_new_pair),
	UNIT(test_an_existing_pair),
	UNIT(test_a_missing_half_is_made),
	UNIT(test_an_old_counter_of_four_bytes),
	UNIT(test_a_dead_pair_is_finished_first),
	UNIT(test_no_counter_is_left_where_data_cannot_be),
	UNIT(test_others_at_work_meanwhile),
	UNIT(test_every_call_failing),
	UNIT(test_a_counter_that_found_a_use_is_not_taken_back),
	UNIT(test_modes_that_keep_out_their_maker),
	UNIT(test_somebody_elses),
};

UNIT_MAIN(tests)
