/* SPDX-License-Identifier: MIT */
/*
 * When an object in the making becomes a segment, and when a larger one. Its states:
 *
 *   unmade    no segment; everything is in the memfd
 *   made      the segment exists and nobody else has noticed: a flush with more bytes replaces it by a larger one
 *   settled   somebody else has attached or opened it: its size stays, writes go to the segment, the memfd is gone
 *   withdrawn it was removed, made or not: as with any unlinked file, everything is in the memfd and goes with it.
 *             So it is where somebody else has the key: what was told EEXIST is not made later, when that one has gone
 *
 * Whether anybody else has attached is read from what the kernel keeps of every attach and detach: the segment as
 * we left it and as it is now differ. Its times are whole seconds, so who opened it through us is noted besides. The same
 * second look tells if it was removed meanwhile; it is never made twice.
 */
#include "making.h"

#include <errno.h>
#include <unistd.h>

#include "cleanup.h"
#include "exchange.h"
#include "share.h"
#include "store.h"
#include "way.h"

static size_t default_size = 4096;

void making_start(size_t size)
{
	default_size = size;
}

void making_forget_bytes(struct staged *s)
{
	if (s->memfd >= 0)
		close(s->memfd);
	s->memfd = -1;
	share_return(s->creator.uid, s->charged);
	s->charged = 0;
}

struct staged *making_hold(struct staged *s)
{
	pthread_mutex_lock(&s->lock);
	return s;
}

void making_let_go(struct staged **s)
{
	making_show(*s);
	pthread_mutex_unlock(&(*s)->lock);
}

static struct staged_view view_of(const struct staged *s)
{
	return (struct staged_view){
		.made = s->made, .settled = s->settled, .withdrawn = s->withdrawn, .lent = s->lent, .mode = s->mode,
		.size = s->size, .dirty_to = s->dirty_to, .charged = s->charged, .seg = s->seg,
	};
}

void making_show(struct staged *s)
{
	LOCKED(&s->view_lock);
	s->view = view_of(s);
}

static int fill_from_memfd(void *to, size_t size, void *arg)
{
	struct staged *s = arg;
	off_t from = s->dirty_from, end = s->dirty_to < (off_t)size ? s->dirty_to : (off_t)size;

	if (s->memfd < 0)
		return 0;
	while (from < end) {
		off_t data = lseek(s->memfd, from, SEEK_DATA);

		if (data < 0 || data >= end)
			break;	/* nothing but holes */

		off_t hole = lseek(s->memfd, data, SEEK_HOLE);
		ssize_t n = pread(s->memfd, (char *)to + data, (size_t)((hole < end ? hole : end) - data), data);

		if (n <= 0)
			return n < 0 && errno != EFAULT ? -errno : -EIO;
		from = data + n;
	}
	return 0;
}

/* Whoever looks waits for this: he would take what has another ctime, and its old mode again, for another segment. */
static int set_mode(struct staged *s, mode_t mode)
{
	LOCKED(&s->view_lock);

	int err = sm_segment_set(s->seg.id, (uid_t)-1, (gid_t)-1, mode);

	if (!err)
		err = sm_segment_stat(s->seg.id, &s->seg);
	if (err)
		return err;
	s->lent = mode != s->mode;
	if (s->made)
		node_move(s->node, &s->seg);
	s->view = view_of(s);
	return 0;
}

/* An ordinary user's own mode may forbid even him to write: as the owner he lends himself the right. */
static int fill_lending(struct staged *s)
{
	CALLER_SCOPE(denied, &s->creator);

	int err = denied ? denied : set_mode(s, s->mode | 0600);

	if (err)
		return err;
	err = store_fill_segment(&s->seg, fill_from_memfd, s);

	int restored = set_mode(s, s->mode);

	return err ? err : restored;
}

static int fill_segment(struct staged *s)
{
	int err = 0;

	if (s->memfd >= 0) {
		err = store_fill_segment(&s->seg, fill_from_memfd, s);
		if (err == -EACCES)
			err = fill_lending(s);
	}
	return err ? err : sm_segment_stat(s->seg.id, &s->seg);
}

static void all_clean(struct staged *s)
{
	s->dirty_from = s->dirty_to = 0;
}

static void all_dirty(struct staged *s)
{
	s->dirty_from = 0;
	s->dirty_to = s->size;
}

/* Was SEG, which is ours alone, removed? Else *NOW is how it is. Errors, which say neither: the kernel's. */
static int look(const struct sm_segment *seg, bool *removed, struct sm_segment *now)
{
	int err = sm_segment_stat(seg->id, now);

	if (err && err != -EIDRM)
		return err;
	*removed = err || now->removed || !node_same_segment(seg, now);
	return 0;
}

static int take_back(struct staged *s)
{
	struct object obj;
	CALLER_SCOPE(denied, &s->creator);

	if (denied)
		return denied;
	int err = store_find(s->key, &obj);

	if (!err && obj.has_data && obj.data.id != s->seg.id)
		return -EEXIST;	/* another one has come in its place */
	return err ? err : store_remove(&obj);
}

/* Made, and removed again by whoever saw it before it was filled: as if it had been removed later. */
static bool was_removed(struct staged *s)
{
	struct sm_segment now;

	return s->seg.id >= 0 && look(&s->seg, &s->withdrawn, &now) == 0 && s->withdrawn;
}

/* One that is getting another size exists, also while its key is free. */
static int create(struct staged *s, size_t size)
{
	struct exchange e;

	s->seg.id = -1;
	if (exchange_try(&e, s->key))
		return -EEXIST;

	CALLER_SCOPE(denied, &s->creator);

	int err = denied ? denied : store_create(s->key, size, s->mode, s->path, &s->seg);

	exchange_leave(&e);
	return err;
}

static int make(struct staged *s, size_t size)
{
	int err = create(s, size);

	if (err == -EIDRM && was_removed(s))
		return 0;
	if (err)
		return err;
	all_dirty(s);
	err = fill_segment(s);
	if (err == -EIDRM && was_removed(s))
		return 0;
	if (err) {
		take_back(s);
		return err;
	}
	all_clean(s);
	s->made = true;
	node_move(s->node, &s->seg);
	return 0;
}

/* The creator, who may change it in any case, gives it to whom its predecessor had been given. */
static int keep_owner(struct staged *s, const struct sm_segment *old)
{
	if (s->seg.uid == old->uid && s->seg.gid == old->gid)
		return 0;

	CALLER_SCOPE(denied, &s->creator);

	int err = denied ? denied : sm_segment_set(s->seg.id, old->uid, old->gid, (mode_t)-1);

	if (!err)
		err = sm_segment_stat(s->seg.id, &s->seg);
	if (!err)
		node_move(s->node, &s->seg);
	return err;
}

/* Whoever looks waits for this, which copies nothing: he would find the old one gone, and the new one not yet its owner's. */
static int swap(struct staged *s, size_t size, bool *swapped)
{
	const struct sm_segment old = s->seg;
	struct sm_segment seg = { .id = -1 };
	int err;

	LOCKED(&s->view_lock);
	{
		CALLER_SCOPE(denied, &s->creator);

		err = denied ? denied : store_swap(&s->seg, size, s->mode, &seg);
	}
	*swapped = seg.id >= 0;
	if (!*swapped)
		return err;
	s->seg = seg;
	node_move(s->node, &s->seg);
	all_dirty(s);

	int kept = keep_owner(s, &old);

	s->view = view_of(s);
	return err ? err : kept;
}

static int replace(struct staged *s, size_t size)
{
	bool swapped;
	int err = swap(s, size, &swapped);

	if (!swapped)
		return err;

	int unfilled = fill_segment(s);

	if (!unfilled && !err)
		all_clean(s);
	return err ? err : unfilled;
}

static bool noticed(const struct staged *s, const struct sm_segment *now)
{
	return now->nattch || now->atime != s->seg.atime || now->dtime != s->seg.dtime ||
	       now->lpid != s->seg.lpid || now->ctime != s->seg.ctime || s->opened || way_opens(s->node);
}

/* The size stays from now on; what was written and is not there yet is added as far as it fits. */
static int settle(struct staged *s)
{
	bool too_much = s->dirty_to > (off_t)s->seg.size;
	int err = s->dirty_to > s->dirty_from ? store_fill_segment(&s->seg, fill_from_memfd, s) : 0;

	all_clean(s);
	making_forget_bytes(s);
	s->settled = true;
	return err ? err : too_much ? -ENOSPC : 0;
}

static bool is_ours(const struct staged *s)
{
	return s->made && !s->settled && !s->withdrawn;
}

int making_look(struct staged *s)
{
	struct sm_segment now;
	int err = is_ours(s) ? look(&s->seg, &s->withdrawn, &now) : 0;

	if (err || !is_ours(s))
		return err;
	return noticed(s, &now) ? settle(s) : 0;
}

bool making_is_withdrawn(struct staged *s)
{
	struct sm_segment now;

	if (is_ours(s))
		look(&s->seg, &s->withdrawn, &now);
	return s->withdrawn;
}

struct staged_view making_view(struct staged *s)
{
	struct sm_segment now;

	LOCKED(&s->view_lock);

	struct staged_view v = s->view;

	if (v.made && !v.settled && !v.withdrawn)
		look(&v.seg, &v.withdrawn, &now);
	return v;
}

/* Bring what is made up to what was written. */
static int update(struct staged *s, off_t size)
{
	int err = making_look(s);

	if (err || s->settled || s->withdrawn)
		return err;
	if ((off_t)s->seg.size != size)
		return replace(s, (size_t)size);
	err = fill_segment(s);
	if (!err)
		all_clean(s);
	return err;
}

int making_commit(struct staged *s, off_t size)
{
	struct sm_segment now;

	if (s->withdrawn)
		return s->verdict;

	int err = s->made ? update(s, size) : make(s, (size_t)size);

	if (err == -EEXIST) {	/* the key is somebody else's */
		s->withdrawn = true;
		s->verdict = err;
	}
	/* removed between two of our calls? Nobody else's word is taken for it: the bytes are given up with it */
	if (err == -EIDRM && s->made && look(&s->seg, &s->withdrawn, &now) == 0 && s->withdrawn)
		return 0;
	return err;
}

int making_commit_new_bytes(struct staged *s)
{
	return s->dirty_to > s->dirty_from || s->verdict ? making_commit(s, s->size) : 0;
}

int making_commit_default(struct staged *s)
{
	return s->made ? 0 : making_commit(s, s->size ? s->size : (off_t)default_size);
}
