/* SPDX-License-Identifier: MIT */
#ifndef SMFS_STORE_H
#define SMFS_STORE_H

#include <libsm/sm.h>
#include <stdbool.h>

/*
 * Objects by key: find, make, remove, change. smfs's door to libsm. All functions act with the credentials of
 * the calling thread, so that the kernel judges, and return 0 or a negative errno.
 */

struct object {
	bool has_data, has_counter;
	struct sm_segment data, counter;
};

/*
 * Both halves of the object with this data key, as they are now. No half at all is no error. Errors: the kernel's where it
 * does not say.
 */
int store_find(key_t data_key, struct object *out);

/* The object that a segment is the data of, as they are now; a segment that is none's data has no counter. The same errors. */
int store_find_of(const struct sm_segment *data, struct object *out);

/*
 * Would store_create be refused now: by SHMMNI (ENOSPC), or because the object exists (EEXIST), or because the counter's key is
 * that of another program's segment (ENOTUNIQ)?
 */
int store_may_create(key_t data_key);

/*
 * Make the object, all zero, counter 0, owned by the calling thread. PATH, absolute, is recorded. Errors: EEXIST
 * (the data segment exists, or another program's is in the counter's place), ENOSPC, EINVAL (SHMMAX). A lone counter that
 * nobody uses is replaced where that is allowed, else it is taken as it is.
 */
int store_create(key_t data_key, size_t size, mode_t mode, const char *path, struct sm_segment *out);

/* Remove both halves, or neither: EPERM if the caller may not remove one of them. ENOENT. See pair_destroy(). */
int store_remove(const struct object *obj);

/* IPC_SET on both halves, or on neither. (uid_t)-1, (gid_t)-1 and (mode_t)-1 leave that field. */
int store_set(const struct object *obj, uid_t uid, gid_t gid, mode_t mode);

/* Writes the first contents of a segment of SIZE bytes, all zero so far, at TO: 0 or a negative errno. */
typedef int store_fill(void *to, size_t size, void *arg);

/* Attach SEG and have FILL write it. Errors: EACCES, EIDRM (gone), ENOMEM, and FILL's. */
int store_fill_segment(const struct sm_segment *seg, store_fill *fill, void *arg);

/*
 * Remove OLD and make a segment of SIZE bytes, all zero, with its key. The limits and memory are looked at before. Errors: EPERM
 * (may not remove), EIDRM, ENOSPC, EINVAL (SHMMAX), EEXIST (somebody took the key). After an error OUT->id is -1
 * if OLD is still there, or that of an empty one of the old size.
 */
int store_swap(const struct sm_segment *old, size_t size, mode_t mode, struct sm_segment *out);

struct aside;

/*
 * Replace the data segment that A was taken of by one of SIZE bytes with the same key, the calling thread's, of mode 0: nobody
 * shall attach it before store_dress(). The caller has made sure that nobody uses the old one through us. Errors: EAGAIN
 * (somebody came since the copy began), and those of store_swap(), OUT too; but with EEXIST it is one without a key.
 */
int store_resize(struct aside *a, size_t size, struct sm_segment *out);

/* Give SEG, which took the old one's place, its contents, owner and mode, with the credentials of aside_take(). */
int store_dress(struct aside *a, struct sm_segment *seg);

#endif
