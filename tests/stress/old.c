/* SPDX-License-Identifier: MIT */
/*
 * Programs of the old class: two shmget calls, a plain ++ and --, and whoever leaves at 1 or less removes both, without a
 * look at who else is there. They free what others still hold, by races of their own; what they remove is noted, so
 * that it is not laid at libsm's door.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <unistd.h>

#include <libsm/word.h>

#include "stress.h"

#define FAILED ((void *)-1)

static void remember(int id)
{
	atomic_store(&shared->old_removed[atomic_fetch_add(&shared->old_removals, 1) % REMEMBERED], id + 1);
}

bool old_removed_one(int data_id, int counter_id)
{
	for (uint32_t i = 0; i < REMEMBERED; i++) {
		int id = atomic_load(&shared->old_removed[i]) - 1;

		if (id >= 0 && (id == data_id || id == counter_id))
			return true;
	}
	return false;
}

static int attach(struct old *o)
{
	void *data = shmat(o->data_id, NULL, 0);
	void *counter = shmat(o->counter_id, NULL, 0);

	if (data == FAILED || counter == FAILED) {
		if (data != FAILED)
			shmdt(data);
		if (counter != FAILED)
			shmdt(counter);
		return -1;
	}
	o->data = data;
	o->counter = counter;
	++*o->counter;
	return 0;
}

/*
 * A program of the old class may join what is just being removed; nothing can keep it from that. It holds something
 * from the moment on that both keys still name what it counted in, and no last leaver was at it.
 */
static bool holds(const struct old *o, key_t data_key, key_t counter_key)
{
	struct word w = word_load((_Atomic uint64_t *)(uintptr_t)o->counter);

	return !(w.seq & WORD_DEAD) && shmget(data_key, 0, 0) == o->data_id && shmget(counter_key, 0, 0) == o->counter_id;
}

static void lock(struct old *o, int operation)
{
	if (o->lock >= 0)
		while (flock(o->lock, operation) && errno == EINTR)
			;
}

static void leave_locked(struct old *o)
{
	bool last = *o->counter <= 1;

	if (!last)
		--*o->counter;
	shmdt((void *)(uintptr_t)o->data);
	shmdt((void *)(uintptr_t)o->counter);
	if (last) {
		remember(o->data_id);
		remember(o->counter_id);
		shmctl(o->data_id, IPC_RMID, NULL);
		shmctl(o->counter_id, IPC_RMID, NULL);
	}
}

static int join_locked(struct old *o, const char *path, size_t size)
{
	key_t data_key = ftok(path, PROJ), counter_key = ftok(path, PROJ - 58);

	o->data_id = shmget(data_key, size, IPC_CREAT | 0666);
	o->counter_id = shmget(counter_key, sizeof(int), IPC_CREAT | 0666);
	if (o->data_id < 0 || o->counter_id < 0 || attach(o))
		return -1;
	if (holds(o, data_key, counter_key))
		return 0;
	leave_locked(o);
	return -1;
}

int old_join(struct old *o, const char *path, size_t size, bool locked)
{
	int res;

	o->lock = locked ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	lock(o, LOCK_EX);
	res = join_locked(o, path, size);
	lock(o, LOCK_UN);
	if (res && o->lock >= 0)
		close(o->lock);
	return res;
}

void old_leave(struct old *o)
{
	lock(o, LOCK_EX);
	leave_locked(o);
	if (o->lock >= 0)
		close(o->lock);
}
