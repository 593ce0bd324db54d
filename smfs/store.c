/* SPDX-License-Identifier: MIT */
/*
 * An object is two segments, and System V changes one at a time. What keeps them together is order: the counter is
 * made before the data and removed after it, so whoever finds data whose counter is missing has found an object
 * that is going, or one that never was whole.
 */
#include "store.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "guard.h"
#include "log.h"
#include "node.h"

#define STALE_COUNTER_SECONDS 2	/* a younger lone counter may belong to an object that is being made */
#define TRIES 16		/* races with other makers of the same key that are worth losing */

void store_find(key_t data_key, struct object *out)
{
	out->has_data = sm_segment_stat_key(data_key, &out->data) == 0;
	out->has_counter = sm_key_is_data(data_key) &&
			   sm_segment_stat_key(sm_key_counter(data_key), &out->counter) == 0;
}

void store_find_of(const struct sm_segment *data, struct object *out)
{
	out->data = *data;
	out->has_data = true;
	out->has_counter = sm_key_is_data(data->key) && !data->removed &&
			   sm_segment_stat_key(sm_key_counter(data->key), &out->counter) == 0;
}

/* The kernel's own answer, by two segments without a name that are gone again at once. */
int store_may_create(key_t data_key)
{
	struct object obj;
	int probe[2], n = 0, err = 0;

	store_find(data_key, &obj);
	if (obj.has_data)
		return -EEXIST;
	for (int wanted = obj.has_counter ? 1 : 2; n < wanted; n++) {
		probe[n] = sm_segment_create(IPC_PRIVATE, 1, 0);
		if (probe[n] < 0) {
			err = probe[n];
			break;
		}
	}
	while (n > 0)
		sm_segment_remove(probe[--n]);
	return err;
}

int store_may_grow(size_t old, size_t size)
{
	int id = size > old ? sm_segment_create(IPC_PRIVATE, size - old, 0) : 0;

	if (size > old && id >= 0)
		sm_segment_remove(id);
	return id < 0 ? id : 0;
}

/* A lone counter that nobody has attached for some time is what a crash left; its count means nothing. */
static void remove_stale_counter(key_t data_key)
{
	struct object obj;

	store_find(data_key, &obj);
	if (obj.has_counter && !obj.has_data && obj.counter.nattch == 0 &&
	    time(NULL) - obj.counter.ctime > STALE_COUNTER_SECONDS)
		sm_segment_remove(obj.counter.id);
}

/* The counter to go with a new data segment: *MADE is its shmid if this call made it, else -1. */
static int provide_counter(key_t counter_key, mode_t mode, const char *path, int *made)
{
	*made = -1;
	for (int i = 0; i < TRIES; i++) {
		int id = sm_segment_find(counter_key);

		if (id >= 0)
			return 0;
		id = sm_counter_create(counter_key, mode, path);
		if (id >= 0) {
			*made = id;
			return 0;
		}
		if (id != -EEXIST)
			return id;
	}
	return -EEXIST;
}

int store_create(key_t data_key, size_t size, mode_t mode, const char *path, struct sm_segment *out)
{
	int counter;

	if (sm_segment_find(data_key) >= 0)
		return -EEXIST;
	remove_stale_counter(data_key);

	int err = provide_counter(sm_key_counter(data_key), mode, path, &counter);

	if (err)
		return err;

	int id = sm_segment_create(data_key, size, mode);

	if (id < 0) {
		/* whoever made the data meanwhile may count on the counter that was there */
		if (counter >= 0 && id != -EEXIST)
			sm_segment_remove(counter);
		return id;
	}
	return sm_segment_stat(id, out);
}

static bool has_sys_admin(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, data))
		return false;
	return data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN);
}

/* What shmctl(2) would say to IPC_SET and IPC_RMID; asked ahead only so that one half is not done without the other. */
static bool may_change(const struct sm_segment *seg)
{
	uid_t euid = (uid_t)syscall(SYS_geteuid);	/* the thread's own */

	return euid == seg->uid || euid == seg->cuid || has_sys_admin();
}

int store_remove(const struct object *obj)
{
	int err = 0;

	if (!obj->has_data && !obj->has_counter)
		return -ENOENT;
	if (obj->has_data && obj->has_counter && !may_change(&obj->counter))
		return -EPERM;
	if (obj->has_data)
		err = sm_segment_remove(obj->data.id);
	if (err && err != -EIDRM)
		return err;
	if (obj->has_counter) {
		int gone = sm_segment_remove(obj->counter.id);

		if (gone && gone != -EIDRM)
			return gone;
	}
	return err == -EIDRM ? -ENOENT : 0;
}

int store_set(const struct object *obj, uid_t uid, gid_t gid, mode_t mode)
{
	if (!obj->has_data)
		return -ENOENT;
	if (obj->has_counter && !may_change(&obj->counter))
		return -EPERM;

	int err = sm_segment_set(obj->data.id, uid, gid, mode);

	if (!err && obj->has_counter)
		err = sm_segment_set(obj->counter.id, uid, gid, mode);
	return err == -EIDRM ? -ESTALE : err;
}

static uint64_t pages(uint64_t bytes)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return bytes / page + (bytes % page != 0);
}

/* Would a segment of SIZE bytes fit where OLD goes? One that is attached stays when it is removed, and gives nothing back. */
static int check_limits(const struct sm_segment *old, size_t size)
{
	struct sm_limits limits;
	int err = sm_limits_get(&limits);

	if (err)
		return err;
	if (size > limits.shmmax)
		return -EINVAL;

	bool stays = old->nattch > 0;
	uint64_t used = limits.used - !stays, in_pages = limits.pages - (stays ? 0 : pages(old->size));

	return used >= limits.shmmni || in_pages + pages(size) > limits.shmall ? -ENOSPC : 0;
}

int store_swap(const struct sm_segment *old, size_t size, mode_t mode, struct sm_segment *out)
{
	int err = check_limits(old, size);

	out->id = -1;
	if (!err)
		err = sm_segment_remove(old->id);
	if (err)
		return err;

	int id = sm_segment_create(old->key, size, mode);

	if (id >= 0)
		return sm_segment_stat(id, out);
	err = id;
	id = sm_segment_create(old->key, old->size, mode);
	/* EEXIST: somebody else's object has its key now, as after any removal */
	if ((id < 0 && id != -EEXIST) || (id >= 0 && sm_segment_stat(id, out)))
		log_line(LOG_ERR, "segment %d, key 0x%08x: lost while its size was being changed: %s",
			 old->id, (unsigned)old->key, strerror(-err));
	return err;
}

int store_fill_segment(const struct sm_segment *seg, store_fill *fill, void *arg)
{
	struct sm_segment now;
	void *to;
	int err = sm_segment_map(seg->id, seg->size, false, &to);

	if (err)
		return err;
	/* attached, the shmid cannot become another's any more; before, it could */
	if (sm_segment_stat(seg->id, &now) || !node_same_segment(seg, &now))
		err = -EIDRM;
	else
		err = fill(to, seg->size, arg);
	sm_segment_unmap(to, seg->size);
	return err;
}

struct old_contents {
	const void *at;
	size_t size;
};

static int fill_from_old(void *to, size_t size, void *arg)
{
	struct old_contents *old = arg;

	return guard_copy_sparse(to, old->at, size < old->size ? size : old->size);
}

/* Give the segment that took the old one's place its contents, owner and mode. */
static int dress(const struct sm_segment *old, const void *contents, struct sm_segment *seg)
{
	struct old_contents arg = { contents, old->size };
	int err = store_fill_segment(seg, fill_from_old, &arg);

	if (!err)
		err = sm_segment_set(seg->id, old->uid, old->gid, old->mode);
	return err ? err : sm_segment_stat(seg->id, seg);
}

static int resize_copied(const struct sm_segment *old, const void *contents, size_t size, struct sm_segment *out)
{
	int err = store_swap(old, size, 0600, out);	/* the caller's alone until it is dressed */

	if (out->id < 0)
		return err;

	int undressed = dress(old, contents, out);

	if (!undressed || err)
		return err;

	struct sm_segment made = *out;

	store_swap(&made, old->size, 0600, out);	/* go back */
	if (out->id >= 0)
		dress(old, contents, out);
	return undressed;
}

/* A private copy of DATA's bytes: *COPY is to be unmapped. The one attachment is the judge of who may write. */
static int copy_aside(const struct sm_segment *data, struct sm_segment *now, void **copy)
{
	void *at;
	int err = sm_segment_map(data->id, data->size, false, &at);

	if (err)
		return err;
	*copy = mmap(NULL, data->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (*copy == MAP_FAILED)
		err = -ENOMEM;
	else if (sm_segment_stat(data->id, now) || now->removed || !node_same_segment(data, now))
		err = -ESTALE;
	else if (now->nattch != 1)
		err = -EBUSY;
	else
		err = guard_copy_sparse(*copy, at, data->size);
	if (err && *copy != MAP_FAILED)
		munmap(*copy, data->size);
	sm_segment_unmap(at, data->size);
	now->nattch = 0;
	return err;
}

/*
 * The old segment counts against the limits for as long as anybody, we too, has it attached. So its bytes are put aside
 * before it is removed.
 */
int store_resize(const struct sm_segment *data, size_t size, struct sm_segment *out)
{
	struct sm_segment now;
	void *copy;

	out->id = -1;

	int err = check_limits(data, size);

	if (!err)
		err = copy_aside(data, &now, &copy);
	if (err)
		return err;
	err = resize_copied(&now, copy, size, out);
	munmap(copy, data->size);
	return err;
}
