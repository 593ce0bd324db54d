/* SPDX-License-Identifier: MIT */
/*
 * Attaching costs more than copying a page, so an attachment outlives its request, for half a second; a thread
 * lets go of what nobody used since, and sleeps while there is nothing to let go of.
 *
 * An attachment also outlives the second that the segment's ctime stands for. A shmid that is taken again after we
 * let go so belongs to a segment of another ctime, which is how node_same_segment() tells it from ours.
 *
 * IPC_SET moves the ctime, too. But attaching and letting go leave traces: nobody else can leave our pid, and as we let go in
 * a later second than we attached, a segment that is made afterwards can never show the two times that ours does. So
 * what still bears our traces is ours, whatever its ctime is.
 *
 * One mutex guards every attachment and the list. shmat(2) and shmdt(2) are called under it: they do not block.
 */
#include "copying.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "attach.h"
#include "node.h"
#include "thread.h"
#include "touch.h"

#define KEPT_MOST ((uint64_t)1 << 44)	/* bytes; where large attachments have more, they do not outlive their requests */
#define IDLE_MS 500
#define LOOK_MS 250

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t some = PTHREAD_COND_INITIALIZER;
static TAILQ_HEAD(, copying) attached = TAILQ_HEAD_INITIALIZER(attached);
static uint64_t large;	/* bytes that large attachments have of our addresses, which are 2^47 */
static bool running;

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static uint64_t large_part(const struct copying *c)
{
	return c->seg.size > ATTACH_LARGE ? c->seg.size : 0;
}

static void detach(struct copying *c)
{
	for (int i = 0; i < 2; i++) {
		if (c->at[i]) {
			attach_unmap(c->at[i], c->seg.size);
			large -= large_part(c);
		}
		c->at[i] = NULL;
	}
	free(c->touch);
	c->touch = NULL;
	if (c->listed)
		TAILQ_REMOVE(&attached, c, attached);
	c->listed = false;
}

static bool is_idle(const struct copying *c, const struct sm_segment *seg, long long now)
{
	long long idle = now - c->used_ms;
	time_t second = time(NULL);

	return idle >= 2 * IDLE_MS || (idle >= IDLE_MS && second != seg->ctime && second != seg->atime);
}

/* Its bytes are not to be had through C any more. But it keeps its shmid from being taken again in the second that it is of. */
static bool is_gone(const struct copying *c, const struct sm_segment *seg)
{
	return seg->removed && !c->seg.removed && time(NULL) != seg->ctime;
}

static void let_go(struct copying *c, const struct sm_segment *seg)
{
	struct sm_segment left;

	detach(c);
	if (seg->removed && !c->seg.removed)
		return;		/* and so it stays, for C, whoever else may have it attached */
	c->seg = *seg;		/* while we were attached it was no other */
	c->traced = sm_segment_stat(seg->id, &left) == 0 && node_same_segment(seg, &left) && left.lpid == getpid() &&
		    left.atime < left.dtime;
	if (c->traced)
		c->seg = left;
}

/* Where nobody uses C now, and what is kept is too much for the others. */
static void let_go_of_large(struct copying *c)
{
	struct sm_segment seg;

	if (c->users || !large_part(c) || large <= KEPT_MOST)
		return;
	if (sm_segment_stat(c->seg.id, &seg))
		detach(c);
	else
		let_go(c, &seg);
}

/* The lock is held. */
static void make_room(void)
{
	struct sm_segment seg;
	struct copying *c, *next;

	for (c = TAILQ_FIRST(&attached); c; c = next) {
		next = TAILQ_NEXT(c, attached);
		if (!c->users && large_part(c) && sm_segment_stat(c->seg.id, &seg) == 0)
			let_go(c, &seg);
	}
}

void copying_make_room(void)
{
	pthread_mutex_lock(&lock);
	make_room();
	pthread_mutex_unlock(&lock);
}

/* The lock is held. */
static void let_go_of_idle(void)
{
	long long now = now_ms();
	struct sm_segment seg;
	struct copying *c, *next;

	for (c = TAILQ_FIRST(&attached); c; c = next) {
		next = TAILQ_NEXT(c, attached);
		if (c->users || sm_segment_stat(c->seg.id, &seg))
			continue;
		if (is_gone(c, &seg) || is_idle(c, &seg, now))
			let_go(c, &seg);
	}
}

void copying_let_go(void)
{
	pthread_mutex_lock(&lock);
	let_go_of_idle();
	pthread_mutex_unlock(&lock);
}

static void *timekeeper(void *unused)
{
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };

	for (;;) {
		pthread_mutex_lock(&lock);
		while (TAILQ_EMPTY(&attached))
			pthread_cond_wait(&some, &lock);
		let_go_of_idle();
		pthread_mutex_unlock(&lock);
		nanosleep(&pause, NULL);
	}
	return unused;
}

/* Started with the first attachment: threads do not survive going into the background. */
static void start_timekeeper(void)
{
	pthread_t thread;

	running = thread_start(&thread, 64 * 1024, timekeeper, NULL) == 0;
	if (running)
		pthread_detach(thread);
}

static void keep(struct copying *c, const void *at, bool writable)
{
	c->at[writable] = (void *)at;
	large += large_part(c);
	if (writable)
		c->touch = touch_new(c->seg.size);
	if (c->listed)
		return;
	c->listed = true;
	c->traced = false;
	c->used_ms = now_ms();
	TAILQ_INSERT_TAIL(&attached, c, attached);
	if (!running)
		start_timekeeper();
	pthread_cond_signal(&some);
}

void copying_open(struct copying *c, const struct sm_segment *seg, const void *at, bool writable)
{
	*c = (struct copying){ .seg = *seg };
	pthread_mutex_lock(&lock);
	keep(c, at, writable);
	let_go_of_large(c);
	pthread_mutex_unlock(&lock);
}

void copying_offer(struct copying *c, const void *at, bool writable)
{
	pthread_mutex_lock(&lock);
	if (c->at[writable])
		attach_unmap(at, c->seg.size);
	else
		keep(c, at, writable);
	let_go_of_large(c);
	pthread_mutex_unlock(&lock);
}

void copying_close(struct copying *c)
{
	pthread_mutex_lock(&lock);
	detach(c);
	pthread_mutex_unlock(&lock);
}

static bool bears_our_traces(const struct copying *c, const struct sm_segment *now)
{
	struct sm_segment like = *now;

	like.ctime = c->seg.ctime;
	return c->traced && node_same_segment(&c->seg, &like) && now->lpid == c->seg.lpid && now->atime == c->seg.atime &&
	       now->dtime == c->seg.dtime;
}

/*
 * Gone is gone, although an attachment would still show the bytes: a file that vanished answers EIDRM. One that was opened by
 * its shmid after its removal has not vanished. While it is attached, the shmid cannot be another segment's.
 */
static int check_alive(struct copying *c)
{
	struct sm_segment now;
	int err = sm_segment_stat(c->seg.id, &now);

	if (err)
		return err;
	if (now.removed && !c->seg.removed)
		return -EIDRM;
	if (!c->at[0] && !c->at[1] && !node_same_segment(&c->seg, &now) && !bears_our_traces(c, &now))
		return -EIDRM;
	c->seg = now;
	return 0;
}

/* Until it is attached, the shmid can become another's. */
static int map_checked(struct copying *c, bool writable, void **at)
{
	struct sm_segment now;
	int err = attach_map(c->seg.id, c->seg.size, !writable, at);

	if (err == -ENOMEM) {
		make_room();
		err = attach_map(c->seg.id, c->seg.size, !writable, at);
	}
	if (err)
		return err;
	if (sm_segment_stat(c->seg.id, &now) == 0 && node_same_segment(&c->seg, &now))
		return 0;
	attach_unmap(*at, c->seg.size);
	return -EIDRM;
}

static int hold(struct copying *c, bool writable, void **at)
{
	int err = check_alive(c);

	if (err) {
		if (!c->users)
			detach(c);
		return err;
	}
	/* any attachment can be read */
	void *have = c->at[1] ? c->at[1] : writable ? NULL : c->at[0];

	if (!have) {
		err = map_checked(c, writable, &have);
		if (err)
			return err;
		keep(c, have, writable);
	}
	c->users++;
	*at = have;
	return 0;
}

void copying_changed(struct copying *c, const struct sm_segment *now)
{
	pthread_mutex_lock(&lock);

	bool removed = c->seg.removed;	/* when it was opened: what is removed later has vanished */

	c->seg = *now;
	c->seg.removed = removed;
	pthread_mutex_unlock(&lock);
}

int copying_hold(struct copying *c, bool writable, void **at)
{
	pthread_mutex_lock(&lock);
	int err = hold(c, writable, at);

	pthread_mutex_unlock(&lock);
	return err;
}

void copying_release(struct copying *c)
{
	pthread_mutex_lock(&lock);
	c->users--;
	c->used_ms = now_ms();
	let_go_of_large(c);
	pthread_mutex_unlock(&lock);
}
