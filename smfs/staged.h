/* SPDX-License-Identifier: MIT */
#ifndef SMFS_STAGED_H
#define SMFS_STAGED_H

#include <libsm/sm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "caller.h"

/*
 * An object in the making: a new file from its creation until its last creating descriptor is closed ("Creation"
 * in the contract). What is written is kept aside; each flush with new bytes makes the object of the size written so
 * far, or replaces it, as its creator, until somebody else has taken notice of it.
 *
 * All functions are thread-safe, return 0 or a negative errno, and must be called without an entered caller: they
 * enter the creator where the kernel is to judge.
 */

struct node;
struct staged;

/* The size of an object that nothing was written to. */
void staged_start(size_t default_size);

/*
 * Begin to make the object with this data key; PATH is recorded. A second creation of it, by the same user or by root with
 * CAP_IPC_OWNER, joins the first. *OUT counts one creating descriptor, *NODE is pinned. Errors: EACCES (another user is making
 * it), ENOMEM.
 */
int staged_open(key_t key, const char *path, mode_t mode, const struct caller *creator, struct staged **out,
		struct node **node);

/* A creating descriptor was closed for good; the last one makes what is not made yet. */
int staged_close(struct staged *s);

/* The same for one that nobody has got: nothing is made. */
void staged_abandon(struct staged *s);

/* The node of the object with this key if it is being made and does not exist yet, pinned, or NULL. */
struct node *staged_find(key_t key);

/* An object that is being made and does not exist yet: its data key, and the path to be recorded. */
struct staged_name {
	key_t key;
	uint64_t serial;	/* for attr_ino_staged() */
	char *path;
};

/* All of them, whoever makes them: how many; *OUT is to be freed with staged_list_free(). Errors: ENOMEM. */
ssize_t staged_list(struct staged_name **out);
void staged_list_free(struct staged_name *names, ssize_t n);

/* Withdraw an object that does not exist yet, as rm does: 0, -ENOENT if there is none, -EPERM (not CALLER's to remove). */
int staged_withdraw(key_t key, const struct caller *caller);

/*
 * staged_find(), staged_list(), staged_stat() and staged_stat_made() only look, and wait for no copy: while one is made the
 * object is shown as it was before.
 */

/* What stat shows of N while its object does not exist, or was removed; false while it does, or if N is not being made. */
bool staged_stat(struct node *n, struct stat *out);

/*
 * CALLER opens N in the ordinary way, to WRITE or to read: if it is being made it is made now, and then 0. -EALREADY: nothing
 * was written yet and CALLER may, so this is one more creating descriptor, *OUT, which staged_close() ends. Errors: EACCES
 * (nothing was written yet, and CALLER may not), ESTALE, ENOENT, those of making it.
 */
int staged_share(struct node *n, bool write, const struct caller *caller, struct staged **out);

/* N was opened in the ordinary way: if it is being made, somebody else has taken notice from now on. */
void staged_opened(struct node *n);

/* access(2) before the object exists: 0 or -EACCES; -EALREADY once it does, or if N is not being made. */
int staged_access(struct node *n, bool write, const struct caller *caller);

/* Has somebody else taken notice? Then its size stays, and the node's segment is changed in the ordinary way. */
bool staged_settled(struct staged *s);

ssize_t staged_read(struct staged *s, void *bytes, size_t n, off_t offset);

/* SEEK_DATA and SEEK_HOLE of lseek(2): all of it is data. Errors: ENXIO. */
off_t staged_seek(struct staged *s, off_t offset, int whence);

/* OFFSET -1 appends. Errors: ENOSPC (the user's share, or past the end of an object that others use), EIO; EIDRM
 * (that one is gone). */
ssize_t staged_write(struct staged *s, const void *bytes, size_t n, off_t offset);

/* Give it this size now (truncate), or at least this size (fallocate). 0 empties it. */
int staged_truncate(struct staged *s, off_t size);
int staged_allocate(struct staged *s, off_t end);

/* A copy of a creating descriptor was closed; fsync(2). */
int staged_flush(struct staged *s);
int staged_sync(struct staged *s);

/* Would a call for S, or for what is being made with this key, wait, as its lock is another's? Waits for nobody. */
bool staged_is_busy(struct staged *s);
bool staged_key_is_busy(key_t key);

/* May calls for N take long, if it is being made: is much still to be copied, or somebody else at it? Waits for nobody. */
bool staged_is_long(struct node *n);

/* utimensat(2): makes what is not made, if N is being made and CALLER may change it. */
int staged_touch(struct node *n, const struct caller *caller);

/* Amend *OUT, N's segment's: of the size written so far where it has less yet, of its own mode where we have lent it another. */
void staged_stat_made(struct node *n, struct stat *out);

/* chmod(2) before the object exists; -EALREADY once it does, or if N is not being made. */
int staged_chmod(struct node *n, mode_t mode, const struct caller *caller);

/* Before chown(2), which is the kernel's to judge: makes what is not made, if N is being made. Errors: EPERM. */
int staged_chown(struct node *n, const struct caller *caller);

/* N's segment, NOW, has got another owner or mode through us: that is no notice taken by others, and is to be kept. */
void staged_changed(struct node *n, const struct sm_segment *now);

#endif
