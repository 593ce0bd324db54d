// SPDX-License-Identifier: MIT
/*
 * The SMObject life cycle, as the class has it: name it, make it, join it, leave it. The protocol behind
 * each step is in pair.c (make, remove) and hold.c (join, leave); here a handle remembers, and every error
 * gets the words that tell a person what is wrong with which object.
 */
#include "private.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>

#define MODE_DEFAULT 0666
#define MODE_BITS 0777

/* "PATH:P", for messages. */
#define NAME_FMT "%s:%c"
#define NAME(obj) (obj)->path, (obj)->proj_id

sm_object *sm_object_new(const char *path, char proj_id, size_t size)
{
	sm_object *obj = calloc(1, sizeof *obj);

	if (!obj)
		return NULL;
	if (path) {
		obj->path = strdup(path);
		if (!obj->path) {
			free(obj);
			return NULL;
		}
	}
	obj->proj_id = proj_id;
	obj->size = size;
	obj->mode = MODE_DEFAULT;
	if (!sm_proj_valid(proj_id))
		error_set(obj, SM_EBADK, NULL);
	else if (!path)
		error_set(obj, EINVAL, "no key path was given");
	return obj;
}

void sm_object_free(sm_object *obj)
{
	if (!obj)
		return;
	hold_leave(&obj->hold);
	error_clear(obj);
	free(obj->path);
	free(obj);
}

/* What names the object cannot change while it is attached. */
static int refuse_if_accessed(sm_object *obj)
{
	if (!hold_is_mine(&obj->hold))
		return 0;
	return error_set(obj, EBUSY, NAME_FMT " is accessed; free the handle first", NAME(obj));
}

int sm_object_set_id(sm_object *obj, const char *path, char proj_id)
{
	char *copy;

	if (!obj)
		return -1;
	if (refuse_if_accessed(obj) < 0)
		return -1;
	if (!sm_proj_valid(proj_id))
		return error_set(obj, SM_EBADK, NULL);
	if (!path)
		return error_set(obj, EINVAL, "no key path was given");
	copy = strdup(path);
	if (!copy)
		return error_set(obj, ENOMEM, NULL);
	free(obj->path);
	obj->path = copy;
	obj->proj_id = proj_id;
	obj->found = 0;
	return error_clear(obj);
}

int sm_object_set_size(sm_object *obj, size_t size)
{
	if (!obj)
		return -1;
	if (refuse_if_accessed(obj) < 0)
		return -1;
	obj->size = size;
	obj->found = 0;
	return error_clear(obj);
}

int sm_object_set_mode(sm_object *obj, mode_t mode)
{
	if (!obj)
		return -1;
	if (refuse_if_accessed(obj) < 0)
		return -1;
	if (mode & ~(mode_t)MODE_BITS)
		return error_set(obj, EINVAL, "mode %#o has more than the bits 0777", (unsigned)mode);
	obj->mode = mode;
	return error_clear(obj);
}

/* The data key, or -1 and the error. */
static int resolve(sm_object *obj, key_t *key)
{
	int r;

	if (!sm_proj_valid(obj->proj_id))
		return error_set(obj, SM_EBADK, NULL);
	if (!obj->path)
		return error_set(obj, EINVAL, "no key path was given");
	r = sm_key_from_path(obj->path, obj->proj_id, key);
	if (r == -ENOENT)
		return error_set(obj, ENOENT, "key file %s; any file will do, make it first", obj->path);
	if (r < 0)
		return error_set(obj, -r, "key file %s", obj->path);
	return 0;
}

/* EINVAL is a size that cannot be had, in words that say which of the limits it is. */
static int fail_size(sm_object *obj)
{
	struct sm_limits limits;

	if (obj->found > 0 && obj->found < obj->size)
		return error_set(obj, EINVAL, NAME_FMT " exists with %zu bytes, fewer than the %zu asked for",
				 NAME(obj), obj->found, obj->size);
	if (sm_limits_get(&limits) == 0 && obj->size > limits.shmmax)
		return error_set(obj, EINVAL, NAME_FMT " cannot have %zu bytes: one segment may have %" PRIu64
				 " at most (SHMMAX)", NAME(obj), obj->size, limits.shmmax);
	/* A segment is a file to the kernel, and SHMMAX may be beyond the largest one. */
	if (obj->size > INT64_MAX)
		return error_set(obj, EINVAL, NAME_FMT " cannot have %zu bytes: one segment can have %" PRIi64
				 " at most", NAME(obj), obj->size, INT64_MAX);
	return error_set(obj, EINVAL, "the counter segment of " NAME_FMT " is smaller than an int", NAME(obj));
}

/* The error of a step on existing or new segments, in words. */
static int fail(sm_object *obj, int err)
{
	switch (err) {
	case ENOENT:
		return error_set(obj, err, NAME_FMT " does not exist; create it first", NAME(obj));
	case EACCES:
		return error_set(obj, err, NAME_FMT " may not be read and written by this user", NAME(obj));
	case EINVAL:
		return fail_size(obj);
	case ENOMEM:
		return error_set(obj, err, "there is not enough for the %zu bytes of " NAME_FMT,
				 obj->found ? obj->found : obj->size, NAME(obj));
	case ENOSPC:
		return error_set(obj, err, NAME_FMT " would exceed the system's number of segments (SHMMNI) or "
				 "its shared memory (SHMALL)", NAME(obj));
	case EOVERFLOW:
		return error_set(obj, err, "the counter of " NAME_FMT " is at %d", NAME(obj), INT_MAX);
	case EAGAIN:
		return error_set(obj, err, NAME_FMT " is being removed by another process all the time; try again",
				 NAME(obj));
	case ERANGE:
		return error_set(obj, err, "the counter of " NAME_FMT " is 0", NAME(obj));
	case EIO:
		return error_set(obj, err, "the memory of " NAME_FMT " cannot be had: truncated behind its users' backs, "
				 "or no huge page is free", NAME(obj));
	default:
		return error_set(obj, err, NAME_FMT, NAME(obj));
	}
}

/* Size 0 is "what exists": both halves, and nothing is made. */
static int find_pair(key_t data_key, size_t *found)
{
	struct sm_segment seg;
	int r = sm_segment_stat_key(data_key, &seg);

	if (r == 0)
		r = sm_segment_find(sm_key_counter(data_key));
	if (r < 0)
		return r;
	*found = seg.size;
	return 0;
}

int sm_create(sm_object *obj)
{
	size_t found = 0;
	char *path;
	key_t key;
	int r;

	if (!obj)
		return -1;
	if (resolve(obj, &key) < 0)
		return -1;
	obj->found = 0;
	if (obj->size == 0) {
		r = find_pair(key, &found);
	} else {
		path = realpath(obj->path, NULL);
		r = pair_create(key, obj->size, obj->mode, path, &found);
		free(path);
		/* Of the errors, only "too small" is one of an object that exists; else FOUND may be what was asked. */
		if (r < 0 && !(r == -EINVAL && found < obj->size))
			found = 0;
	}
	obj->found = found;
	if (r < 0)
		return fail(obj, -r);
	return error_clear(obj);
}

int sm_access(sm_object *obj)
{
	key_t key;
	int r;

	if (!obj)
		return -1;
	if (refuse_if_accessed(obj) < 0)
		return -1;
	if (resolve(obj, &key) < 0)
		return -1;
	/* In a forked child: what it inherited is the parent's. */
	hold_leave(&obj->hold);
	r = hold_join(&obj->hold, key, obj->size);
	obj->found = obj->hold.size;
	if (r < 0)
		return fail(obj, -r);
	return error_clear(obj);
}

void *sm_data(sm_object *obj)
{
	return obj ? obj->hold.data : NULL;
}

size_t sm_size(const sm_object *obj)
{
	if (!obj)
		return 0;
	return obj->found > 0 ? obj->found : obj->size;
}

/* The counter's id for a handle that has not accessed, or -1 and the error. */
static int find_counter(sm_object *obj)
{
	key_t key;
	int id;

	if (resolve(obj, &key) < 0)
		return -1;
	id = sm_segment_find(sm_key_counter(key));
	return id < 0 ? fail(obj, -id) : id;
}

/* A segment that went between finding and attaching does not exist. */
static int fail_counter(sm_object *obj, int err)
{
	return fail(obj, err == EIDRM ? ENOENT : err);
}

int sm_refcount(sm_object *obj)
{
	int value, id, r;

	if (!obj)
		return -1;
	if (hold_is_mine(&obj->hold)) {
		value = word_load(&obj->hold.page->word).counter;
	} else {
		id = find_counter(obj);
		if (id < 0)
			return -1;
		r = sm_counter_value(id, &value);
		if (r < 0)
			return fail_counter(obj, -r);
	}
	error_clear(obj);
	/* Garbage below 0 counts as none, as it does for joining and leaving; -1 is for errors. */
	return value < 0 ? 0 : value;
}

int sm_decrement(sm_object *obj)
{
	int id, r;

	if (!obj)
		return -1;
	if (hold_is_mine(&obj->hold)) {
		r = counter_take(obj->hold.page);
	} else {
		id = find_counter(obj);
		if (id < 0)
			return -1;
		r = sm_counter_decrement(id, NULL);
	}
	return r < 0 ? fail_counter(obj, -r) : error_clear(obj);
}
