// SPDX-License-Identifier: MIT
/* Mappings that look like attachments and are none. Somebody who has the segment attached must not be taken for one of them. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#define SIZE 8192
#define LOOKS 2000

static unsigned long nattch(int id)
{
	struct sm_segment seg;

	assert_int_equal(sm_segment_stat(id, &seg), 0);
	return seg.nattch;
}

/* As smfs comes to a descriptor. */
static int descriptor(int id)
{
	char path[80];
	void *at;
	int fd;

	assert_int_equal(sm_segment_attach(id, false, &at), 0);
	snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", (unsigned long)at, (unsigned long)at + SIZE);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	sm_segment_detach(at);
	return fd;
}

static int own_of(void *arg)
{
	return (int)sm_segment_own(*(int *)arg);
}

static void test_a_mapping_is_no_attachment(void **state)
{
	int id = sm_segment_create(IPC_PRIVATE, SIZE, 0600), fd = descriptor(id);
	struct sm_holder *list;
	void *first, *second, *at;

	assert_int_equal(mapping_make(fd, SIZE, &first), 0);
	*(char *)first = 'x';
	assert_int_equal(nattch(id), 0);
	assert_int_equal(sm_segment_own(id), 0);
	assert_int_equal(sm_segment_attach(id, false, &at), 0);
	assert_int_equal(*(char *)at, 'x');
	assert_int_equal(mapping_make(fd, SIZE - 100, &second), 0);
	assert_int_equal(sm_segment_own(id), 1);
	assert_int_equal(unit_in_child(own_of, &id), 1);
	assert_int_equal(sm_holder_list_on(id, 12345, &list, NULL), 1);
	assert_int_equal(list->attached - list->by_file, 1);
	free(list);
	mapping_end(first, SIZE);
	assert_int_equal(sm_segment_own(id), 1);
	sm_segment_detach(at);
	assert_int_equal(sm_segment_own(id), 0);
	mapping_end(second, SIZE - 100);
	/* where it was, an attachment counts */
	assert_ptr_equal(shmat(id, first, 0), first);
	assert_int_equal(sm_segment_own(id), 1);
	sm_segment_detach(first);
	sm_segment_remove(id);
	close(fd);
}

static void attach(void *arg)
{
	if (shmat(*(int *)arg, NULL, 0) == (void *)-1)
		_exit(1);
	unit_ready();
	pause();
}

static void make_pair(int *data, int *counter)
{
	size_t found;

	assert_int_equal(pair_create(unit_data_key('M'), SIZE, 0666, NULL, &found), 0);
	*data = sm_segment_find(unit_data_key('M'));
	*counter = sm_segment_find(unit_counter_key('M'));
}

static void remove_pair(int data, int counter)
{
	sm_segment_remove(data);
	sm_segment_remove(counter);
}

static void test_a_holder_beside_mappings_is_not_reaped(void **state)
{
	int data, counter, fd, from, to;
	void *map;
	pid_t alive;

	make_pair(&data, &counter);
	sm_segment_remove(counter);
	counter = sm_segment_create(unit_counter_key('M'), SIZE, 0666);
	fd = descriptor(counter);
	assert_int_equal(mapping_make(fd, SIZE, &map), 0);
	alive = unit_start(attach, &counter);
	unit_put_word(counter, 1, 1);
	assert_int_equal(sm_counter_leaked(counter, &from), 0);
	assert_int_equal(from, 0);
	assert_int_equal(sm_counter_reap(counter, 3000, &from, &to), 0);
	assert_int_equal(from, 1);
	assert_int_equal(to, 1);
	unit_end(alive);
	assert_int_equal(sm_counter_reap(counter, 3000, &from, &to), 0);
	assert_int_equal(to, 0);
	mapping_end(map, SIZE);
	remove_pair(data, counter);
	close(fd);
}

static void test_data_in_use_beside_mappings_is_not_freed(void **state)
{
	bool freed = true;
	int data, counter, fd, from, to;
	void *map;
	pid_t alive;

	make_pair(&data, &counter);
	fd = descriptor(data);
	assert_int_equal(mapping_make(fd, SIZE, &map), 0);
	alive = unit_start(attach, &data);
	unit_put_word(counter, 1, 1);
	assert_int_equal(sm_counter_reap_free(counter, data, 3000, &from, &to, &freed), -EBUSY);
	assert_int_equal(to, 0);
	assert_false(freed);
	unit_end(alive);
	assert_int_equal(sm_counter_reap_free(counter, data, 3000, &from, &to, &freed), 0);
	assert_true(freed);
	assert_int_equal(unit_segments(), 0);
	mapping_end(map, SIZE);
	close(fd);
}

static _Atomic bool stop;

static void *map_and_unmap(void *arg)
{
	void *map;

	while (!stop) {
		if (mapping_make(*(int *)arg, SIZE, &map))
			abort();
		mapping_end(map, SIZE);
	}
	return NULL;
}

/* However mappings come and go while the attachments are counted, none of them is taken for one. */
static void test_counting_while_mappings_come_and_go(void **state)
{
	int id = sm_segment_create(IPC_PRIVATE, SIZE, 0600), fd = descriptor(id);
	unsigned long most = 0, n;
	pthread_t threads[2];
	void *at;

	assert_int_equal(sm_segment_attach(id, true, &at), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, map_and_unmap, &fd), 0);
	for (int i = 0; i < LOOKS; i++) {
		n = sm_segment_own(id);
		most = n > most ? n : most;
	}
	stop = true;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(most, 1);
	assert_int_equal(sm_segment_own(id), 1);
	sm_segment_detach(at);
	sm_segment_remove(id);
	close(fd);
}

static void test_failing_calls(void **state)
{
	int id = sm_segment_create(IPC_PRIVATE, SIZE, 0600), fd = descriptor(id);
	void *map;

	assert_int_equal(mapping_make(-1, SIZE, &map), -EBADF);
	assert_int_equal(mapping_make(fd, 0, &map), -EINVAL);
	fault_fail(FAULT_MALLOC, 1, ENOMEM);
	assert_int_equal(mapping_make(fd, SIZE, &map), -ENOMEM);
	assert_int_equal(sm_segment_own(id), 0);
	sm_segment_remove(id);
	close(fd);
}

static const struct CMUnitTest tests[] = {
	UNIT(test_a_mapping_is_no_attachment),
	UNIT(test_a_holder_beside_mappings_is_not_reaped),
	UNIT(test_data_in_use_beside_mappings_is_not_freed),
	UNIT(test_counting_while_mappings_come_and_go),
	UNIT(test_failing_calls),
};

UNIT_MAIN(tests)
