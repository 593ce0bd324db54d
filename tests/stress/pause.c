/* SPDX-License-Identifier: MIT */
/*
 * The calls between which others may come in take longer here, now and then: what is a window of some nanoseconds in the
 * field is met in seconds. libsm's calls are meant as well as the test's (linked with --wrap).
 */
#include <sched.h>
#include <stdint.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <unistd.h>

#include "stress.h"

int __real_shmctl(int id, int command, struct shmid_ds *ds);
void *__real_shmat(int id, const void *address, int flags);
int __real_shmdt(const void *address);
int __real_shmget(key_t key, size_t size, int flags);
int __wrap_shmctl(int id, int command, struct shmid_ds *ds);
void *__wrap_shmat(int id, const void *address, int flags);
int __wrap_shmdt(const void *address);
int __wrap_shmget(key_t key, size_t size, int flags);

uint32_t pause_one_in = 64;

static void pause_now_and_then(void)
{
	static uint32_t state;
	static pid_t pid;

	if (pid != getpid())
		state = (uint32_t)(pid = getpid()) * 2654435761u | 1;
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	if (state % pause_one_in == 0)
		sleep_us(state / 64 % 2000);
	else if (state % 8 == 0)
		sched_yield();
}

int __wrap_shmctl(int id, int command, struct shmid_ds *ds)
{
	int res = __real_shmctl(id, command, ds);

	/* not while the many are listed */
	if (command != SHM_STAT && command != SHM_STAT_ANY)
		pause_now_and_then();
	return res;
}

void *__wrap_shmat(int id, const void *address, int flags)
{
	void *at = __real_shmat(id, address, flags);

	pause_now_and_then();
	return at;
}

int __wrap_shmdt(const void *address)
{
	pause_now_and_then();
	return __real_shmdt(address);
}

int __wrap_shmget(key_t key, size_t size, int flags)
{
	int id = __real_shmget(key, size, flags);

	pause_now_and_then();
	return id;
}
