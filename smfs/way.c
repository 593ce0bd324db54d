/* SPDX-License-Identifier: MIT */
/*
 * The kernel does not let one inode be read through its page cache, or through one backing file and then another, at
 * the same time. So what was chosen when the file was first opened holds until it is closed, and every open file
 * shares one descriptor and one backing id, or one attachment.
 *
 * `ways` guards node->way and the number of opens, and is taken before any other lock of this file. A struct way is
 * made ready before it is put there and taken apart after it was taken away, so that no system call is made under it.
 */
#include "way.h"

#include <errno.h>
#include <fcntl.h>
#include <libsm/daemon.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "attach.h"
#include "copying.h"
#include "guard.h"
#include "log.h"
#include "native.h"
#include "node.h"
#include "touch.h"

struct way {
	unsigned opens;
	_Atomic unsigned uses;		/* the opens together are one */
	struct sm_segment seg;
	bool native;
	struct copying copying;		/* if not native */
	int fd, backing;		/* if native */
	_Atomic(void *) map;		/* if native: of fd, for writing; made when first needed */
	_Atomic(struct touch *) touch;	/* of that; NULL at first */
};

static pthread_mutex_t ways = PTHREAD_MUTEX_INITIALIZER;
static enum way_choice choice;
static bool can_populate;

int way_start(enum way_choice c)
{
	void *page = (void *)((uintptr_t)&page & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1));	/* of the stack */

	choice = c;
	can_populate = madvise(page, 1, MADV_POPULATE_READ) == 0;
	return guard_start();
}

static void *map_of(struct way *w)
{
	void *map = atomic_load(&w->map), *none = NULL;

	if (map)
		return map;
	if (mapping_make(w->fd, w->seg.size, &map))
		return NULL;
	if (!atomic_compare_exchange_strong(&w->map, &none, map)) {
		mapping_end(map, w->seg.size);	/* somebody was faster */
		return none;
	}
	atomic_store(&w->touch, touch_new(w->seg.size));
	return map;
}

static void way_destroy(struct way *w)
{
	if (w->native) {
		if (atomic_load(&w->map))
			mapping_end(atomic_load(&w->map), w->seg.size);
		free(atomic_load(&w->touch));
		native_unregister(w->backing);
		close(w->fd);
	} else {
		copying_close(&w->copying);
	}
	free(w);
}

static int try_native(struct way *w, const void *attached)
{
	if (choice == WAY_COPY)
		return -EOPNOTSUPP;
	w->fd = native_descriptor(attached, &w->seg);
	if (w->fd < 0)
		return w->fd;
	w->backing = native_register(w->fd);
	if (w->backing > 0) {
		w->native = true;
		return 0;
	}
	close(w->fd);
	return w->backing;
}

/* Takes over ATTACHED also when it fails. */
static int way_new(const struct sm_segment *seg, const void *attached, bool writable, struct way **out)
{
	struct way *w = calloc(1, sizeof(*w));

	if (!w) {
		attach_unmap(attached, seg->size);
		return -ENOMEM;
	}
	w->seg = *seg;
	w->uses = 1;

	int err = try_native(w, attached);

	if (err == -ESTALE) {
		attach_unmap(attached, seg->size);
		free(w);
		return err;
	}
	if (err) {
		if (choice != WAY_COPY)
			log_limited("native access", 1, seg->cuid, LOG_NOTICE,
				    "segment %d: no native access (%s), copying instead", seg->id, strerror(-err));
		copying_open(&w->copying, seg, attached, writable);
	} else {
		attach_unmap(attached, seg->size);
	}
	*out = w;
	return 0;
}

/*
 * Take the way to SEG that is there, or put FRESH there; *OUT is NULL if neither. N may have moved to SEG from one that was
 * opened in the instant before: that way stays with those who opened it. A native one cannot be succeeded while it is
 * open, since the kernel wants one backing file of an inode: -ESTALE.
 */
static int join(struct node *n, const struct sm_segment *seg, struct way *fresh, struct way **out)
{
	int err = 0;

	pthread_mutex_lock(&ways);
	struct way *w = n->way;
	bool of_another = w && w->seg.id != seg->id;

	if (of_another && w->native)
		err = -ESTALE;
	else if (!w || of_another)
		w = fresh;
	if (w && !err) {
		n->way = w;
		w->opens++;
		n->opens++;
	}
	pthread_mutex_unlock(&ways);
	*out = err ? NULL : w;
	return err;
}

static int get_fresh(struct node *n, const struct sm_segment *seg, const void *attached, bool writable, struct way **out)
{
	struct way *fresh;
	int err = way_new(seg, attached, writable, &fresh);

	if (err)
		return err;
	err = join(n, seg, fresh, out);
	if (*out != fresh)
		way_destroy(fresh);
	return err;
}

int way_get(struct node *n, const struct sm_segment *seg, const void *attached, bool writable, struct way **out)
{
	int err = join(n, seg, NULL, out);

	if (!err && !*out)
		return get_fresh(n, seg, attached, writable, out);
	if (err || (*out)->native)
		attach_unmap(attached, seg->size);
	else
		copying_offer(&(*out)->copying, attached, writable);
	return err;
}

void way_put(struct node *n, struct way *w)
{
	pthread_mutex_lock(&ways);
	n->opens--;

	bool last = --w->opens == 0;

	if (last && n->way == w)
		n->way = NULL;
	pthread_mutex_unlock(&ways);
	if (last)
		way_unuse(w);
}

void way_use(struct way *w)
{
	atomic_fetch_add(&w->uses, 1);
}

void way_unuse(struct way *w)
{
	if (atomic_fetch_sub(&w->uses, 1) == 1)
		way_destroy(w);
}

unsigned way_opens(struct node *n)
{
	pthread_mutex_lock(&ways);
	unsigned opens = n->opens;

	pthread_mutex_unlock(&ways);
	return opens;
}

void way_changed(struct node *n, const struct sm_segment *now)
{
	pthread_mutex_lock(&ways);
	if (n->way && !n->way->native && n->way->seg.id == now->id)
		copying_changed(&n->way->copying, now);
	pthread_mutex_unlock(&ways);
}

bool way_is_native(struct node *n)
{
	pthread_mutex_lock(&ways);
	bool native = n->way ? n->way->native : choice != WAY_COPY;

	pthread_mutex_unlock(&ways);
	return native;
}

int way_backing(const struct way *w)
{
	return w->native ? w->backing : 0;
}

const struct sm_segment *way_segment(const struct way *w)
{
	return &w->seg;
}

/* How much of LENGTH at OFFSET lies within the segment. */
static size_t within(const struct way *w, off_t offset, size_t length)
{
	if (offset < 0 || (uint64_t)offset >= w->seg.size)
		return 0;

	size_t left = w->seg.size - (size_t)offset;

	return length < left ? length : left;
}

/*
 * Pages that cannot be had make madvise fail where reading them would raise a signal. Before Linux 5.14 nothing asks
 * that; the reply then fails as a whole, and the kernel makes EIO of it.
 */
static int check_readable(const char *at, size_t length)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = (uintptr_t)at & ~(page - 1);

	if (madvise((void *)start, (uintptr_t)at + length - start, MADV_POPULATE_READ) == 0 || !can_populate)
		return 0;
	return errno == ENOMEM ? -ENOMEM : -EIO;
}

int way_read_begin(struct way *w, off_t offset, size_t length, struct way_span *span)
{
	void *at;

	*span = (struct way_span){ .fd = w->native ? w->fd : -1, .length = within(w, offset, length) };
	if (w->native)
		return 0;

	int err = copying_hold(&w->copying, false, &at);

	if (err)
		return err;
	span->at = (char *)at + (span->length ? offset : 0);
	err = span->length ? check_readable(span->at, span->length) : 0;
	if (err)
		copying_release(&w->copying);
	return err;
}

void way_read_end(struct way *w)
{
	if (!w->native)
		copying_release(&w->copying);
}

/* The segment in memory for writing, until let_go(). */
static int take_hold(struct way *w, void **at)
{
	if (!w->native)
		return copying_hold(&w->copying, true, at);
	*at = map_of(w);
	return *at ? 0 : -ENOMEM;
}

static void let_go(struct way *w)
{
	if (!w->native)
		copying_release(&w->copying);
}

/* Is all of that still in the inode? A descriptor would put pages back that somebody cut off. */
static bool is_there(const struct way *w, off_t offset, size_t n)
{
	struct stat st;

	return fstat(w->fd, &st) == 0 && st.st_size >= offset + (off_t)n;
}

/* What is written through its descriptor alone, and never mapped. */
static bool is_vast(const struct way *w)
{
	return w->native && w->seg.size > ATTACH_LARGE;
}

static ssize_t write_through(const struct way *w, const void *bytes, size_t n, off_t offset)
{
	ssize_t done = pwrite(w->fd, bytes, n, offset);

	return done < 0 ? -errno : done;
}

/*
 * Memory that nobody has touched yet takes half the time through the descriptor, which need not zero it first, nor put it
 * into our page table.
 */
static bool is_untouched(struct way *w, off_t offset, size_t n)
{
	if (!n || !w->native || !touch_is_new(atomic_load(&w->touch), (size_t)offset, n))
		return false;

	off_t data = lseek(w->fd, offset, SEEK_DATA);	/* nobody uses the position it leaves */

	if (data < 0 ? errno != ENXIO : data < offset + (off_t)n)
		return false;
	return is_there(w, offset, n);
}

ssize_t way_write(struct way *w, const void *bytes, size_t n, off_t offset)
{
	void *at;
	size_t fits = within(w, offset, n);

	if (n && !fits)
		return -ENOSPC;
	if (is_vast(w))
		return is_there(w, offset, fits) ? write_through(w, bytes, fits, offset) : -EIO;
	if (is_untouched(w, offset, fits))
		return write_through(w, bytes, fits, offset);

	int err = take_hold(w, &at);

	if (err)
		return err;
	touch_range(w->native ? atomic_load(&w->touch) : w->copying.touch, at, (size_t)offset, fits);
	err = guard_copy((char *)at + offset, bytes, fits);
	let_go(w);
	return err ? err : (ssize_t)fits;
}

static size_t round_up_to_page(size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (n + page - 1) / page * page;
}

int way_zero(struct way *w, off_t offset, off_t length)
{
	void *at;
	size_t n = within(w, offset, (size_t)length);

	if (!n)
		return 0;
	/* a page is given back as a whole, so the last one up to its end, which lies beyond the size */
	bool to_end = (size_t)offset + n == w->seg.size;
	off_t punched = (off_t)(to_end ? round_up_to_page(w->seg.size) - (size_t)offset : n);

	if (w->native && fallocate(w->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, punched) == 0)
		return 0;
	if (is_vast(w))
		return -errno;

	int err = take_hold(w, &at);

	if (err)
		return err;
	err = guard_discard((char *)at + offset, n, to_end);
	let_go(w);
	return err;
}

void way_unclaim(struct way *w)
{
	if (w->native)
		native_unclaim(w->fd);
}

void way_abandon(struct way *w)
{
	if (w->native && ftruncate(w->fd, 0))
		log_line(LOG_WARNING, "segment %d: its size was changed, and a descriptor may still map the old one: %s",
			 w->seg.id, strerror(errno));
}

off_t way_seek(struct way *w, off_t offset, int whence)
{
	off_t size = (off_t)w->seg.size;

	if (offset < 0 || offset >= size)
		return -ENXIO;
	if (!w->native)
		return whence == SEEK_HOLE ? size : offset;
	offset = lseek(w->fd, offset, whence);
	return offset < 0 ? -errno : offset;
}
