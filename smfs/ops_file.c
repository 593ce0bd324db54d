/* SPDX-License-Identifier: MIT */
/* Open files: what FUSE asks of one, handed on to file.c. */
#include "ops.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct file *file_of(const struct fuse_file_info *fi)
{
	return (struct file *)(uintptr_t)fi->fh;
}

static bool is_info(const struct node *n)
{
	return n->kind == NODE_INFO || n->kind == NODE_ID_INFO;
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

	int err = !n ? -ESTALE : ops_caller(req, &caller);

	if (!err)
		err = file_open(n, fi->flags, &caller, &f);
	caller_free(&caller);
	node_put(n);
	if (err) {
		ops_reply_err(req, -err);
		return;
	}
	ops_fill_open(f, fi);
	if (fuse_reply_open(req, fi))
		file_close(f);	/* interrupted: the caller has no descriptor, and no release will come */
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

void ops_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	ops_reply_err(req, -file_flush(file_of(fi)));
}

void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	file_close(file_of(fi));
	ops_reply_err(req, 0);
}

void ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	ops_reply_err(req, -file_sync(file_of(fi)));
}

void ops_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	ops_reply_err(req, -file_allocate(file_of(fi), mode, off, len));
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
