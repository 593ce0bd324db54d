// SPDX-License-Identifier: MIT
#include "held.h"

#include <signal.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void make(void)
{
	size_t found;

	assert_int_equal(pair_create(unit_data_key('H'), 4096, 0666, unit_key, &found), 0);
}

int data_id(void)
{
	return sm_segment_find(unit_data_key('H'));
}

int counter_id(void)
{
	return sm_segment_find(unit_counter_key('H'));
}

void remove_both(void)
{
	sm_segment_remove(data_id());
	sm_segment_remove(counter_id());
}

int value(void)
{
	int value = -1000;

	sm_counter_value(counter_id(), &value);
	return value;
}

unsigned long nattch(int id)
{
	struct sm_segment seg = { 0 };

	sm_segment_stat(id, &seg);
	return seg.nattch;
}

static void stay_attached(void *ms)
{
	if (shmat(counter_id(), NULL, 0) == (void *)-1)
		_exit(1);
	unit_ready();
	nanosleep(&(struct timespec){ *(int *)ms / 1000, *(int *)ms % 1000 * 1000000L }, NULL);
}

pid_t attach_elsewhere(int ms)
{
	return unit_start(stay_attached, &ms);
}

void join(struct hold *h)
{
	*h = (struct hold){ 0 };
	assert_int_equal(hold_join(h, unit_data_key('H'), 0), 0);
}
