/* SPDX-License-Identifier: MIT */
/*
 * An object is two segments, and System V changes one at a time. What keeps them together is order: the counter is
 * made before the data and removed after it, so whoever finds data whose counter is missing has found an object
 * that is going, or one that never was whole.
 */
#include "store.h"

#include <errno.h>
#include <libsm/daemon.h>
#include <string.h>
#include <sys/ipc.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "aside.h"
#include "attach.h"
#include "log.h"
#include "node.h"
#include "room.h"

#define STALE_COUNTER_SECONDS 2	/* a younger lone counter may belong to an object that is being made */
#define LINES 8			/* of a user's counters that were removed, in ten seconds */

int store_find(key_t data_key, struct object *out)
{
	int data = sm_segment_stat_key(data_key, &out->data);
	int counter = sm_key_is_data(data_key) ? sm_segment_stat_key(sm_key_counter(data_key), &out->counter) : -ENOENT;

	out->has_data = data == 0;
	out->has_counter = counter == 0;
	/* only ENOENT means that there is none */
	if (data && data != -ENOENT)
		return data;
	return counter && counter != -ENOENT ? counter : 0;
}

int store_find_of(const struct sm_segment *data, struct object *out)
{
	int counter = sm_key_is_data(data->key) && !data->removed ?
		      sm_segment_stat_key(sm_key_counter(data->key), &out->counter) : -ENOENT;

	out->data = *data;
	out->has_data = true;
	out->has_counter = counter == 0;
	return counter == -ENOENT ? 0 : counter;
}

/* A file system that has no room says ENOSPC, whether it is a limit or memory that is missing; shmget(2) tells the two apart. */
static int create(key_t key, size_t size, mode_t mode)
{
	int id = sm_segment_create(key, size, mode);

	return id == -ENOMEM ? -ENOSPC : id;
}

/*
 * A quarter of all keys are counter keys. What stands under one without data is a counter if libsm made it, or if it is an int
 * and no more, as the class makes it. All else, and what may not be looked into, is another program's.
 */
static bool is_counter(const struct sm_segment *seg)
{
	struct sm_counter c;

	return seg->size == sizeof(int) ||
	       (seg->size == SM_COUNTER_SIZE && sm_counter_load(seg->id, &c) == 0 && c.marked);
}

int store_may_create(key_t data_key)
{
	struct object obj;
	int err = store_find(data_key, &obj);

	if (err)
		return err;
	if (obj.has_data)
		return -EEXIST;
	if (obj.has_counter && !is_counter(&obj.counter))
		return -ENOTUNIQ;
	return room_for(1, obj.has_counter ? 1 : 2);
}

/* A lone counter that nobody has attached for some time is what a crash left; its count means nothing. */
static void remove_if_stale(const struct sm_segment *counter, const char *path)
{
	if (counter->nattch || time(NULL) - counter->ctime <= STALE_COUNTER_SECONDS || pair_destroy(-1, counter->id, true))
		return;
	log_limited("counters without data", LINES, geteuid(), LOG_NOTICE,
		    "%s:%c: a counter without data that nobody had attached (segment %d) was removed for a new object", path,
		    sm_key_proj(sm_key_data(counter->key)), counter->id);
}

/* With an error, *OUT says what was made: it may be there all the same. */
static int stat_new(int id, key_t key, size_t size, struct sm_segment *out)
{
	int err = sm_segment_stat(id, out);

	if (err)
		*out = (struct sm_segment){ .id = id, .key = key, .size = size };
	return err;
}

int store_create(key_t data_key, size_t size, mode_t mode, const char *path, struct sm_segment *out)
{
	struct object obj;
	int err = store_find(data_key, &obj);

	out->id = -1;
	if (err)
		return err;
	if (obj.has_data || (obj.has_counter && !is_counter(&obj.counter)))
		return -EEXIST;
	if (obj.has_counter)
		remove_if_stale(&obj.counter, path);

	int id = pair_create_new(data_key, size, mode, path);

	if (id < 0)
		return id == -ENOMEM ? -ENOSPC : id;
	return stat_new(id, data_key, size, out);
}

int store_remove(const struct object *obj)
{
	int err = -ENOENT;

	if (obj->has_counter)
		err = pair_destroy(obj->has_data ? obj->data.id : -1, obj->counter.id, false);
	else if (obj->has_data)
		err = sm_segment_remove(obj->data.id);
	return err == -EIDRM ? -ENOENT : err;
}

/*
 * Is the counter to be changed along with the data? One that a stranger made beside somebody's data is no half of it, and
 * must not keep the owner from what is his. -EPERM: it is a half, and not the thread's to change.
 */
static int counter_comes_along(const struct object *obj)
{
	if (!obj->has_counter)
		return false;
	/* asked ahead only so that one half is not done without the other */
	if (segment_may_remove(&obj->counter))
		return true;
	return counter_may_speak_for(&obj->counter, &obj->data) ? -EPERM : false;
}

int store_set(const struct object *obj, uid_t uid, gid_t gid, mode_t mode)
{
	if (!obj->has_data)
		return -ENOENT;

	int counter = counter_comes_along(obj);

	if (counter < 0)
		return counter;

	int err = sm_segment_set(obj->data.id, uid, gid, mode);

	if (!err && counter)
		err = sm_segment_set(obj->counter.id, uid, gid, mode);
	return err == -EIDRM ? -ESTALE : err;
}

/* OLD is removed, and ERR says why there is none in its place: one of the old size. */
static int go_back(const struct sm_segment *old, int err, mode_t mode, struct sm_segment *out)
{
	int id = sm_segment_create(old->key, old->size, mode);

	/* EEXIST: somebody else's object has its key now, as after any removal */
	if ((id < 0 && id != -EEXIST) || (id >= 0 && sm_segment_stat(id, out)))
		log_line(LOG_ERR, "segment %d, key 0x%08x: lost while its size was being changed: %s",
			 old->id, (unsigned)old->key, strerror(-err));
	return err;
}

/* Its key is somebody else's now. What it held need not be lost with it: a segment without a key is found by its shmid. */
static int keep_without_key(const struct sm_segment *old, struct sm_segment *out)
{
	int id = sm_segment_create(IPC_PRIVATE, old->size, 0);

	if (id < 0 || sm_segment_stat(id, out))
		log_line(LOG_ERR, "segment %d, key 0x%08x: lost while its size was being changed: somebody else made one with its key",
			 old->id, (unsigned)old->key);
	else
		log_line(LOG_WARNING, "segment %d, key 0x%08x: somebody else made one with its key while its size was being changed: "
			 "segment %d, without a key, has its contents", old->id, (unsigned)old->key, id);
	return -EEXIST;
}

int store_swap(const struct sm_segment *old, size_t size, mode_t mode, struct sm_segment *out)
{
	int err = room_instead_of(old, size);

	out->id = -1;
	if (!err)
		err = sm_segment_remove(old->id);
	if (err)
		return err;

	int id = create(old->key, size, mode);

	return id < 0 ? go_back(old, id, mode, out) : sm_segment_stat(id, out);
}

int store_fill_segment(const struct sm_segment *seg, store_fill *fill, void *arg)
{
	struct sm_segment now;
	void *to;
	int err = attach_map(seg->id, seg->size, false, &to);

	if (err)
		return err;
	/* attached, the shmid cannot become another's any more; before, it could */
	if (sm_segment_stat(seg->id, &now) || !node_same_segment(seg, &now))
		err = -EIDRM;
	else
		err = fill(to, seg->size, arg);
	attach_unmap(to, seg->size);
	return err;
}

int store_resize(struct aside *a, size_t size, struct sm_segment *out)
{
	struct sm_segment now, detached = a->old;

	out->id = -1;
	detached.nattch = 0;	/* as it will be */

	int err = room_instead_of(&detached, size);

	if (!err)
		err = sm_segment_stat(a->old.id, &now);
	if (!err && !aside_is_current(a, &now))
		err = -EAGAIN;
	if (!err)
		err = sm_segment_remove(a->old.id);
	if (err)
		return err;

	/* at once: who makes one where he finds none would have the key */
	int id = create(a->old.key, size, 0);

	aside_catch_up(a);
	if (id == -ENOSPC)
		id = create(a->old.key, size, 0);	/* the old one has counted until now */
	if (id == -EEXIST)
		return keep_without_key(&a->old, out);
	if (id < 0)
		return go_back(&a->old, id, 0, out);
	return stat_new(id, a->old.key, size, out);
}

struct hidden {
	struct aside *aside;
	int id;
};

/* Attached, it need not be open to anybody any more. */
static int hide_and_fill(void *to, size_t size, void *arg)
{
	const struct hidden *h = arg;
	int err = sm_segment_set(h->id, (uid_t)-1, (gid_t)-1, 0);

	return err ? err : aside_fill(to, size, h->aside);
}

/* Mode 0 keeps all out but those with CAP_IPC_OWNER, whom nothing does. A daemon without it lends itself the right. */
static int fill_hidden(struct aside *a, struct sm_segment *seg)
{
	struct hidden h = { a, seg->id };
	int err = store_fill_segment(seg, aside_fill, a);

	if (err != -EACCES)
		return err;
	err = sm_segment_set(seg->id, (uid_t)-1, (gid_t)-1, 0600);
	if (!err)
		err = sm_segment_stat(seg->id, seg);
	return err ? err : store_fill_segment(seg, hide_and_fill, &h);
}

int store_dress(struct aside *a, struct sm_segment *seg)
{
	int err = fill_hidden(a, seg);

	if (!err)
		err = sm_segment_set(seg->id, a->old.uid, a->old.gid, a->old.mode);
	return err ? err : sm_segment_stat(seg->id, seg);
}
