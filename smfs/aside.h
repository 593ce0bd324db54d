/* SPDX-License-Identifier: MIT */
#ifndef SMFS_ASIDE_H
#define SMFS_ASIDE_H

#include <libsm/sm.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * A data segment's bytes put aside, to be given to the one that takes its place. It stays attached meanwhile, so that the bytes
 * can be had once more if somebody wrote. All functions return 0 or a negative errno.
 */
struct aside {
	struct sm_segment old;	/* the segment, and when we were last known to be alone with it */
	uid_t uid;		/* whose share (share.h) the bytes are of, and how many */
	size_t charged;
	void *at;		/* its attachment, or NULL */
	int source;		/* its descriptor, which keeps another mount's smfs away, or -1 */
	int fd;			/* a memfd, whose holes are the segment's */
	void *bytes;		/* its mapping */
	size_t kept;		/* so many bytes, from the beginning */
};

/*
 * Attaches with the calling thread's credentials, which should be our own: that can tell holes fastest. What is taken is
 * what a segment of SIZE bytes needs, and all of it where that takes no long time; it counts in UID's share. STOP, unless
 * it is NULL, ends it early once it is true. Errors: EBUSY (somebody is attached), ENOSPC (beyond the share), ESTALE (gone),
 * EIO, EACCES, ENOMEM, EMFILE, EFBIG (too much to look through for its data), EINTR (STOP). To be dropped with aside_drop().
 */
int aside_take(const struct sm_segment *data, size_t size, uid_t uid, const atomic_bool *stop, struct aside *out);
void aside_drop(struct aside *a);

/*
 * NOW is how the segment is now. Has nobody attached or changed it since the copy began? (A mapping that is made through a
 * file leaves no trace; of those the caller knows.)
 */
bool aside_is_current(const struct aside *a, const struct sm_segment *now);

/*
 * The segment is removed: let it go. Who attached between the last look and the removal has written or is about to: those
 * bytes are taken as well, if he leaves soon. Its mode becomes 0, so that nobody else comes. What can still be lost is what
 * somebody writes who stays, or who may attach anything (CAP_IPC_OWNER) and does so between this function's last look and its
 * detaching.
 */
void aside_catch_up(struct aside *a);

/* A store_fill: ARG is a struct aside. */
int aside_fill(void *to, size_t size, void *arg);

#endif
