/* SPDX-License-Identifier: MIT */
/* Attributes are the kernel's at the moment they are asked for; nothing of them is kept. */
#include "ops.h"

#include <errno.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "attr.h"
#include "rights.h"
#include "staged.h"
#include "store.h"
#include "truncate.h"
#include "usage.h"
#include "way.h"

static void reply_attr(fuse_req_t req, struct node *n, const struct caller *caller)
{
	struct sm_segment seg;
	struct stat st;
	int err = ops_stat(n, caller, &st);

	if (err) {
		ops_reply_err(req, -err);
		return;
	}
	if (n->kind == NODE_SEGMENT && st.st_ino <= UINT32_MAX && node_stat(n, &seg) == 0)
		st.st_blocks = (blkcnt_t)(usage_of((int)st.st_ino) / 512);
	fuse_reply_attr(req, &st, 0);
}

static bool is_directory(const struct node *n)
{
	return n->kind == NODE_DIR || n->kind == NODE_ID_DIR || n->kind == NODE_KEY_DIR;
}

void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *n = node_get(ino);
	struct caller caller;

	if (n && is_directory(n)) {
		ops_dir_getattr(req, n);
		return;
	}
	if (!n) {
		ops_reply_err(req, ESTALE);
		return;
	}
	if (ops_caller(req, &caller) == 0)
		reply_attr(req, n, &caller);
	else
		ops_reply_err(req, ENOMEM);
	caller_free(&caller);
	node_put(n);
}

/* ---- changing ---- */

/* The object that N is a half of. */
static int object_of(struct node *n, struct object *obj)
{
	struct sm_segment seg;
	int err = node_stat(n, &seg);

	if (err)
		return err;
	err = store_find_of(&seg, obj);
	if (err)
		return err;
	if (n->kind == NODE_REFCOUNT && !seg.removed && sm_key_is_counter(seg.key)) {
		struct object whole;

		err = store_find(sm_key_data(seg.key), &whole);
		if (!err && whole.has_data)
			*obj = whole;
	}
	return err;
}

static int set_owner_and_mode(struct node *n, const struct stat *attr, int to_set, const struct caller *caller)
{
	struct sm_segment now;
	struct object obj;
	mode_t mode = to_set & FUSE_SET_ATTR_MODE ? attr->st_mode & 07777 : (mode_t)-1;
	int err;

	if (to_set & FUSE_SET_ATTR_MODE) {
		if (mode > 0777)
			return -EINVAL;
		err = staged_chmod(n, mode, caller);
		if (err != -EALREADY)
			return err;
	}
	err = to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID) ? staged_chown(n, caller) : 0;
	if (err)
		return err;
	err = object_of(n, &obj);
	if (err)
		return err;
	{
		CALLER_SCOPE(denied, caller);

		err = denied ? denied : store_set(&obj, to_set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1,
						  to_set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1, mode);
	}
	if (err)
		return err;
	node_seen(n, &now);
	/* it was us: a ctime that moved with nothing else is no sign of another segment now */
	if (sm_segment_stat(now.id, &now))
		return -ESTALE;
	node_move(n, &now);
	staged_changed(n, &now);
	way_changed(n, &now);
	return 0;
}

static int set_attr(struct node *n, const struct stat *attr, int to_set, struct file *f,
		    const struct caller *caller)
{
	int err = 0;

	if (n->kind != NODE_SEGMENT && n->kind != NODE_REFCOUNT)
		return -EPERM;
	if (to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		err = set_owner_and_mode(n, attr, to_set, caller);
	if (!err && to_set & FUSE_SET_ATTR_SIZE)
		err = truncate_node(n, f, attr->st_size, caller);
	if (!err && to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME))
		err = staged_touch(n, caller);	/* System V keeps its own times */
	return err;
}

static void reply_set(fuse_req_t req, struct node *n, const struct caller *caller, int err)
{
	/* fchmod(2) comes without its descriptor. A name would be looked up again, an open file is not */
	if ((err == -ESTALE || err == -ENOENT) && n && way_opens(n))
		err = -EIDRM;
	if (err)
		ops_reply_err(req, -err);
	else
		reply_attr(req, n, caller);
}

struct set_job {
	struct ops_job base;
	struct stat attr;
	int to_set;
	struct file *file;	/* or NULL; stays open until the answer: the kernel sees to that */
};

static void set_work(struct ops_job *base)
{
	struct set_job *job = (struct set_job *)base;

	base->err = set_attr(base->node, &job->attr, job->to_set, job->file, &base->caller);
}

static void set_finish(struct ops_job *base)
{
	reply_set(base->req, base->node, &base->caller, base->err);
}

static bool is_long(struct node *n, const struct stat *attr, int to_set)
{
	return n->kind == NODE_SEGMENT &&
	       (staged_is_long(n) || (to_set & FUSE_SET_ATTR_SIZE && truncate_is_long(n, attr->st_size)));
}

/*
 * For another size one waits until nobody uses the segment, and copies it: each user on the threads of his share (pool.h), and
 * to the end, since half done it would be lost.
 */
static void set_slowly(fuse_req_t req, struct node *n, const struct stat *attr, int to_set, struct file *f)
{
	struct set_job *job = ops_job_new(req, n, sizeof(*job), set_work, set_finish, NULL);

	if (!job)
		return;
	job->attr = *attr;
	job->to_set = to_set;
	job->file = f;
	ops_job_submit_patiently(job);
}

void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	struct node *n = node_get(ino);
	struct file *f = fi ? ops_file(fi) : NULL;
	struct caller caller = { 0 };

	if (n && is_long(n, attr, to_set)) {
		set_slowly(req, n, attr, to_set, f);
		return;
	}

	int err = !n ? -ESTALE : ops_caller(req, &caller);

	if (!err)
		err = set_attr(n, attr, to_set, f, &caller);
	reply_set(req, n, &caller, err);
	caller_free(&caller);
	node_put(n);
}

struct access_job {
	struct ops_job base;
	int mask;
};

static void access_work(struct ops_job *base)
{
	base->err = rights_access(base->node, ((struct access_job *)base)->mask, &base->caller);
}

static void access_finish(struct ops_job *base)
{
	ops_reply_err(base->req, -base->err);
}

static void access_slowly(fuse_req_t req, struct node *n, int mask)
{
	struct access_job *job = ops_job_new(req, n, sizeof(*job), access_work, access_finish, NULL);

	if (!job)
		return;
	job->mask = mask;
	ops_job_submit_patiently(job);
}

void ops_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	struct node *n = node_get(ino);
	struct caller caller = { 0 };

	if (n && is_directory(n)) {
		ops_dir_access(req, n, mask);
		return;
	}
	if (n && ops_is_busy(n)) {
		access_slowly(req, n, mask);
		return;
	}

	int err = !n ? -ESTALE : ops_caller(req, &caller);

	if (!err)
		err = rights_access(n, mask, &caller);
	ops_reply_err(req, -err);
	caller_free(&caller);
	node_put(n);
}

void ops_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st;
	struct sm_limits limits;
	struct sysinfo machine;
	int err = sysinfo(&machine) ? -errno : sm_limits_get(&limits);

	if (err) {
		ops_reply_err(req, -err);
		return;
	}
	attr_statfs(&limits, ((uint64_t)machine.totalram + machine.totalswap) * machine.mem_unit, &st);
	fuse_reply_statfs(req, &st);
}
