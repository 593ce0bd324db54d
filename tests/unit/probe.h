/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_PROBE_H
#define TESTS_UNIT_PROBE_H

/* Jobs that hang as long as a test wants, and remember what became of them. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "gate.h"
#include "smfs/pool.h"

/* A barrier that jobs hang at until it is opened. */
struct barrier {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	bool open;
	unsigned at;		/* jobs that have reached it, ever */
};

struct probe {
	struct pool_job job;
	struct barrier *barrier;	/* NULL: does not hang */
	unsigned sleep_us;
	unsigned order;		/* of its start, from 1 */
	atomic_int worked, finished, expired, discarded;
	pthread_t on, finished_on;
};

void barrier_init(struct barrier *barrier);
void barrier_open(struct barrier *barrier);

/* Until N jobs have come to it. */
void barrier_await(struct barrier *barrier, unsigned n);

extern atomic_uint starts, ends;	/* jobs begun, and jobs finished or discarded, since probe_pool() */
extern atomic_int refuse_threads;	/* pthread_create fails */

struct probe probe(uid_t uid, struct barrier *barrier, unsigned timeout_ms);

/* A started pool; a submitted job. */
struct pool *probe_pool(const struct pool_limits *limits);
void submit(struct pool *pool, struct probe *p);

/* What a job does besides, for those that are none of these. */
void probe_expire(struct pool_job *job);
void probe_discard(struct pool_job *job);

unsigned count_threads(void);

/* Conditions are waited for, up to ten seconds; never a duration. */
#define await(condition) do { \
	for (int i_ = 0; !(condition) && i_ < 10000; i_++) \
		usleep(1000); \
	assert_true(condition); \
} while (0)

#endif
