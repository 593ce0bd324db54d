// SPDX-License-Identifier: MIT
/*
 * Touching a counter's page that may go at any instant.
 *
 * Faulting it in first helps only against one that is not there to begin with. Whoever may write the segment can take the
 * page away again (a hole in a huge page whose pool runs dry), root by truncating the inode, and then a load is SIGBUS. A
 * program of its own dies of that, as it would of its data. A daemon must not: it says by counter_touch_with() how a step is
 * done that may raise the signal. A page that went is taken for the zeros that it would be if it came back, and stays gone
 * until it is detached: no swap succeeds on it, so nothing is done on account of those zeros, and who detaches it is told.
 */
#include "private.h"

#include <errno.h>

typedef bool (*run_fn)(void (*step)(void *), void *arg);

static run_fn run;
static __thread const struct page *gone;	/* the last one that went under this thread, while it was attached */

void counter_touch_with(run_fn fn)
{
	run = fn;
}

bool page_touch(struct page *page, void (*step)(void *), void *arg)
{
	if (!run) {
		step(arg);
		return true;
	}
	if (gone == page || !run(step, arg)) {
		gone = page;
		return false;
	}
	return true;
}

bool page_forget(const struct page *page)
{
	bool went = gone == page;

	if (went)
		gone = NULL;
	return went;
}

struct access {
	struct page *page;
	struct word word, to;
	bool swapped;
};

static void load(void *arg)
{
	struct access *a = arg;

	a->word = word_load(&a->page->word);
}

static void swap(void *arg)
{
	struct access *a = arg;

	a->swapped = word_swap(&a->page->word, &a->word, a->to);
}

struct word page_load(struct page *page)
{
	struct access a = { .page = page };

	return page_touch(page, load, &a) ? a.word : (struct word){ 0, 0 };
}

bool page_swap(struct page *page, struct word *w, struct word to)
{
	struct access a = { .page = page, .word = *w, .to = to };
	bool there = page_touch(page, swap, &a);

	*w = there ? a.word : (struct word){ 0, 0 };
	return there && a.swapped;
}
