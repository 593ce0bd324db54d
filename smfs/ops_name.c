/* SPDX-License-Identifier: MIT */
/*
 * Operations on a name in a directory: name -> key file -> key -> segment. The key file is looked at as the caller and
 * on a pool thread where its file system may not answer; the rest is the kernel's table and takes no time.
 */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "attr.h"
#include "cleanup.h"
#include "exchange.h"
#include "name.h"
#include "share.h"
#include "staged.h"
#include "store.h"
#include "truncate.h"

#define TRIES 16
#define CACHED_TRIES 3

struct name_job {
	struct ops_job base;
	char *path;			/* of the entry, below the mount */
	struct name name;
	unsigned how;			/* enum keypath_flags */
	struct keypath kp;		/* of the key file, or of the directory */
	bool is_dir;
	key_t key;
	/* create only */
	mode_t mode;
	struct fuse_file_info fi;
};

static char *join(const char *dir, const char *name)
{
	size_t n = strlen(dir), m = strlen(name);
	char *path = malloc(n + m + 2);

	if (!path)
		return NULL;
	memcpy(path, dir, n);
	if (n)
		path[n++] = '/';
	memcpy(path + n, name, m + 1);
	return path;
}

static int resolve_directory(struct name_job *job)
{
	int err = keypath_resolve(&ops.keydir, job->path, job->how | KEYPATH_DIRECTORY, &job->kp);

	job->is_dir = !err;
	return err == -ENOTDIR ? -ENOENT : err;
}

static int resolve_key(struct name_job *job)
{
	AUTO_FREE char *path = strdup(job->path);

	if (!path)
		return -ENOMEM;
	name_key_path(&job->name, path);

	int err = keypath_resolve(&ops.keydir, path, job->how, &job->kp);

	if (!err)
		job->key = sm_key_from_stat(&job->kp.st, job->name.proj_id);
	return err;
}

static int resolve(struct name_job *job)
{
	CALLER_SCOPE(denied, &job->base.caller);

	if (denied)
		return denied;
	if (job->name.kind == NAME_DIR)
		return resolve_directory(job);

	int err = resolve_key(job);

	if (err != -ENOENT)
		return err;
	keypath_close(&job->kp);
	/* "a:b" is a directory where no key file "a" exists */
	return resolve_directory(job);
}

static void name_work(struct ops_job *base)
{
	struct name_job *job = (struct name_job *)base;

	base->err = resolve(job);
}

static void name_free(struct ops_job *base)
{
	struct name_job *job = (struct name_job *)base;

	keypath_close(&job->kp);
	free(job->path);
}

/* Begin a job about NAME in the directory PARENT; NULL after it has replied with an error. */
static struct name_job *name_job(fuse_req_t req, fuse_ino_t parent, const char *name, ops_step *finish)
{
	struct name_job *job = ops_job_new(req, node_get(parent), sizeof(*job), name_work, finish, name_free);

	if (!job)
		return NULL;
	job->base.pool.holds_directory = true;
	job->kp = (struct keypath)KEYPATH_NONE;
	name_parse(name, &job->name);
	job->path = join(job->base.node->path, name);
	if (!job->path) {
		ops_job_fail(job, ENOMEM);
		return NULL;
	}
	return job;
}

/* EAGAIN is also what the kernel says where somebody mounts or renames anything, anywhere, at that instant. */
static void resolve_cached(struct name_job *job)
{
	name_work(&job->base);
	for (int i = 1; i < CACHED_TRIES && job->base.err == -EAGAIN; i++) {
		keypath_close(&job->kp);
		name_work(&job->base);
	}
}

/*
 * Handing over costs more than all the rest of a lookup. So what the kernel has in its caches, which is nearly always
 * all of it, is resolved here: that never waits for a file system. JOB is finished here as well, unless that WAITS (or NULL).
 */
static void resolve_and_finish(struct name_job *job, bool (*waits)(const struct name_job *job))
{
	job->how |= KEYPATH_CACHED;
	resolve_cached(job);
	if (job->base.err != -EAGAIN && (job->base.err || !waits || !waits(job))) {
		ops_job_finish(job);
		return;
	}
	keypath_close(&job->kp);
	job->how &= ~KEYPATH_CACHED;
	ops_job_submit(job);
}

/* The kernel hands on longer names than any file has. */
static bool is_too_long(fuse_req_t req, const char *name)
{
	bool too_long = strlen(name) > NAME_MAX;

	if (too_long)
		ops_reply_err(req, ENAMETOOLONG);
	return too_long;
}

/* ---- lookup ---- */

static void reply_entry(struct name_job *job, struct node *n)
{
	struct fuse_entry_param e;
	int err = n ? ops_entry(n, &job->base.caller, &e) : -ENOMEM;

	node_put(n);
	if (err)
		ops_reply_err(job->base.req, err == -ESTALE ? ENOENT : -err);
	else
		fuse_reply_entry(job->base.req, &e);
}

static void reply_directory(struct name_job *job)
{
	struct fuse_entry_param e = { 0 };
	struct node *n = node_by_path(NODE_DIR, job->path);

	if (!n) {
		ops_reply_err(job->base.req, ENOMEM);
		return;
	}
	attr_directory(&job->kp.st, n->path, &e.attr);
	e.ino = n->id;
	node_lookup(n);
	fuse_reply_entry(job->base.req, &e);
	node_put(n);
}

static struct node *find_node(struct name_job *job, int *err)
{
	struct object obj;
	struct node *n = NULL;
	bool exists;

	*err = store_find(job->key, &obj);
	if (*err)
		return NULL;
	switch (job->name.kind) {
	case NAME_REFCOUNT:
		exists = obj.has_counter;
		if (exists)
			n = node_by_segment(NODE_REFCOUNT, &obj.counter);
		break;
	case NAME_INFO:
		exists = obj.has_data || obj.has_counter;
		if (exists)
			n = node_by_path(NODE_INFO, job->path);
		if (n)
			node_move(n, obj.has_data ? &obj.data : &obj.counter);
		break;
	default:
		exists = obj.has_data;
		n = exchange_node(job->key);
		if (n)
			break;
		n = exists ? node_by_segment(NODE_SEGMENT, &obj.data) : staged_find(job->key);
	}
	*err = n ? 0 : exists ? -ENOMEM : -ENOENT;
	return n;
}

/* The node that a name means, pinned, or NULL and *ERR. */
static struct node *node_of_name(struct name_job *job, int *err)
{
	struct node *n;
	uint64_t mark;
	int tries = TRIES;

	do {
		mark = exchange_mark();
		n = find_node(job, err);
	} while (*err == -ENOENT && mark != exchange_mark() && --tries);	/* it may have been between two segments */
	return n;
}

static void lookup_finish(struct ops_job *base)
{
	struct name_job *job = (struct name_job *)base;
	struct node *n;
	int err = base->err;

	if (!err && job->is_dir) {
		reply_directory(job);
		return;
	}
	n = err ? NULL : node_of_name(job, &err);
	if (err)
		ops_reply_err(base->req, -err);
	else
		reply_entry(job, n);
}

void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (is_too_long(req, name) || ops_id_lookup(req, parent, name))
		return;

	struct name_job *job = name_job(req, parent, name, lookup_finish);

	if (job)
		resolve_and_finish(job, NULL);
}

/* ---- create ---- */

static void reply_create(struct name_job *job, struct node *n, struct file *f)
{
	struct fuse_entry_param e;
	int err = ops_fill_open(f, &job->fi);

	if (!err)
		err = ops_entry(n, &job->base.caller, &e);
	if (err) {
		file_close(f);
		ops_reply_err(job->base.req, -err);
		return;
	}
	if (fuse_reply_create(job->base.req, &e, &job->fi)) {	/* as in ops_open(): the caller has no descriptor */
		node_forget(n->id, 1);
		file_close(f);
	}
}

/* Somebody made it since the kernel looked: then this is an open like any other, unless it must not be. */
static int open_existing(struct name_job *job, struct node **n, struct file **f)
{
	struct object obj;
	const struct caller *caller = &job->base.caller;

	if (job->fi.flags & O_EXCL)
		return -EEXIST;

	int err = store_find(job->key, &obj);

	if (err)
		return err;
	*n = obj.has_data ? node_by_segment(NODE_SEGMENT, &obj.data) : NULL;
	if (!*n)
		return obj.has_data ? -ENOMEM : -ESTALE;
	err = file_open(*n, job->fi.flags, caller, f);

	if (!err && job->fi.flags & O_TRUNC) {
		err = truncate_node(*n, *f, 0, caller);
		if (err)
			file_close(*f);
	}
	return err;
}

static int begin_object(struct name_job *job, struct node **n, struct file **f)
{
	struct staged *s;
	int err = share_check(job->base.caller.uid);	/* before there is anything that would be left */

	if (err)
		return err;
	{
		CALLER_SCOPE(denied, &job->base.caller);

		err = denied ? denied : store_may_create(job->key);
	}
	if (err == -EEXIST)
		return open_existing(job, n, f);
	if (err == -ENOTUNIQ)
		return -EEXIST;
	if (!err)
		err = staged_open(job->key, job->kp.path, job->mode, &job->base.caller, &s, n);
	if (err)
		return err;
	err = file_of_staged(*n, s, job->fi.flags, &job->base.caller, f);
	if (err)
		staged_abandon(s);
	return err;
}

static void create_finish(struct ops_job *base)
{
	struct name_job *job = (struct name_job *)base;
	struct node *n = NULL;
	struct file *f;
	int err = base->err;

	if (!err)
		err = job->is_dir ? -EISDIR : begin_object(job, &n, &f);
	if (err)
		ops_reply_err(base->req, -err);
	else
		reply_create(job, n, f);
	node_put(n);
}

/* Is the object with this key being copied? Who does anything to it waits. */
static bool is_busy(key_t key)
{
	return exchange_is_on(key) || staged_key_is_busy(key);
}

/* Opening what exists by now may take long in more ways; that is rare, since the kernel has just looked. */
static bool create_waits(const struct name_job *job)
{
	struct object obj;

	return !job->is_dir && (is_busy(job->key) || store_find(job->key, &obj) || obj.has_data);
}

void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	if (is_too_long(req, name) || ops_id_create(req, parent, name))
		return;

	struct name_job *job = name_job(req, parent, name, create_finish);

	if (!job)
		return;
	if (job->name.kind == NAME_DIR) {
		ops_job_fail(job, EINVAL);
	} else if (job->name.kind != NAME_OBJECT) {
		ops_job_fail(job, ENOENT);	/* these come and go with their segment */
	} else {
		job->mode = mode & 0777;
		job->fi = *fi;
		job->how = KEYPATH_REALPATH;
		resolve_and_finish(job, create_waits);
	}
}

/* ---- unlink ---- */

static int unlink_object(struct name_job *job, struct object *obj)
{
	if (!obj->has_data) {
		int err = staged_withdraw(job->key, &job->base.caller);

		if (err != -ENOENT)
			return err;
		err = store_find(job->key, obj);	/* it may have been made this instant */
		if (err || !obj->has_data)
			return err ? err : -ENOENT;
	}

	CALLER_SCOPE(denied, &job->base.caller);

	return denied ? denied : store_remove(obj);
}

static int unlink_refcount(struct name_job *job, struct object *obj)
{
	if (obj->has_data)
		return -EPERM;

	CALLER_SCOPE(denied, &job->base.caller);

	return denied ? denied : store_remove(obj);
}

static int unlink_name(struct name_job *job)
{
	struct object obj;
	int err = store_find(job->key, &obj);

	if (err)
		return err;
	switch (job->name.kind) {
	case NAME_OBJECT:
		return unlink_object(job, &obj);
	case NAME_REFCOUNT:
		return unlink_refcount(job, &obj);
	default:
		return -EPERM;
	}
}

static void unlink_finish(struct ops_job *base)
{
	struct name_job *job = (struct name_job *)base;
	struct exchange e;
	int err = base->err;

	if (!err && job->is_dir)
		err = -EISDIR;
	if (!err)
		err = exchange_enter(&e, job->key);
	if (!err) {
		err = unlink_name(job);
		exchange_leave(&e);
	}
	ops_reply_err(base->req, -err);
}

static bool unlink_waits(const struct name_job *job)
{
	return !job->is_dir && is_busy(job->key);
}

void ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (is_too_long(req, name) || ops_id_unlink(req, parent, name))
		return;

	struct name_job *job = name_job(req, parent, name, unlink_finish);

	if (job)
		resolve_and_finish(job, unlink_waits);
}
