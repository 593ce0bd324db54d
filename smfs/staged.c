/* SPDX-License-Identifier: MIT */
/*
 * A System V segment has its size from birth, and a shell tells the size of a new file last: it opens, closes one copy of
 * the descriptor, writes, and closes. So an object is made when its creating descriptors say so: making.c says when.
 * This file knows them all, by key, and who may do what to them: there is no segment yet for the kernel to judge by, so what it
 * would say of one of that creator and mode is said here.
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

#include "attr.h"
#include "cleanup.h"
#include "making.h"
#include "share.h"

#define LONG_SIZE (1 << 20)	/* copied in less time than a request may hold others up */

static pthread_mutex_t table = PTHREAD_MUTEX_INITIALIZER;
static struct staged *by_key;
static uint64_t last_serial;

void staged_start(size_t size)
{
	making_start(size);
}

static struct staged *hold(struct staged *s)
{
	pthread_mutex_lock(&s->lock);
	return s;
}

/* What was changed is seen by all before anybody is told. */
static void let_go(struct staged *s)
{
	making_show(s);
	pthread_mutex_unlock(&s->lock);
}

static void let_go_of(struct staged **s)
{
	let_go(*s);
}

/* Hold the lock of S until the scope ends. */
#define HELD(s) struct staged *held AUTO(let_go_of) __attribute__((unused)) = hold(s)

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
	HELD(s);
	return staged_bytes_read(s, bytes, n, offset);
}

ssize_t staged_write(struct staged *s, const void *bytes, size_t n, off_t offset)
{
	HELD(s);
	return staged_bytes_write(s, bytes, n, offset);
}

off_t staged_seek(struct staged *s, off_t offset, int whence)
{
	HELD(s);
	return staged_bytes_seek(s, offset, whence);
}

int staged_truncate(struct staged *s, off_t size)
{
	HELD(s);
	return staged_bytes_truncate(s, size);
}

int staged_allocate(struct staged *s, off_t end)
{
	HELD(s);
	return staged_bytes_truncate(s, end > s->size ? end : s->size);
}

int staged_flush(struct staged *s)
{
	HELD(s);
	return flush_locked(s);
}

int staged_sync(struct staged *s)
{
	HELD(s);
	return making_commit_new_bytes(s);
}

bool staged_settled(struct staged *s)
{
	HELD(s);
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

static struct staged *of_node(struct node *n)
{
	pthread_mutex_lock(&table);
	struct staged *s = use(n->staged);

	pthread_mutex_unlock(&table);
	return s;
}

static struct staged *of_key(key_t key)
{
	pthread_mutex_lock(&table);
	struct staged *s = use(find(key));

	pthread_mutex_unlock(&table);
	return s;
}

static void unuse(struct staged *s)
{
	pthread_mutex_lock(&table);
	bool last = --s->uses == 0;

	pthread_mutex_unlock(&table);
	if (last)
		staged_free(s);
}

static bool is_made(struct staged *s)
{
	HELD(s);
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

/* ---- who may do what, of what does not exist yet ---- */

static bool in_group(const struct caller *c, gid_t gid)
{
	bool in = c->gid == gid;

	for (unsigned i = 0; i < c->ngroups && !in; i++)
		in = caller_groups(c)[i] == gid;
	return in;
}

/* As shmat(2) has it. Whoever opens it before it has a size gives it one, and so must be able to stand for its creator. */
static int may_open(const struct staged *s, bool write, const struct caller *caller)
{
	mode_t wanted = write ? 06 : 04, granted = s->mode;

	if (caller->uid == s->creator.uid)
		granted >>= 6;
	else if (s->size == 0)
		granted = 0;
	else if (in_group(caller, s->creator.gid))
		granted >>= 3;
	return !(wanted & ~granted) || caller_can(caller, CAP_IPC_OWNER) ? 0 : -EACCES;
}

/* As IPC_SET and IPC_RMID of shmctl(2) have it. */
static int may_change(const struct staged *s, const struct caller *caller)
{
	return caller->uid == s->creator.uid || caller_can(caller, CAP_SYS_ADMIN) ? 0 : -EPERM;
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
	struct staged *s = of_key(key);

	if (!s)
		return;
	if (is_made(s)) {
		pthread_mutex_lock(&table);
		unlist(s);
		pthread_mutex_unlock(&table);
	}
	unuse(s);
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
	struct staged *s = of_key(key);
	struct node *n = s && !looks_made(s) ? node_get(s->node->id) : NULL;

	if (s)
		unuse(s);
	return n;
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
	struct staged *s = of_key(key);
	bool busy = s && staged_is_busy(s);

	if (s)
		unuse(s);
	return busy;
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

int staged_withdraw(key_t key, const struct caller *caller)
{
	struct staged *s = of_key(key);
	int err = -ENOENT;

	if (!s)
		return err;
	pthread_mutex_lock(&s->lock);
	if (!s->made && !s->withdrawn) {
		err = may_change(s, caller);
		s->withdrawn = !err;
	}
	let_go(s);
	unuse(s);
	return err;
}

static bool stat_view(const struct staged *s, const struct staged_view *v, struct stat *out)
{
	struct sm_segment like = {
		.uid = s->creator.uid, .gid = s->creator.gid,
		.atime = s->born.tv_sec, .ctime = s->born.tv_sec,
	};

	if (v->made && !v->withdrawn)
		return false;
	attr_beside(&like, attr_ino_staged(s->serial), S_IFREG | v->mode, (uint64_t)v->size, out);
	out->st_blocks = (blkcnt_t)(v->charged / 512);
	if (v->withdrawn)
		out->st_nlink = 0;
	return true;
}

bool staged_stat(struct node *n, struct stat *out)
{
	struct staged *s = of_node(n);

	if (!s)
		return false;

	struct staged_view v = making_view(s);
	bool unmade = stat_view(s, &v, out);

	unuse(s);
	return unmade;
}

void staged_stat_made(struct node *n, struct stat *out)
{
	struct staged *s = of_node(n);

	if (!s)
		return;

	struct staged_view v = making_view(s);

	if (v.made && !v.settled && v.dirty_to > (off_t)v.seg.size)
		out->st_size = v.dirty_to;
	if (v.lent)
		out->st_mode = S_IFREG | v.mode;
	unuse(s);
}

bool staged_is_long(struct node *n)
{
	struct staged *s = of_node(n);
	bool is_long = true;

	if (!s)
		return false;
	if (pthread_mutex_trylock(&s->lock) == 0) {
		/* what is new may be one byte, but all of them are copied where it made the object larger */
		is_long = s->dirty_to > s->dirty_from && s->size >= LONG_SIZE;
		pthread_mutex_unlock(&s->lock);
	}
	unuse(s);
	return is_long;
}

int staged_touch(struct node *n, const struct caller *caller)
{
	struct staged *s = of_node(n);

	if (!s)
		return 0;
	pthread_mutex_lock(&s->lock);
	int err = may_change(s, caller) ? 0 : making_commit_default(s);

	let_go(s);
	unuse(s);
	return err;
}

static int share_locked(struct staged *s, bool write, const struct caller *caller)
{
	if (s->withdrawn)
		return s->made || s->verdict ? -ESTALE : -ENOENT;
	if (s->made)
		return making_commit_new_bytes(s);
	if (s->size == 0) {
		int err = may_open(s, write, caller);

		return err ? err : -EALREADY;
	}
	return making_commit(s, s->size);
}

int staged_share(struct node *n, bool write, const struct caller *caller, struct staged **out)
{
	struct staged *s = of_node(n);

	if (!s)
		return 0;
	pthread_mutex_lock(&s->lock);
	int err = share_locked(s, write, caller);

	let_go(s);
	if (err == -EALREADY) {
		pthread_mutex_lock(&table);
		if (s->descriptors)
			s->descriptors++;
		else
			err = -ESTALE;	/* the last one was closed this instant: the kernel looks it up again */
		pthread_mutex_unlock(&table);
		*out = s;
	}
	unuse(s);
	return err;
}

void staged_opened(struct node *n)
{
	struct staged *s = of_node(n);

	if (!s)
		return;
	s->opened = true;	/* without the lock: a copy is not waited for */
	unuse(s);
}

int staged_access(struct node *n, bool write, const struct caller *caller)
{
	struct staged *s = of_node(n);

	if (!s)
		return -EALREADY;
	pthread_mutex_lock(&s->lock);
	int err = s->made && !making_is_withdrawn(s) ? -EALREADY : may_open(s, write, caller);

	let_go(s);
	unuse(s);
	return err;
}

static int chmod_unmade(struct staged *s, mode_t mode, const struct caller *caller)
{
	int err = s->made && !making_is_withdrawn(s) ? -EALREADY : may_change(s, caller);

	if (!err)
		s->mode = mode;
	return err;
}

int staged_chmod(struct node *n, mode_t mode, const struct caller *caller)
{
	struct staged *s = of_node(n);

	if (!s)
		return -EALREADY;
	pthread_mutex_lock(&s->lock);
	int err = chmod_unmade(s, mode, caller);

	let_go(s);
	unuse(s);
	return err;
}

int staged_chown(struct node *n, const struct caller *caller)
{
	struct staged *s = of_node(n);

	if (!s)
		return 0;
	pthread_mutex_lock(&s->lock);
	int err = s->made ? 0 : may_change(s, caller);

	if (!err)
		err = making_commit_default(s);
	let_go(s);
	unuse(s);
	return err;
}

void staged_changed(struct node *n, const struct sm_segment *now)
{
	struct staged *s = of_node(n);

	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	if (s->made && !s->settled && s->seg.id == now->id) {
		s->mode = now->mode;
		s->seg.uid = now->uid;
		s->seg.gid = now->gid;
		s->seg.mode = now->mode;
		s->seg.ctime = now->ctime;
	}
	let_go(s);
	unuse(s);
}

int staged_close(struct staged *s)
{
	pthread_mutex_lock(&table);
	bool last = s->descriptors == 1;

	pthread_mutex_unlock(&table);
	int err = 0;

	if (last) {	/* while it is still found, so that whoever looks finds it being made, or made */
		HELD(s);
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
