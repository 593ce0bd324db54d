/* SPDX-License-Identifier: MIT */
/*
 * The kernel names inodes by numbers of ours and keeps them as long as it likes, while segments vanish and their
 * shmids are given to others. So ids count up and are never reused, and a node remembers what its segment looked
 * like, to see when the shmid has become another's.
 *
 * One mutex guards the table and every node's seg and counts. Nothing blocks under it, and no other lock is taken.
 */
#include "node.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MANY 1000		/* nodes that are worth giving their memory back to the system */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct node *by_id, *by_thing, *by_name;
static uint64_t last_id;
static unsigned most;		/* nodes since memory was last given back */

static void node_free(struct node *n)
{
	if (n)
		free(n->name);
	free(n);
}

static struct node *node_new(enum node_kind kind, const char *path)
{
	struct node *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->kind = kind;
	n->seg.id = -1;
	if (path) {
		n->name = malloc(strlen(path) + 2);
		if (!n->name) {
			node_free(n);
			return NULL;
		}
		n->name[0] = (char)('a' + kind);
		strcpy(n->name + 1, path);
		n->path = n->name + 1;
	}
	return n;
}

/* The lock is held in all functions down to find_thing(). */

static void index_node(struct node *n)
{
	if (n->name)
		HASH_ADD_KEYPTR(hh_thing, by_name, n->name, strlen(n->name), n);
	else
		HASH_ADD_KEYPTR(hh_thing, by_thing, &n->thing, sizeof(n->thing), n);
	n->indexed = hash_added(n->hh_thing);
}

static void unindex_node(struct node *n)
{
	if (!n->indexed)
		return;
	if (n->name)
		HASH_DELETE(hh_thing, by_name, n);
	else
		HASH_DELETE(hh_thing, by_thing, n);
	n->indexed = false;
}

/* N, or NULL, and N is freed: memory is out. */
static struct node *enter(struct node *n)
{
	if (!n)
		return NULL;
	n->id = last_id + 1;
	n->pins = 1;
	HASH_ADD_KEYPTR(hh_id, by_id, &n->id, sizeof(n->id), n);
	if (!hash_added(n->hh_id)) {
		node_free(n);
		return NULL;
	}
	last_id++;
	if (HASH_CNT(hh_id, by_id) > most)
		most = HASH_CNT(hh_id, by_id);
	return n;
}

static void release(struct node *n)
{
	if (n->pins || n->lookups || n->id == NODE_ROOT_ID)
		return;
	unindex_node(n);
	HASH_DELETE(hh_id, by_id, n);
	node_free(n);
}

static struct node *find_id(uint64_t id)
{
	struct node *n;

	HASH_FIND(hh_id, by_id, &id, sizeof(id), n);
	return n;
}

static struct node *find_thing(struct node_thing thing)
{
	struct node *n;

	HASH_FIND(hh_thing, by_thing, &thing, sizeof(thing), n);
	return n;
}

static struct node *pin_or_enter(struct node *found, struct node *fresh)
{
	if (!found) {
		fresh = enter(fresh);
		if (fresh)
			index_node(fresh);
		if (fresh && !fresh->indexed) {
			fresh->pins = 0;
			release(fresh);	/* the root cannot come to this: nobody has it yet */
			fresh = NULL;
		}
		return fresh;
	}
	node_free(fresh);
	found->pins++;
	return found;
}

int node_start(void)
{
	return node_by_path(NODE_DIR, "") ? 0 : -ENOMEM;
}

struct node *node_get(uint64_t id)
{
	pthread_mutex_lock(&lock);
	struct node *n = find_id(id);

	if (n)
		n->pins++;
	pthread_mutex_unlock(&lock);
	return n;
}

void node_put(struct node *n)
{
	if (!n)
		return;
	pthread_mutex_lock(&lock);
	n->pins--;
	release(n);
	pthread_mutex_unlock(&lock);
}

struct node *node_by_path(enum node_kind kind, const char *path)
{
	struct node *fresh = node_new(kind, path), *n = NULL;

	if (!fresh)
		return NULL;
	pthread_mutex_lock(&lock);
	HASH_FIND(hh_thing, by_name, fresh->name, strlen(fresh->name), n);
	n = pin_or_enter(n, fresh);
	pthread_mutex_unlock(&lock);
	return n;
}

struct node *node_by_segment(enum node_kind kind, const struct sm_segment *seg)
{
	struct node_thing thing = { (int32_t)kind, seg->id };
	struct node *fresh = NULL;

	pthread_mutex_lock(&lock);
	struct node *n = find_thing(thing);

	if (n && !node_same_segment(&n->seg, seg)) {
		unindex_node(n);
		n = NULL;
	}
	if (!n && (fresh = node_new(kind, NULL)))
		fresh->thing = thing;
	n = pin_or_enter(n, fresh);
	if (n)
		n->seg = *seg;
	pthread_mutex_unlock(&lock);
	return n;
}

struct node *node_by_key(key_t key)
{
	struct node_thing thing = { NODE_LINK, key };
	struct node *fresh = NULL;

	pthread_mutex_lock(&lock);
	struct node *n = find_thing(thing);

	if (!n && (fresh = node_new(NODE_LINK, NULL)))
		fresh->thing = thing;
	n = pin_or_enter(n, fresh);
	pthread_mutex_unlock(&lock);
	return n;
}

struct node *node_staged(void)
{
	struct node *n = node_new(NODE_SEGMENT, NULL);

	pthread_mutex_lock(&lock);
	n = enter(n);
	pthread_mutex_unlock(&lock);
	return n;
}

void node_lookup(struct node *n)
{
	pthread_mutex_lock(&lock);
	n->lookups++;
	pthread_mutex_unlock(&lock);
}

/*
 * The kernel keeps names as long as it has memory, and then forgets thousands. The lock is held. Asked for at each half, so that
 * looking through what is free stays cheap.
 */
static bool many_are_gone(void)
{
	unsigned left = HASH_CNT(hh_id, by_id);

	if (most <= MANY || left > most / 2)
		return false;
	most = left;
	return true;
}

void node_forget(uint64_t id, uint64_t count)
{
	pthread_mutex_lock(&lock);
	struct node *n = find_id(id);

	if (n) {
		n->lookups -= count < n->lookups ? count : n->lookups;
		release(n);
	}

	bool trim = many_are_gone();

	pthread_mutex_unlock(&lock);
	if (trim)
		malloc_trim(0);
}

void node_move(struct node *n, const struct sm_segment *seg)
{
	pthread_mutex_lock(&lock);
	unindex_node(n);
	n->seg = *seg;
	n->thing = (struct node_thing){ (int32_t)n->kind, seg->id };

	struct node *other = find_thing(n->thing);	/* of an earlier segment with that shmid */

	if (other)
		unindex_node(other);
	index_node(n);
	pthread_mutex_unlock(&lock);
}

void node_follow(struct node *n, const struct sm_segment *seg)
{
	pthread_mutex_lock(&lock);
	unindex_node(n);
	n->seg = *seg;
	pthread_mutex_unlock(&lock);
	atomic_store(&n->followed, true);
}

void node_seen(struct node *n, struct sm_segment *seg)
{
	pthread_mutex_lock(&lock);
	*seg = n->seg;
	pthread_mutex_unlock(&lock);
}

/*
 * A new segment was made after the old one was removed, so its ctime is another one (a shmid is not reused while
 * we are attached, and copying.c stays attached into the next second). IPC_SET moves ctime too, but hardly without
 * changing owner or mode. Times are not ordered: clocks are set back.
 */
bool node_same_segment(const struct sm_segment *was, const struct sm_segment *now)
{
	bool removed = now->removed || was->removed;	/* the key is 0 then */

	if (was->id != now->id || was->size != now->size || was->cpid != now->cpid ||
	    was->cuid != now->cuid || was->cgid != now->cgid || (was->key != now->key && !removed))
		return false;
	if ((was->atime && !now->atime) || (was->dtime && !now->dtime))
		return false;
	return now->ctime == was->ctime || now->removed || now->locked != was->locked ||
	       now->uid != was->uid || now->gid != was->gid || now->mode != was->mode;
}

int node_stat(struct node *n, struct sm_segment *seg)
{
	struct sm_segment was;
	bool exchanged = atomic_load(&n->exchanged);	/* before its segment is read, which changes first */

	node_seen(n, &was);
	if (was.id < 0)
		return -ENOENT;
	if (exchanged) {
		*seg = was;
		return 0;
	}

	int err = sm_segment_stat(was.id, seg);

	if (err && err != -EIDRM)
		return err;
	if (err || !node_same_segment(&was, seg))
		return -ESTALE;
	pthread_mutex_lock(&lock);
	if (n->seg.id == seg->id)
		n->seg = *seg;
	pthread_mutex_unlock(&lock);
	return 0;
}
