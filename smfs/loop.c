/* SPDX-License-Identifier: MIT */
/*
 * Why not libfuse's loop: where a writer and the daemon share a processor, it was seen to end a thread and start two for
 * each block that was written, since it counts a thread as busy until a moment after its reply; and its buffers lie in
 * small pages, each of which the kernel looks up again for every request. Of a tmpfs file's speed, writes of 1 MiB had
 * 0.62 with it and have 0.75 with this, at their best.
 *
 * Requests come to the waiting threads in turn. A thread that nobody needed for a while ends itself after a request. The others
 * are interrupted at the end, again and again until they have seen it: cancelling them would leave libfuse in the middle.
 */
#include "loop.h"

#define FUSE_USE_VERSION 317
#include <errno.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "exchange.h"
#include "log.h"
#include "thread.h"

#define HUGE_PAGE ((size_t)2 << 20)	/* holds a header, the largest write, and the page that aligns it */
#define INTERRUPT SIGUSR1
#define CALM_S 10			/* so long nobody may have needed another thread, before one ends */

struct worker {
	struct loop *loop;
	pthread_t thread;
	char *memory;			/* HUGE_PAGE bytes */
	bool is_huge;
	LIST_ENTRY(worker) entry;
};

struct loop {
	struct fuse_session *se;
	unsigned max_threads, max_idle;
	int ended;			/* an eventfd(2): readable when the session is over */
	pthread_mutex_t lock;		/* of what follows; no system call but of starting a thread is made under it */
	LIST_HEAD(, worker) workers;
	unsigned threads, idle;
	time_t crowded;			/* when the last idle thread got a request */
	bool over;
	int err;
};

static void *work(void *arg);

static time_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return t.tv_sec;
}

/* With the lock held. */
static int add_worker(struct loop *l)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->loop = l;
	w->memory = aligned_alloc(HUGE_PAGE, HUGE_PAGE);

	int err = w->memory ? -pthread_create(&w->thread, NULL, work, w) : -ENOMEM;

	if (err) {
		free(w->memory);
		free(w);
		return err;
	}
	LIST_INSERT_HEAD(&l->workers, w, entry);
	l->threads++;
	l->idle++;
	return 0;
}

/* A request was taken up: see that another thread waits for the next one. That there is none only makes that one wait. */
static void take_up(struct loop *l)
{
	int err = 0;

	pthread_mutex_lock(&l->lock);
	if (--l->idle == 0) {
		l->crowded = now();
		if (l->threads < l->max_threads && !l->over)
			err = add_worker(l);
	}
	pthread_mutex_unlock(&l->lock);
	if (err)
		log_limited("requests that wait", 1, LOG_NOBODY, LOG_WARNING, "memory is short: requests wait for a thread");
}

/* Answered: false if the thread of W is one too many, and W is freed. */
static bool stay(struct worker *w)
{
	struct loop *l = w->loop;

	pthread_mutex_lock(&l->lock);

	bool too_many = ++l->idle > l->max_idle && now() - l->crowded > CALM_S && !l->over;

	if (too_many) {
		l->idle--;
		l->threads--;
		LIST_REMOVE(w, entry);
		pthread_detach(w->thread);
	}
	pthread_mutex_unlock(&l->lock);
	if (too_many) {
		free(w->memory);
		free(w);
	}
	return !too_many;
}

/*
 * Whoever gets large writes has them copied into one page rather than 256. Others need not hold so much memory.
 */
static void note_size(struct worker *w, int size)
{
	if (w->is_huge || size < (int)LOOP_MAX_WRITE / 4)
		return;
	w->is_huge = true;
	madvise(w->memory, HUGE_PAGE, MADV_DONTNEED);
	madvise(w->memory, HUGE_PAGE, MADV_HUGEPAGE);
}

static bool is_passing(int err)
{
	const struct timespec pause = { .tv_nsec = 10000000 };

	if (err == -ENOMEM)
		nanosleep(&pause, NULL);
	return err == -ENOMEM || err == -EINTR || err == -EAGAIN;
}

static int receive(struct worker *w, struct fuse_buf *buf)
{
	/* so that the bytes of a write begin a page, and take no more of them than they must */
	size_t before = (size_t)sysconf(_SC_PAGESIZE) - sizeof(struct fuse_in_header) - sizeof(struct fuse_write_in);
	int res;

	*buf = (struct fuse_buf){ .mem = w->memory + before };
	do
		res = fuse_session_exited(w->loop->se) ? 0 : fuse_session_receive_buf(w->loop->se, buf);
	while (is_passing(res));
	return res;
}

static void end(struct loop *l, int err)
{
	pthread_mutex_lock(&l->lock);
	if (err < 0)
		l->err = err;
	pthread_mutex_unlock(&l->lock);
	fuse_session_exit(l->se);
	eventfd_write(l->ended, 1);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct loop *l = w->loop;
	struct fuse_buf buf;

	for (;;) {
		int res = receive(w, &buf);

		if (res <= 0) {
			end(l, res);
			return NULL;
		}
		take_up(l);
		device_process(l->se, &buf);
		note_size(w, res);
		if (!stay(w))
			return NULL;
	}
}

static void on_interrupt(int sig)
{
}

/* It may be about to wait as it is interrupted, and then waits; the next time reaches it. */
static void join(struct worker *w)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	while (pthread_tryjoin_np(w->thread, NULL) == EBUSY) {
		pthread_kill(w->thread, INTERRUPT);
		nanosleep(&pause, NULL);
	}
}

static void join_all(struct loop *l)
{
	struct worker *w;

	pthread_mutex_lock(&l->lock);
	l->over = true;		/* now none starts another, and none ends itself */
	pthread_mutex_unlock(&l->lock);
	while ((w = LIST_FIRST(&l->workers))) {
		join(w);
		LIST_REMOVE(w, entry);
		free(w->memory);
		free(w);
	}
}

/* Signals come only while nothing else is done, so that none is lost between a look and a wait. */
static void wait_for_end(struct loop *l, const sigset_t *open)
{
	struct pollfd p = { .fd = l->ended, .events = POLLIN };

	while (!fuse_session_exited(l->se))
		ppoll(&p, 1, NULL, open);
	exchange_stop();	/* whose thread could not be joined before */
	join_all(l);
}

int loop_run(struct fuse_session *se, unsigned max_threads, unsigned max_idle, void (*serves)(void *arg), void *arg)
{
	struct loop l = { .se = se, .max_threads = max_threads, .max_idle = max_idle, .lock = PTHREAD_MUTEX_INITIALIZER,
			  .ended = eventfd(0, EFD_CLOEXEC) };
	struct sigaction interrupt = { .sa_handler = on_interrupt }, before;
	sigset_t closed = thread_blocks(), open;

	if (l.ended < 0)
		return -errno;
	LIST_INIT(&l.workers);
	sigdelset(&closed, INTERRUPT);
	sigaction(INTERRUPT, &interrupt, &before);
	pthread_sigmask(SIG_SETMASK, &closed, &open);	/* for the threads, too, which inherit it */
	pthread_mutex_lock(&l.lock);
	l.err = add_worker(&l);
	pthread_mutex_unlock(&l.lock);
	if (!l.err) {
		serves(arg);
		wait_for_end(&l, &open);
	}
	pthread_sigmask(SIG_SETMASK, &open, NULL);
	sigaction(INTERRUPT, &before, NULL);
	close(l.ended);
	fuse_session_reset(se);
	return l.err;
}
