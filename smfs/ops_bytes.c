/* SPDX-License-Identifier: MIT */
/*
 * The bytes of open files: what FUSE asks for, handed on to file.c. What would wait there for another segment, or for a copy
 * of an object in the making, does so on a thread of its user's share (pool.h), without a deadline: such copies end.
 */
#include "ops.h"

#include <errno.h>
#include <string.h>

#include "share.h"

/* What is open stays so until the answer: the kernel sees to that. */
struct bytes_job {
	struct ops_job base;	/* its err: how many bytes were written, or a negative errno */
	struct file *file, *to;	/* TO: copy_file_range(2)'s second one */
	off_t off, to_off;
	size_t size;
	int whence;
	struct file_span span;
	size_t charged;
	char bytes[];		/* to be written */
};

/* NULL after it has replied with an error. KEPT: room for so many bytes. */
static struct bytes_job *bytes_job(fuse_req_t req, struct file *f, off_t off, size_t size, size_t kept, ops_step *work,
				   ops_step *finish, ops_step *free_)
{
	struct node *n = node_get(file_node(f)->id);
	struct bytes_job *job = ops_job_new(req, n, sizeof(*job) + kept, work, finish, free_);

	if (!job)
		return NULL;
	job->file = f;
	job->off = off;
	job->size = size;
	return job;
}

/* ---- reading ---- */

static void read_work(struct ops_job *base)
{
	struct bytes_job *job = (struct bytes_job *)base;

	base->err = file_read_begin(job->file, job->off, job->size, ops_buffer, &job->span);
}

static void read_finish(struct ops_job *base)
{
	struct bytes_job *job = (struct bytes_job *)base;

	if (base->err)
		ops_reply_err(base->req, -base->err);
	else
		fuse_reply_buf(base->req, job->span.bytes, job->span.length);
}

/* F stays open until the read is answered, so that may not be before it is done. */
static void read_free(struct ops_job *base)
{
	file_read_end(&((struct bytes_job *)base)->span);
}

void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct file *f = ops_file(fi);
	struct file_span span;
	struct bytes_job *job;

	/*
	 * A fill of the page cache, for splice(2) from a descriptor opened read-write: it would be shown again when
	 * it is stale. Programs fall back to read(2).
	 */
	if (file_is_native(f) && !fi->lock_owner) {
		ops_reply_err(req, EINVAL);
		return;
	}

	if (off == 0 && ops_is_info(file_node(f)) && text_was_read(file_text(f))) {
		ops_info_read(req, size, fi);
		return;
	}
	if (file_waits(f)) {
		job = bytes_job(req, f, off, size, 0, read_work, read_finish, read_free);
		if (job)
			ops_job_submit_patiently(job);
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

static void reply_written(fuse_req_t req, ssize_t n)
{
	if (n < 0)
		ops_reply_err(req, (int)-n);
	else
		fuse_reply_write(req, (size_t)n);
}

static void written_finish(struct ops_job *base)
{
	reply_written(base->req, base->err);
}

static void write_work(struct ops_job *base)
{
	struct bytes_job *job = (struct bytes_job *)base;

	base->err = (int)file_write(job->file, job->bytes, job->size, job->off, &base->caller);
}

static void write_free(struct ops_job *base)
{
	share_return(base->caller.uid, ((struct bytes_job *)base)->charged);
}

static struct bytes_job *write_job(fuse_req_t req, struct file *f, const char *bytes, size_t size, off_t off)
{
	struct bytes_job *job = bytes_job(req, f, off, size, size, write_work, written_finish, write_free);

	if (job)
		memcpy(job->bytes, bytes, size);
	return job;
}

static void write_word(fuse_req_t req, struct file *f, const char *bytes, size_t size)
{
	struct bytes_job *job = write_job(req, f, bytes, size, 0);

	if (job)
		ops_job_submit(job);
}

/* The bytes are kept meanwhile, however many threads of a user write: so they are of his share. */
static void write_later(fuse_req_t req, struct file *f, const char *bytes, size_t size, off_t off)
{
	struct bytes_job *job = write_job(req, f, bytes, size, off);
	int err = job ? share_take(job->base.caller.uid, size) : 0;

	if (!job)
		return;
	if (err) {
		ops_job_fail(job, -err);
		return;
	}
	job->charged = size;
	ops_job_submit_patiently(job);
}

void ops_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct file *f = ops_file(fi);
	struct caller caller = { 0 };
	ssize_t n = 0;

	if (file_write_is_slow(f, bytes, size)) {
		write_word(req, f, bytes, size);
		return;
	}
	if (file_waits(f)) {
		write_later(req, f, bytes, size, off);
		return;
	}
	if (file_node(f)->kind != NODE_SEGMENT)	/* only a word is judged as it is written; bytes were, at open */
		n = ops_caller(req, &caller);
	if (!n)
		n = file_write(f, bytes, size, off, &caller);
	caller_free(&caller);
	reply_written(req, n);
}

static void copy_work(struct ops_job *base)
{
	struct bytes_job *job = (struct bytes_job *)base;

	base->err = (int)file_copy(job->file, job->off, job->to, job->to_off, job->size, ops_buffer);
}

static void copy_later(fuse_req_t req, struct file *in, off_t from, struct file *out, off_t to, size_t size)
{
	struct bytes_job *job = bytes_job(req, in, from, size, 0, copy_work, written_finish, NULL);

	if (!job)
		return;
	job->to = out;
	job->to_off = to;
	ops_job_submit_patiently(job);
}

/*
 * Without it the kernel would splice, and so fill its page cache from a descriptor opened read-write, which ops_read()
 * refuses with an error that programs do not expect of this call.
 */
void ops_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t from, struct fuse_file_info *in, fuse_ino_t ino_out, off_t to,
			 struct fuse_file_info *out, size_t size, int flags)
{
	if (file_waits(ops_file(in)) || file_waits(ops_file(out)))
		copy_later(req, ops_file(in), from, ops_file(out), to, size);
	else
		reply_written(req, file_copy(ops_file(in), from, ops_file(out), to, size, ops_buffer));
}

/* ---- holes ---- */

static void reply_seek(fuse_req_t req, off_t off)
{
	if (off < 0)
		ops_reply_err(req, (int)-off);
	else
		fuse_reply_lseek(req, off);
}

static void seek_work(struct ops_job *base)
{
	struct bytes_job *job = (struct bytes_job *)base;

	job->off = file_seek(job->file, job->off, job->whence);
}

static void seek_finish(struct ops_job *base)
{
	reply_seek(base->req, ((struct bytes_job *)base)->off);
}

static void seek_later(fuse_req_t req, struct file *f, off_t off, int whence)
{
	struct bytes_job *job = bytes_job(req, f, off, 0, 0, seek_work, seek_finish, NULL);

	if (!job)
		return;
	job->whence = whence;
	ops_job_submit_patiently(job);
}

void ops_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct file *f = ops_file(fi);

	if (file_waits(f))
		seek_later(req, f, off, whence);
	else
		reply_seek(req, file_seek(f, off, whence));
}
