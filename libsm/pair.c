// SPDX-License-Identifier: MIT
/*
 * The two segments of one object, made together.
 *
 * No system call makes or removes both, so there is an order: the counter is made first and removed last.
 * Whoever finds a data segment may expect its counter. What is being removed meanwhile, the counter's word tells
 * (remove.c): the maker looks before it makes the data and again after that, helps, and starts over.
 */
#include "private.h"

#include <errno.h>

/* Take back a counter that this call made. -EAGAIN: somebody has found a use for it, and made the data. */
static int take_back(key_t data_key, int counter_id, struct page *page)
{
	struct sm_segment seg;
	struct word w;

	if (!page) {
		/* A mode that keeps out its own maker. Nobody else could count either. */
		if (sm_segment_stat(counter_id, &seg) == 0 && seg.nattch == 0)
			sm_segment_remove(counter_id);
		return 0;
	}
	w = page_load(page);
	if (w.counter != 0 || word_dead(w) || hold_others(counter_id, NULL, &seg) > 0)
		return 0;
	if (!page_swap(page, &w, word_next_dead(w)))
		return 0;
	/* Another creator makes its data first and then looks for DEAD; we the reverse: one of us sees. */
	if (sm_segment_find(data_key) < 0) {
		pair_remove(page, &w, -1, counter_id);
		return 0;
	}
	page_swap(page, &w, word_next(w, 0));
	return -EAGAIN;
}

struct making {
	key_t data_key;
	size_t size;
	mode_t mode;
	const char *path;
	bool anew;		/* what data there is already is another's */
	bool died;		/* a dead counter was met: what is gone may have gone with it */
	bool heedless;		/* of what a counter says that has no say in the data's life */
	int made, data_made;	/* the counter, and the data, that this call made, or -1 */
};

static int find_or_make_counter(struct making *m)
{
	key_t key = sm_key_counter(m->data_key);
	int id = sm_segment_find(key);

	if (id != -ENOENT)
		return id;
	id = sm_counter_create(key, m->mode, m->path);
	if (id >= 0)
		m->made = id;
	return id == -EEXIST ? -EAGAIN : id;
}

/* The data segment beside an attached, living counter. */
static int find_or_make_data(struct making *m, size_t *found)
{
	struct sm_segment seg;
	int r = sm_segment_stat_key(m->data_key, &seg);

	if (r == 0) {
		*found = seg.size;
		if (m->anew && seg.id != m->data_made)
			return -EEXIST;
		return seg.size < m->size ? -EINVAL : seg.id;
	}
	if (r != -ENOENT)
		return r;
	*found = m->size;
	r = sm_segment_create(m->data_key, m->size, m->mode);
	if (r >= 0)
		m->data_made = r;
	return r == -EEXIST ? -EAGAIN : r;
}

/* With the counter attached (PAGE; NULL where that cannot be had, and nothing hangs on it). */
static int make_beside(struct making *m, int counter_id, struct page *page, size_t *found)
{
	key_t counter_key = sm_key_counter(m->data_key);
	int data_id = sm_segment_find(m->data_key);
	struct word w = { 0, 0 };

	if (page)
		w = page_load(page);
	if (word_dead(w)) {
		m->died = true;
		pair_help(page, w, counter_key, data_id, counter_id);
		return -EAGAIN;
	}
	data_id = find_or_make_data(m, found);
	if (data_id < 0) {
		if (data_id != -EAGAIN && m->made == counter_id && take_back(m->data_key, counter_id, page) < 0)
			return -EAGAIN;
		return data_id;
	}
	/* What a last leaver removed meanwhile is seen here, or it saw us attached and let it be. */
	if (page)
		w = page_load(page);
	if (word_dead(w)) {
		m->died = true;
		return -EAGAIN;
	}
	if (sm_segment_find(counter_key) != counter_id || sm_segment_find(m->data_key) != data_id)
		return -EAGAIN;
	return 0;
}

/* Is what it says nobody's reason to remove the data that this thread makes? */
static bool has_no_say(int counter_id)
{
	struct sm_segment counter, ours = { .uid = geteuid(), .cuid = geteuid() };

	return sm_segment_stat(counter_id, &counter) == 0 && !counter_may_speak_for(&counter, &ours);
}

static int create_once(struct making *m, size_t *found)
{
	struct sm_segment seg;
	struct page *page = NULL;
	size_t counter_size;
	int counter_id, r;

	/* Somebody removed it as soon as it was made: as if he had done so later. */
	if (m->anew && m->data_made >= 0 && !m->died && sm_segment_find(m->data_key) != m->data_made)
		return 0;
	/* Said before anything is made. */
	if (!m->anew && sm_segment_stat_key(m->data_key, &seg) == 0 && seg.size < m->size) {
		*found = seg.size;
		return -EINVAL;
	}
	counter_id = find_or_make_counter(m);
	if (counter_id < 0)
		return counter_id;
	r = counter_attach(counter_id, false, &page, &counter_size);
	if (r == -EIDRM)
		return -EAGAIN;
	if (r < 0 && !m->anew && !(r == -EACCES && m->made == counter_id)) {
		if (m->made == counter_id)
			take_back(m->data_key, counter_id, NULL);
		return r;
	}
	if (page)
		counter_mark(page, counter_size, m->path);
	r = make_beside(m, counter_id, m->heedless && has_no_say(counter_id) ? NULL : page, found);
	if (page)
		counter_detach(page, 0);
	return r;
}

static int create(struct making *m, int64_t wait_ns, size_t *found)
{
	struct retry retry = retry_begin(wait_ns, 50 * US, 1 * MS);
	int r;

	m->made = m->data_made = -1;
	*found = 0;
	do
		r = create_once(m, found);
	while (r == -EAGAIN && retry_sleep(&retry));
	return r;
}

int pair_create(key_t data_key, size_t size, mode_t mode, const char *path, size_t *found)
{
	struct making m = { .data_key = data_key, .size = size, .mode = mode, .path = path };

	return create(&m, 2000 * MS, found);
}

/* What was made all the same must not stand in the way of another try. */
static void take_back_data(const struct making *m)
{
	if (m->data_made >= 0 && sm_segment_find(m->data_key) == m->data_made && !segment_is_attached(m->data_made))
		sm_segment_remove(m->data_made);
}

int pair_create_new(key_t data_key, size_t size, mode_t mode, const char *path)
{
	struct making m = { .data_key = data_key, .size = size, .mode = mode, .path = path, .anew = true };
	size_t found;
	int r = create(&m, 100 * MS, &found);	/* a daemon's thread waits */

	/* A stranger who leaves his counter dead, and stays, keeps nobody from what is to be his. */
	m.heedless = true;
	for (int i = 0; r == -EAGAIN && i < 3; i++)
		r = create_once(&m, &found);
	if (r < 0)
		take_back_data(&m);
	return r < 0 ? r : m.data_made;
}
