/* SPDX-License-Identifier: MIT */
/* Bytes in the making are the daemon's own memory, so they are counted by the user they were written for. */
#include "share.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <syslog.h>

#include "hash.h"
#include "log.h"

struct share {
	uid_t uid;
	size_t bytes;
	UT_hash_handle hh;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct share *shares;
static size_t most = (size_t)256 << 20;

void share_start(size_t most_per_user)
{
	most = most_per_user;
}

static struct share *find(uid_t uid)
{
	struct share *s;

	HASH_FIND(hh, shares, &uid, sizeof(uid), s);
	return s;
}

static int take(uid_t uid, size_t bytes)
{
	struct share *s = find(uid);

	if (bytes > most || (s && s->bytes > most - bytes))
		return -ENOSPC;
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return -ENOMEM;
		s->uid = uid;
		HASH_ADD(hh, shares, uid, sizeof(uid), s);
		if (!hash_added(s->hh)) {
			free(s);
			return -ENOMEM;
		}
	}
	s->bytes += bytes;
	return 0;
}

int share_take(uid_t uid, size_t bytes)
{
	static long last;

	pthread_mutex_lock(&lock);
	int err = bytes ? take(uid, bytes) : 0;

	pthread_mutex_unlock(&lock);
	if (err == -ENOSPC)
		log_limited(&last, LOG_WARNING, "user %u: files in the making hold %zu bytes, the most allowed (-o staged=)",
			    uid, most);
	return err;
}

void share_return(uid_t uid, size_t bytes)
{
	pthread_mutex_lock(&lock);
	struct share *s = find(uid);

	if (s && bytes) {
		s->bytes -= bytes < s->bytes ? bytes : s->bytes;
		if (!s->bytes) {
			HASH_DEL(shares, s);
			free(s);
		}
	}
	pthread_mutex_unlock(&lock);
}
