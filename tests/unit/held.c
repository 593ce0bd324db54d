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

void put(int counter, uint32_t seq)
{
	struct word w = { counter, seq };
	void *at;

	assert_int_equal(sm_segment_attach(counter_id(), false, &at), 0);
	memcpy(at, &w, sizeof w);
	sm_segment_detach(at);
}

unsigned long nattch(int id)
{
	struct sm_segment seg = { 0 };

	sm_segment_stat(id, &seg);
	return seg.nattch;
}

pid_t attach_elsewhere(int ms)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		if (shmat(counter_id(), NULL, 0) == (void *)-1 || write(ready[1], "x", 1) != 1)
			_exit(1);
		nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

void end_elsewhere(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

void join(struct hold *h)
{
	*h = (struct hold){ 0 };
	assert_int_equal(hold_join(h, unit_data_key('H'), 0), 0);
}
