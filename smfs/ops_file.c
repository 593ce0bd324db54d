/* SPDX-License-Identifier: MIT */
/* Open files: what FUSE asks of one, handed on to file.c. */
#include "ops.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exchange.h"
#include "staged.h"

static struct file *file_of(const struct fuse_file_info *fi)
{
	return (struct file *)(uintptr_t)fi->fh;
}

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
	job->file = file_of(fi);
	return job;
}

static void reply_err(struct ops_job *base)
{
	ops_reply_err(base->req, -base->err);
}

static bool is_info(const struct node *n)
{
	return n->kind == NODE_INFO || n->kind == NODE_ID_INFO;
}

static void reply_open(fuse_req_t req, struct file *f, struct fuse_file_info *fi, int err)
{
	if (err) {
		ops_reply_err(req, -err);
		return;
	}
	ops_fill_open(f, fi);
	if (fuse_reply_open(req, fi))
		file_close(f);	/* the kernel could not take that in: the caller has no descriptor, and no release will come */
}

static void open_work(struct ops_job *base)
{
	struct file_job *job = (struct file_job *)base;

	base->err = file_open(base->node, job->fi.flags, &base->caller, &job->file);
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

/* An open waits until that is done. */
static bool is_being_exchanged(struct node *n)
{
	struct sm_segment seg;

	node_seen(n, &seg);
	return n->kind == NODE_SEGMENT && exchange_is_on(seg.key);
}

void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *n = node_get(ino);
	struct caller caller = { 0 };
	struct file *f = NULL;

	if (n && is_info(n)) {
		ops_info_open(req, n, fi);
		return;
	}
	if (n && (staged_is_long(n) || is_being_exchanged(n))) {
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

struct read_job {
	struct ops_job base;
	struct file *file;
	size_t size;
	off_t offset;
	struct file_span span;
};

static void read_work(struct ops_job *base)
{
	struct read_job *job = (struct read_job *)base;

	base->err = file_read_begin(job->file, job->offset, job->size, ops_buffer, &job->span);
}

static void read_finish(struct ops_job *base)
{
	struct read_job *job = (struct read_job *)base;

	if (base->err)
		ops_reply_err(base->req, -base->err);
	else
		fuse_reply_buf(base->req, job->span.bytes, job->span.length);
}

static void read_free(struct ops_job *base)
{
	file_read_end(&((struct read_job *)base)->span);
}

/* F stays open until the read is answered, so that may not be before it is done. */
static void read_later(fuse_req_t req, struct file *f, size_t size, off_t off)
{
	struct read_job *job = ops_job_new(req, node_get(file_node(f)->id), sizeof(*job), read_work, read_finish, read_free);

	if (!job)
		return;
	job->file = f;
	job->size = size;
	job->offset = off;
	ops_job_submit_patiently(job);
}

void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct file *f = file_of(fi);
	struct file_span span;

	/*
	 * A fill of the page cache, for splice(2) from a descriptor opened read-write: it would be shown again when
	 * it is stale. Programs fall back to read(2).
	 */
	if (file_is_native(f) && !fi->lock_owner) {
		ops_reply_err(req, EINVAL);
		return;
	}

	if (off == 0 && is_info(file_node(f)) && text_was_read(file_text(f))) {
		ops_info_read(req, size, fi);
		return;
	}
	if (file_waits(f)) {
		read_later(req, f, size, off);
		return;
	}

	int err = file_read_begin(f, off, size, ops_buffer, &span);

	if (err) {
		ops_reply_err(req, -err);
		return;
	}
	fuse_reply_buf(req, span.bytes, span.length);
	file_read_end(&span);
}

/* ---- writing ---- */

struct write_job {
	struct ops_job base;
	struct file *file;
	size_t size;
	char bytes[16];
};

static void slow_write_work(struct ops_job *base)
{
	struct write_job *job = (struct write_job *)base;

	base->err = (int)file_write(job->file, job->bytes, job->size, 0, &base->caller);
}

static void slow_write_finish(struct ops_job *base)
{
	if (base->err < 0)
		ops_reply_err(base->req, -base->err);
	else
		fuse_reply_write(base->req, (size_t)base->err);
}

/* The file stays open until the write is answered: the kernel sees to that. */
static void write_slowly(fuse_req_t req, fuse_ino_t ino, struct file *f, const char *bytes, size_t size)
{
	struct write_job *job = ops_job_new(req, node_get(ino), sizeof(*job), slow_write_work, slow_write_finish, NULL);

	if (!job)
		return;
	job->file = f;
	job->size = size;
	memcpy(job->bytes, bytes, size < sizeof(job->bytes) ? size : sizeof(job->bytes));
	ops_job_submit(job);
}

void ops_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct file *f = file_of(fi);
	struct caller caller = { 0 };
	ssize_t n = 0;

	if (file_write_is_slow(f, bytes, size)) {
		write_slowly(req, ino, f, bytes, size);
		return;
	}
	if (file_node(f)->kind != NODE_SEGMENT)	/* only a word is judged as it is written; bytes were, at open */
		n = ops_caller(req, &caller);
	if (!n)
		n = file_write(f, bytes, size, off, &caller);
	caller_free(&caller);
	if (n < 0)
		ops_reply_err(req, (int)-n);
	else
		fuse_reply_write(req, (size_t)n);
}

/*
 * Without it the kernel would splice, and so fill its page cache from a descriptor opened read-write, which ops_read()
 * refuses with an error that programs do not expect of this call.
 */
void ops_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t from, struct fuse_file_info *in, fuse_ino_t ino_out, off_t to,
			 struct fuse_file_info *out, size_t size, int flags)
{
	ssize_t n = file_copy(file_of(in), from, file_of(out), to, size, ops_buffer);

	if (n < 0)
		ops_reply_err(req, (int)-n);
	else
		fuse_reply_write(req, (size_t)n);
}

/* ---- the rest ---- */

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
	commit(req, file_of(fi), fi, file_flush, flush_work);
}

void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	file_close(file_of(fi));
	ops_reply_err(req, 0);
}

void ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	commit(req, file_of(fi), fi, file_sync, sync_work);
}

static void allocate_work(struct ops_job *base)
{
	const struct file_job *job = (const struct file_job *)base;

	base->err = file_allocate(job->file, job->mode, job->off, job->len);
}

void ops_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	struct file *f = file_of(fi);

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
	struct text *t = file_text(file_of(fi));
	unsigned events = POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM;
	bool changed = false;

	if (!t || text_poll(t, ph, &changed)) {
		if (ph)
			fuse_pollhandle_destroy(ph);
	}
	fuse_reply_poll(req, changed ? events | POLLPRI | POLLERR : events);
}

void ops_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	off = file_seek(file_of(fi), off, whence);
	if (off < 0)
		ops_reply_err(req, (int)-off);
	else
		fuse_reply_lseek(req, off);
}
