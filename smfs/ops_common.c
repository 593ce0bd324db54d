/* SPDX-License-Identifier: MIT */
/* What most operations need: who asks, a buffer, what stat shows of a node, and an entry for it. */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "attr.h"
#include "exchange.h"
#include "info.h"
#include "refcount.h"
#include "staged.h"

#define REFCOUNT_UNREADABLE_SIZE 2	/* a digit and a newline: tools take a size of 0 for an empty file */

int ops_reply_err(fuse_req_t req, int err)
{
	return fuse_reply_err(req, err == ENOSYS ? EIO : err);
}

int ops_caller(fuse_req_t req, struct caller *c)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return caller_read(c, ctx->uid, ctx->gid, ctx->pid);
}

static int stat_segment(struct node *n, struct stat *out)
{
	struct sm_segment seg;
	int err;

	if (staged_stat(n, out))
		return 0;
	err = node_stat(n, &seg);
	if (err && way_opens(n)) {	/* removed, but open: as any unlinked file */
		node_seen(n, &seg);
		seg.removed = true;
		err = 0;
	}
	if (err)
		return err;
	attr_segment(&seg, 0, out);
	staged_stat_made(n, out);
	return 0;
}

/* The segment that a control file N is about. The file may be open when that is gone: as any unlinked file then. */
static int stat_about(struct node *n, struct sm_segment *seg, bool *gone)
{
	int err = node_stat(n, seg);

	*gone = err == -ESTALE;
	if (*gone)
		node_seen(n, seg);
	return *gone ? 0 : err;
}

static int stat_refcount(struct node *n, const struct caller *caller, struct stat *out)
{
	char text[REFCOUNT_TEXT_MAX];
	struct sm_segment seg;
	bool gone;
	int err = stat_about(n, &seg, &gone), length = -1;

	if (err)
		return err;
	{
		CALLER_SCOPE(denied, caller);

		if (!denied && !gone)
			length = refcount_text(seg.id, text);
	}
	attr_beside(&seg, attr_ino_refcount(seg.id), S_IFREG | seg.mode,
		    length < 0 ? REFCOUNT_UNREADABLE_SIZE : (uint64_t)length, out);
	out->st_nlink = !gone && !seg.removed;
	return 0;
}

static int stat_info(struct node *n, struct stat *out)
{
	struct sm_segment seg;
	bool gone;
	int err = stat_about(n, &seg, &gone);

	if (err)
		return err;
	attr_beside(&seg, attr_ino_info(seg.id, n->kind == NODE_ID_INFO), S_IFREG | 0444, INFO_SIZE, out);
	out->st_nlink = !gone;
	return 0;
}

static int stat_link(struct node *n, struct stat *out)
{
	struct sm_segment seg;

	if (sm_segment_stat_key((key_t)n->thing.number, &seg))
		return -ESTALE;
	attr_link(&seg, out);
	return 0;
}

int ops_stat(struct node *n, const struct caller *caller, struct stat *out)
{
	switch (n->kind) {
	case NODE_SEGMENT:
		return stat_segment(n, out);
	case NODE_REFCOUNT:
		return stat_refcount(n, caller, out);
	case NODE_INFO:
	case NODE_ID_INFO:
		return stat_info(n, out);
	case NODE_LINK:
		return stat_link(n, out);
	default:
		return -ESTALE;
	}
}

int ops_entry(struct node *n, const struct caller *caller, struct fuse_entry_param *out)
{
	memset(out, 0, sizeof(*out));	/* timeouts of 0: nothing is cached that can go stale */
	out->ino = n->id;

	int err = ops_stat(n, caller, &out->attr);

	if (!err && n->kind != NODE_SEGMENT && !out->attr.st_nlink)
		err = -ESTALE;	/* for who has it open only */
	if (!err)
		node_lookup(n);
	return err;
}

bool ops_is_busy(struct node *n)
{
	struct sm_segment seg;

	if (n->kind != NODE_SEGMENT)
		return false;
	node_seen(n, &seg);
	return staged_is_long(n) || exchange_is_on(seg.key);
}

/* A buffer of the thread's own: nothing is allocated on the read path. */
static pthread_key_t buffer_key;
static pthread_once_t buffer_once = PTHREAD_ONCE_INIT;
static __thread struct { void *at; size_t size; } buffer;

static void buffer_free(void *unused)
{
	free(buffer.at);
	buffer.at = NULL;
	buffer.size = 0;
}

static void buffer_start(void)
{
	pthread_key_create(&buffer_key, buffer_free);
}

void *ops_buffer(size_t size)
{
	if (size > buffer.size || !buffer.at) {
		pthread_once(&buffer_once, buffer_start);
		free(buffer.at);
		buffer.size = size < 4096 ? 4096 : size;
		buffer.at = malloc(buffer.size);
		if (!buffer.at)
			buffer.size = 0;
		pthread_setspecific(buffer_key, buffer.at);
	}
	return buffer.at;
}

int ops_fill_open(struct file *f, struct fuse_file_info *fi)
{
	int backing, err = file_answer(f, &backing);

	fi->fh = (uintptr_t)f;
	fi->backing_id = backing;
	/*
	 * Only a descriptor that cannot write is read by the kernel itself. A passthrough write past the end would
	 * grow the inode behind the segment's back, so writes come here.
	 */
	fi->direct_io = !(fi->backing_id && (fi->flags & O_ACCMODE) == O_RDONLY);
	fi->parallel_direct_writes = file_writes_in_parallel(f);
	fi->noflush = !file_wants_flush(f);	/* a round trip less for each close */
	fi->keep_cache = 0;
	return err;
}

struct file *ops_file(const struct fuse_file_info *fi)
{
	struct file *f = (struct file *)(uintptr_t)fi->fh;

	if (f)
		file_asked(f);
	return f;
}
