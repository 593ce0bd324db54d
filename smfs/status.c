/* SPDX-License-Identifier: MIT */

/*
 * A request names its caller's user and group, and not its groups or capabilities: those are in
 * /proc/TID/status. The file is one line per field, "Name:\tvalue", in a fixed order, and a name with a
 * newline is escaped in it. It has a kilobyte or two, unless the caller is in very many groups.
 */

#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

#define USUAL 4096
#define LONGEST (1024 * 1024)	/* 65,536 groups of 10 digits, and the rest */

/* The fourth number of "Uid:" and "Gid:" is the one that the request carries. */
static bool fourth_is(const char *value, unsigned id)
{
	unsigned long n = 0;
	char *end;

	for (int i = 0; i < 4; i++) {
		n = strtoul(value, &end, 10);
		if (end == value)
			return false;
		value = end;
	}
	return n == id;
}

static unsigned count_numbers(const char *value)
{
	unsigned n = 0;

	for (char *end; strtoul(value, &end, 10), end != value; value = end)
		n++;
	return n;
}

static int parse_groups(struct caller *c, const char *value)
{
	const unsigned n = count_numbers(value);
	gid_t *into = c->groups;

	if (n > CALLER_GROUPS_INLINE) {
		into = malloc(n * sizeof(gid_t));
		if (!into)
			return -ENOMEM;
		c->more_groups = into;
	}
	for (unsigned i = 0; i < n; i++) {
		char *end;

		into[i] = (gid_t)strtoul(value, &end, 10);
		value = end;
	}
	c->ngroups = n;
	return 0;
}

static const char *value_of(const char *line, const char *name)
{
	const size_t n = strlen(name);

	return strncmp(line, name, n) == 0 ? line + n : NULL;
}

int status_parse(struct caller *c, char *text)
{
	const char *value, *groups = NULL;
	bool same_uid = false, same_gid = false;

	for (char *line, *rest = text; (line = strsep(&rest, "\n")) && rest;) {
		if ((value = value_of(line, "Uid:")))
			same_uid = fourth_is(value, c->uid);
		else if ((value = value_of(line, "Gid:")))
			same_gid = fourth_is(value, c->gid);
		else if ((value = value_of(line, "Groups:")))
			groups = value;
		else if ((value = value_of(line, "CapEff:"))) {
			if (!same_uid || !same_gid || !groups)
				return 0;
			/* Nobody but root is given a capability through the mount. */
			c->caps = c->uid == 0 ? strtoull(value, NULL, 16) : 0;
			const int err = parse_groups(c, groups);
			return err ? err : 1;
		}
	}
	return 0;
}

static ssize_t read_all(int fd, char *into, size_t size)
{
	size_t n = 0;

	while (n < size) {
		const ssize_t got = read(fd, into + n, size - n);
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	return (ssize_t)n;
}

/* The thread is in more groups than the usual buffer holds; USUAL bytes are read already. */
static int parse_long(struct caller *c, int fd, const char *start)
{
	AUTO_FREE char *text = malloc(LONGEST);

	if (!text)
		return -ENOMEM;
	memcpy(text, start, USUAL);
	const ssize_t n = read_all(fd, text + USUAL, LONGEST - USUAL - 1);
	if (n < 0)
		return 0;
	text[USUAL + n] = '\0';
	return status_parse(c, text);
}

static int parse_file(struct caller *c, int dir, const char *name)
{
	char text[USUAL + 1];
	AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	const ssize_t n = read(fd, text, USUAL);
	if (n <= 0)
		return 0;
	if (n == USUAL)
		return parse_long(c, fd, text);
	text[n] = '\0';
	return status_parse(c, text);
}

static bool same_userns(int dir, const char *userns)
{
	char text[64];
	const ssize_t n = readlinkat(dir, "ns/user", text, sizeof(text) - 1);

	if (n <= 0)
		return false;
	text[n] = '\0';
	return strcmp(text, userns) == 0;
}

int status_read(struct caller *c, const char *userns)
{
	char path[40];
	int got;

	if (c->uid != 0) {
		snprintf(path, sizeof(path), "/proc/%d/status", (int)c->tid);
		got = parse_file(c, AT_FDCWD, path);
		return got < 0 ? got : 0;
	}
	/* Root has two files to be read, and they must be the same thread's. */
	snprintf(path, sizeof(path), "/proc/%d", (int)c->tid);
	AUTO_CLOSE int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return 0;
	got = parse_file(c, dir, "status");
	if (c->caps && !same_userns(dir, userns))
		c->caps = 0;
	return got < 0 ? got : 0;
}
