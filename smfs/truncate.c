/* SPDX-License-Identifier: MIT */
/*
 * A segment's size is for life, so another size means another segment in its place: with the same key, owner, mode
 * and bytes. That is possible only while nobody uses the old one, in any way that can be seen: attached (nattch), open
 * through us, or mapped through a file (/proc).
 */
#include "truncate.h"

#include <errno.h>
#include <libsm/daemon.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "aside.h"
#include "exchange.h"
#include "log.h"
#include "rights.h"
#include "staged.h"
#include "store.h"

#define CLOSE_WAIT_MS 50
#define VISITS 8	/* copies that somebody who came and went may make in vain */

static dev_t own_device;

void truncate_start(dev_t device)
{
	own_device = device;
}

static int zero_all(struct node *n, const struct caller *caller)
{
	struct sm_segment seg;
	struct way *w;
	void *at;
	int err = rights_attach(n, true, caller, &seg, &at);

	if (!err)
		err = way_get(n, &seg, at, true, &w);
	if (err)
		return err;
	err = way_zero(w, 0, (off_t)seg.size);
	way_put(n, w);
	return err;
}

/* Mappings made through a file count in no nattch, but /proc tells of them: -EBUSY if another process has one. */
static int check_mappings(int id)
{
	struct sm_holder *holders = NULL;
	ssize_t n = sm_holder_list_on(id, own_device, &holders, NULL);
	int err = n < 0 ? (int)n : 0;

	for (ssize_t i = 0; i < n; i++)
		if (holders[i].pid != getpid())
			err = -EBUSY;
	free(holders);
	return err;
}

/*
 * Is N open more than MINE times? The kernel tells us of a close after close(2) has returned, so one that was just
 * closed is given a moment.
 */
static bool open_otherwise(struct node *n, unsigned mine)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	for (int i = 0; i < CLOSE_WAIT_MS && way_opens(n) > mine; i++)
		nanosleep(&pause, NULL);
	return way_opens(n) > mine;
}

/* What was just closed may still be attached, or have its descriptor, for an instant. */
static int put_aside_soon(const struct sm_segment *seg, off_t size, uid_t uid, struct aside *contents)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int err = aside_take(seg, (size_t)size, uid, exchange_over(), contents);

	for (int i = 0; i < CLOSE_WAIT_MS && err == -EBUSY; i++) {
		nanosleep(&pause, NULL);
		err = aside_take(seg, (size_t)size, uid, exchange_over(), contents);
	}
	return err;
}

/* It cannot be dressed, because of ERR: back to the size it had. */
static int undo(struct aside *contents, struct sm_segment *now, const struct caller *caller, int err)
{
	const struct sm_segment made = *now;
	int failed;
	{
		CALLER_SCOPE(denied, caller);

		failed = denied ? denied : store_swap(&made, contents->old.size, 0, now);
	}
	if (now->id >= 0)
		failed = store_dress(contents, now);
	if (failed)
		log_line(LOG_ERR, "segment %d, key 0x%08x: its contents or owner were lost while its size was being changed",
			 contents->old.id, (unsigned)contents->old.key);
	if (now->id < 0 && sm_segment_stat(made.id, now))
		now->id = -1;	/* else it could not be removed, and has the key */
	return err;
}

static bool is_removed(int id)
{
	struct sm_segment now;
	int err = sm_segment_stat(id, &now);

	return err ? err == -EIDRM : now.removed;
}

/* The old segment by the new one, NOW, if NOW->id is not -1. */
static int replace(struct aside *contents, off_t size, const struct caller *caller, struct sm_segment *now)
{
	int err;

	now->id = -1;
	{
		CALLER_SCOPE(denied, caller);

		err = denied ? denied : store_resize(contents, (size_t)size, now);
	}
	if (now->id < 0)
		return err;

	int undressed = store_dress(contents, now);

	if (undressed && is_removed(now->id))
		return err ? err : -EIDRM;
	return undressed ? undo(contents, now, caller, err ? err : undressed) : err;
}

/* EAGAIN: somebody came meanwhile, and nothing is changed. */
static int try_exchange(struct exchange *e, off_t size, const struct caller *caller, bool native)
{
	struct node *n = e->node;
	struct aside contents;
	struct sm_segment seg, now;
	int err = node_stat(n, &seg);

	if (err)
		return err;
	if (seg.removed)
		return -EIDRM;
	if (seg.key != e->key)
		return -ESTALE;
	err = open_otherwise(n, 0) ? -EBUSY : check_mappings(seg.id);
	if (err)
		return err;
	err = put_aside_soon(&seg, size, caller->uid, &contents);
	if (err)
		return err;
	exchange_remove(e);
	err = replace(&contents, size, caller, &now);
	aside_drop(&contents);
	if (now.id >= 0)
		(native ? node_follow : node_move)(n, &now);
	atomic_store(&n->exchanged, false);
	return err;
}

/* N is not open otherwise, or only by a file that has let go of its way. */
static int exchange(struct exchange *e, off_t size, const struct caller *caller, bool native)
{
	int err = -EAGAIN;

	for (int i = 0; i < VISITS && err == -EAGAIN; i++)
		err = try_exchange(e, size, caller, native);
	return err == -EAGAIN ? -EBUSY : err;
}

/* Give F, which has let go of its way, one to what N's segment is now. */
static int find_way_again(struct node *n, struct file *f, const struct caller *caller)
{
	struct sm_segment seg;
	struct way *w;
	void *at;
	int err = rights_attach(n, true, caller, &seg, &at);

	if (!err)
		err = way_get(n, &seg, at, true, &w);
	file_give_way(f, err ? NULL : w);
	return err;
}

/*
 * F's own way must be let go before its segment can be exchanged; F's requests wait for the next one. W is kept until
 * then, without its attachment: natively the kernel goes on mapping through F what F was opened with.
 */
static int exchange_open(struct exchange *e, struct file *f, off_t size, const struct caller *caller)
{
	struct node *n = e->node;
	struct sm_segment now;

	if (open_otherwise(n, 1))
		return -EBUSY;

	struct way *w = file_take_way(f);

	if (!w)
		return -EIDRM;	/* it was not found again after an earlier exchange */

	bool native = way_backing(w);

	if (native) {
		way_use(w);
		way_unclaim(w);
	}
	way_put(n, w);

	int err = exchange(e, size, caller, native);

	if (native) {
		if (!err && sm_segment_stat(way_segment(w)->id, &now))
			way_abandon(w);
		way_unuse(w);
	}

	int lost = find_way_again(n, f, caller);

	return err ? err : lost;
}

/* What is still in the making; EALREADY: nothing is. */
static int truncate_staged(struct node *n, struct file *f, off_t size, const struct caller *caller)
{
	struct staged *s;

	if (f && file_staged(f))
		return staged_truncate(file_staged(f), size);

	int err = staged_share(n, true, caller, &s);

	if (err != -EALREADY)
		return err ? err : -EALREADY;
	/* empty it is: with 0 this is what `>` of another shell sends, which says no size yet */
	err = size ? staged_truncate(s, size) : 0;
	staged_close(s);
	return err;
}

static int zero_in_turn(struct node *n, key_t key, const struct caller *caller)
{
	struct exchange e;
	int err = exchange_enter(&e, key);

	if (err)
		return err;
	err = zero_all(n, caller);
	exchange_leave(&e);
	return err;
}

/* The kernel says so, too, but only when all is copied, for which others wait. */
static int may_remove(const struct sm_segment *seg, const struct caller *caller)
{
	CALLER_SCOPE(denied, caller);

	return denied ? denied : segment_may_remove(seg) ? 0 : -EPERM;
}

static int resize(struct exchange *e, struct file *f, off_t size, const struct caller *caller)
{
	struct sm_segment seg;
	int err = rights_check(e->node, true, caller);

	if (!err)
		err = node_stat(e->node, &seg);
	if (err || (size_t)size == seg.size)
		return err;
	err = may_remove(&seg, caller);
	if (err)
		return err;
	return f && !file_staged(f) ? exchange_open(e, f, size, caller) : exchange(e, size, caller, false);
}

static int resize_in_turn(struct node *n, key_t key, struct file *f, off_t size, const struct caller *caller)
{
	struct exchange e;
	int err = exchange_begin(&e, key, n);

	if (err)
		return err;
	err = resize(&e, f, size, caller);
	exchange_leave(&e);
	return err;
}

static int truncate_segment(struct node *n, struct file *f, off_t size, const struct caller *caller)
{
	struct sm_segment seg;
	int err = truncate_staged(n, f, size, caller);

	if (err != -EALREADY)
		return err;
	node_seen(n, &seg);
	if (size == 0) {
		err = f ? file_zero(f) : -EALREADY;
		return err == -EALREADY ? zero_in_turn(n, seg.key, caller) : err;
	}
	if (seg.key != IPC_PRIVATE)
		return resize_in_turn(n, seg.key, f, size, caller);

	/* its shmid is the only name it has, and another segment has another; or it is removed */
	err = rights_check(n, true, caller);
	if (!err)
		err = node_stat(n, &seg);
	if (err || (size_t)size == seg.size)
		return err;
	return seg.removed ? -EIDRM : -EPERM;
}

bool truncate_is_long(struct node *n, off_t size)
{
	struct sm_segment seg;

	if (node_stat(n, &seg))	/* not made yet */
		return true;
	if (exchange_is_on(seg.key))
		return true;
	return size ? (size_t)size != seg.size : seg.size >= FILE_LONG_HOLE;
}

int truncate_node(struct node *n, struct file *f, off_t size, const struct caller *caller)
{
	int err;

	switch (n->kind) {
	case NODE_SEGMENT:
		err = truncate_segment(n, f, size, caller);
		return err == -ESTALE && f ? -EIDRM : err;	/* a name is looked up again, a descriptor is not */
	case NODE_REFCOUNT:
		return size ? -EINVAL : rights_check(n, true, caller);	/* the shell's `>` begins with it */
	default:
		return -EISDIR;
	}
}
