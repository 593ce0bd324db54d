/* SPDX-License-Identifier: MIT */
#ifndef SMFS_WAY_H
#define SMFS_WAY_H

#include <libsm/sm.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * The way to a segment's bytes while its file is open: native (a descriptor on the shmem inode, native.h) or
 * copying (an attachment, let go when idle, copying.h). It is chosen at the first open and stays for as long as any
 * descriptor is open. All functions are thread-safe.
 */

enum way_choice { WAY_AUTO, WAY_NATIVE, WAY_COPY };

/* Before any file is opened; AUTO tries native for every segment. Errors: those of sigaction(2). */
int way_start(enum way_choice choice);

struct node;
struct way;

/*
 * Take the way of N's segment SEG for one more open file. ATTACHED is an attachment that was made as the caller;
 * it is this function's from now on. Errors: ENOMEM, EMFILE, ESTALE (it is not SEG that was attached).
 */
int way_get(struct node *n, const struct sm_segment *seg, const void *attached, bool writable, struct way **out);
void way_put(struct node *n, struct way *w);

/* Keep W for the time of one request, although its file may be closed or change its way meanwhile. */
void way_use(struct way *w);
void way_unuse(struct way *w);

/* Open files that have N's segment now. */
unsigned way_opens(struct node *n);

/* N's segment, which is NOW, was given another owner or mode by us, or the same again. */
void way_changed(struct node *n, const struct sm_segment *now);

/* Are N's bytes reached natively, or, while nobody has it open, would they be if its pages are ordinary ones? */
bool way_is_native(struct node *n);

/* The backing id to answer an open with, or 0: copying. */
int way_backing(const struct way *w);

/* The segment, as it was when the way was chosen. */
const struct sm_segment *way_segment(const struct way *w);

/*
 * Bytes for a reply. Either AT points at them, or (AT is NULL) they are in FD at the offset asked for. They stay until
 * way_read_end(). Nothing is read beyond the size: *LENGTH says how much there is. Errors: EIDRM, EIO, ENOMEM.
 */
struct way_span {
	const void *at;
	int fd;
	size_t length;
};

int way_read_begin(struct way *w, off_t offset, size_t length, struct way_span *span);
void way_read_end(struct way *w);

/* Write what fits: the number of bytes, or -ENOSPC where nothing does, -EIDRM, -EIO, -ENOMEM. */
ssize_t way_write(struct way *w, const void *bytes, size_t n, off_t offset);

/* Zeros over the range, which is cut at the size; whole pages are given back. */
int way_zero(struct way *w, off_t offset, off_t length);

/* W no longer stands in the way of a native_is_alone() of ours. */
void way_unclaim(struct way *w);

/*
 * W's segment is removed and nobody is attached to it, but a descriptor that was opened with W's backing id may still be
 * mapped. Such a mapping shall fail (SIGBUS) rather than show memory that is no longer the object's.
 */
void way_abandon(struct way *w);

/* lseek(2) with SEEK_DATA or SEEK_HOLE; copying knows no holes. */
off_t way_seek(struct way *w, off_t offset, int whence);

#endif
