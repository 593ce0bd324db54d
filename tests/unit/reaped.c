/* SPDX-License-Identifier: MIT */
#include "reaped.h"

#include <sys/shm.h>
#include <unistd.h>

int data, counter;

void make(void)
{
	size_t found;

	assert_int_equal(pair_create(unit_data_key('R'), 4096, 0666, unit_key, &found), 0);
	data = sm_segment_find(unit_data_key('R'));
	counter = sm_segment_find(unit_counter_key('R'));
}

void remove_both(void)
{
	sm_segment_remove(data);
	sm_segment_remove(counter);
}

int value(void)
{
	int value = -1000;

	sm_counter_value(counter, &value);
	return value;
}

struct old_holder {
	void (*what)(int *at);
};

static void hold_as_the_class(void *arg)
{
	struct old_holder *holder = arg;
	int *at = shmat(counter, NULL, 0);

	if (at == (void *)-1)
		_exit(1);
	++*at;
	unit_ready();
	for (;;)
		holder->what(at);
}

pid_t old_holder(void (*what)(int *at))
{
	return unit_start(hold_as_the_class, &(struct old_holder){ what });
}

void rest(int *at)
{
	pause();
}
