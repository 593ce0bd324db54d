/* SPDX-License-Identifier: MIT */
/*
 * While one open file of an inode is passed through to its backing file, Linux fails every plain open of that inode with EIO;
 * the other way round it lets them be. And it takes in the answers to opens in any order. So after a plain answer, as a
 * creating descriptor gets it, none is passed through until the kernel has asked for something with that descriptor; who
 * opens the inode meanwhile waits for that, or, at that very instant, has a plain one, too, whose bytes come from the daemon.
 */
#include "passing.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "cleanup.h"
#include "node.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* of what is ours in a node */
static pthread_cond_t settled = PTHREAD_COND_INITIALIZER;

int passing_begin(struct passing *p, struct node *n, bool possible)
{
	LOCKED(&lock);

	if (n->passed && !possible)
		return -ESTALE;
	if (possible && !n->unseen) {
		n->passed++;
		atomic_store(&p->state, PASSING_THROUGH);
	} else {
		n->unseen++;
		p->given_up = n->given_up;
		atomic_store(&p->state, PASSING_UNSEEN);
	}
	return 0;
}

void passing_seen(struct passing *p, struct node *n)
{
	if (atomic_load_explicit(&p->state, memory_order_relaxed) != PASSING_UNSEEN)
		return;
	LOCKED(&lock);

	if (atomic_load(&p->state) == PASSING_UNSEEN) {
		if (p->given_up == n->given_up && --n->unseen == 0)
			pthread_cond_broadcast(&settled);
		atomic_store(&p->state, PASSING_PLAIN);
	}
}

void passing_end(struct passing *p, struct node *n)
{
	passing_seen(p, n);
	if (!passing_is_through(p))
		return;
	LOCKED(&lock);

	n->passed--;
	atomic_store(&p->state, PASSING_NONE);
}

bool passing_is_awaited(struct node *n)
{
	LOCKED(&lock);
	return n->unseen;
}

void passing_await(struct node *n)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += PASSING_WAIT_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;

	LOCKED(&lock);
	const unsigned given_up = n->given_up;
	int err = 0;

	while (!err && n->unseen && n->given_up == given_up)
		err = pthread_cond_clockwait(&settled, &lock, CLOCK_MONOTONIC, &until);
	if (err && n->unseen && n->given_up == given_up) {
		n->unseen = 0;
		n->given_up++;
		pthread_cond_broadcast(&settled);
	}
}

bool passing_is_through(const struct passing *p)
{
	return atomic_load(&p->state) == PASSING_THROUGH;
}
