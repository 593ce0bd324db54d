/* SPDX-License-Identifier: MIT */
/*
 * What is behind an open file differs: a way to a segment, an object in the making, or a text. It can also change under
 * an open file: truncating to another size puts another segment in the place of the first. So a request takes the way
 * with it for as long as it needs it, and the lock is only for exchanging the pointer.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "cleanup.h"
#include "exchange.h"
#include "log.h"
#include "passing.h"
#include "refcount.h"
#include "rights.h"
#include "share.h"
#include "staged.h"

#define COPY_MOST (1 << 20)	/* at once; programs ask for the rest */

struct file {
	struct node *node;
	int flags;
	uid_t uid;			/* whose share it is of */
	struct passing passing;
	struct staged *staged;		/* a creating descriptor */
	pthread_mutex_t lock;		/* of what follows */
	struct way *way;		/* a segment */
	bool native;			/* the way, or the one that is waited for */
	bool waits;			/* for a way */
	pthread_cond_t given;		/* it is */
	struct text text;		/* a control file */
};

static bool writable(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY;
}

/* ---- opening ---- */

static int open_segment(struct file *f, const struct caller *caller)
{
	struct sm_segment seg;
	void *at;
	int err = staged_share(f->node, writable(f->flags), caller, &f->staged);

	if (err)
		return err == -EALREADY ? 0 : err;
	err = rights_attach(f->node, writable(f->flags), caller, &seg, &at);
	if (err == -ENOENT)	/* it was being made, and was not: the name is looked up again */
		err = -ESTALE;
	if (!err)
		err = way_get(f->node, &seg, at, writable(f->flags), &f->way);
	f->native = !err && way_backing(f->way);
	if (!err)
		staged_opened(f->node);	/* one who was refused has no say */
	return err;
}

/* Not while the segment is being exchanged; nor is the inode of one that was, whose backing file stays the old one. */
static int open_in_turn(struct file *f, const struct caller *caller)
{
	struct sm_segment seg;
	struct exchange e;

	node_seen(f->node, &seg);

	int err = exchange_enter(&e, seg.key);

	if (err)
		return err;
	err = atomic_load(&f->node->followed) ? -ESTALE : open_segment(f, caller);
	exchange_leave(&e);
	return err;
}

static int open_refcount(struct file *f, const struct caller *caller)
{
	int err = rights_check(f->node, writable(f->flags), caller);

	return err || (f->flags & O_ACCMODE) == O_WRONLY ? err : text_refresh_counter(&f->text, f->node);
}

static int file_new(struct node *n, int flags, const struct caller *caller, struct file **out)
{
	struct file *f = calloc(1, sizeof(*f));
	int err = f ? share_open(caller->uid) : -ENOMEM;

	if (err) {
		free(f);
		return err;
	}
	f->uid = caller->uid;
	f->node = node_get(n->id);
	f->flags = flags;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->given, NULL);
	text_init(&f->text);
	*out = f;
	return 0;
}

int file_open(struct node *n, int flags, const struct caller *caller, struct file **out)
{
	struct file *f;
	int err = file_new(n, flags, caller, &f);

	if (err)
		return err;
	switch (n->kind) {
	case NODE_SEGMENT:
		err = open_in_turn(f, caller);
		break;
	case NODE_REFCOUNT:
		err = open_refcount(f, caller);
		break;
	default:
		err = -EISDIR;
	}
	if (err)
		file_close(f);
	else
		*out = f;
	return err;
}

int file_of_staged(struct node *n, struct staged *s, int flags, const struct caller *caller, struct file **out)
{
	int err = file_new(n, flags, caller, out);

	if (!err)
		(*out)->staged = s;
	return err;
}

int file_of_text(struct node *n, int flags, const struct caller *caller, struct file **out)
{
	return (flags & O_ACCMODE) == O_RDONLY ? file_new(n, flags, caller, out) : -EACCES;
}

struct text *file_text(struct file *f)
{
	return f->node->kind == NODE_SEGMENT ? NULL : &f->text;
}

void file_close(struct file *f)
{
	int err = f->staged ? staged_close(f->staged) : 0;

	/* there is no one left to tell; and EEXIST is no fault of the system's */
	if (err && err != -EEXIST)
		log_limited("new objects", 1, f->uid, LOG_WARNING, "user %u: a new object was closed and could not be made: %s",
			    (unsigned)f->uid, strerror(-err));
	passing_end(&f->passing, f->node);
	if (f->way)
		way_put(f->node, f->way);
	node_put(f->node);
	share_close(f->uid);
	pthread_cond_destroy(&f->given);
	pthread_mutex_destroy(&f->lock);
	text_destroy(&f->text);
	free(f);
}

struct node *file_node(const struct file *f)
{
	return f->node;
}

uid_t file_user(const struct file *f)
{
	return f->uid;
}

/* What F, just opened, could be passed through to. */
static int backing_of(const struct file *f)
{
	return f->way ? way_backing(f->way) : 0;
}

void file_await(struct file *f)
{
	if (backing_of(f))
		passing_await(f->node);
}

int file_answer(struct file *f, int *backing)
{
	int err = f->node->kind == NODE_SEGMENT ? passing_begin(&f->passing, f->node, backing_of(f)) : 0;

	*backing = passing_is_through(&f->passing) ? backing_of(f) : 0;
	return err;
}

bool file_writes_in_parallel(struct file *f)
{
	return !f->staged && (passing_is_through(&f->passing) || !backing_of(f));
}

void file_asked(struct file *f)
{
	passing_seen(&f->passing, f->node);
}

bool file_is_native(struct file *f)
{
	LOCKED(&f->lock);
	return f->native;
}

/* ---- reading and writing ---- */

static struct way *use_way(struct file *f)
{
	LOCKED(&f->lock);
	while (f->waits)	/* for who has taken it, and does give it back */
		pthread_cond_wait(&f->given, &f->lock);
	if (f->way)
		way_use(f->way);
	return f->way;
}

/* A segment's file without a way has lost it. */
static int no_way(const struct file *f, int err)
{
	return f->node->kind == NODE_SEGMENT ? -EIDRM : err;
}

static int read_text(struct file *f, off_t offset, size_t length, void *(*buffer)(size_t), struct file_span *span)
{
	char *to = buffer(length);
	int err = 0;

	if (!to)
		return -ENOMEM;
	if (offset == 0 && f->node->kind == NODE_REFCOUNT)
		err = text_refresh_counter(&f->text, f->node);
	if (!err)
		span->length = text_read(&f->text, offset, to, length);
	span->bytes = to;
	return err;
}

static int read_way(struct way *w, off_t offset, size_t length, void *(*buffer)(size_t), struct file_span *span)
{
	struct way_span bytes;
	int err = way_read_begin(w, offset, length, &bytes);

	if (err)
		return err;
	span->length = bytes.length;
	span->bytes = bytes.at;
	span->way = w;
	if (bytes.at || !bytes.length)
		return 0;

	/* through the descriptor, which gives holes as zeros without making pages of them */
	void *to = buffer(bytes.length);
	ssize_t n = to ? pread(bytes.fd, to, bytes.length, offset) : -1;

	if (n <= 0) {	/* 0: what lies here was cut off behind everybody's back, and is no end of file */
		err = !to ? -ENOMEM : n ? -errno : -EIO;
		way_read_end(w);
		return err;
	}
	span->bytes = to;
	span->length = (size_t)n;
	return 0;
}

int file_read_begin(struct file *f, off_t offset, size_t length, void *(*buffer)(size_t), struct file_span *span)
{
	*span = (struct file_span){ 0 };
	if (f->staged) {
		void *to = buffer(length);
		ssize_t n = to ? staged_read(f->staged, to, length, offset) : -ENOMEM;

		span->bytes = to;
		span->length = n < 0 ? 0 : (size_t)n;
		return n < 0 ? (int)n : 0;
	}

	struct way *w = use_way(f);

	if (!w)
		return f->node->kind == NODE_SEGMENT ? -EIDRM : read_text(f, offset, length, buffer, span);

	int err = read_way(w, offset, length, buffer, span);

	if (err) {
		span->way = NULL;
		way_unuse(w);
	}
	return err;
}

void file_read_end(struct file_span *span)
{
	if (!span->way)
		return;
	way_read_end(span->way);
	way_unuse(span->way);
}

bool file_write_is_slow(const struct file *f, const void *bytes, size_t n)
{
	enum refcount_word word;

	return f->node->kind == NODE_REFCOUNT && refcount_parse(bytes, n, &word) == 0 && word == REFCOUNT_REAP;
}

static ssize_t write_word(struct file *f, const void *bytes, size_t n, const struct caller *caller)
{
	struct sm_segment seg;
	enum refcount_word word;
	int err = refcount_parse(bytes, n, &word);

	if (!err)
		err = node_stat(f->node, &seg) ? -EIDRM : 0;
	if (!err) {
		CALLER_SCOPE(denied, caller);

		err = denied ? denied : refcount_do(&seg, word);
	}
	return err ? err : (ssize_t)n;
}

ssize_t file_write(struct file *f, const void *bytes, size_t n, off_t offset, const struct caller *caller)
{
	if (f->staged)
		return staged_write(f->staged, bytes, n, f->flags & O_APPEND ? -1 : offset);
	if (f->node->kind == NODE_REFCOUNT)
		return write_word(f, bytes, n, caller);

	struct way *w = use_way(f);

	if (!w)
		return no_way(f, -EINVAL);

	ssize_t written = way_write(w, bytes, n, offset);

	way_unuse(w);
	return written;
}

ssize_t file_copy(struct file *in, off_t from, struct file *out, off_t to, size_t n, void *(*buffer)(size_t))
{
	struct file_span span;

	if (in->node->kind != NODE_SEGMENT || out->node->kind != NODE_SEGMENT)
		return -EOPNOTSUPP;

	int err = file_read_begin(in, from, n < COPY_MOST ? n : COPY_MOST, buffer, &span);

	if (err)
		return err;

	ssize_t written = span.length ? file_write(out, span.bytes, span.length, to, NULL) : 0;

	file_read_end(&span);
	return written;
}

struct way *file_take_way(struct file *f)
{
	LOCKED(&f->lock);
	struct way *old = f->way;

	f->way = NULL;
	f->waits = old;
	return old;
}

void file_give_way(struct file *f, struct way *w)
{
	LOCKED(&f->lock);
	f->way = w;
	f->native = w && way_backing(w);
	f->waits = false;
	pthread_cond_broadcast(&f->given);
}

bool file_waits(struct file *f)
{
	if (f->staged)
		return staged_is_busy(f->staged);

	LOCKED(&f->lock);
	return f->waits;
}

struct staged *file_staged(const struct file *f)
{
	return f->staged;
}

/* ---- the rest ---- */

bool file_wants_flush(const struct file *f)
{
	return f->staged;
}

int file_flush(struct file *f)
{
	return f->staged ? staged_flush(f->staged) : 0;
}

int file_sync(struct file *f)
{
	return f->staged ? staged_sync(f->staged) : 0;
}

static int allocate_in(struct way *w, int mode, off_t offset, off_t length)
{
	bool keeps_size = mode & FALLOC_FL_KEEP_SIZE;
	off_t end;

	if (__builtin_add_overflow(offset, length, &end))
		return -EFBIG;
	if (end > (off_t)way_segment(w)->size && !keeps_size)
		return -ENOSPC;
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return way_zero(w, offset, length);
	return 0;	/* the size is there; pages come when they are touched, as shmat's do */
}

int file_allocate(struct file *f, int mode, off_t offset, off_t length)
{
	const int known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
	off_t end;

	if (mode & ~known || f->node->kind != NODE_SEGMENT)
		return -EOPNOTSUPP;
	if (f->staged && !staged_settled(f->staged)) {
		if (mode & ~FALLOC_FL_KEEP_SIZE)
			return -EOPNOTSUPP;
		return __builtin_add_overflow(offset, length, &end) ? -EFBIG : staged_allocate(f->staged, end);
	}

	struct way *w = use_way(f);

	if (!w)
		return no_way(f, -EOPNOTSUPP);

	int err = allocate_in(w, mode, offset, length);

	way_unuse(w);
	return err;
}

int file_zero(struct file *f)
{
	if (f->staged || !writable(f->flags))
		return -EALREADY;

	struct way *w = use_way(f);

	if (!w)
		return no_way(f, -EALREADY);

	int err = way_zero(w, 0, (off_t)way_segment(w)->size);

	way_unuse(w);
	return err;
}

bool file_allocation_is_long(const struct file *f, int mode, off_t length)
{
	return f->staged || (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) && length >= FILE_LONG_HOLE);
}

off_t file_seek(struct file *f, off_t offset, int whence)
{
	if (f->staged)
		return staged_seek(f->staged, offset, whence);

	struct way *w = use_way(f);

	if (!w)
		return no_way(f, -EINVAL);
	offset = way_seek(w, offset, whence);
	way_unuse(w);
	return offset;
}
