/* SPDX-License-Identifier: MIT */
#ifndef SMFS_POOL_H
#define SMFS_POOL_H

/*
 * Threads for jobs that may hang or take long: a key path may lie on a file system that does not answer, and nobody but
 * the user who asked for it may feel that.
 *
 * A user's jobs take PER_USER threads at most, and no second one while a quarter of THREADS is taken. What holds a directory
 * has as many again: behind it everybody waits who wants to use that directory, and it must not wait for its user's copies. So
 * users each of whom hangs wherever possible leave others a thread until there are some 400 of them (of 1,024 threads).
 *
 * A job is a struct that its user embeds, allocates and fills; zero what is not named here. The pool calls,
 * always without its lock and with all signals blocked but those of a fault:
 *
 *   work     on a pool thread; may hang
 *   finish   after work, on the same thread, if the deadline has not passed: replies, and frees the job
 *   expire   once, on the timekeeper's thread or pool_stop's, if the deadline passes first: replies, and job->late
 *            says why; work may be running, so it touches nothing that work writes, must not hang, and must
 *            not free
 *   discard  after expire, when work has returned or will never be called: frees the job
 *
 * So each accepted job sees either finish, or expire and then discard; never both, never neither, except for
 * work that never returns.
 */

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <time.h>

#define POOL_TIMEOUT_MS 5000

struct pool;

/* Why a job expires. */
enum pool_why {
	POOL_HANGS = 1,		/* work has been called and does not return */
	POOL_USER_IS_FULL,	/* it will not be called: its user's jobs take all threads that one user may have */
	POOL_IS_FULL,		/* nor this one: all are taken, or all that a user with another job may have, or none can be made */
	POOL_STOPS,		/* pool_stop() was called */
};

struct pool_late {
	enum pool_why why;
	unsigned running;	/* then: the user's jobs, or all */
	unsigned limit;		/* of these */
};

struct pool_job {
	void (*work)(struct pool_job *job);
	void (*finish)(struct pool_job *job);
	void (*expire)(struct pool_job *job);
	void (*discard)(struct pool_job *job);
	uid_t uid;		/* whose turn it takes */
	bool holds_directory;	/* the kernel keeps others out of a directory until this is answered */
	/*
	 * From pool_submit(), as a rule POOL_TIMEOUT_MS. 0: none, for work that must be finished once it has begun, and that
	 * will be: pool_stop() waits for it.
	 */
	unsigned timeout_ms;
	struct pool_late late;	/* when it expires */

	/* The pool's own. */
	_Atomic int state;	/* changed under the pool's lock */
	struct timespec deadline;
	struct pool_user *user;
	TAILQ_ENTRY(pool_job) waiting;
	TAILQ_ENTRY(pool_job) timed;
};

struct pool_limits {
	unsigned threads;	/* in all; 0: 1,024 */
	unsigned per_user;	/* jobs of one user that run at once, expired ones included, of either kind; 0: 8 */
	unsigned idle_ms;	/* an idle thread ends after this; 0: 10,000 */
};

/*
 * Start a pool; LIMITS may be NULL. Threads are made as they are needed, one idle one stays. After
 * daemonizing: threads do not survive a fork. Errors: EAGAIN, ENOMEM.
 */
int pool_start(struct pool **out, const struct pool_limits *limits);

/*
 * Hand JOB over; from a 0 on it is the pool's. A user's jobs start in the order they came; those beyond
 * the limit wait while others' go ahead. Does not block. Errors, with the job still the caller's: ENOMEM,
 * ESHUTDOWN.
 */
int pool_submit(struct pool *pool, struct pool_job *job);

/*
 * Has the job that the calling thread works at expired? What it finds is for nobody then, so whatever may go on for long
 * asks. False on a thread that is no pool's.
 */
bool pool_is_expired(void);

/*
 * Take no more jobs, expire those that wait, wait up to WAIT_MS for those that run, expire the rest but those without a
 * deadline, and wait for these. Returns the number of jobs that hang; with 0 all threads are gone and the pool is freed.
 * Otherwise the pool and what those jobs use must stay until the process exits, which ends their threads.
 */
unsigned pool_stop(struct pool *pool, unsigned wait_ms);

#endif
