/* SPDX-License-Identifier: MIT */
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

atomic_uint starts, ends;
atomic_int refuse_threads;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*f)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*f)(void *), void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*f)(void *), void *arg)
{
	return refuse_threads ? EAGAIN : __real_pthread_create(thread, attr, f, arg);
}

void barrier_init(struct barrier *barrier)
{
	memset(barrier, 0, sizeof(*barrier));
	pthread_mutex_init(&barrier->lock, NULL);
	pthread_cond_init(&barrier->moved, NULL);
}

static void barrier_pass(struct barrier *barrier)
{
	pthread_mutex_lock(&barrier->lock);
	barrier->at++;
	pthread_cond_broadcast(&barrier->moved);
	while (!barrier->open)
		pthread_cond_wait(&barrier->moved, &barrier->lock);
	pthread_mutex_unlock(&barrier->lock);
}

void barrier_open(struct barrier *barrier)
{
	pthread_mutex_lock(&barrier->lock);
	barrier->open = true;
	pthread_cond_broadcast(&barrier->moved);
	pthread_mutex_unlock(&barrier->lock);
}

void barrier_await(struct barrier *barrier, unsigned n)
{
	pthread_mutex_lock(&barrier->lock);
	while (barrier->at < n)
		pthread_cond_wait(&barrier->moved, &barrier->lock);
	pthread_mutex_unlock(&barrier->lock);
}

static void work(struct pool_job *job)
{
	struct probe *p = (struct probe *)job;

	p->order = ++starts;
	p->on = pthread_self();
	if (p->barrier)
		barrier_pass(p->barrier);
	if (p->sleep_us)
		usleep(p->sleep_us);
	p->worked++;
}

static void finish(struct pool_job *job)
{
	struct probe *p = (struct probe *)job;

	p->finished_on = pthread_self();
	p->finished++;
	ends++;
}

void probe_expire(struct pool_job *job)
{
	((struct probe *)job)->expired++;
}

void probe_discard(struct pool_job *job)
{
	struct probe *p = (struct probe *)job;

	assert_int_equal(p->expired, 1);
	p->discarded++;
	ends++;
}

struct probe probe(uid_t uid, struct barrier *barrier, unsigned timeout_ms)
{
	return (struct probe){
		.job = { work, finish, probe_expire, probe_discard, .uid = uid, .timeout_ms = timeout_ms },
		.barrier = barrier,
	};
}

struct pool *probe_pool(const struct pool_limits *limits)
{
	struct pool *pool = NULL;

	starts = ends = 0;
	assert_int_equal(pool_start(&pool, limits), 0);
	return pool;
}

unsigned count_threads(void)
{
	unsigned n = 0;
	DIR *dir = opendir("/proc/self/task");

	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir));)
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}

void submit(struct pool *pool, struct probe *p)
{
	assert_int_equal(pool_submit(pool, &p->job), 0);
}
