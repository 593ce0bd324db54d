/* SPDX-License-Identifier: MIT */

/*
 * Which mounts are smfs mounts? statfs(2) would ask the file system, and one that asks itself waits for
 * ever; mountinfo asks nobody. It is long on some machines, so it is read again only when it has changed:
 * the kernel says so to poll(2), once for each open descriptor, hence one descriptor under one lock. Ids of
 * mounts are reused, so an old table is never good enough, even for an id that stands in it.
 */

#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

#define FIRST_SIZE (16 * 1024)

struct entry {
	uint64_t id;
	int flags;
};

struct mounts {
	int fd;
	pthread_mutex_t lock;	/* for all below; innermost */
	bool current;		/* the table is that of the last change that poll told of */
	struct entry *entries;	/* by id */
	size_t count;
	char *text;
	size_t size;
};

int mounts_open(struct mounts **out, const char *path)
{
	struct mounts *mounts = calloc(1, sizeof(*mounts));

	if (!mounts)
		return -ENOMEM;
	mounts->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (mounts->fd < 0) {
		const int err = -errno;
		free(mounts);
		return err;
	}
	pthread_mutex_init(&mounts->lock, NULL);
	*out = mounts;
	return 0;
}

void mounts_free(struct mounts *mounts)
{
	if (!mounts)
		return;
	close(mounts->fd);
	pthread_mutex_destroy(&mounts->lock);
	free(mounts->entries);
	free(mounts->text);
	free(mounts);
}

static int grow_text(struct mounts *mounts)
{
	const size_t size = mounts->size ? 2 * mounts->size : FIRST_SIZE;
	char *text = realloc(mounts->text, size);

	if (!text)
		return -ENOMEM;
	mounts->text = text;
	mounts->size = size;
	return 0;
}

/* The whole file into mounts->text, NUL-terminated. */
static int read_text(struct mounts *mounts)
{
	size_t n = 0;

	if (lseek(mounts->fd, 0, SEEK_SET) != 0)
		return -errno;
	for (;;) {
		if (n + 1 >= mounts->size) {
			const int err = grow_text(mounts);
			if (err)
				return err;
		}
		const ssize_t got = read(mounts->fd, mounts->text + n, mounts->size - n - 1);
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	mounts->text[n] = '\0';
	return 0;
}

static bool option_in(const char *options, const char *name)
{
	const size_t n = strlen(name);

	for (const char *p = options; (p = strstr(p, name)); p += n) {
		if ((p == options || p[-1] == ',') && (p[n] == ',' || p[n] == '\0'))
			return true;
	}
	return false;
}

/*
 * ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAG...] - TYPE SOURCE SUPER_OPTIONS, one space between, and
 * spaces in paths written as \040. TAGS are "name:N", paths begin with a slash, so " - " stands there only
 * once.
 */
static bool parse_line(char *line, struct entry *out)
{
	char *tail = strstr(line, " - ");
	char *field = line, *options = NULL;

	if (!tail)
		return false;
	*tail = '\0';
	out->id = strtoull(line, NULL, 10);
	for (int i = 0; field && i < 6; i++)
		options = strsep(&field, " ");
	tail += strlen(" - ");
	const char *type = strsep(&tail, " ");
	out->flags = (strcmp(type, "fuse.smfs") == 0 ? MOUNT_SMFS : 0) |
		     (strcmp(type, "proc") == 0 ? MOUNT_PROC : 0) |
		     (strncmp(type, "fuse", 4) == 0 ? MOUNT_FUSE : 0) |
		     (options && option_in(options, "nosymfollow") ? MOUNT_NOSYMFOLLOW : 0);
	return true;
}

static int by_id(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (const char *p = text; (p = strchr(p, '\n')); p++)
		n++;
	return n;
}

static int read_table(struct mounts *mounts)
{
	const int err = read_text(mounts);
	if (err)
		return err;

	const size_t lines = count_lines(mounts->text);
	struct entry *entries = reallocarray(mounts->entries, lines + 1, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	mounts->entries = entries;
	mounts->count = 0;
	for (char *line, *rest = mounts->text; (line = strsep(&rest, "\n")) && rest;)
		mounts->count += parse_line(line, &entries[mounts->count]);
	qsort(entries, mounts->count, sizeof(*entries), by_id);
	return 0;
}

static bool changed(struct mounts *mounts)
{
	struct pollfd p = { .fd = mounts->fd, .events = POLLPRI };

	return poll(&p, 1, 0) != 0;
}

/* Before the read, so that a change during the read makes poll tell again. */
static int refresh(struct mounts *mounts)
{
	mounts->current = false;
	const int err = read_table(mounts);
	mounts->current = err == 0;
	return err;
}

static const struct entry *find(const struct mounts *mounts, uint64_t id)
{
	const struct entry key = { .id = id };

	return bsearch(&key, mounts->entries, mounts->count, sizeof(key), by_id);
}

int mounts_flags(struct mounts *mounts, uint64_t id)
{
	const struct entry *entry;
	LOCKED(&mounts->lock);

	if (changed(mounts) || !mounts->current) {
		const int err = refresh(mounts);
		if (err)
			return err;
	}
	entry = find(mounts, id);
	if (!entry) {
		/* The kernel shows a mount to a path walk a moment before it tells poll of it. */
		const int err = refresh(mounts);
		if (err)
			return err;
		entry = find(mounts, id);
	}
	return entry ? entry->flags : -ENOENT;
}
