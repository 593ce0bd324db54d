/* SPDX-License-Identifier: MIT */
/* The operation table, and the operations that have nothing to ask. */
#include "ops.h"

#include <errno.h>

#include "loop.h"

struct ops_state ops;

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
	/* with it, truncating comes as a flag of open, and a descriptor for appending overwrote offset 0 */
	fuse_unset_feature_flag(conn, FUSE_CAP_ATOMIC_O_TRUNC);
	/* bytes are copied once, out of the request into the segment; a pipe in between costs more */
	fuse_unset_feature_flag(conn, FUSE_CAP_SPLICE_READ);
	conn->max_read = ops.max_read;
	if (conn->max_write > LOOP_MAX_WRITE)
		conn->max_write = LOOP_MAX_WRITE;
	if (conn->capable_ext & FUSE_CAP_PARALLEL_DIROPS)
		fuse_set_feature_flag(conn, FUSE_CAP_PARALLEL_DIROPS);
	if (conn->capable_ext & FUSE_CAP_PASSTHROUGH) {
		fuse_set_feature_flag(conn, FUSE_CAP_PASSTHROUGH);
		conn->max_backing_stack_depth = 1;
	}
}

static void ops_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	node_forget(ino, count);
	fuse_reply_none(req);
}

static void ops_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		node_forget(forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

/* An object is not a name that could be moved, linked or made without bytes. */

static void ops_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	ops_reply_err(req, EPERM);
}

static void ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	ops_reply_err(req, EPERM);
}

static void ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	ops_reply_err(req, EPERM);
}

static void ops_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
	ops_reply_err(req, EPERM);
}

static void ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	ops_reply_err(req, EPERM);
}

/* mv(1) then copies and removes. */
static void ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
		       const char *newname, unsigned int flags)
{
	ops_reply_err(req, EXDEV);
}

/*
 * No xattr operation: after one ENOSYS the kernel answers alone. No lock operation: the kernel keeps locks itself,
 * between the processes of this machine.
 */
const struct fuse_lowlevel_ops ops_table = {
	.init = on_init,
	.lookup = ops_lookup,
	.forget = ops_forget,
	.forget_multi = ops_forget_multi,
	.getattr = ops_getattr,
	.setattr = ops_setattr,
	.access = ops_access,
	.statfs = ops_statfs,
	.mknod = ops_mknod,
	.mkdir = ops_mkdir,
	.rmdir = ops_rmdir,
	.symlink = ops_symlink,
	.link = ops_link,
	.rename = ops_rename,
	.create = ops_create,
	.unlink = ops_unlink,
	.readlink = ops_readlink,
	.opendir = ops_opendir,
	.readdir = ops_readdir,
	.readdirplus = ops_readdirplus,
	.releasedir = ops_releasedir,
	.open = ops_open,
	.read = ops_read,
	.write = ops_write,
	.flush = ops_flush,
	.release = ops_release,
	.fsync = ops_fsync,
	.fallocate = ops_fallocate,
	.copy_file_range = ops_copy_file_range,
	.lseek = ops_lseek,
	.poll = ops_poll,
};
