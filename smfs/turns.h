/* SPDX-License-Identifier: MIT */
#ifndef SMFS_TURNS_H
#define SMFS_TURNS_H

/*
 * Whose job is next: each user's jobs wait in a queue of their own, users below the limit take turns, those of whom
 * nothing runs first. A user's jobs that hold a directory are another user's here. For pool.c, whose lock protects all of it.
 */

#include <stdbool.h>
#include <sys/queue.h>

#include "pool.h"

#define TURNS_BUCKETS 64

TAILQ_HEAD(job_queue, pool_job);
TAILQ_HEAD(user_queue, pool_user);
LIST_HEAD(user_list, pool_user);

struct turns {
	unsigned per_user;
	unsigned crowd;		/* while so many run, only a user of whom none runs gets another */
	unsigned running;	/* jobs taken and not ended */
	struct user_list users[TURNS_BUCKETS];
	struct user_list spare;	/* kept for the next users, so that a job needs no memory as a rule */
	unsigned nspare;
	struct user_queue first, more;	/* something waits; none runs, or fewer than the limit */
};

void turns_init(struct turns *turns, unsigned per_user, unsigned crowd);

/* Of users without jobs. */
void turns_free(struct turns *turns);

/* Last in its user's queue; sets job->user. Errors: ENOMEM. */
int turns_add(struct turns *turns, struct pool_job *job);

/* The job whose turn it is, which then runs; NULL if there is none. */
struct pool_job *turns_take(struct turns *turns);

/* Undo that: first in its user's queue again. */
void turns_put_back(struct turns *turns, struct pool_job *job);

/* A job that waits will not run. */
void turns_remove(struct turns *turns, struct pool_job *job);

/* A job of USER that was taken has ended. */
void turns_end(struct turns *turns, struct pool_user *user);

/* How many jobs of USER run. */
unsigned turns_running(const struct pool_user *user);

/* Some job that waits, or NULL. */
struct pool_job *turns_waiting(const struct turns *turns);

#endif
