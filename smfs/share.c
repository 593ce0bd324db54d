/* SPDX-License-Identifier: MIT */
/*
 * Bytes in the making or put aside, and listings, are the daemon's own memory, and an open file may cost one of its descriptors.
 * Each is counted by the user it is for, and apart: who may write no more can still look. A user without any has no entry.
 */
#include "share.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <syslog.h>

#include "cleanup.h"
#include "hash.h"
#include "log.h"

#define SPARE 512	/* descriptors kept for key paths: some hundred at once; beyond that they are EMFILE */

struct share {
	uid_t uid;
	size_t bytes, listed;	/* in the making; of listings, which only open directories have */
	unsigned files;
	UT_hash_handle hh;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* of the table */
static struct share *shares;
static size_t most_bytes = (size_t)256 << 20;
static size_t most_listed = (size_t)64 << 20;
static unsigned most_files = 1024;
static int scarce_from = 512;

void share_start(size_t bytes, size_t listed, unsigned files)
{
	struct rlimit limit;

	most_bytes = bytes;
	most_listed = listed;
	most_files = files;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 1u << 30)
		scarce_from = (int)limit.rlim_cur - (limit.rlim_cur > 2 * SPARE ? SPARE : (int)limit.rlim_cur / 2);
	else
		scarce_from = 1 << 30;
}

bool share_is_scarce(int fd)
{
	return fd >= scarce_from;
}

static struct share *find(uid_t uid)
{
	struct share *s;

	HASH_FIND(hh, shares, &uid, sizeof(uid), s);
	return s;
}

static struct share *find_or_add(uid_t uid)
{
	struct share *s = find(uid);

	if (s || !(s = calloc(1, sizeof(*s))))
		return s;
	s->uid = uid;
	HASH_ADD(hh, shares, uid, sizeof(uid), s);
	if (hash_added(s->hh))
		return s;
	free(s);
	return NULL;
}

static void remove_if_empty(struct share *s)
{
	if (s->bytes || s->files)
		return;
	HASH_DEL(shares, s);
	free(s);
}

static int take(uid_t uid, size_t bytes)
{
	struct share *s;
	LOCKED(&lock);

	s = find(uid);
	if (bytes > most_bytes || (s && s->bytes > most_bytes - bytes))
		return -ENOSPC;
	s = find_or_add(uid);
	if (!s)
		return -ENOMEM;
	s->bytes += bytes;
	return 0;
}

int share_take(uid_t uid, size_t bytes)
{
	int err = bytes ? take(uid, bytes) : 0;

	if (err == -ENOSPC)
		log_limited("new files", 1, uid, LOG_WARNING,
			    "user %u: new files and size changes may hold %zu bytes, and no more (-o staged=)", uid, most_bytes);
	return err;
}

void share_return(uid_t uid, size_t bytes)
{
	LOCKED(&lock);
	struct share *s = find(uid);

	if (s && bytes) {
		s->bytes -= bytes < s->bytes ? bytes : s->bytes;
		remove_if_empty(s);
	}
}

static int open_one(uid_t uid)
{
	LOCKED(&lock);
	struct share *s = find_or_add(uid);

	if (!s)
		return -ENOMEM;
	if (s->files >= most_files) {
		remove_if_empty(s);
		return -EMFILE;
	}
	s->files++;
	return 0;
}

int share_open(uid_t uid)
{
	int err = open_one(uid);

	if (err == -EMFILE)
		log_limited("open files", 1, uid, LOG_WARNING, "user %u: %u files are open, the most allowed (-o files=)", uid, most_files);
	return err;
}

static int list_one(uid_t uid, size_t had, size_t has)
{
	LOCKED(&lock);
	struct share *s = find(uid);	/* there is one: the directory is open */

	if (!s)
		return -ENOMEM;

	size_t others = s->listed - had;

	if (others && has && has > most_listed - (others < most_listed ? others : most_listed))
		return -ENOMEM;
	s->listed = others + has;
	return 0;
}

int share_list(uid_t uid, size_t had, size_t has)
{
	int err = list_one(uid, had, has);

	if (err)
		log_limited("listings", 1, uid, LOG_WARNING,
			    "user %u: listings of open directories may hold %zu bytes, and no more (-o listings=)", uid, most_listed);
	return err;
}

int share_check(uid_t uid)
{
	int err = share_open(uid);

	if (!err)
		share_close(uid);
	return err;
}

void share_close(uid_t uid)
{
	LOCKED(&lock);
	struct share *s = find(uid);

	if (s && s->files) {
		s->files--;
		remove_if_empty(s);
	}
}
