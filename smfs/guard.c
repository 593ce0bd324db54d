/* SPDX-License-Identifier: MIT */
/*
 * A plain memcpy from or to a segment was measured to kill the daemon, and asking first does not help, since a page
 * can go at any instant. So the handler jumps out of the copy that raised the signal; anywhere else it keeps its
 * usual effect. (SIGSEGV is for what a truncated segment leaves of its range, see sm_segment_map().) Only memcpy,
 * memset and libsm's look at a counter run inside, which hold nothing that a jump could leave behind.
 */
#include "guard.h"

#include <errno.h>
#include <libsm/daemon.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

static __thread sigjmp_buf *volatile escape;

static void on_fault(int sig)
{
	if (escape)
		siglongjmp(*escape, 1);
	signal(sig, SIG_DFL);	/* the instruction runs again and has its usual effect */
}

int guard_start(void)
{
	struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };

	sigemptyset(&sa.sa_mask);
	counter_touch_with(guard_run);
	return sigaction(SIGBUS, &sa, NULL) || sigaction(SIGSEGV, &sa, NULL) ? -errno : 0;
}

/*
 * A copy that is long beside the caches, and that nobody reads at once: stores that bypass them took 52 us for 1 MiB
 * where memcpy(3) took 92, which reads every line of a segment before it overwrites it.
 */
#define LONG_COPY ((size_t)256 << 10)

static __attribute__((noinline)) void copy(char *to, const char *from, size_t n)
{
#ifdef __SSE2__
	if (n >= LONG_COPY && (uintptr_t)to % 16 == 0) {
		size_t whole = n & ~(size_t)63;

		for (size_t i = 0; i < whole; i += 64) {
			const __m128i *in = (const __m128i *)(from + i);
			__m128i a = _mm_loadu_si128(in), b = _mm_loadu_si128(in + 1);
			__m128i c = _mm_loadu_si128(in + 2), d = _mm_loadu_si128(in + 3);
			__m128i *out = (__m128i *)(to + i);

			_mm_stream_si128(out, a);
			_mm_stream_si128(out + 1, b);
			_mm_stream_si128(out + 2, c);
			_mm_stream_si128(out + 3, d);
		}
		_mm_sfence();	/* before the reply says that it is done */
		to += whole;
		from += whole;
		n -= whole;
	}
#endif
	memcpy(to, from, n);
}

static void copy_sparse(char *to, const char *from, size_t n)
{
	static const char zeros[4096];

	for (size_t done = 0, step; done < n; done += step) {
		step = n - done < sizeof(zeros) ? n - done : sizeof(zeros);
		if (memcmp(from + done, zeros, step) != 0)
			memcpy(to + done, from + done, step);
	}
}

enum action { COPY, ZERO, COPY_SPARSE };

bool guard_run(void (*fn)(void *), void *arg)
{
	sigjmp_buf here;

	if (sigsetjmp(here, 0)) {	/* the mask need not be saved: SA_NODEFER leaves it alone */
		escape = NULL;
		return false;
	}
	escape = &here;
	fn(arg);
	__asm__ volatile("" ::: "memory");	/* all of it done before the way out closes */
	escape = NULL;
	return true;
}

struct work {
	enum action action;
	void *to;
	const void *from;
	size_t n;
};

static void work(void *arg)
{
	const struct work *w = arg;

	if (w->action == COPY)
		copy(w->to, w->from, w->n);
	else if (w->action == ZERO)
		memset(w->to, 0, w->n);
	else
		copy_sparse(w->to, w->from, w->n);
}

static int guarded(enum action action, void *to, const void *from, size_t n)
{
	struct work w = { action, to, from, n };

	return guard_run(work, &w) ? 0 : -EIO;
}

int guard_copy(void *to, const void *from, size_t n)
{
	return guarded(COPY, to, from, n);
}

int guard_zero(void *to, size_t n)
{
	return guarded(ZERO, to, NULL, n);
}

int guard_copy_sparse(void *to, const void *from, size_t n)
{
	return guarded(COPY_SPARSE, to, from, n);
}

int guard_discard(void *at, size_t n, bool whole_end)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = (uintptr_t)at, end = start + n;
	uintptr_t first = (start + page - 1) & ~(page - 1), last = (whole_end ? end + page - 1 : end) & ~(page - 1);

	if (first >= last || madvise((void *)first, last - first, MADV_REMOVE))
		return guard_zero(at, n);	/* within a page, or the pages cannot be given back (locked, hugetlb) */

	int err = guard_zero(at, first - start);

	return err || last >= end ? err : guard_zero((void *)last, end - last);
}
