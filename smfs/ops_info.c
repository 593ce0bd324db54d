/* SPDX-License-Identifier: MIT */
/*
 * `.info` files: opening one gathers the text, and so does reading it from the start once more. Both look at key files and
 * at every process, so both are answered from the pool.
 */
#include "ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "info.h"
#include "name.h"
#include "way.h"

struct info_job {
	struct ops_job base;
	struct fuse_file_info fi;
	size_t size;		/* to be read; 0: it is an open */
	char *text;
	size_t length;
	struct watch_state seen;
};

/* Fill Q; *PATH is to be freed afterwards. */
static int ask(struct node *n, struct info_question *q, char **path)
{
	const char *slash;
	struct name name;
	int err = node_stat(n, &q->seg);

	*path = NULL;
	if (err)
		return err;

	struct node *file = node_by_segment(NODE_SEGMENT, &q->seg);

	if (!file)
		return -ENOMEM;
	q->native = way_is_native(file);
	node_put(file);
	if (n->kind == NODE_ID_INFO)
		return 0;
	*path = strdup(n->path);
	if (!*path)
		return -ENOMEM;
	slash = strrchr(*path, '/');
	name_parse(slash ? slash + 1 : *path, &name);
	name_key_path(&name, *path);
	q->named = *path;
	return 0;
}

static void info_work(struct ops_job *base)
{
	struct info_job *job = (struct info_job *)base;
	struct info_question q = { .keydir = &ops.keydir, .caller = &base->caller };
	char *path;

	base->err = ask(base->node, &q, &path);
	if (!base->err) {
		ssize_t n = info_gather(&q, &job->text, &job->seen);

		base->err = n < 0 ? (int)n : 0;
		job->length = n < 0 ? 0 : (size_t)n;
	}
	free(path);
}

static void info_free(struct ops_job *base)
{
	free(((struct info_job *)base)->text);
}

static void open_finish(struct ops_job *base)
{
	struct info_job *job = (struct info_job *)base;
	struct file *f = NULL;
	int err = base->err;

	if (!err)
		err = file_of_text(base->node, job->fi.flags, &base->caller, &f);
	if (err) {
		ops_reply_err(base->req, -err);
		return;
	}
	text_set(file_text(f), job->text, job->length, &job->seen);
	job->text = NULL;
	ops_fill_open(f, &job->fi);	/* a text's fails never */
	if (fuse_reply_open(base->req, &job->fi))
		file_close(f);
}

static void read_finish(struct ops_job *base)
{
	struct info_job *job = (struct info_job *)base;

	if (base->err) {
		ops_reply_err(base->req, base->err == -ESTALE ? EIDRM : -base->err);
		return;
	}

	struct file *f = ops_file(&job->fi);
	size_t n = job->length < job->size ? job->length : job->size;
	char *bytes = ops_buffer(n);

	if (!bytes) {
		ops_reply_err(base->req, ENOMEM);
		return;
	}
	memcpy(bytes, job->text, n);
	text_set(file_text(f), job->text, job->length, &job->seen);	/* before the answer: F may be closed after it */
	job->text = NULL;
	fuse_reply_buf(base->req, bytes, n);
}

/* SIZE: to be read; 0: it is an open. */
static struct info_job *info_job(fuse_req_t req, struct node *n, size_t size, const struct fuse_file_info *fi)
{
	struct info_job *job = ops_job_new(req, n, sizeof(*job), info_work, size ? read_finish : open_finish, info_free);

	if (!job)
		return NULL;
	job->fi = *fi;
	job->size = size;
	return job;
}

static struct ops_job *info_again(struct ops_job *base)
{
	const struct info_job *job = (const struct info_job *)base;

	return (struct ops_job *)info_job(base->req, node_get(base->node->id), job->size, &job->fi);
}

static void submit(struct info_job *job)
{
	if (!job)
		return;
	job->base.again = info_again;
	ops_job_submit(job);
}

bool ops_is_info(const struct node *n)
{
	return n->kind == NODE_INFO || n->kind == NODE_ID_INFO;
}

void ops_info_open(fuse_req_t req, struct node *n, struct fuse_file_info *fi)
{
	submit(info_job(req, n, 0, fi));
}

void ops_info_read(fuse_req_t req, size_t size, struct fuse_file_info *fi)
{
	struct node *n = node_get(file_node(ops_file(fi))->id);

	submit(info_job(req, n, size, fi));
}
