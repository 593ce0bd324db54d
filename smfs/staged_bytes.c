/* SPDX-License-Identifier: MIT */
/*
 * The bytes of an object in the making wait in a memfd, which is sparse, grows, and costs what was written. Once the
 * object is settled they are the segment's, which is attached for each request: such a descriptor is rare.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guard.h"
#include "making.h"
#include "room.h"
#include "share.h"
#include "store.h"

static size_t whole_pages(off_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return ((size_t)size + page - 1) / page * page;
}

/* How many bytes a write of N at OFFSET will add to the memfd: it has whole pages, and some of them already. */
static size_t new_bytes(int memfd, size_t n, off_t offset)
{
	size_t at = (size_t)(offset - offset % sysconf(_SC_PAGESIZE)), end = whole_pages(offset + (off_t)n), new = 0;

	while (at < end) {
		off_t data = lseek(memfd, (off_t)at, SEEK_DATA);

		if (data < 0 || (size_t)data >= end)
			return new + (end - at);
		new += (size_t)data - at;

		off_t hole = lseek(memfd, data, SEEK_HOLE);

		if (hole < 0)
			break;
		at = whole_pages(hole);
	}
	return new;
}

/* N more bytes, as far as the user's share has room for them. */
static ssize_t keep_bytes(struct staged *s, const void *bytes, size_t n, off_t offset)
{
	struct stat st;
	size_t new;
	int err;

	if (s->memfd < 0) {
		s->memfd = memfd_create("smfs-staged", MFD_CLOEXEC);
		if (s->memfd < 0)
			return -errno;
		if (share_is_scarce(s->memfd)) {
			close(s->memfd);
			s->memfd = -1;
			return -EMFILE;
		}
	}
	new = new_bytes(s->memfd, n, offset);
	err = share_take(s->creator.uid, new);
	if (err)
		return err;
	s->charged += new;

	ssize_t written = pwrite(s->memfd, bytes, n, offset);

	err = written < 0 ? -errno : 0;
	if (fstat(s->memfd, &st) == 0 && (size_t)st.st_blocks * 512 < s->charged) {
		share_return(s->creator.uid, s->charged - (size_t)st.st_blocks * 512);
		s->charged = (size_t)st.st_blocks * 512;
	}
	return err ? err : written;
}

static void note_dirty(struct staged *s, off_t from, off_t to)
{
	bool clean = s->dirty_to <= s->dirty_from;

	if (clean || from < s->dirty_from)
		s->dirty_from = from;
	if (clean || to > s->dirty_to)
		s->dirty_to = to;
	if (to > s->size)
		s->size = to;
}

/*
 * Ask the kernel, as the creator, whether an object of this size could be had. Not for every byte, as asking takes for a
 * moment what others may want.
 */
static int check_room(struct staged *s, off_t size)
{
	if (s->size && whole_pages(size) == whole_pages(s->size))
		return 0;

	CALLER_SCOPE(denied, &s->creator);

	if (denied)
		return denied;
	return s->made ? room_to_grow(s->seg.size, (size_t)size) : room_to_grow(0, (size_t)size);
}

struct piece {
	void *bytes;
	const void *source;
	size_t n;
	off_t offset;
};

static int write_piece(void *at, size_t size, void *arg)
{
	struct piece *p = arg;

	return guard_copy((char *)at + p->offset, p->source, p->n);
}

static int read_piece(void *at, size_t size, void *arg)
{
	struct piece *p = arg;

	return guard_copy(p->bytes, (char *)at + p->offset, p->n);
}

/* What of N bytes at OFFSET lies within the segment. */
static size_t within(const struct staged *s, size_t n, off_t offset)
{
	if (offset >= (off_t)s->seg.size)
		return 0;

	size_t left = s->seg.size - (size_t)offset;

	return n < left ? n : left;
}

/* The object is an ordinary one now, only that this descriptor was there before. */
static ssize_t write_settled(struct staged *s, const void *bytes, size_t n, off_t offset)
{
	struct piece p = { .source = bytes, .n = within(s, n, offset), .offset = offset };

	if (n && !p.n)
		return -ENOSPC;

	int err = store_fill_segment(&s->seg, write_piece, &p);

	return err ? err : (ssize_t)p.n;
}

ssize_t staged_bytes_write(struct staged *s, const void *bytes, size_t n, off_t offset)
{
	int err = making_look(s);

	if (err && !s->settled)
		return err;
	if (offset < 0)
		offset = s->settled ? (off_t)s->seg.size : s->size;
	if (s->settled)
		return write_settled(s, bytes, n, offset);

	off_t end;

	if (__builtin_add_overflow(offset, (off_t)n, &end))
		return -EFBIG;
	if (end > s->size && !s->withdrawn && (err = check_room(s, end)))
		return err;

	ssize_t written = keep_bytes(s, bytes, n, offset);

	if (written > 0)
		note_dirty(s, offset, offset + written);
	return written;
}

ssize_t staged_bytes_read(struct staged *s, void *bytes, size_t n, off_t offset)
{
	struct piece p = { .bytes = bytes, .offset = offset };
	int err = making_look(s);

	if (err)
		return err;
	if (s->settled) {
		p.n = within(s, n, offset);
		err = p.n ? store_fill_segment(&s->seg, read_piece, &p) : 0;
		return err ? err : (ssize_t)p.n;
	}
	if (offset >= s->size)
		return 0;
	if ((off_t)n > s->size - offset)
		n = (size_t)(s->size - offset);
	memset(bytes, 0, n);	/* what the memfd does not have is a hole */

	ssize_t got = s->memfd >= 0 ? pread(s->memfd, bytes, n, offset) : 0;

	return got < 0 ? -errno : (ssize_t)n;
}

off_t staged_bytes_seek(struct staged *s, off_t offset, int whence)
{
	int err = making_look(s);
	off_t size = s->settled ? (off_t)s->seg.size : s->size;

	if (err)
		return err;
	if (offset < 0 || offset >= size)
		return -ENXIO;
	return whence == SEEK_HOLE ? size : offset;
}

static int zero_segment(void *at, size_t size, void *unused)
{
	return guard_discard(at, size, true);
}

static int empty_locked(struct staged *s)
{
	if (s->made && !s->withdrawn) {
		int err = store_fill_segment(&s->seg, zero_segment, NULL);

		if (!err)
			err = sm_segment_stat(s->seg.id, &s->seg);
		if (err)
			return err;
	}
	making_forget_bytes(s);
	s->dirty_from = s->dirty_to = 0;
	s->size = 0;
	return 0;
}

int staged_bytes_truncate(struct staged *s, off_t size)
{
	int err = making_look(s);

	if (err)
		return err;
	if (s->settled)
		return -EALREADY;
	if (size == 0) {	/* asked for in so many words, unlike the shell's `>`: so it exists, as a touched one */
		err = empty_locked(s);
		return err ? err : making_commit_default(s);
	}
	if (s->made && (off_t)s->seg.size == size && s->size == size)
		return 0;
	if (s->dirty_to > size)
		s->dirty_to = size;
	err = making_commit(s, size);
	if (err)
		return err;
	s->size = size;
	if (s->memfd >= 0 && ftruncate(s->memfd, size))
		return -errno;
	return 0;
}
