/* SPDX-License-Identifier: MIT */
/* Open files from open(2) to the last close(2): what FUSE asks of one, handed on to file.c. Their bytes are in ops_bytes.c. */
#include "ops.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "passing.h"
#include "staged.h"
#include "way.h"

/*
 * What makes an object of many bytes takes as long as they take to copy, so each user has it done on the threads of his
 * share (pool.h), and no deadline leaves it half done.
 */
struct file_job {
	struct ops_job base;
	struct file *file;	/* what is open stays so until the answer: the kernel sees to that */
	struct fuse_file_info fi;
	int mode;		/* of fallocate */
	off_t off, len;
};

static struct file_job *file_job(fuse_req_t req, struct node *n, const struct fuse_file_info *fi, ops_step *work,
				 ops_step *finish)
{
	struct file_job *job = ops_job_new(req, n, sizeof(*job), work, finish, NULL);

	if (!job)
		return NULL;
	job->fi = *fi;
	job->file = ops_file(fi);
	return job;
}

static void reply_err(struct ops_job *base)
{
	ops_reply_err(base->req, -base->err);
}

static void reply_open(fuse_req_t req, struct file *f, struct fuse_file_info *fi, int err)
{
	if (!err) {
		err = ops_fill_open(f, fi);
		if (err)
			file_close(f);
	}
	if (err) {
		ops_reply_err(req, -err);
		return;
	}
	if (fuse_reply_open(req, fi))
		file_close(f);	/* the kernel could not take that in: the caller has no descriptor, and no release will come */
}

static void open_work(struct ops_job *base)
{
	struct file_job *job = (struct file_job *)base;

	base->err = file_open(base->node, job->fi.flags, &base->caller, &job->file);
	if (!base->err)
		file_await(job->file);
}

static void open_finish(struct ops_job *base)
{
	struct file_job *job = (struct file_job *)base;

	reply_open(base->req, job->file, &job->fi, base->err);
}

static void open_slowly(fuse_req_t req, struct node *n, const struct fuse_file_info *fi)
{
	struct file_job *job = file_job(req, n, fi, open_work, open_finish);

	if (job)
		ops_job_submit_patiently(job);
}

void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *n = node_get(ino);
	struct caller caller = { 0 };
	struct file *f = NULL;

	if (n && ops_is_info(n)) {
		ops_info_open(req, n, fi);
		return;
	}
	if (n && (ops_is_busy(n) || (passing_is_awaited(n) && way_is_native(n)))) {
		open_slowly(req, n, fi);
		return;
	}

	int err = !n ? -ESTALE : ops_caller(req, &caller);

	if (!err)
		err = file_open(n, fi->flags, &caller, &f);
	caller_free(&caller);
	node_put(n);
	reply_open(req, f, fi, err);
}

static void flush_work(struct ops_job *base)
{
	base->err = file_flush(((struct file_job *)base)->file);
}

static void sync_work(struct ops_job *base)
{
	base->err = file_sync(((struct file_job *)base)->file);
}

/* Make what was written: here where that is done at once. */
static void commit(fuse_req_t req, struct file *f, const struct fuse_file_info *fi, int (*make)(struct file *f), ops_step *work)
{
	if (!file_staged(f) || !staged_is_long(file_node(f))) {
		ops_reply_err(req, -make(f));
		return;
	}

	struct file_job *job = file_job(req, node_get(file_node(f)->id), fi, work, reply_err);

	if (job)
		ops_job_submit_patiently(job);
}

void ops_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	commit(req, ops_file(fi), fi, file_flush, flush_work);
}

struct close_job {
	struct pool_job pool;
	struct file *file;	/* NULL once it is closed */
};

static void close_work(struct pool_job *p)
{
	struct close_job *job = (struct close_job *)p;

	file_close(job->file);
	job->file = NULL;
}

static void close_expire(struct pool_job *p)
{
}

static void close_end(struct pool_job *p)
{
	struct close_job *job = (struct close_job *)p;

	if (job->file)
		file_close(job->file);
	free(job);
}

static bool close_later(struct file *f)
{
	struct close_job *job = calloc(1, sizeof(*job));

	if (!job)
		return false;
	*job = (struct close_job){
		.pool = { .work = close_work, .finish = close_end, .expire = close_expire, .discard = close_end,
			  .uid = file_user(f) },
		.file = f,
	};
	if (pool_submit(ops.pool, &job->pool) == 0)
		return true;
	free(job);
	return false;
}

/* Bytes are left where close(2) sent no flush: the descriptor was on its way to another process, or there was no room for them. */
void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct file *f = ops_file(fi);

	if (!file_staged(f) || !staged_is_long(file_node(f)) || !close_later(f))
		file_close(f);
	ops_reply_err(req, 0);	/* which nobody waits for */
}

void ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	commit(req, ops_file(fi), fi, file_sync, sync_work);
}

static void allocate_work(struct ops_job *base)
{
	const struct file_job *job = (const struct file_job *)base;

	base->err = file_allocate(job->file, job->mode, job->off, job->len);
}

void ops_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	struct file *f = ops_file(fi);

	if (!file_allocation_is_long(f, mode, len)) {
		ops_reply_err(req, -file_allocate(f, mode, off, len));
		return;
	}

	struct file_job *job = file_job(req, node_get(ino), fi, allocate_work, reply_err);

	if (!job)
		return;
	job->mode = mode;
	job->off = off;
	job->len = len;
	ops_job_submit_patiently(job);
}

/* As kernfs has it: every file can be read and written at once; that its text is another now is exceptional. */
void ops_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct fuse_pollhandle *ph)
{
	struct text *t = file_text(ops_file(fi));
	unsigned events = POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM;
	bool changed = false;

	if (!t || text_poll(t, ph, &changed)) {
		if (ph)
			fuse_pollhandle_destroy(ph);
	}
	fuse_reply_poll(req, changed ? events | POLLPRI | POLLERR : events);
}
