/* SPDX-License-Identifier: MIT */

/*
 * A user whose jobs all hang has as many threads as the limit says and no more; everyone else goes on. Many such users
 * would have them all. So the limit holds only until a part of the threads is taken: the rest is for those who have none,
 * and each of them gets one. All steps take constant time, however long the queue of somebody else is.
 *
 * What holds a directory counts as another user's: it waits for none of the other jobs of its own.
 */

#include "turns.h"

#include <errno.h>
#include <stdlib.h>

#define SPARE_MAX 16

struct pool_user {
	uid_t uid;
	bool holds_directory;	/* pool.h */
	unsigned running;
	struct user_queue *turns;	/* that it is in: first or more of struct turns, or NULL */
	struct job_queue waiting;
	LIST_ENTRY(pool_user) bucket;
	TAILQ_ENTRY(pool_user) turn;
};

static struct pool_user *user_new(struct turns *turns)
{
	struct pool_user *user = LIST_FIRST(&turns->spare);

	if (!user)
		return malloc(sizeof(*user));
	LIST_REMOVE(user, bucket);
	turns->nspare--;
	return user;
}

static struct pool_user *user_get(struct turns *turns, uid_t uid, bool holds_directory)
{
	struct user_list *bucket = &turns->users[uid % TURNS_BUCKETS];
	struct pool_user *user;

	LIST_FOREACH(user, bucket, bucket) {
		if (user->uid == uid && user->holds_directory == holds_directory)
			return user;
	}
	user = user_new(turns);
	if (!user)
		return NULL;
	*user = (struct pool_user){ .uid = uid, .holds_directory = holds_directory };
	TAILQ_INIT(&user->waiting);
	LIST_INSERT_HEAD(bucket, user, bucket);
	return user;
}

static void user_move(struct pool_user *user, struct user_queue *to)
{
	if (user->turns == to)
		return;
	if (user->turns)
		TAILQ_REMOVE(user->turns, user, turn);
	if (to)
		TAILQ_INSERT_TAIL(to, user, turn);
	user->turns = to;
}

/* After any change to USER: which queue of turns it is in, and whether it is needed at all. */
static void user_update(struct turns *turns, struct pool_user *user)
{
	const bool waits = !TAILQ_EMPTY(&user->waiting);

	user_move(user, !waits || user->running >= turns->per_user ? NULL : user->running ? &turns->more : &turns->first);
	if (waits || user->running)
		return;
	LIST_REMOVE(user, bucket);
	if (turns->nspare == SPARE_MAX) {
		free(user);
		return;
	}
	LIST_INSERT_HEAD(&turns->spare, user, bucket);
	turns->nspare++;
}

void turns_init(struct turns *turns, unsigned per_user, unsigned crowd)
{
	*turns = (struct turns){ .per_user = per_user, .crowd = crowd };
	TAILQ_INIT(&turns->first);
	TAILQ_INIT(&turns->more);
}

void turns_free(struct turns *turns)
{
	struct pool_user *user;

	while ((user = LIST_FIRST(&turns->spare))) {
		LIST_REMOVE(user, bucket);
		free(user);
	}
}

int turns_add(struct turns *turns, struct pool_job *job)
{
	job->user = user_get(turns, job->uid, job->holds_directory);
	if (!job->user)
		return -ENOMEM;
	TAILQ_INSERT_TAIL(&job->user->waiting, job, waiting);
	user_update(turns, job->user);
	return 0;
}

struct pool_job *turns_take(struct turns *turns)
{
	struct pool_user *user = TAILQ_FIRST(&turns->first);

	if (!user && turns->running < turns->crowd)
		user = TAILQ_FIRST(&turns->more);
	if (!user)
		return NULL;
	struct pool_job *job = TAILQ_FIRST(&user->waiting);
	TAILQ_REMOVE(&user->waiting, job, waiting);
	user->running++;
	turns->running++;
	user_move(user, NULL);	/* behind the others, if it stays at all */
	user_update(turns, user);
	return job;
}

void turns_put_back(struct turns *turns, struct pool_job *job)
{
	job->user->running--;
	turns->running--;
	TAILQ_INSERT_HEAD(&job->user->waiting, job, waiting);
	user_update(turns, job->user);
}

void turns_remove(struct turns *turns, struct pool_job *job)
{
	TAILQ_REMOVE(&job->user->waiting, job, waiting);
	user_update(turns, job->user);
}

void turns_end(struct turns *turns, struct pool_user *user)
{
	user->running--;
	turns->running--;
	user_update(turns, user);
}

unsigned turns_running(const struct pool_user *user)
{
	return user->running;
}

struct pool_job *turns_waiting(const struct turns *turns)
{
	for (int i = 0; i < TURNS_BUCKETS; i++) {
		struct pool_user *user;

		LIST_FOREACH(user, &turns->users[i], bucket) {
			if (!TAILQ_EMPTY(&user->waiting))
				return TAILQ_FIRST(&user->waiting);
		}
	}
	return NULL;
}
