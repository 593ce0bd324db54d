// SPDX-License-Identifier: MIT
/*
 * How much of each segment is in memory. Only /proc/sysvipc/shm tells that without attaching, and only for
 * all segments at once: the kernel goes through the pages of each, which is why this is apart from listing.
 */
#include "private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

struct usages {
	struct sm_usage *list;
	size_t n, room;
};

/* key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime rss swap; a heading comes first. */
static int add_usage(char *line, void *arg)
{
	struct usages *u = arg;
	struct sm_usage one;

	if (sscanf(line, "%*d %d %*o %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
		   &one.id, &one.resident, &one.swapped) != 3)
		return 0;
	if (u->n == u->room) {
		size_t room = u->room ? u->room * 2 : 256;
		struct sm_usage *list = reallocarray(u->list, room, sizeof *list);

		if (!list)
			return -ENOMEM;
		u->list = list;
		u->room = room;
	}
	u->list[u->n++] = one;
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct sm_usage *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

ssize_t sm_usage_list(struct sm_usage **out)
{
	struct usages u = { 0 };
	SCOPED_FD fd = open("/proc/sysvipc/shm", O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : 0;
	SCOPED_BUFFER buffer = malloc(LINES_BUFFER);

	if (r == 0)
		r = buffer ? lines_read(fd, buffer, add_usage, &u) : -ENOMEM;
	if (r == 0 && !u.list && !(u.list = malloc(sizeof *u.list)))
		r = -ENOMEM;
	if (r < 0) {
		free(u.list);
		return r;
	}
	if (u.n > 0)
		qsort(u.list, u.n, sizeof *u.list, by_id);
	*out = u.list;
	return (ssize_t)u.n;
}
