/* SPDX-License-Identifier: MIT */
#ifndef SMFS_FILE_H
#define SMFS_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "caller.h"
#include "node.h"
#include "text.h"
#include "way.h"

/*
 * Open files: a segment's bytes, an object in the making, or the text of a control file. All functions are
 * thread-safe and return 0 or a negative errno.
 */
#define FILE_LONG_HOLE (4 << 20)	/* bytes, whose pages were given back in a millisecond: not on a thread that serves all */

struct file;

/* Open N as CALLER, whose rights are those of shmat(2). FLAGS are open(2)'s. Errors: EACCES, ESTALE, EMFILE, ENOMEM, ETIMEDOUT, EINTR. */
int file_open(struct node *n, int flags, const struct caller *caller, struct file **out);

/* The open file of a creating descriptor; S is its staged object, NODE is unpinned by file_close(). */
struct staged;
int file_of_staged(struct node *n, struct staged *s, int flags, const struct caller *caller, struct file **out);

/* An open `.info` file, whose text is still to be set. Errors: EACCES (it is not for writing), ENOMEM. */
int file_of_text(struct node *n, int flags, const struct caller *caller, struct file **out);

/* What a control file says; NULL: it is a segment. */
struct text *file_text(struct file *f);

void file_close(struct file *f);

struct node *file_node(const struct file *f);

/* Whose share of open files F is of. */
uid_t file_user(const struct file *f);

/* Wait until F, just opened, can be passed through to its backing file, if it has one. Not on a thread that serves all. */
void file_await(struct file *f);

/*
 * The open is about to be answered: *BACKING is the backing id to answer it with, or 0. Errors: ESTALE (the kernel is to look the
 * name up again).
 */
int file_answer(struct file *f, int *backing);

/*
 * May the kernel send writes to F side by side? While one to a plain open file is on its way, Linux keeps the backing file of the
 * inode, and fails opens with the next one: so not where there may be one.
 */
bool file_writes_in_parallel(struct file *f);

/* The kernel asks for something with F. */
void file_asked(struct file *f);

/*
 * Bytes for a reply, at most as many as asked for, valid until file_read_end(). BUFFER gives room for them, which is used
 * where they lie nowhere else.
 */
struct file_span {
	const void *bytes;
	size_t length;
	struct way *way;	/* file_read_end()'s */
};

int file_read_begin(struct file *f, off_t offset, size_t length, void *(*buffer)(size_t), struct file_span *span);
void file_read_end(struct file_span *span);

/* Is this a file whose bytes the kernel may not keep in its page cache? */
bool file_is_native(struct file *f);

/* A write to a control file may take seconds: then it belongs on a pool thread. */
bool file_write_is_slow(const struct file *f, const void *bytes, size_t n);
ssize_t file_write(struct file *f, const void *bytes, size_t n, off_t offset, const struct caller *caller);

/*
 * Copy N bytes or fewer, for copy_file_range(2): how many, 0 at the end of IN. BUFFER as above. Errors: EOPNOTSUPP (one is not
 * a segment's), and those of reading and writing.
 */
ssize_t file_copy(struct file *in, off_t from, struct file *out, off_t to, size_t n, void *(*buffer)(size_t));

/* Does file_flush() do anything? If not now, then never. */
bool file_wants_flush(const struct file *f);
int file_flush(struct file *f);
int file_sync(struct file *f);
int file_allocate(struct file *f, int mode, off_t offset, off_t length);

/* Fill the segment with zeros, by the right that F was opened with. EALREADY: F is not for writing, or in the making. */
int file_zero(struct file *f);

/* May that copy, or give back pages, for long? Then it belongs on a pool thread. Waits for nobody. */
bool file_allocation_is_long(const struct file *f, int mode, off_t length);
off_t file_seek(struct file *f, off_t offset, int whence);

/* The object in the making that F is a creating descriptor of, or NULL. */
struct staged *file_staged(const struct file *f);

/*
 * Take F's way away, until file_give_way() gives it another one, or NULL: it is lost, and requests get EIDRM. In between, they
 * wait. Returns the one that it had, which is no longer F's; NULL: none, and no other is to be given.
 */
struct way *file_take_way(struct file *f);
void file_give_way(struct file *f, struct way *w);

/* Would a request wait, for that or for a copy of what is in the making? Then it belongs on a pool thread. */
bool file_waits(struct file *f);

#endif
