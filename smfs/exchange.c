/* SPDX-License-Identifier: MIT */
/*
 * Who uses which segment through us, and which one is being exchanged, by key: several nodes may stand for one segment. The
 * entries lie on the stacks of those who work, so there are never many.
 *
 * One mutex guards the list. Nothing blocks under it, but for waiting.
 */
#include "exchange.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/ipc.h>
#include <time.h>

#include "cleanup.h"
#include "node.h"

#define WAIT_S 30

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static LIST_HEAD(, exchange) all = LIST_HEAD_INITIALIZER(all);
static _Atomic uint64_t mark;
static atomic_bool over;

/* An entry with KEY, for an exchange or for a use. The lock is held. */
static struct exchange *find(key_t key, bool exchanging, const struct exchange *except)
{
	struct exchange *e;

	LIST_FOREACH(e, &all, entry)
		if (e->key == key && e != except && !e->node == !exchanging)
			return e;
	return NULL;
}

/* The lock is held. */
static int wait_until_none(key_t key, bool exchanging, const struct exchange *except)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += WAIT_S;
	while (!err && find(key, exchanging, except))
		err = atomic_load(&over) ? EINTR : pthread_cond_clockwait(&changed, &lock, CLOCK_MONOTONIC, &until);
	return -err;
}

int exchange_enter(struct exchange *e, key_t key)
{
	*e = (struct exchange){ .key = key };
	if (key == IPC_PRIVATE)
		return 0;

	LOCKED(&lock);
	int err = wait_until_none(key, true, e);

	if (err)
		e->key = IPC_PRIVATE;
	else
		LIST_INSERT_HEAD(&all, e, entry);
	return err;
}

int exchange_try(struct exchange *e, key_t key)
{
	*e = (struct exchange){ .key = key };
	LOCKED(&lock);
	if (find(key, true, e)) {
		e->key = IPC_PRIVATE;
		return -EBUSY;
	}
	LIST_INSERT_HEAD(&all, e, entry);
	return 0;
}

int exchange_begin(struct exchange *e, key_t key, struct node *n)
{
	*e = (struct exchange){ .key = key, .node = n };
	LOCKED(&lock);
	int err = wait_until_none(key, true, e);

	if (err)
		return err;
	LIST_INSERT_HEAD(&all, e, entry);	/* from now on, nobody else begins to use it */
	err = wait_until_none(key, false, e);
	if (err) {
		LIST_REMOVE(e, entry);
		pthread_cond_broadcast(&changed);
	}
	return err;
}

void exchange_leave(struct exchange *e)
{
	if (e->key == IPC_PRIVATE)
		return;

	LOCKED(&lock);
	LIST_REMOVE(e, entry);
	if (e->node) {
		atomic_store(&e->node->exchanged, false);
		atomic_fetch_add(&mark, 1);
	}
	pthread_cond_broadcast(&changed);
}

bool exchange_is_on(key_t key)
{
	LOCKED(&lock);
	return key != IPC_PRIVATE && find(key, true, NULL);
}

void exchange_remove(struct exchange *e)
{
	atomic_store(&e->node->exchanged, true);
	atomic_fetch_add(&mark, 1);
}

struct node *exchange_node(key_t key)
{
	LOCKED(&lock);
	struct exchange *e = find(key, true, NULL);

	return e && atomic_load(&e->node->exchanged) ? node_get(e->node->id) : NULL;
}

uint64_t exchange_mark(void)
{
	return atomic_load(&mark);
}

void exchange_stop(void)
{
	LOCKED(&lock);
	atomic_store(&over, true);
	pthread_cond_broadcast(&changed);
}

const atomic_bool *exchange_over(void)
{
	return &over;
}
