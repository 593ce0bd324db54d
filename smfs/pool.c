/* SPDX-License-Identifier: MIT */

/*
 * A thread in a system call on a dead file system cannot be stopped, not even by SIGKILL. So it is left
 * behind: its job's caller gets ETIMEDOUT from the timekeeper, and what it holds is freed if it ever comes
 * back.
 *
 * Nothing is queued while a user is within the limit and a thread can be had: the job goes straight to the
 * thread that was idle last, whose stack and caches are warm, with one wake-up. The timekeeper is not woken
 * for a job: with equal timeouts the time it sleeps until is early enough, and so it is left asleep when the
 * last job ends.
 */

#include "pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "cleanup.h"
#include "thread.h"
#include "turns.h"

#define THREADS 1024
#define PER_USER 8
#define CROWD 4			/* a quarter of the threads goes to whoever comes, the rest to each user once */
#define IDLE_MS 10000
#define STACK_SIZE (512 * 1024)

enum job_state {
	WAITING,	/* in its user's queue */
	RUNNING,
	EXPIRING,	/* running, and the timekeeper is in expire */
	EXPIRED,	/* running, expire is done */
	RETURNED,	/* work returned while the timekeeper was in expire, which discards it */
};

/* A thread without a job, on that thread's stack. */
struct idler {
	struct pool_job *job;
	pthread_cond_t wake;
	TAILQ_ENTRY(idler) entry;
};

struct pool {
	struct pool_limits limits;

	/* One lock for all below and for the pool's part of each job; never held in a callback. */
	pthread_mutex_t lock;
	unsigned threads;	/* the timekeeper not counted */
	bool stopping;
	TAILQ_HEAD(, idler) idle;	/* the last one in is the first one out */
	struct turns turns;
	struct job_queue timed;		/* jobs that may still expire, by deadline */
	struct job_queue untimed;	/* those that run until they end, or wait until pool_stop */
	pthread_cond_t ended;		/* at pool_stop: a job or a thread ended */

	pthread_t timekeeper;
	bool timekeeper_ends;
	pthread_cond_t tick;
	struct timespec sleeps_until;	/* {0}: without end */
};

static _Thread_local struct pool_job *at_work;	/* what the calling thread is at; NULL: no job */

/* What a new thread starts with. */
struct start {
	struct pool *pool;
	struct pool_job *job;
};

static struct timespec after_ms(unsigned ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

static bool earlier(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

static bool passed(const struct timespec *t)
{
	const struct timespec now = after_ms(0);

	return !earlier(&now, t);
}

static void cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

/* ---- deadlines ---------------------------------------------------------------------------------- */

static struct job_queue *deadline_list(struct pool *pool, const struct pool_job *job)
{
	return job->timeout_ms ? &pool->timed : &pool->untimed;
}

static void deadline_add(struct pool *pool, struct pool_job *job)
{
	struct job_queue *list = deadline_list(pool, job);
	struct pool_job *before;

	job->deadline = after_ms(job->timeout_ms);
	TAILQ_FOREACH_REVERSE(before, list, job_queue, timed) {
		if (!earlier(&job->deadline, &before->deadline))
			break;
	}
	if (before)
		TAILQ_INSERT_AFTER(list, before, job, timed);
	else
		TAILQ_INSERT_HEAD(list, job, timed);
	if (!job->timeout_ms)
		return;
	if (pool->sleeps_until.tv_sec == 0 || earlier(&job->deadline, &pool->sleeps_until)) {
		pool->sleeps_until = job->deadline;
		pthread_cond_signal(&pool->tick);
	}
}

static struct pool_late why_late(const struct pool *pool, const struct pool_job *job)
{
	const unsigned running = turns_running(job->user);

	if (pool->stopping || job->state != WAITING)
		return (struct pool_late){ .why = pool->stopping ? POOL_STOPS : POOL_HANGS };
	if (running >= pool->turns.per_user)
		return (struct pool_late){ POOL_USER_IS_FULL, running, pool->turns.per_user };
	return (struct pool_late){ POOL_IS_FULL, pool->turns.running, pool->limits.threads };
}

/* Called with the lock, which is let go meanwhile: the job's caller hears that it took too long. */
static void job_expire(struct pool *pool, struct pool_job *job)
{
	const bool waits = job->state == WAITING;

	job->late = why_late(pool, job);
	TAILQ_REMOVE(deadline_list(pool, job), job, timed);
	job->state = EXPIRING;
	if (waits)
		turns_remove(&pool->turns, job);
	pthread_mutex_unlock(&pool->lock);
	job->expire(job);
	pthread_mutex_lock(&pool->lock);
	if (!waits && job->state == EXPIRING) {
		job->state = EXPIRED;
		return;
	}
	pthread_mutex_unlock(&pool->lock);
	job->discard(job);
	pthread_mutex_lock(&pool->lock);
}

static void *timekeeper(void *arg)
{
	struct pool *pool = arg;
	LOCKED(&pool->lock);

	while (!pool->timekeeper_ends) {
		struct pool_job *job = TAILQ_FIRST(&pool->timed);

		if (job && passed(&job->deadline)) {
			job_expire(pool, job);
		} else if (job) {
			const struct timespec until = pool->sleeps_until = job->deadline;
			pthread_cond_timedwait(&pool->tick, &pool->lock, &until);
		} else {
			pool->sleeps_until = (struct timespec){0};
			pthread_cond_wait(&pool->tick, &pool->lock);
		}
	}
	return NULL;
}

/* ---- threads ------------------------------------------------------------------------------------ */

/* The next job, now running; NULL if there is none. */
static struct pool_job *job_take(struct pool *pool)
{
	struct pool_job *job = turns_take(&pool->turns);

	if (job)
		job->state = RUNNING;
	return job;
}

/* Called with the lock, which is let go meanwhile. */
static void job_run(struct pool *pool, struct pool_job *job)
{
	struct pool_user *user = job->user;
	void (*last)(struct pool_job *);

	pthread_mutex_unlock(&pool->lock);
	at_work = job;
	job->work(job);
	at_work = NULL;
	pthread_mutex_lock(&pool->lock);

	if (job->state == RUNNING) {
		TAILQ_REMOVE(deadline_list(pool, job), job, timed);
		last = job->finish;
	} else {
		last = job->state == EXPIRED ? job->discard : NULL;
		job->state = RETURNED;
	}
	if (last) {
		pthread_mutex_unlock(&pool->lock);
		last(job);
		pthread_mutex_lock(&pool->lock);
	}
	turns_end(&pool->turns, user);
}

/* Called with the lock. Returns the job it was woken for, or NULL if this thread is to end. */
static struct pool_job *idle_wait(struct pool *pool, struct idler *self)
{
	const struct timespec until = after_ms(pool->limits.idle_ms);
	int err = 0;

	self->job = NULL;
	TAILQ_INSERT_HEAD(&pool->idle, self, entry);
	while (!self->job && !pool->stopping) {
		const bool only_one = TAILQ_FIRST(&pool->idle) == self && !TAILQ_NEXT(self, entry);

		if (only_one && err == ETIMEDOUT)
			pthread_cond_wait(&self->wake, &pool->lock);
		else if (err == ETIMEDOUT)
			break;
		else
			err = pthread_cond_timedwait(&self->wake, &pool->lock, &until);
	}
	if (!self->job)
		TAILQ_REMOVE(&pool->idle, self, entry);
	return self->job;
}

static void *thread_main(void *arg)
{
	struct idler self = {0};
	struct start start = *(struct start *)arg;
	struct pool *pool = start.pool;
	struct pool_job *job = start.job;

	free(arg);
	cond_init(&self.wake);
	pthread_mutex_lock(&pool->lock);
	/* No thread is idle while a job could run, so each looks before it waits, the first one too. */
	do {
		if (!job)
			job = job_take(pool);
		for (; job; job = job_take(pool))
			job_run(pool, job);
		job = idle_wait(pool, &self);
	} while (job);
	pool->threads--;
	pthread_cond_signal(&pool->ended);
	pthread_mutex_unlock(&pool->lock);
	pthread_cond_destroy(&self.wake);
	return NULL;
}

/* A new thread that begins with JOB. */
static int begin_thread(struct pool *pool, struct pool_job *job)
{
	pthread_t thread;
	struct start *start;

	if (pool->threads == pool->limits.threads)
		return -EAGAIN;
	start = malloc(sizeof(*start));
	if (!start)
		return -ENOMEM;
	*start = (struct start){ pool, job };
	const int err = thread_start(&thread, STACK_SIZE, thread_main, start);
	if (err) {
		free(start);
		return err;
	}
	pthread_detach(thread);
	pool->threads++;
	return 0;
}

/* See to it that somebody takes the next job, if there is one and a thread can be had. */
static void dispatch(struct pool *pool)
{
	struct idler *idler = TAILQ_FIRST(&pool->idle);
	struct pool_job *job = job_take(pool);

	if (!job)
		return;
	if (idler) {
		TAILQ_REMOVE(&pool->idle, idler, entry);
		idler->job = job;
		pthread_cond_signal(&idler->wake);
	} else if (begin_thread(pool, job) != 0) {
		job->state = WAITING;
		turns_put_back(&pool->turns, job);
	}
}

bool pool_is_expired(void)
{
	return at_work && at_work->state != RUNNING;
}

int pool_submit(struct pool *pool, struct pool_job *job)
{
	LOCKED(&pool->lock);

	if (pool->stopping)
		return -ESHUTDOWN;
	const int err = turns_add(&pool->turns, job);
	if (err)
		return err;
	job->state = WAITING;
	deadline_add(pool, job);
	dispatch(pool);
	return 0;
}

/* ---- the pool ----------------------------------------------------------------------------------- */

static void pool_free(struct pool *pool)
{
	turns_free(&pool->turns);
	pthread_cond_destroy(&pool->ended);
	pthread_cond_destroy(&pool->tick);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

static struct pool *pool_new(const struct pool_limits *limits)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	if (limits)
		pool->limits = *limits;
	if (!pool->limits.threads)
		pool->limits.threads = THREADS;
	if (!pool->limits.idle_ms)
		pool->limits.idle_ms = IDLE_MS;
	TAILQ_INIT(&pool->idle);
	turns_init(&pool->turns, pool->limits.per_user ? pool->limits.per_user : PER_USER, pool->limits.threads / CROWD);
	TAILQ_INIT(&pool->timed);
	TAILQ_INIT(&pool->untimed);
	pthread_mutex_init(&pool->lock, NULL);
	cond_init(&pool->tick);
	cond_init(&pool->ended);
	return pool;
}

static void timekeeper_stop(struct pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->timekeeper_ends = true;
	pthread_cond_signal(&pool->tick);
	pthread_mutex_unlock(&pool->lock);
	pthread_join(pool->timekeeper, NULL);
}

int pool_start(struct pool **out, const struct pool_limits *limits)
{
	struct pool *pool = pool_new(limits);
	int err;

	if (!pool)
		return -ENOMEM;
	err = thread_start(&pool->timekeeper, STACK_SIZE, timekeeper, pool);
	if (err) {
		pool_free(pool);
		return err;
	}
	pthread_mutex_lock(&pool->lock);
	err = begin_thread(pool, NULL);
	pthread_mutex_unlock(&pool->lock);
	if (err) {
		timekeeper_stop(pool);
		pool_free(pool);
		return err;
	}
	*out = pool;
	return 0;
}

/* Called with the lock. Returns the number of jobs that hang. */
static unsigned stop_threads(struct pool *pool, unsigned wait_ms)
{
	const struct timespec until = after_ms(wait_ms);
	struct idler *idler;
	struct pool_job *job;

	pool->stopping = true;
	while ((job = turns_waiting(&pool->turns)))
		job_expire(pool, job);
	TAILQ_FOREACH(idler, &pool->idle, entry)
		pthread_cond_signal(&idler->wake);
	while (pool->turns.running && pthread_cond_timedwait(&pool->ended, &pool->lock, &until) != ETIMEDOUT)
		;
	while ((job = TAILQ_FIRST(&pool->timed)))
		job_expire(pool, job);
	while (!TAILQ_EMPTY(&pool->untimed))
		pthread_cond_wait(&pool->ended, &pool->lock);
	/* A thread without a job is on its way out. */
	while (pool->turns.running < pool->threads)
		pthread_cond_wait(&pool->ended, &pool->lock);
	return pool->threads;
}

unsigned pool_stop(struct pool *pool, unsigned wait_ms)
{
	pthread_mutex_lock(&pool->lock);
	const unsigned hung = stop_threads(pool, wait_ms);
	pthread_mutex_unlock(&pool->lock);
	timekeeper_stop(pool);
	if (hung == 0)
		pool_free(pool);
	return hung;
}
