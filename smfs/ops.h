/* SPDX-License-Identifier: MIT */
#ifndef SMFS_OPS_H
#define SMFS_OPS_H

#define FUSE_USE_VERSION 317
#include <fuse_lowlevel.h>
#include <stdbool.h>

#include "caller.h"
#include "file.h"
#include "keypath.h"
#include "node.h"
#include "pool.h"

/*
 * The FUSE operations. Each one replies exactly once: "get, check, call the core, reply". An operation that resolves
 * a key path hands that over to the pool and is answered from there.
 */

struct ops_state {
	struct keydir keydir;
	struct pool *pool;
	unsigned max_read;	/* of a request, bytes; 0: the kernel's */
};

extern struct ops_state ops;

/* For fuse_session_new(). */
extern const struct fuse_lowlevel_ops ops_table;

/* ops_name.c: what takes a directory and a name */
void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);

/* ops_id.c: .id and .key */
bool ops_id_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);	/* false: none of theirs, no reply */
bool ops_id_create(fuse_req_t req, fuse_ino_t parent, const char *name);
bool ops_id_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_id_getattr(fuse_req_t req, const struct node *dir);
void ops_id_access(fuse_req_t req, const struct node *dir, int mask);
void ops_readlink(fuse_req_t req, fuse_ino_t ino);

/* ops_info.c: the text of .info files, gathered on the pool */
void ops_info_open(fuse_req_t req, struct node *n, struct fuse_file_info *fi);	/* unpins N */
bool ops_is_info(const struct node *n);
void ops_info_read(fuse_req_t req, size_t size, struct fuse_file_info *fi);	/* once more, from offset 0 */

/* ops_dir.c: directories */
void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void ops_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_dir_getattr(fuse_req_t req, struct node *n);		/* unpins N */
void ops_dir_access(fuse_req_t req, struct node *n, int mask);	/* unpins N */

/* ops_id.c, for directories: what DIR, .id or .key, lists. Errors: ENOMEM. */
struct listing;
int ops_id_list(const struct node *dir, struct listing *out);
int ops_id_list_root(struct listing *out);	/* adds the two to the root's */

/* ops_attr.c: attributes */
void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi);
void ops_access(fuse_req_t req, fuse_ino_t ino, int mask);
void ops_statfs(fuse_req_t req, fuse_ino_t ino);

/* ops_file.c: open files, and ops_bytes.c: what is in them */
void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void ops_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi);
void ops_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t from, struct fuse_file_info *in, fuse_ino_t ino_out, off_t to,
			 struct fuse_file_info *out, size_t size, int flags);
void ops_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void ops_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi);
void ops_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct fuse_pollhandle *ph);
void ops_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);

/* ---- ops_common.c: shared between them ---- */

/*
 * fuse_reply_err(), by way of which every operation reports errors. The kernel takes ENOSYS of some operations for "never
 * ask again" and then answers for us, for everybody; and a key file's file system may be the one that says it: EIO.
 */
int ops_reply_err(fuse_req_t req, int err);

/* Who sent REQ. Errors: ENOMEM. */
int ops_caller(fuse_req_t req, struct caller *c);

/* Memory of the calling thread's own, of at least SIZE bytes, until its next call; NULL: out of memory. */
void *ops_buffer(size_t size);

/*
 * Would whoever opens N, or asks what he may, wait until it is made, or has its other size? Then that belongs on a pool thread.
 * Waits for nobody.
 */
bool ops_is_busy(struct node *n);

/* What stat shows of N, which is no directory; CALLER reads the counter. Errors: ESTALE. */
int ops_stat(struct node *n, const struct caller *caller, struct stat *out);

/* Fill an entry for N and count the kernel's reference to it. Errors: ESTALE, and N is as it was. */
int ops_entry(struct node *n, const struct caller *caller, struct fuse_entry_param *out);

/* Set up FI for the answer to the open of F; errors: ESTALE. And which one that is, of which the kernel asks something. */
int ops_fill_open(struct file *f, struct fuse_file_info *fi);
struct file *ops_file(const struct fuse_file_info *fi);

/* ---- ops_job.c: requests that are answered from the pool ---- */

struct ops_job;
typedef void ops_step(struct ops_job *job);

/* WORK may hang; FINISH replies; FREE frees what the two made. */
struct ops_job {
	struct pool_job pool;	/* first */
	fuse_req_t req;
	struct caller caller;
	struct node *node;	/* pinned; the job's */
	ops_step *work, *finish, *free;	/* FREE may be NULL */
	/*
	 * NULL, or makes the job for the same request once more, for when this one hangs where a hint has led it: that
	 * one is left out then. Called while WORK runs. NULL after it has replied with an error.
	 */
	struct ops_job *(*again)(struct ops_job *job);
	_Atomic pid_t thread;	/* that is at WORK; 0: none yet */
	int err;
};

/*
 * Begin a job of SIZE bytes that starts with a struct ops_job, for a request about NODE, whose pin it takes over;
 * NULL after it has replied with an error.
 */
void *ops_job_new(fuse_req_t req, struct node *node, size_t size, ops_step *work, ops_step *finish, ops_step *free_);
void ops_job_submit(void *job);

/* The same, without a deadline: what has begun is finished. For work that no file system can make hang. */
void ops_job_submit_patiently(void *job);

/* FINISH and free a job whose work was done here. */
void ops_job_finish(void *job);

/* Reply with ERR, a positive errno, and free the job instead. */
void ops_job_fail(void *job, int err);

#endif
