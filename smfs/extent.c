/* SPDX-License-Identifier: MIT */
/*
 * Looking at a hole of shared memory through a mapping makes a page of it, so a copy has to know where the data is. A
 * descriptor tells by SEEK_DATA. Who may not have one asks mincore(2), which sees pages that nobody has touched through
 * this attachment, and takes what is swapped out for a hole. How many pages there are in all, resident and swapped, is in
 * /proc/sysvipc/shm: only if just so many were found, none was missed. It also says when there is no need to look any further,
 * as an empty segment may have any size.
 */
#include "extent.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "guard.h"

#define ROUNDS 3
#define CHUNK_PAGES ((size_t)256 << 10)	/* asked for at once */
#define CHUNK ((size_t)64 << 20)	/* copied at once */

static bool is_to_stop(const atomic_bool *stop)
{
	return stop && atomic_load(stop);
}

static int copy_by_chunks(int copy(void *, const void *, size_t), char *to, const char *from, size_t n, const atomic_bool *stop)
{
	int err = 0;

	for (size_t done = 0, step; !err && done < n; done += step) {
		step = n - done < CHUNK ? n - done : CHUNK;
		err = is_to_stop(stop) ? -EINTR : copy(to + done, from + done, step);
	}
	return err;
}

int extent_copy(void *to, const void *from, size_t size, int fd, const atomic_bool *stop)
{
	off_t hole = 0;
	int err = 0;

	while (!err && hole < (off_t)size) {
		off_t data = lseek(fd, hole, SEEK_DATA);

		if (data < 0)
			return errno == ENXIO ? 0 : -errno;	/* nothing but a hole is left */
		if (data >= (off_t)size)
			break;
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0 || hole > (off_t)size)
			hole = (off_t)size;
		err = copy_by_chunks(guard_copy, (char *)to + data, (const char *)from + data, (size_t)(hole - data), stop);
	}
	return err;
}

int extent_usage(int id, struct sm_usage *out)
{
	AUTO_FREE struct sm_usage *all = NULL;
	ssize_t n = sm_usage_list(&all);

	for (ssize_t i = 0; i < n; i++) {
		if (all[i].id == id) {
			*out = all[i];
			return 0;
		}
	}
	return n < 0 ? (int)n : -EIDRM;
}

/* The pages of one chunk that are there: *FOUND more. */
static int copy_chunk(char *to, const char *from, size_t size, size_t page, unsigned char *there, size_t *found)
{
	size_t n = (size + page - 1) / page, next;
	int err = 0;

	/* what is swapped out is read in, as far as there is room, and nothing else */
	madvise((void *)(uintptr_t)from, size, MADV_WILLNEED);
	if (mincore((void *)(uintptr_t)from, size, there))
		return -errno;
	for (size_t i = 0; i < n && !err; i = next) {
		for (next = i; next < n && (there[next] & 1) == (there[i] & 1); next++)
			;
		if (!(there[i] & 1))
			continue;
		*found += next - i;
		err = guard_copy(to + i * page, from + i * page, (next < n ? next * page : size) - i * page);
	}
	return err;
}

/* The pages that are there, until MOST were found. *FOUND is how many. */
static int copy_resident(char *to, const char *from, size_t size, size_t page, size_t most, size_t *found,
			 const atomic_bool *stop)
{
	AUTO_FREE unsigned char *there = calloc(CHUNK_PAGES, 1);
	int err = there ? 0 : -ENOMEM;

	*found = 0;
	for (size_t done = 0, step; !err && done < size && *found < most; done += step) {
		step = size - done < CHUNK_PAGES * page ? size - done : CHUNK_PAGES * page;
		if (is_to_stop(stop))
			err = -EINTR;
		else if (done >= EXTENT_MOST)
			err = -EFBIG;
		else
			err = copy_chunk(to + done, from + done, step, page, there, found);
	}
	return err;
}

/* Were all pages found that lie within SIZE? */
static bool is_all(size_t found, size_t page, size_t size, const struct sm_segment *seg, const struct sm_usage *now)
{
	if (found * page == now->resident + now->swapped)
		return true;
	return size < seg->size && !now->swapped;	/* what was not found lies behind */
}

int extent_copy_attached(void *to, const void *from, size_t size, const struct sm_segment *seg, const atomic_bool *stop)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	size_t page = (size_t)sysconf(_SC_PAGESIZE), found;
	struct sm_usage now;

	for (int i = 0; i < ROUNDS; i++) {
		int err = extent_usage(seg->id, &now);

		if (!err)
			err = copy_resident(to, from, size, page, (now.resident + now.swapped) / page, &found, stop);
		if (!err)
			err = extent_usage(seg->id, &now);
		if (err || is_all(found, page, size, seg, &now))
			return err;
		nanosleep(&pause, NULL);	/* what is being read in is not there yet */
	}
	return size > EXTENT_MOST ? -EFBIG : copy_by_chunks(guard_copy_sparse, to, from, size, stop);
}
