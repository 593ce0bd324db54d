/* SPDX-License-Identifier: MIT */
/*
 * A System V segment has its size from birth, and a shell tells the size of a new file last: it opens, closes one copy of
 * the descriptor, writes, and closes. So an object is made when its creating descriptors say so: making.c says when.
 * This file knows them all, by key, and their creating descriptors.
 *
 * `table` guards the table by key and the numbers of descriptors and uses; it is never taken while a staged object's
 * own lock is held, nor the other way round. Under a staged lock the shm calls are made, as the creator, and all bytes
 * are copied. So nobody who only looks waits for it, or one user's copy would hold up everybody's listings, and all
 * threads by looking: while it is held the object is shown as it was before, or as making.c says.
 */
#include "staged.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "making.h"

static pthread_mutex_t table = PTHREAD_MUTEX_INITIALIZER;
static struct staged *by_key;
static uint64_t last_serial;

void staged_start(size_t size)
{
	making_start(size);
}

static void staged_free(struct staged *s)
{
	if (!s)
		return;
	making_forget_bytes(s);
	node_put(s->node);
	caller_free(&s->creator);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->view_lock);
	free(s->path);
	free(s);
}

static struct staged *staged_new(key_t key, const char *path, mode_t mode, const struct caller *creator)
{
	struct staged *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->view_lock, NULL);
	clock_gettime(CLOCK_REALTIME, &s->born);
	s->key = key;
	s->mode = mode;
	s->memfd = -1;
	making_show(s);
	s->path = strdup(path);
	s->node = node_staged();
	if (!s->path || !s->node || caller_copy(&s->creator, creator)) {
		staged_free(s);
		return NULL;
	}
	return s;
}

static struct staged *find(key_t key)
{
	struct staged *s;

	HASH_FIND(hh, by_key, &key, sizeof(key), s);
	return s;
}

static int flush_locked(struct staged *s)
{
	if (++s->flushes == 1 || s->dirty_to > s->dirty_from)
		return making_commit_new_bytes(s);
	return making_commit_default(s);
}

/* ---- the lock is taken ---- */

ssize_t staged_read(struct staged *s, void *bytes, size_t n, off_t offset)
{
	MAKING_HELD(s);
	return staged_bytes_read(s, bytes, n, offset);
}

ssize_t staged_write(struct staged *s, const void *bytes, size_t n, off_t offset)
{
	MAKING_HELD(s);
	return staged_bytes_write(s, bytes, n, offset);
}

off_t staged_seek(struct staged *s, off_t offset, int whence)
{
	MAKING_HELD(s);
	return staged_bytes_seek(s, offset, whence);
}

int staged_truncate(struct staged *s, off_t size)
{
	MAKING_HELD(s);
	return staged_bytes_truncate(s, size);
}

int staged_allocate(struct staged *s, off_t end)
{
	MAKING_HELD(s);
	return staged_bytes_truncate(s, end > s->size ? end : s->size);
}

int staged_flush(struct staged *s)
{
	MAKING_HELD(s);
	return flush_locked(s);
}

int staged_sync(struct staged *s)
{
	MAKING_HELD(s);
	return making_commit_new_bytes(s);
}

bool staged_settled(struct staged *s)
{
	MAKING_HELD(s);
	return s->settled;
}

bool staged_is_busy(struct staged *s)
{
	bool busy = pthread_mutex_trylock(&s->lock);

	if (!busy)
		pthread_mutex_unlock(&s->lock);
	return busy;
}

/* ---- by node and by key ---- */

static struct staged *use(struct staged *s)
{
	if (s)
		s->uses++;
	return s;
}

struct staged *staged_of_node(struct node *n)
{
	LOCKED(&table);
	return use(n->staged);
}

struct staged *staged_of_key(key_t key)
{
	LOCKED(&table);
	return use(find(key));
}

static void unuse(struct staged *s)
{
	pthread_mutex_lock(&table);
	bool last = --s->uses == 0;

	pthread_mutex_unlock(&table);
	if (last)
		staged_free(s);
}

void staged_unuse(struct staged **s)
{
	if (*s)
		unuse(*s);
}

static bool is_made(struct staged *s)
{
	MAKING_HELD(s);
	return s->made || s->withdrawn;
}

static bool looks_made(struct staged *s)
{
	struct staged_view v = making_view(s);

	return v.made || v.withdrawn;
}

/* One more creating descriptor of what is being made with KEY, or of a new one: 0 and *OUT. The table lock is held. */
static int join_or_begin(key_t key, const char *path, mode_t mode, const struct caller *creator, struct staged **out)
{
	struct staged *s = find(key);

	if (s && s->creator.uid != creator->uid && !caller_can(creator, CAP_IPC_OWNER))
		return -EACCES;
	if (!s) {
		s = staged_new(key, path, mode, creator);
		if (!s)
			return -ENOMEM;
		HASH_ADD(hh, by_key, key, sizeof(key), s);
		if (!hash_added(s->hh)) {
			staged_free(s);
			return -ENOMEM;
		}
		s->serial = ++last_serial;
		s->uses = 1;
		s->node->staged = s;
	}
	s->descriptors++;
	*out = s;
	return 0;
}

/* ---- the table by key ---- */

/* The lock of the table is held. */
static void unlist(struct staged *s)
{
	if (find(s->key) == s)
		HASH_DEL(by_key, s);
}

/*
 * What exists, or was removed again, is not being made any more, although its creator has yet to close it: the next
 * object with its key is another one.
 */
static void unlist_if_made(key_t key)
{
	struct staged *s STAGED_USED = staged_of_key(key);

	if (s && is_made(s)) {
		LOCKED(&table);
		unlist(s);
	}
}

int staged_open(key_t key, const char *path, mode_t mode, const struct caller *creator, struct staged **out,
		struct node **node)
{
	unlist_if_made(key);
	pthread_mutex_lock(&table);

	int err = join_or_begin(key, path, mode, creator, out);

	if (!err)
		*node = node_get((*out)->node->id);
	pthread_mutex_unlock(&table);
	return err;
}

struct node *staged_find(key_t key)
{
	struct staged *s STAGED_USED = staged_of_key(key);

	return s && !looks_made(s) ? node_get(s->node->id) : NULL;
}

/* Everything in the table, in use; the number of them, or -ENOMEM. */
static ssize_t use_all(struct staged ***out)
{
	struct staged *s, *next;
	ssize_t n = 0;

	pthread_mutex_lock(&table);
	*out = calloc(HASH_COUNT(by_key) + 1, sizeof(**out));
	if (*out)
		HASH_ITER(hh, by_key, s, next)
			(*out)[n++] = use(s);
	pthread_mutex_unlock(&table);
	return *out ? n : -ENOMEM;
}

bool staged_key_is_busy(key_t key)
{
	struct staged *s STAGED_USED = staged_of_key(key);

	return s && staged_is_busy(s);
}

ssize_t staged_list(struct staged_name **out)
{
	AUTO_FREE struct staged **all = NULL;
	ssize_t n = use_all(&all), listed = 0;

	*out = n < 0 ? NULL : calloc((size_t)n + 1, sizeof(**out));
	for (ssize_t i = 0; i < n; i++) {
		if (*out && !looks_made(all[i])) {
			char *path = strdup(all[i]->path);

			if (path)
				(*out)[listed++] = (struct staged_name){ all[i]->key, all[i]->serial, path };
		}
		unuse(all[i]);
	}
	return *out ? listed : -ENOMEM;
}

void staged_list_free(struct staged_name *names, ssize_t n)
{
	for (ssize_t i = 0; i < n; i++)
		free(names[i].path);
	free(names);
}

int staged_join(struct staged *s)
{
	LOCKED(&table);
	if (!s->descriptors)
		return -ESTALE;
	s->descriptors++;
	return 0;
}

int staged_close(struct staged *s)
{
	pthread_mutex_lock(&table);
	bool last = s->descriptors == 1;

	pthread_mutex_unlock(&table);
	int err = 0;

	if (last) {	/* while it is still found, so that whoever looks finds it being made, or made */
		MAKING_HELD(s);
		err = making_commit_new_bytes(s);
		if (!err)
			err = making_commit_default(s);
	}
	staged_abandon(s);
	return err;
}

void staged_abandon(struct staged *s)
{
	pthread_mutex_lock(&table);
	bool last = --s->descriptors == 0;

	if (last) {
		unlist(s);
		s->node->staged = NULL;
	}
	pthread_mutex_unlock(&table);
	if (last)
		unuse(s);
}
