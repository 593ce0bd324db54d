// SPDX-License-Identifier: MIT
/*
 * The counter segment: its page, and the counter taken by itself.
 *
 * The hard fact here is that anyone with write permission shares this page: old programs that know only the
 * int at offset 0, and programs that write garbage. So the word is loaded once and judged as loaded; the
 * path is copied out first and looked at afterwards; and the page is faulted in by a system call that can
 * fail, because touching one that cannot be had (a hugetlb pool run dry, a truncated segment) would kill
 * the process with SIGBUS. What goes after that, page.c survives in a daemon.
 */
#include "private.h"

#include <errno.h>
#include <limits.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

#define PAGE_BYTES SM_COUNTER_SIZE
#define PAGE_MAGIC 0x315254434d536d73ULL	/* "smSMCTR1" on a little-endian machine */
#define PAGE_VERSION 1

_Static_assert(sizeof(struct page) <= PAGE_BYTES, "the counter segment is one page");

/* EINVAL is a kernel before 5.14, which does not know the advice; it goes on as programs always did. */
static int fault_in(void *addr, bool readonly)
{
	if (!madvise(addr, PAGE_BYTES, readonly ? MADV_POPULATE_READ : MADV_POPULATE_WRITE) || errno == EINVAL)
		return 0;
	return errno == EFAULT || errno == EHWPOISON ? -EIO : -errno;
}

int counter_attach(int id, bool readonly, struct page **out, size_t *size)
{
	struct sm_segment seg;
	void *addr;
	int r = sm_segment_stat(id, &seg);

	if (r < 0)
		return r;
	if (seg.size < sizeof(int))
		return -EINVAL;
	r = sm_segment_attach(id, readonly, &addr);
	if (r < 0)
		return r;
	r = fault_in(addr, readonly);
	if (r < 0) {
		sm_segment_detach(addr);
		return r;
	}
	if (size)
		*size = seg.size;
	*out = addr;
	return 0;
}

int counter_detach(struct page *page, int r)
{
	bool went = page_forget(page);

	sm_segment_detach(page);
	return went ? -EIO : r;
}

struct marking {
	struct page *page;
	const char *path;	/* or NULL */
};

static void mark(void *arg)
{
	const struct marking *m = arg;
	struct page *page = m->page;
	size_t len = m->path && m->path[0] == '/' ? strlen(m->path) : 0;

	if (len && len < sizeof page->path)
		memcpy(page->path, m->path, len);
	page->version = PAGE_VERSION;
	/* Last: who sees the magic sees the path. */
	atomic_store(&page->magic, PAGE_MAGIC);
}

static void mark_blank(void *arg)
{
	const struct marking *m = arg;

	if (atomic_load(&m->page->magic) == 0)
		mark(arg);
}

void counter_mark(struct page *page, size_t size, const char *path)
{
	if (size == PAGE_BYTES)
		page_touch(page, mark_blank, &(struct marking){ page, path });
}

/* Memory may be short for a moment. What is not marked is not repaired, so it is worth another try. */
static int attach_to_mark(int id, struct page **page)
{
	int r, tries = 0;

	do
		r = counter_attach(id, false, page, NULL);
	while (r == -ENOMEM && ++tries < 3);
	return r;
}

int sm_counter_create(key_t counter_key, mode_t mode, const char *path)
{
	struct page *page;
	int id = sm_segment_create(counter_key, PAGE_BYTES, mode);

	/*
	 * The mark and the path serve those who list and repair, and others may be using the counter already.
	 * So where they cannot be recorded (a mode that keeps the maker out, no memory) the counter is made
	 * all the same.
	 */
	if (id >= 0 && attach_to_mark(id, &page) == 0) {
		page_touch(page, mark, &(struct marking){ page, path });
		counter_detach(page, 0);
	}
	return id;
}

struct recorded {
	struct page *page;
	size_t size;		/* of the segment */
	bool marked;
	char *path;		/* NULL: not wanted */
};

/* The mark, and the path, of a page that may change while we look. */
static void read_mark(void *arg)
{
	struct recorded *r = arg;
	struct page *page = r->page;

	r->marked = r->size >= sizeof *page && atomic_load(&page->magic) == PAGE_MAGIC;
	if (!r->path)
		return;
	r->path[0] = '\0';
	if (!r->marked || page->version != PAGE_VERSION)
		return;
	memcpy(r->path, page->path, SM_PATH_CAPACITY);
	if (!memchr(r->path, '\0', SM_PATH_CAPACITY))
		r->path[0] = '\0';
}

int sm_counter_load(int id, struct sm_counter *out)
{
	struct page *page;
	struct recorded recorded;
	struct word word;
	size_t size;
	int r = counter_attach(id, true, &page, &size);

	if (r < 0)
		return r;
	word = page_load(page);
	out->value = word.counter;
	out->changes = word.seq & WORD_SEQ;
	recorded = (struct recorded){ .page = page, .size = size, .path = out->path };
	page_touch(page, read_mark, &recorded);
	out->marked = recorded.marked;
	return counter_detach(page, 0);
}

static bool is_partner(const struct sm_segment *counter, int data_id)
{
	struct sm_segment data;

	return sm_key_is_counter(counter->key) && sm_segment_stat(data_id, &data) == 0 &&
	       data.key == sm_key_data(counter->key);
}

int counter_recognize(int id, int data_id)
{
	struct sm_segment seg;
	struct page *page;
	size_t size;
	int r = sm_segment_stat(id, &seg);

	if (r < 0)
		return r;
	if (seg.size == sizeof(int))
		return is_partner(&seg, data_id) ? 0 : -EINVAL;
	if (seg.size != PAGE_BYTES)
		return -EINVAL;
	r = counter_attach(id, true, &page, &size);
	if (r < 0)
		return r;

	struct recorded recorded = { .page = page, .size = size };

	page_touch(page, read_mark, &recorded);
	return counter_detach(page, recorded.marked ? 0 : -EINVAL);
}

int sm_counter_value(int id, int *value)
{
	struct page *page;
	int r = counter_attach(id, true, &page, NULL);

	if (r < 0)
		return r;
	*value = page_load(page).counter;
	return counter_detach(page, 0);
}

int counter_take(struct page *page)
{
	struct word w = page_load(page);

	do {
		if (w.counter <= 0 || word_dead(w))
			return -ERANGE;
	} while (!page_swap(page, &w, word_next(w, w.counter - 1)));
	return w.counter;
}

int sm_counter_decrement(int id, int *value)
{
	struct page *page;
	int r = counter_attach(id, false, &page, NULL);

	if (r < 0)
		return r;
	r = counter_detach(page, counter_take(page));
	if (r < 0)
		return r;
	if (value)
		*value = r;
	return 0;
}
