/* SPDX-License-Identifier: MIT */
/*
 * A segment's size is for life, so another size means another segment in its place: with the same key, owner, mode
 * and bytes. That is possible only while nobody uses the old one, in any way that can be seen: attached (nattch), open
 * through us, or mapped through a file (/proc).
 */
#include "truncate.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <time.h>
#include <unistd.h>

#include "staged.h"
#include "store.h"

#define CLOSE_WAIT_MS 50
#define LONG_SIZE (4 << 20)	/* whose pages were given back in a millisecond */

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
	int err = file_attach(n, true, caller, &seg, &at);

	if (!err)
		err = way_get(n, &seg, at, true, &w);
	if (err)
		return err;
	err = way_zero(w, 0, (off_t)seg.size);
	way_put(n, w);
	return err;
}

/* Mappings made through a file count in no nattch, but /proc tells of them. */
static bool mapped_by_others(int id)
{
	struct sm_holder *holders = NULL;
	ssize_t n = sm_holder_list_on(id, own_device, &holders, NULL);
	bool others = false;

	for (ssize_t i = 0; i < n; i++)
		others |= holders[i].pid != getpid();
	free(holders);
	return others;
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
static int put_aside_soon(const struct sm_segment *seg, uid_t uid, struct store_contents *contents)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int err = store_put_aside(seg, uid, contents);

	for (int i = 0; i < CLOSE_WAIT_MS && err == -EBUSY; i++) {
		nanosleep(&pause, NULL);
		err = store_put_aside(seg, uid, contents);
	}
	return err;
}

/* N is not open otherwise, or only by a file that has let go of its way. */
static int exchange(struct node *n, off_t size, const struct caller *caller, bool native)
{
	struct store_contents contents;
	struct sm_segment seg, now;
	int err = node_stat(n, &seg);

	if (err)
		return err;
	if (seg.removed)
		return -EIDRM;
	if (seg.key == IPC_PRIVATE)
		return -EPERM;	/* its shmid is the only name it has, and another segment has another */
	if (open_otherwise(n, 0) || mapped_by_others(seg.id))
		return -EBUSY;
	err = put_aside_soon(&seg, caller->uid, &contents);
	if (err)
		return err;
	{
		CALLER_SCOPE(denied, caller);

		err = denied ? denied : store_resize(&contents, (size_t)size, &now);
		if (denied)
			now.id = -1;
	}
	store_drop(&contents);
	if (now.id >= 0)
		(native ? node_follow : node_move)(n, &now);
	return err;
}

/* Give F, which has let go of its way, one to what N's segment is now. */
static int find_way_again(struct node *n, struct file *f, const struct caller *caller)
{
	struct sm_segment seg;
	struct way *w;
	void *at;
	int err = file_attach(n, true, caller, &seg, &at);

	if (!err)
		err = way_get(n, &seg, at, true, &w);
	if (!err)
		file_swap_way(f, w);
	return err;
}

/*
 * F's own way must be let go before its segment can be exchanged. W is kept until then, without its attachment: natively
 * the kernel goes on mapping through F what F was opened with.
 */
static int exchange_open(struct node *n, struct file *f, off_t size, const struct caller *caller)
{
	struct sm_segment now;

	if (open_otherwise(n, 1))
		return -EBUSY;

	struct way *w = file_swap_way(f, NULL);

	if (!w)
		return -EBUSY;	/* another thread is at it */

	bool native = way_backing(w);

	if (native) {
		way_use(w);
		way_unclaim(w);
	}
	way_put(n, w);

	int err = exchange(n, size, caller, native);

	if (native) {
		if (!err && sm_segment_stat(way_segment(w)->id, &now))
			way_abandon(w);
		way_unuse(w);
	}

	int lost = find_way_again(n, f, caller);

	return err ? err : lost;
}

static int truncate_segment(struct node *n, struct file *f, off_t size, const struct caller *caller)
{
	struct sm_segment seg;

	if (f && file_staged(f)) {
		int err = staged_truncate(file_staged(f), size);

		if (err != -EALREADY)
			return err;
	} else {
		struct staged *s;
		int err = staged_share(n, true, caller, &s);

		if (err == -EALREADY) {
			/* empty it is: with 0 this is what `>` of another shell sends, which says no size yet */
			err = size ? staged_truncate(s, size) : 0;
			staged_close(s);
			return err;
		}
		if (err)
			return err;
	}
	if (size == 0)
		return zero_all(n, caller);

	int err = file_check(n, true, caller);

	if (!err)
		err = node_stat(n, &seg);
	if (err || (size_t)size == seg.size)
		return err;
	return f && !file_staged(f) ? exchange_open(n, f, size, caller) : exchange(n, size, caller, false);
}

bool truncate_is_long(struct node *n, off_t size)
{
	struct sm_segment seg;

	if (node_stat(n, &seg))	/* not made yet */
		return true;
	return size ? (size_t)size != seg.size : seg.size >= LONG_SIZE;
}

int truncate_node(struct node *n, struct file *f, off_t size, const struct caller *caller)
{
	int err;

	switch (n->kind) {
	case NODE_SEGMENT:
		err = truncate_segment(n, f, size, caller);
		return err == -ESTALE && f ? -EIDRM : err;	/* a name is looked up again, a descriptor is not */
	case NODE_REFCOUNT:
		return size ? -EINVAL : file_check(n, true, caller);	/* the shell's `>` begins with it */
	default:
		return -EISDIR;
	}
}
