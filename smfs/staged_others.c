/* SPDX-License-Identifier: MIT */
/*
 * What others ask of an object in the making, who have its name or its node and no creating descriptor. There is no segment yet
 * for the kernel to judge by, so what it would say of one of that creator and mode is said here.
 */
#include "staged.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>

#include "attr.h"
#include "making.h"

#define LONG_SIZE (1 << 20)	/* copied in less time than a request may hold others up */

/* ---- who may do what ---- */

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

/* ---- to look ---- */

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
	struct staged *s STAGED_USED = staged_of_node(n);

	if (!s)
		return false;

	struct staged_view v = making_view(s);

	return stat_view(s, &v, out);
}

void staged_stat_made(struct node *n, struct stat *out)
{
	struct staged *s STAGED_USED = staged_of_node(n);

	if (!s)
		return;

	struct staged_view v = making_view(s);

	if (v.made && !v.settled && v.dirty_to > (off_t)v.seg.size)
		out->st_size = v.dirty_to;
	if (v.lent)
		out->st_mode = S_IFREG | v.mode;
}

bool staged_is_long(struct node *n)
{
	struct staged *s STAGED_USED = staged_of_node(n);
	bool is_long = true;

	if (!s)
		return false;
	if (pthread_mutex_trylock(&s->lock) == 0) {
		/* what is new may be one byte, but all of them are copied where it made the object larger */
		is_long = s->dirty_to > s->dirty_from && s->size >= LONG_SIZE;
		pthread_mutex_unlock(&s->lock);
	}
	return is_long;
}

/* ---- to open, change and remove it ---- */

int staged_touch(struct node *n, const struct caller *caller)
{
	struct staged *s STAGED_USED = staged_of_node(n);

	if (!s)
		return 0;
	MAKING_HELD(s);
	return may_change(s, caller) ? 0 : making_commit_default(s);
}

static int share(struct staged *s, bool write, const struct caller *caller)
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
	struct staged *s STAGED_USED = staged_of_node(n);
	int err;

	if (!s)
		return 0;
	{
		MAKING_HELD(s);
		err = share(s, write, caller);
	}
	if (err == -EALREADY && staged_join(s))
		err = -ESTALE;	/* the last one was closed this instant: the kernel looks it up again */
	*out = err == -EALREADY ? s : NULL;
	return err;
}

void staged_opened(struct node *n)
{
	struct staged *s STAGED_USED = staged_of_node(n);

	if (s)
		s->opened = true;	/* without the lock: a copy is not waited for */
}

int staged_access(struct node *n, bool write, const struct caller *caller)
{
	struct staged *s STAGED_USED = staged_of_node(n);

	if (!s)
		return -EALREADY;
	MAKING_HELD(s);
	return s->made && !making_is_withdrawn(s) ? -EALREADY : may_open(s, write, caller);
}

int staged_chmod(struct node *n, mode_t mode, const struct caller *caller)
{
	struct staged *s STAGED_USED = staged_of_node(n);

	if (!s)
		return -EALREADY;
	MAKING_HELD(s);

	int err = s->made && !making_is_withdrawn(s) ? -EALREADY : may_change(s, caller);

	if (!err)
		s->mode = mode;
	return err;
}

int staged_chown(struct node *n, const struct caller *caller)
{
	struct staged *s STAGED_USED = staged_of_node(n);

	if (!s)
		return 0;
	MAKING_HELD(s);

	int err = s->made ? 0 : may_change(s, caller);

	return err ? err : making_commit_default(s);
}

void staged_changed(struct node *n, const struct sm_segment *now)
{
	struct staged *s STAGED_USED = staged_of_node(n);

	if (!s)
		return;
	MAKING_HELD(s);
	if (s->made && !s->settled && s->seg.id == now->id) {
		s->mode = now->mode;
		s->seg.uid = now->uid;
		s->seg.gid = now->gid;
		s->seg.mode = now->mode;
		s->seg.ctime = now->ctime;
	}
}

int staged_withdraw(key_t key, const struct caller *caller)
{
	struct staged *s STAGED_USED = staged_of_key(key);

	if (!s)
		return -ENOENT;
	MAKING_HELD(s);
	if (s->made || s->withdrawn)
		return -ENOENT;

	int err = may_change(s, caller);

	s->withdrawn = !err;
	return err;
}
