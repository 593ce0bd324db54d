/* SPDX-License-Identifier: MIT */
/* One process: join, leave a mark, look whether all is as it must be for a holder, fork, exec, leave. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <unistd.h>

#include <libsm/private.h>

#include "stress.h"

struct holder {
	int me, object;
	unsigned seed;
	int data_id, counter_id;
	volatile uint64_t *slots;
	sm_object *obj;		/* or */
	struct old old;
};

bool worker_is_old(int me)
{
	return me % 4 == 3;
}

static size_t object_size(void)
{
	return (size_t)workers * sizeof(uint64_t);
}

static bool join_by_libsm(struct holder *h)
{
	h->obj = sm_object_new(key_path[h->object], PROJ, object_size());
	/* some only join what is there */
	if (rand_r(&h->seed) % 4 && sm_create(h->obj) < 0 && h->object < PURE)
		wrong("sm_create of object %d: %s", h->object, sm_error_text(h->obj));
	if (sm_access(h->obj) == 0) {
		h->data_id = h->obj->hold.data_id;
		h->counter_id = h->obj->hold.counter_id;
		h->slots = sm_data(h->obj);
		atomic_fetch_add(&shared->joins, 1);
		return true;
	}
	/* beside old programs, halves of objects come and go without end */
	if (sm_error(h->obj) != ENOENT && h->object < PURE)
		wrong("sm_access of object %d: %s", h->object, sm_error_text(h->obj));
	sm_object_free(h->obj);
	return false;
}

static bool join(struct holder *h)
{
	h->obj = NULL;
	if (!worker_is_old(h->me))
		return join_by_libsm(h);
	if (old_join(&h->old, key_path[h->object], object_size(), h->object < EXACT))
		return false;
	h->data_id = h->old.data_id;
	h->counter_id = h->old.counter_id;
	h->slots = h->old.data;
	atomic_fetch_add(&shared->old_joins, 1);
	return true;
}

static void leave(struct holder *h)
{
	if (h->obj)
		sm_object_free(h->obj);
	else
		old_leave(&h->old);
}

/* While one holds: both keys name what it holds, and nobody but it has written to its slot. */
static void check(struct holder *h, uint64_t mark)
{
	key_t data_key = ftok(key_path[h->object], PROJ), counter_key = ftok(key_path[h->object], PROJ - 58);
	int data = shmget(data_key, 0, 0), counter = shmget(counter_key, 0, 0);

	if (h->slots[h->me] != mark)
		wrong("object %d: the mark of a holder is gone", h->object);
	if (data == h->data_id && counter == h->counter_id) {
		if (h->object < PURE && sm_refcount(h->obj) < 1)
			wrong("object %d: the count is %d while it is held", h->object, sm_refcount(h->obj));
		if (h->object >= PURE && h->object < EXACT && *h->old.counter < 1)
			wrong("object %d: the count is %d while it is held", h->object, *h->old.counter);
		return;
	}
	if (h->object >= EXACT && old_removed_one(h->data_id, h->counter_id))
		atomic_fetch_add(&shared->excused, 1);
	else
		wrong("object %d freed too early, under %s: held %d and %d, its keys name %d and %d", h->object,
		      h->obj ? "libsm" : "an old program", h->data_id, h->counter_id, data, counter);
}

/* A child holds no reference of libsm's: what it does with the handle changes nothing. */
static void fork_one(struct holder *h)
{
	if (fork() != 0)
		return;
	sleep_us(rand_r(&h->seed) % 5000);
	if (h->obj && rand_r(&h->seed) % 2)
		sm_object_free(h->obj);
	_exit(0);
}

static void hold(struct holder *h)
{
	uint64_t mark = (uint64_t)rand_r(&h->seed) << 32 | (uint32_t)getpid();
	int looks = rand_r(&h->seed) % 5;

	h->slots[h->me] = mark;
	check(h, mark);
	if (rand_r(&h->seed) % 16 == 0) {
		atomic_fetch_add(&shared->forks, 1);
		fork_one(h);
	}
	for (int i = 0; i < looks; i++) {
		sleep_us(rand_r(&h->seed) % 20000);
		check(h, mark);
	}
	/* A death as the counter sees it: the kernel detaches, nobody counts down. */
	if (rand_r(&h->seed) % 64 == 0) {
		atomic_fetch_add(&shared->execs, 1);
		execl("/bin/true", "true", (char *)NULL);
	}
	while (shared->phase == HOLD) {
		if (shared->where[h->me] < 0) {
			shared->where[h->me] = h->object;
			atomic_fetch_add(&shared->holding, 1);
		}
		sleep_us(20000);
		check(h, mark);
	}
}

/* Below N; the low ones are crowded, the high ones come and go. */
static int skewed(struct holder *h, int n)
{
	return rand_r(&h->seed) % (1 + rand_r(&h->seed) % n);
}

static int choose(struct holder *h)
{
	if (worker_is_old(h->me) && (shared->phase == HOLD || rand_r(&h->seed) % 2))
		return PURE + skewed(h, LOCKED);
	if (worker_is_old(h->me) || (shared->phase == CHURN && rand_r(&h->seed) % 4 == 0))
		return EXACT + skewed(h, MIXED);
	return skewed(h, PURE);
}

void worker(int me)
{
	struct holder h = { .me = me, .seed = (unsigned)getpid() * 7919u + (unsigned)me };

	while (shared->phase != LEAVE) {
		h.object = choose(&h);
		if (join(&h)) {
			hold(&h);
			leave(&h);
		}
		sleep_us(rand_r(&h.seed) % 30000);
	}
	_exit(0);
}
