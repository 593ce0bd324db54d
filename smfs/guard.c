/* SPDX-License-Identifier: MIT */
/*
 * A plain memcpy from or to a segment was measured to kill the daemon, and asking first does not help, since a page
 * can go at any instant. So the handler of SIGBUS jumps out of the copy that raised it; a SIGBUS anywhere else
 * keeps its usual effect. The same with SIGSEGV: of a segment whose pages were cut off before, shmat(2) maps only
 * what is left. Only memcpy and memset run inside, which hold nothing that a jump could leave behind.
 */
#include "guard.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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
	return sigaction(SIGBUS, &sa, NULL) || sigaction(SIGSEGV, &sa, NULL) ? -errno : 0;
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

static int guarded(enum action action, void *to, const void *from, size_t n)
{
	sigjmp_buf here;

	if (sigsetjmp(here, 0)) {	/* the mask need not be saved: SA_NODEFER leaves it alone */
		escape = NULL;
		return -EIO;
	}
	escape = &here;
	if (action == COPY)
		memcpy(to, from, n);
	else if (action == ZERO)
		memset(to, 0, n);
	else
		copy_sparse(to, from, n);
	__asm__ volatile("" ::: "memory");	/* all of it done before the way out closes */
	escape = NULL;
	return 0;
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
