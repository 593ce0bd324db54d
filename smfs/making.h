/* SPDX-License-Identifier: MIT */
#ifndef SMFS_MAKING_H
#define SMFS_MAKING_H

#include <libsm/sm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "caller.h"
#include "cleanup.h"
#include "hash.h"
#include "node.h"

/*
 * One object in the making, for the files that share the work: staged.c (the table),
 * staged_others.c (who), making.c (when), staged_bytes.c (what).
 */

/* What is shown of an object in the making. */
struct staged_view {
	bool made, settled, withdrawn;
	bool lent;
	mode_t mode;
	off_t size, dirty_to;
	size_t charged;
	struct sm_segment seg;
};

struct staged {
	/* constant */
	key_t key;
	char *path;
	struct caller creator;
	uint64_t serial;
	struct node *node;
	struct timespec born;

	_Atomic bool opened;	/* by somebody else, once it was made; he may have closed it again */

	/* under staged.c's table lock */
	unsigned descriptors;	/* creating ones; the last one ends the making */
	unsigned uses;		/* of this struct; the descriptors together are one */
	UT_hash_handle hh;

	/* under view_lock, the innermost but for node.c's: for those who only look, and are not to wait for a copy */
	pthread_mutex_t view_lock;
	struct staged_view view;

	/* under lock */
	pthread_mutex_t lock;
	mode_t mode;
	int memfd;		/* -1: nothing written */
	size_t charged;		/* bytes of the creator's share that the memfd holds */
	off_t size;		/* written so far */
	off_t dirty_from, dirty_to;	/* what the segment does not have yet */
	unsigned flushes;
	bool made, settled;
	bool withdrawn;		/* removed; what is written goes with it */
	int verdict;		/* what commits say then: 0, or -EEXIST where somebody else had the key */
	struct sm_segment seg;	/* if made: as we left it */
	bool lent;		/* its mode is not the one given it, but one that lets us fill it */
};

/* Hold the lock of S until the scope ends. What was changed under it is seen by all before anybody is told. */
#define MAKING_HELD(s) struct staged *held AUTO(making_let_go) __attribute__((unused)) = making_hold(s)
struct staged *making_hold(struct staged *s);
void making_let_go(struct staged **s);

/* staged.c: what is being made by N, or with this key, in use until the scope of a variable with STAGED_USED ends; or NULL. */
#define STAGED_USED AUTO(staged_unuse)
struct staged *staged_of_node(struct node *n);
struct staged *staged_of_key(key_t key);
void staged_unuse(struct staged **s);

/* One creating descriptor more: 0, or -ESTALE where there is none any more. */
int staged_join(struct staged *s);

/*
 * All functions below are called with the object's lock held and no caller entered, and return 0 or a negative errno.
 */

/* Look again at what exists: withdrawn if it is gone; settled, and its bytes poured, if others have taken notice. Errors: the
 * kernel's where it does not say, and those of pouring. */
int making_look(struct staged *s);

/* Was it removed, made or not? */
bool making_is_withdrawn(struct staged *s);

/* Let those who look see it as it is now. */
void making_show(struct staged *s);

/* As it was shown last, but that it was removed meanwhile is seen at once. The lock is not needed, and not waited for. */
struct staged_view making_view(struct staged *s);

/* Make it, or bring what exists up to what was written, with SIZE bytes. EEXIST is for good. */
int making_commit(struct staged *s, off_t size);

/* The same if there are bytes that the segment does not have; and if there is no segment yet. */
int making_commit_new_bytes(struct staged *s);
int making_commit_default(struct staged *s);

/* Let go of the bytes kept aside. */
void making_forget_bytes(struct staged *s);

/* The size of an object that nothing was written to; before any other call. */
void making_start(size_t default_size);

/* staged_bytes.c */
ssize_t staged_bytes_write(struct staged *s, const void *bytes, size_t n, off_t offset);
ssize_t staged_bytes_read(struct staged *s, void *bytes, size_t n, off_t offset);
off_t staged_bytes_seek(struct staged *s, off_t offset, int whence);
int staged_bytes_truncate(struct staged *s, off_t size);

#endif
