/* SPDX-License-Identifier: MIT */
/*
 * A file system with one file, `null`, that forgets what is written and reads as whatever lies in memory: what a
 * request costs when nothing is done for it. tools/bench compares smfs with it.
 */
#define FUSE_USE_VERSION 317
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_INO 2
#define FILE_SIZE ((off_t)256 << 20)

static char *bytes;

static struct stat attributes(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? (struct stat){ .st_ino = ino, .st_mode = S_IFDIR | 0755, .st_nlink = 2 } :
	       (struct stat){ .st_ino = ino, .st_mode = S_IFREG | 0666, .st_nlink = 1, .st_size = FILE_SIZE };
}

static void on_init(void *unused, struct fuse_conn_info *conn)
{
	fuse_unset_feature_flag(conn, FUSE_CAP_SPLICE_READ);	/* as smfs */
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { .ino = FILE_INO, .attr = attributes(FILE_INO) };

	if (strcmp(name, "null") == 0)
		fuse_reply_entry(req, &e);
	else
		fuse_reply_err(req, ENOENT);
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st = attributes(ino);

	fuse_reply_attr(req, &st, 0);
}

static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->direct_io = 1;
	fi->parallel_direct_writes = 1;
	fi->noflush = 1;
	fuse_reply_open(req, fi);
}

static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	fuse_reply_buf(req, bytes, size);
}

static void on_write(fuse_req_t req, fuse_ino_t ino, const char *from, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	fuse_reply_write(req, size);
}

static const struct fuse_lowlevel_ops table = {
	.init = on_init, .lookup = on_lookup, .getattr = on_getattr, .open = on_open, .read = on_read, .write = on_write,
};

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	char *mountpoint = argc > 1 ? argv[--args.argc] : NULL;
	struct fuse_session *se = mountpoint ? fuse_session_new(&args, &table, sizeof(table), NULL) : NULL;
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int err = 1;

	bytes = calloc(1, (size_t)1 << 20);
	if (!se || !bytes || !config)
		fprintf(stderr, "usage: nullfs [-o OPTIONS] MOUNTPOINT\n");
	else if (fuse_set_signal_handlers(se) == 0 && fuse_session_mount(se, mountpoint) == 0) {
		err = fuse_session_loop_mt(se, config);
		fuse_session_unmount(se);
	}
	if (se)
		fuse_session_destroy(se);
	fuse_loop_cfg_destroy(config);
	free(bytes);
	return err ? 1 : 0;
}
