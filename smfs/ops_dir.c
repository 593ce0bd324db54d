/* SPDX-License-Identifier: MIT */
/*
 * Directories: they mirror those under KEYDIR and belong to them, so whether one can be opened, and what it looks
 * like, is asked there. What one lists is gathered when it is read from the beginning and then handed out piece by
 * piece; the attributes that go with an entry are looked up anew as it is handed out.
 */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attr.h"
#include "list.h"
#include "refcount.h"
#include "share.h"
#include "usage.h"

#define PLUS_TIMEOUT (0.001)	/* seconds; what a listing says of an entry serves the stat that comes with it */

struct dir_handle {
	uid_t uid;		/* whose share it is of */
	pthread_mutex_t lock;
	struct listing listing;
};

struct dir_job {
	struct ops_job base;
	struct keypath kp;
	struct fuse_file_info fi;
	/* read */
	struct listing listing;
	size_t size;
	bool plus;
	/* access */
	int mask;
};

static void dir_free(struct ops_job *base)
{
	struct dir_job *job = (struct dir_job *)base;

	keypath_close(&job->kp);
	list_free(&job->listing);
}

static struct dir_job *dir_job(fuse_req_t req, struct node *n, ops_step *work, ops_step *finish)
{
	struct dir_job *job = ops_job_new(req, n, sizeof(*job), work, finish, dir_free);

	if (job)
		job->kp = (struct keypath)KEYPATH_NONE;
	return job;
}

static int resolve(struct dir_job *job)
{
	return keypath_resolve(&ops.keydir, job->base.node->path, KEYPATH_DIRECTORY, &job->kp);
}

/* ---- attributes ---- */

static void getattr_work(struct ops_job *base)
{
	CALLER_SCOPE(denied, &base->caller);

	base->err = denied ? denied : resolve((struct dir_job *)base);
}

static void getattr_finish(struct ops_job *base)
{
	struct dir_job *job = (struct dir_job *)base;
	struct stat st;

	if (base->err) {
		ops_reply_err(base->req, -base->err);
		return;
	}
	attr_directory(&job->kp.st, base->node->path, &st);
	fuse_reply_attr(base->req, &st, 0);
}

void ops_dir_getattr(fuse_req_t req, struct node *n)
{
	if (n->kind != NODE_DIR) {
		ops_id_getattr(req, n);
		node_put(n);
		return;
	}

	struct dir_job *job = dir_job(req, n, getattr_work, getattr_finish);

	if (job)
		ops_job_submit(job);
}

static void access_work(struct ops_job *base)
{
	struct dir_job *job = (struct dir_job *)base;
	CALLER_SCOPE(denied, &base->caller);

	base->err = denied ? denied : resolve(job);
	/* making an object in it needs no more than finding the key file */
	int mask = (job->mask & R_OK) | (job->mask & (W_OK | X_OK) ? X_OK : 0);

	if (!base->err && syscall(SYS_faccessat2, job->kp.fd, "", mask, AT_EMPTY_PATH | AT_EACCESS))
		base->err = -errno;
}

static void reply_err(struct ops_job *base)
{
	ops_reply_err(base->req, -base->err);
}

void ops_dir_access(fuse_req_t req, struct node *n, int mask)
{
	if (n->kind != NODE_DIR) {
		ops_id_access(req, n, mask);
		node_put(n);
		return;
	}

	struct dir_job *job = dir_job(req, n, access_work, reply_err);

	if (!job)
		return;
	job->mask = mask;
	ops_job_submit(job);
}

/* ---- opening ---- */

static void open_work(struct ops_job *base)
{
	struct dir_job *job = (struct dir_job *)base;
	CALLER_SCOPE(denied, &base->caller);
	int err = denied ? denied : resolve(job);
	int fd = err ? err : keypath_open_directory(&job->kp);

	if (fd >= 0)
		close(fd);
	base->err = fd < 0 ? fd : 0;
}

static void dir_handle_free(struct dir_handle *h)
{
	share_list(h->uid, list_bytes(&h->listing), 0);
	list_free(&h->listing);
	share_close(h->uid);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

static void reply_open(fuse_req_t req, struct fuse_file_info *fi)
{
	struct dir_handle *h = calloc(1, sizeof(*h));
	uid_t uid = fuse_req_ctx(req)->uid;
	int err = h ? share_open(uid) : -ENOMEM;

	if (err) {
		free(h);
		ops_reply_err(req, -err);
		return;
	}
	h->uid = uid;
	pthread_mutex_init(&h->lock, NULL);
	fi->fh = (uintptr_t)h;
	if (fuse_reply_open(req, fi))
		dir_handle_free(h);
}

static void open_finish(struct ops_job *base)
{
	struct dir_job *job = (struct dir_job *)base;

	if (base->err)
		ops_reply_err(base->req, -base->err);
	else
		reply_open(base->req, &job->fi);
}

void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *n = node_get(ino);

	if (n && n->kind != NODE_DIR) {
		reply_open(req, fi);
		node_put(n);
		return;
	}

	struct dir_job *job = dir_job(req, n, open_work, open_finish);

	if (!job)
		return;
	job->fi = *fi;
	ops_job_submit(job);
}

void ops_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	dir_handle_free((struct dir_handle *)(uintptr_t)fi->fh);
	ops_reply_err(req, 0);
}

/* ---- reading ---- */

struct reply {
	fuse_req_t req;
	const struct caller *caller;
	const struct node *dir;
	const struct listing *listing;
	char *buffer;
	size_t size, used;
	bool plus;
};

/* The d_ino of an entry; the C library drops entries that have none, and 0 is every namespace's first shmid. */
static ino_t entry_ino(const struct reply *r, const struct list_entry *e)
{
	char *path;
	ino_t ino = (ino_t)1 << 62;

	switch (e->kind) {
	case NAME_OBJECT:
		if (e->is_staged)
			return attr_ino_staged(e->serial);
		return e->id ? (ino_t)e->id : ino;
	case NAME_REFCOUNT:
		return attr_ino_refcount(e->id);
	case NAME_LINK:
		return attr_ino_link(e->key);
	default:
		if (asprintf(&path, "%s%s%s", r->dir->path, *r->dir->path ? "/" : "", list_name(r->listing, e)) >= 0) {
			ino = attr_ino_directory(path);
			free(path);
		}
		return ino;
	}
}

static mode_t entry_type(const struct list_entry *e)
{
	return e->kind == NAME_DIR ? S_IFDIR : e->kind == NAME_LINK ? S_IFLNK : S_IFREG;
}

/*
 * Is there a segment under that name? *NOW is what it is. A name stands for a key or, in .id, for a shmid: whatever has the
 * entry's both is what looking it up would find.
 */
static bool still_there(const struct list_entry *e, struct sm_segment *now)
{
	return sm_segment_stat(e->id, now) == 0 && now->key == e->key;
}

/* With a node the kernel takes an inode's number for the entry's too, and that must not be 0. */
static struct node *entry_node(const struct list_entry *e)
{
	struct sm_segment now;

	if (e->kind == NAME_DIR || e->is_staged || (e->kind == NAME_OBJECT && e->id == 0) || !still_there(e, &now))
		return NULL;
	if (e->kind == NAME_LINK)
		return node_by_key(e->key);
	return node_by_segment(e->kind == NAME_OBJECT ? NODE_SEGMENT : NODE_REFCOUNT, &now);
}

/* Without a node the kernel takes an entry for a plain one and looks it up itself. */
static size_t add_plus(struct reply *r, const struct list_entry *e, off_t next)
{
	struct fuse_entry_param p = { 0 };
	struct node *n = entry_node(e);
	bool known = n && ops_entry(n, r->caller, &p) == 0;

	if (known) {
		p.entry_timeout = PLUS_TIMEOUT;
		p.attr_timeout = p.attr.st_ino ? PLUS_TIMEOUT : 0;	/* the number below is not what stat shows */
		if (e->kind == NAME_OBJECT)
			p.attr.st_blocks = (blkcnt_t)(usage_of(e->id) / 512);
	} else {
		p.ino = 0;
		p.attr.st_mode = entry_type(e);
		p.attr.st_ino = entry_ino(r, e);
	}

	const char *name = list_name(r->listing, e);
	size_t n_bytes = fuse_add_direntry_plus(r->req, r->buffer + r->used, r->size - r->used, name, &p, next);

	if (known && n_bytes > r->size - r->used)
		node_forget(p.ino, 1);	/* it did not fit, so the kernel does not hear of it */
	node_put(n);
	return n_bytes;
}

static size_t add_plain(struct reply *r, const struct list_entry *e, off_t next)
{
	struct stat st = { .st_ino = entry_ino(r, e), .st_mode = entry_type(e) };

	return fuse_add_direntry(r->req, r->buffer + r->used, r->size - r->used, list_name(r->listing, e), &st, next);
}

static size_t add_dots(struct reply *r, const char *name, off_t next)
{
	struct fuse_entry_param p = { .attr = { .st_ino = attr_ino_directory(r->dir->path), .st_mode = S_IFDIR } };

	if (r->plus)
		return fuse_add_direntry_plus(r->req, r->buffer + r->used, r->size - r->used, name, &p, next);
	return fuse_add_direntry(r->req, r->buffer + r->used, r->size - r->used, name, &p.attr, next);
}

/* Offsets: 0 ".", 1 "..", 2 and on the entries. */
static void fill(struct reply *r, off_t off)
{
	const struct listing *l = r->listing;

	for (uint64_t i = (uint64_t)off; i < l->count + 2; i++) {
		off_t next = (off_t)i + 1;
		size_t n;

		if (i < 2)
			n = add_dots(r, i == 0 ? "." : "..", next);
		else if (r->plus)
			n = add_plus(r, &l->entries[i - 2], next);
		else
			n = add_plain(r, &l->entries[i - 2], next);
		if (n > r->size - r->used)
			break;
		r->used += n;
	}
}

/* The lock of the handle is held, so that a rewind in another thread does not free what is handed out. */
static size_t hand_out(struct dir_handle *h, struct reply *r, off_t off)
{
	pthread_mutex_lock(&h->lock);
	r->listing = &h->listing;
	fill(r, off);
	pthread_mutex_unlock(&h->lock);
	return r->used;
}

static void reply_entries(fuse_req_t req, const struct caller *caller, struct node *dir, struct dir_handle *h,
			  size_t size, off_t off, bool plus)
{
	struct reply r = { .req = req, .caller = caller, .dir = dir, .size = size, .plus = plus };

	r.buffer = ops_buffer(size);
	if (!r.buffer)
		ops_reply_err(req, ENOMEM);
	else
		fuse_reply_buf(req, r.buffer, hand_out(h, &r, off));
}

static void list_work(struct ops_job *base)
{
	struct dir_job *job = (struct dir_job *)base;

	base->err = list_directory(&ops.keydir, base->node->path, &base->caller, &job->listing);
	if (!base->err && base->node->id == NODE_ROOT_ID)
		base->err = ops_id_list_root(&job->listing);
}

/* What H listed so far is in LISTING afterwards. -ENOMEM: both are as they were. */
static int take_listing(struct dir_handle *h, struct listing *listing)
{
	struct listing old;

	list_trim(listing);
	pthread_mutex_lock(&h->lock);

	int err = share_list(h->uid, list_bytes(&h->listing), list_bytes(listing));

	if (!err) {
		old = h->listing;
		h->listing = *listing;
		*listing = old;
	}
	pthread_mutex_unlock(&h->lock);
	return err;
}

static void list_finish(struct ops_job *base)
{
	struct dir_job *job = (struct dir_job *)base;
	struct dir_handle *h = (struct dir_handle *)(uintptr_t)job->fi.fh;

	int err = base->err ? base->err : take_listing(h, &job->listing);

	if (err)
		ops_reply_err(base->req, -err);
	else
		reply_entries(base->req, &base->caller, base->node, h, job->size, 0, job->plus);
}

static struct dir_job *list_job(fuse_req_t req, struct node *n, size_t size, const struct fuse_file_info *fi, bool plus)
{
	struct dir_job *job = dir_job(req, n, list_work, list_finish);

	if (!job)
		return NULL;
	job->base.pool.holds_directory = true;
	job->fi = *fi;
	job->size = size;
	job->plus = plus;
	return job;
}

static struct ops_job *list_again(struct ops_job *base)
{
	const struct dir_job *job = (const struct dir_job *)base;

	return (struct ops_job *)list_job(base->req, node_get(base->node->id), job->size, &job->fi, job->plus);
}

static void read_from_start(fuse_req_t req, struct node *n, size_t size, struct fuse_file_info *fi, bool plus)
{
	struct dir_job *job = list_job(req, n, size, fi, plus);

	if (!job)
		return;
	job->base.again = list_again;
	ops_job_submit(job);
}

static void read_directory(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi, bool plus)
{
	struct node *n = node_get(ino);
	struct dir_handle *h = (struct dir_handle *)(uintptr_t)fi->fh;
	struct listing listing = { 0 };
	struct caller caller = { 0 };
	int err = 0;

	if (!n || (off == 0 && n->kind == NODE_DIR)) {
		read_from_start(req, n, size, fi, plus);
		return;
	}
	if (off == 0) {		/* the kernel's table needs no waiting for */
		err = ops_id_list(n, &listing);
		if (!err)
			err = take_listing(h, &listing);
		list_free(&listing);
	}
	if (!err)
		err = ops_caller(req, &caller);
	if (err)
		ops_reply_err(req, -err);
	else
		reply_entries(req, &caller, n, h, size, off, plus);
	caller_free(&caller);
	node_put(n);
}

void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	read_directory(req, ino, size, off, fi, false);
}

void ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	read_directory(req, ino, size, off, fi, true);
}
