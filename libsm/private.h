/* SPDX-License-Identifier: MIT */
#ifndef LIBSM_PRIVATE_H
#define LIBSM_PRIVATE_H

/* What the library's files share with each other; nothing here is exported. */

#include "sm.h"

#include "daemon.h"
#include "word.h"

#include <stdlib.h>
#include <unistd.h>

/* ---- segment.c --------------------------------------------------------------------------------- */

/*
 * A mark that changes when a thread of this process attaches segment ID, and *BUSY while one is at it.
 * sm_segment_own() is comparable with an nattch read before it only if the mark stayed.
 */
PRIVATE uint64_t segment_attach_mark(int id, bool *busy);

/*
 * sm_segment_attach() of segment ID, of SIZE bytes, for reading and writing, but what is missing of a truncated one is
 * reserved, and stays inaccessible; a longer one is attached as it is. *RESERVED is for segment_detach_reserved().
 */
PRIVATE int segment_attach_reserved(int id, size_t size, void **addr, size_t *reserved);
PRIVATE void segment_detach_reserved(const void *addr, size_t reserved);

/* ---- counter.c: the counter's page ------------------------------------------------------------- */

struct page {
	_Atomic uint64_t word;
	_Atomic uint64_t magic;		/* PAGE_MAGIC once path is there */
	uint32_t version;
	uint32_t reserved;
	char path[SM_PATH_CAPACITY];
};

/*
 * Attach counter segment ID, with its first page faulted in. Errors: those of sm_segment_attach(), EINVAL
 * (smaller than an int), EIO (the page cannot be had). *SIZE, if not NULL, is the segment's.
 */
PRIVATE int counter_attach(int id, bool readonly, struct page **out, size_t *size);
/* Returns R, or -EIO if the page went while it was attached. */
PRIVATE int counter_detach(struct page *page, int r);

/*
 * Mark PAGE, of an attached counter of SIZE bytes that was asked for by name, as libsm's, and record PATH (or NULL): unless
 * it is marked, or something else stands there. Its maker may have been killed before, and what is not marked is not repaired.
 */
PRIVATE void counter_mark(struct page *page, size_t size, const char *path);

/*
 * May ID be taken for a counter by one who was not asked for it by name? 0, -EINVAL (no), or the errors of
 * counter_attach(): it is attached, for reading, only where its size is that of libsm's. DATA_ID -1: no data.
 */
PRIVATE int counter_recognize(int id, int data_id);

/* One off by compare-and-swap, never below 0. Returns what is left, or -ERANGE. */
PRIVATE int counter_take(struct page *page);

/* ---- pair.c: the two segments of one object, made ------------------------------------------------- */

/* Make what is missing of the pair; 0 and *FOUND, the size of the data segment. SIZE is not 0. */
PRIVATE int pair_create(key_t data_key, size_t size, mode_t mode, const char *path, size_t *found);

/* ---- remove.c: removed ----------------------------------------------------------------------------- */

/* Whether the calling thread may remove both, as far as can be told without trying. */
PRIVATE bool pair_may_remove(int data_id, int counter_id);

/* Whether both keys name these two ids; DATA_ID -1: there is no data. */
PRIVATE bool pair_is(int data_id, int counter_id);

/* Whether others have either attached. The caller has the counter attached; a program that has only the data counts nowhere. */
PRIVATE bool pair_is_used(int data_id, int counter_id);

/*
 * Remove data, then counter, by id; what is gone already is no error. DATA_ID -1: none. PAGE is the attached counter, *CLAIM
 * its word as the caller has made it, dead; if that has changed since, somebody else removes. 0 or -EPERM, and *CLAIM
 * is what the caller may take back.
 */
PRIVATE int pair_remove(struct page *page, struct word *claim, int data_id, int counter_id);

/*
 * PAGE is the attached counter of a pair whose word was seen as W, dead: do what its last leaver has
 * not done (yet), or where this process may not, and that leaver is no more, take DEAD off.
 */
PRIVATE void pair_help(struct page *page, struct word w, key_t counter_key, int data_id, int counter_id);

/* ---- hold.c: one holder -------------------------------------------------------------------------- */

struct hold {
	pid_t pid;			/* the process that joined; 0: none did */
	unsigned generation;		/* of forks, then: a child in another pid namespace may have the same pid */
	key_t counter_key;
	int data_id, counter_id;
	void *data;
	size_t reserved;		/* see segment_attach_reserved() */
	struct page *page;		/* not mapped in a forked child */
	size_t size;
	struct hold *next;
};

PRIVATE int hold_join(struct hold *hold, key_t data_key, size_t size);
PRIVATE void hold_leave(struct hold *hold);

/* ---- others.c: who else is there ------------------------------------------------------------------ */

/* Whether this process joined with it, and is no forked child. */
PRIVATE bool hold_is_mine(const struct hold *hold);

/* HOLD begins, and ends, to count as a holder of this process. */
PRIVATE void hold_enlist(struct hold *hold);
PRIVATE void hold_delist(struct hold *hold);

/*
 * How many have counter segment ID attached besides this process' passing attachments; its holders, SELF
 * excepted, count like others. The caller has it attached. Where in doubt the answer is too high.
 */
PRIVATE unsigned long hold_others(int id, const struct hold *self, struct sm_segment *seg);

/* Whether anybody but this process has segment ID attached. Where in doubt, somebody has. */
PRIVATE bool segment_is_attached(int id);

/* ---- page.c: touching a page that may go --------------------------------------------------------- */

/* Do STEP(ARG), which touches PAGE and holds nothing. False: the page went, see counter_touch_with(). */
PRIVATE bool page_touch(struct page *page, void (*step)(void *), void *arg);

/* word_load() and word_swap() of it. Of a page that went, 0 is loaded, and nothing is swapped: *W is then 0, too. */
PRIVATE struct word page_load(struct page *page);
PRIVATE bool page_swap(struct page *page, struct word *w, struct word to);

/* PAGE is detached: did it go under this thread while it was attached? */
PRIVATE bool page_forget(const struct page *page);

/* ---- mapping.c: this process' mappings that are no attachments ----------------------------------- */

/* Between the two no such mapping begins or ends. */
PRIVATE void mapping_lock(void);
PRIVATE void mapping_unlock(void);

/* Whether one of them lies at AT; locked. */
PRIVATE bool mapping_covers(uintptr_t at);

/* ---- shmfs.c: where the kernel keeps segments ------------------------------------------------------ */

/* Is DEVICE that of the kernel's own file system of segments, which nobody can mount? UNKNOWN where that cannot be found out. */
PRIVATE bool shmfs_is(dev_t device, bool unknown);

/* ---- lines.c ------------------------------------------------------------------------------------- */

#define LINES_BUFFER 65536

/* Called with each whole line, NUL-terminated. A negative return ends the reading and is handed on. */
typedef int (*line_fn)(char *line, void *arg);

/* Every line of FD, by way of BUFFER (LINES_BUFFER bytes). 0 or -errno. */
PRIVATE int lines_read(int fd, char *buffer, line_fn fn, void *arg);

#define SCOPED_FD __attribute__((cleanup(scoped_close))) int
#define SCOPED_BUFFER __attribute__((cleanup(scoped_free))) char *

static inline void scoped_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void scoped_free(char **buffer)
{
	free(*buffer);
}

/* ---- retry.c ------------------------------------------------------------------------------------- */

#define US 1000LL			/* in ns */
#define MS 1000000LL

struct retry {
	int64_t deadline;		/* CLOCK_MONOTONIC, ns */
	int64_t pause, longest;		/* ns */
	int sleeps;			/* due, however late it is */
};

PRIVATE struct retry retry_begin(int64_t total_ns, int64_t first_ns, int64_t longest_ns);
/* Sleep a little longer than last time. False, at once, when the time is over and there were tries enough. */
PRIVATE bool retry_sleep(struct retry *retry);

/* ---- error.c -------------------------------------------------------------------------------------- */

struct sm_object {
	char *path;			/* NULL: none was given */
	char proj_id;
	size_t size;			/* as asked */
	size_t found;			/* the kernel's; 0: not known */
	mode_t mode;
	int error;
	char *text;			/* the error in words, or NULL: only its name */
	struct hold hold;
};

/* Forget the error; returns 0. */
PRIVATE int error_clear(sm_object *obj);
/* Keep ERR (positive, or SM_EBADK) with a text "ERR's name: REASON"; returns -1. REASON may be NULL. */
PRIVATE int error_set(sm_object *obj, int err, const char *reason, ...) __attribute__((format(printf, 3, 4)));

#endif
