/* SPDX-License-Identifier: MIT */
/*
 * The kernel tells when someone begins to wait and never when he has stopped. So each handle is good for a second only, or a
 * little longer where many wait: then it is woken although nothing has changed, and whoever still waits comes back at once with
 * another one. However many there are, looking takes a fifth of a processor at the most, and waking them in vain no more either.
 *
 * `lock` guards the lists and everything in a watch. Looking, which is done under it, cannot block. Waking is a reply: who is
 * to be woken goes to a list of its own, and is taken from there one by one, without the lock.
 */
#include "watch.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "guard.h"
#include "native.h"
#include "node.h"
#include "thread.h"

#define EVERY_MS 100
#define LEASE_LOOKS 10		/* looks until a handle is woken anyway, */
#define LEASE_EACH 100		/* and one more for each so many that wait: a thousand wakes in a second */
#define REST 4			/* times as long as it took to look at all, before that is done again */
#define LINGER_LOOKS 3		/* looks until the way to a counter is let go when nobody came back */

struct watch {
	LIST_ENTRY(watch) entry;
	bool listed;
	void *handle;		/* whom to wake, or NULL */
	int looks;		/* left until the lease, or the lingering, is over */
	struct watch_state seen;
	/* the way to the counter, while listed */
	int counter;		/* its shmid, or -1 */
	int fd;			/* a descriptor on it, or -1 */
	void *at;		/* or an attachment, or NULL */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news = PTHREAD_COND_INITIALIZER;	/* the list is not empty any more, or stop */
static LIST_HEAD(watch_list, watch) watches = LIST_HEAD_INITIALIZER(watches), due = LIST_HEAD_INITIALIZER(due);
static void (*wake)(void *handle), (*drop)(void *handle);
static pthread_t thread;
static bool running, stopping;
static int listed;

/* ---- looking at a counter ---- */

static void let_go(struct watch *w)
{
	if (w->fd >= 0)
		close(w->fd);
	if (w->at)
		sm_segment_detach(w->at);
	w->fd = w->counter = -1;
	w->at = NULL;
}

static int take_hold(struct watch *w, int counter)
{
	struct sm_segment seg;
	int err;

	if (w->counter == counter)
		return 0;
	let_go(w);
	err = sm_segment_attach(counter, true, &w->at);
	if (!err)
		err = sm_segment_stat(counter, &seg);
	if (!err) {
		w->counter = counter;
		w->fd = native_descriptor(w->at, &seg);
		if (w->fd >= 0) {
			sm_segment_detach(w->at);
			w->at = NULL;
		}
	} else if (w->at) {
		sm_segment_detach(w->at);
		w->at = NULL;
	}
	return err;
}

static bool value_is(const struct watch *w, int value)
{
	int now;

	if (w->fd >= 0)
		return pread(w->fd, &now, sizeof(now), 0) == sizeof(now) && now == value;
	return guard_copy(&now, w->at, sizeof(now)) == 0 && now == value;
}

/* ---- comparing ---- */

/* Reading a counter attaches it, and so does opening a file: what we do ourselves is no news. */
static bool same_use(const struct sm_segment *was, const struct sm_segment *now)
{
	if (now->lpid == getpid())
		return true;
	return was->lpid == now->lpid && was->nattch == now->nattch && was->atime == now->atime && was->dtime == now->dtime;
}

static bool same_record(const struct sm_segment *was, const struct sm_segment *now)
{
	return was->key == now->key && was->size == now->size && was->mode == now->mode && was->removed == now->removed &&
	       was->locked == now->locked && was->uid == now->uid && was->gid == now->gid && was->cuid == now->cuid &&
	       was->cgid == now->cgid && was->cpid == now->cpid && was->ctime == now->ctime && same_use(was, now);
}

static bool has_changed(struct watch *w)
{
	const struct watch_state *seen = &w->seen;
	struct sm_segment now;

	if (sm_segment_stat(seen->seg.id, &now) || now.removed != seen->seg.removed)
		return true;
	if (seen->record ? !same_record(&seen->seg, &now) : !node_same_segment(&seen->seg, &now))
		return true;
	if (seen->counter < 0)
		return false;
	if (seen->counter != seen->seg.id && (sm_segment_stat(seen->counter, &now) || now.removed))
		return true;
	return take_hold(w, seen->counter) != 0 || !value_is(w, seen->value);
}

/* ---- the thread ---- */

static void move_to(struct watch_list *list, struct watch *w)
{
	LIST_REMOVE(w, entry);
	LIST_INSERT_HEAD(list, w, entry);
}

static void unlist(struct watch *w)
{
	if (w->listed) {
		LIST_REMOVE(w, entry);
		listed--;
	}
	w->listed = false;
	let_go(w);
}

static void look_at(struct watch *w)
{
	w->looks--;
	if (w->handle && (w->looks <= 0 || has_changed(w))) {
		move_to(&due, w);
	} else if (!w->handle && w->looks <= 0) {
		unlist(w);	/* nobody came back */
	}
}

/* The lock is held, and let go meanwhile: any watch may be freed, or be given another handle, which is woken then. */
static void wake_due(void)
{
	struct watch *w;

	while ((w = LIST_FIRST(&due))) {
		void *handle = w->handle;

		w->handle = NULL;
		w->looks = LINGER_LOOKS;
		move_to(&watches, w);
		pthread_mutex_unlock(&lock);
		wake(handle);
		pthread_mutex_lock(&lock);
	}
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void wait_until(long ms)
{
	struct timespec until = { ms / 1000, ms % 1000 * 1000000 };

	while (!stopping && pthread_cond_clockwait(&news, &lock, CLOCK_MONOTONIC, &until) != ETIMEDOUT)
		;
}

/* How long it took, in ms. */
static long look_at_all(void)
{
	struct watch *w, *next;
	long begun = now_ms();

	for (w = LIST_FIRST(&watches); w && !stopping; w = next) {
		next = LIST_NEXT(w, entry);
		look_at(w);
	}
	return now_ms() - begun;
}

static void *look_on(void *unused)
{
	long rest = EVERY_MS;

	pthread_mutex_lock(&lock);
	while (!stopping) {
		if (LIST_EMPTY(&watches)) {
			pthread_cond_wait(&news, &lock);
			continue;
		}
		wait_until(now_ms() + rest);
		rest = REST * look_at_all();
		if (rest < EVERY_MS)
			rest = EVERY_MS;
		wake_due();
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

/* The lock is held. */
static int start_thread(void)
{
	int err = running ? 0 : thread_start(&thread, 0, look_on, NULL);

	running = !err;
	return err;
}

void watch_start(void (*wake_)(void *handle), void (*drop_)(void *handle))
{
	wake = wake_;
	drop = drop_;
}

void watch_stop(void)
{
	pthread_mutex_lock(&lock);
	bool join = running;

	stopping = true;
	pthread_cond_signal(&news);
	pthread_mutex_unlock(&lock);
	if (join)
		pthread_join(thread, NULL);
}

/* ---- watches ---- */

struct watch *watch_new(void)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (w)
		w->fd = w->counter = -1;
	return w;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	{
		LOCKED(&lock);
		unlist(w);
	}
	if (w->handle)
		drop(w->handle);
	free(w);
}

static void enlist(struct watch *w)
{
	if (!w->listed && start_thread() == 0 && !stopping) {
		if (LIST_EMPTY(&watches))
			pthread_cond_signal(&news);
		LIST_INSERT_HEAD(&watches, w, entry);
		w->listed = true;
		listed++;
	}
}

/* HANDLE becomes what is to be dropped: the one before, or itself where there is no waiting, or no thread to wait with. */
static bool poll_for(struct watch *w, const struct watch_state *seen, void **handle)
{
	LOCKED(&lock);
	w->seen = *seen;

	bool differs = has_changed(w);

	if (*handle && !differs)
		enlist(w);
	if (*handle && !differs && w->listed) {
		void *before = w->handle;

		w->handle = *handle;
		w->looks = LEASE_LOOKS + listed / LEASE_EACH;
		*handle = before;
	}
	if (!w->listed)
		let_go(w);
	return differs;
}

bool watch_poll(struct watch *w, const struct watch_state *seen, void *handle)
{
	bool differs = poll_for(w, seen, &handle);

	if (handle)
		drop(handle);
	return differs;
}
