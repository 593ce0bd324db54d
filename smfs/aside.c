/* SPDX-License-Identifier: MIT */
/*
 * System V has no way to keep others from a segment while it is copied. But whoever attaches or detaches leaves his pid and
 * the time, so a copy can be known to be current: while our own attachment was the last thing that happened. One look
 * more after the removal, when nobody may attach it any more, finds who was faster than it.
 */
#include "aside.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "attach.h"
#include "extent.h"
#include "log.h"
#include "native.h"
#include "node.h"
#include "share.h"

#define LATE_MS 50	/* for whom attached in the last instant to be done */
#define LINES 8	/* of a user's segments whose size stays, in ten seconds */

static int make_room_aside(struct aside *a)
{
	a->fd = memfd_create("smfs-aside", MFD_CLOEXEC);
	if (a->fd < 0)
		return -errno;

	int err = share_is_scarce(a->fd) ? -EMFILE : 0;

	if (!err && ftruncate(a->fd, (off_t)a->kept))
		err = -errno;
	a->bytes = err ? MAP_FAILED : mmap(NULL, a->kept, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, a->fd, 0);
	if (a->bytes != MAP_FAILED)
		return 0;
	err = err ? err : -errno;
	close(a->fd);
	return err;
}

static int copy_aside(struct aside *a, const atomic_bool *stop)
{
	if (a->source >= 0)
		return extent_copy(a->bytes, a->at, a->kept, a->source, stop);

	int err = extent_copy_attached(a->bytes, a->at, a->kept, &a->old, stop);

	if (err == -EFBIG)
		log_limited("sizes that stay", LINES, a->uid, LOG_NOTICE, "segment %d: its size stays: in %zu bytes, its data was not found",
			    a->old.id, a->old.size);
	return err;
}

/* The old segment goes here, once it is removed. */
static void let_go(struct aside *a)
{
	if (a->at)
		attach_unmap(a->at, a->old.size);
	if (a->source >= 0)
		close(a->source);
	a->at = NULL;
	a->source = -1;
}

/* Room in the user's share for what will be copied: the descriptor, or else the kernel's table, tells how much is data. */
static int charge(struct aside *a)
{
	struct sm_usage usage;
	struct stat st;
	uint64_t data = UINT64_MAX;

	if (a->source >= 0 && fstat(a->source, &st) == 0)
		data = (uint64_t)st.st_blocks * 512;
	else if (a->source < 0 && extent_usage(a->old.id, &usage) == 0)
		data = usage.resident + usage.swapped;

	size_t bytes = data < a->kept ? (size_t)data : a->kept;
	int err = share_take(a->uid, bytes);

	a->charged = err ? 0 : bytes;
	return err;
}

static int take(const struct sm_segment *data, size_t size, const atomic_bool *stop, struct aside *a)
{
	struct sm_segment now;

	if (sm_segment_stat(data->id, &now) || now.removed || !node_same_segment(data, &now))
		return -ESTALE;
	a->old = now;
	if (a->old.nattch != 1)
		return -EBUSY;
	a->source = native_descriptor(a->at, &a->old);
	if (a->source >= 0 && !native_is_alone(a->source))
		return -EBUSY;	/* open through another mount */
	/* holes cost nothing where a descriptor tells of them */
	a->kept = a->source >= 0 || a->old.size <= EXTENT_MOST || a->old.size < size ? a->old.size : size;

	int err = make_room_aside(a);

	if (err)
		return err;
	err = charge(a);
	if (!err)
		err = copy_aside(a, stop);
	if (err)
		aside_drop(a);
	return err;
}

int aside_take(const struct sm_segment *data, size_t size, uid_t uid, const atomic_bool *stop, struct aside *out)
{
	*out = (struct aside){ .uid = uid, .source = -1 };

	int err = attach_map(data->id, data->size, false, &out->at);

	if (err)
		return err == -EIDRM ? -ESTALE : err;
	out->old.size = data->size;
	err = take(data, size, stop, out);
	if (err)
		let_go(out);
	return err;
}

void aside_drop(struct aside *a)
{
	let_go(a);
	munmap(a->bytes, a->kept);
	close(a->fd);
	share_return(a->uid, a->charged);
}

/* Whoever attaches or detaches leaves his pid, and the time. */
static bool is_untouched(const struct aside *a, const struct sm_segment *now)
{
	return now->nattch == 1 && now->lpid == getpid() && now->atime == a->old.atime && now->dtime == a->old.dtime;
}

bool aside_is_current(const struct aside *a, const struct sm_segment *now)
{
	const struct sm_segment *was = &a->old;

	return is_untouched(a, now) && now->ctime == was->ctime && now->uid == was->uid && now->gid == was->gid &&
	       now->mode == was->mode;
}

static int copy_again(struct aside *a)
{
	if (ftruncate(a->fd, 0) || ftruncate(a->fd, (off_t)a->kept))
		return -errno;
	return copy_aside(a, NULL);
}

/* Until nobody else has it attached, or long enough: how it is then. */
static struct sm_segment wait_for_the_late(const struct aside *a)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct sm_segment now = { .nattch = 0 };

	for (int i = 0; i < LATE_MS && sm_segment_stat(a->old.id, &now) == 0 && now.nattch > 1; i++)
		nanosleep(&pause, NULL);
	return now;
}

void aside_catch_up(struct aside *a)
{
	struct sm_segment now;
	int err = 0;

	/* who knows its shmid may be about to attach it: no more, from here on */
	sm_segment_set(a->old.id, (uid_t)-1, (gid_t)-1, 0);
	now = wait_for_the_late(a);
	if (!is_untouched(a, &now))
		err = copy_again(a);
	if (err || now.nattch > 1)
		log_line(err ? LOG_ERR : LOG_WARNING, "segment %d, key 0x%08x: somebody attached while its size was being changed%s%s",
			 a->old.id, (unsigned)a->old.key, err ? ", and what he wrote was lost: " : " and has the removed one",
			 err ? strerror(-err) : "");
	let_go(a);
}

int aside_fill(void *to, size_t size, void *arg)
{
	const struct aside *a = arg;

	return extent_copy(to, a->bytes, size < a->kept ? size : a->kept, a->fd, NULL);
}
