/* SPDX-License-Identifier: MIT */
/*
 * A path of 40 links, each of 4 KiB of "d/..", takes seconds to walk, and costs its maker nothing. Whoever lists a
 * directory would have to wait for all of these that strangers left there. So the components of all hints are counted.
 * Everybody has some steps of his own, which nobody can use up for him; who needs more takes it from a reserve for all,
 * but only a part of it.
 *
 * A user can be many (subordinate uids), so only the first ones of an answer get steps of their own.
 */
#include "hints.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>

#include "hash.h"
#include "log.h"

#define RESERVE 65536u		/* steps; one was measured to take 4 us on a busy machine */
#define PART 4096u		/* of the reserve, for one owner */
#define LINKS_OWN 256u
#define LINKS_TRUSTED 65536u
#define RECORD_EACH 16u
#define OWNERS 512u

struct hints_owner {
	uid_t uid;
	unsigned own;		/* steps */
	unsigned part;		/* steps of the reserve that may still be taken */
	UT_hash_handle hh;
};

void hints_of_records(struct hints *h)
{
	*h = (struct hints){ .each = RECORD_EACH, .reserve = RESERVE };
}

void hints_of_links(struct hints *h, uid_t owner)
{
	*h = (struct hints){ .own = LINKS_OWN, .reserve = RESERVE, .trusted = owner };
}

static unsigned own_steps(const struct hints *h, uid_t uid)
{
	const bool trusted = h->own && (uid == 0 || uid == h->trusted);

	return trusted ? LINKS_TRUSTED : h->own;
}

/* NULL: there are too many, or memory is out. */
static struct hints_owner *owner_of(struct hints *h, uid_t uid)
{
	struct hints_owner *o;

	HASH_FIND(hh, h->owners, &uid, sizeof(uid), o);
	if (o || h->nowners == OWNERS || !(o = malloc(sizeof(*o))))
		return o;
	*o = (struct hints_owner){ .uid = uid, .own = own_steps(h, uid), .part = PART };
	HASH_ADD(hh, h->owners, uid, sizeof(uid), o);
	if (hash_added(o->hh)) {
		h->nowners++;
		return o;
	}
	free(o);
	return NULL;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static void spend(struct hints *h, struct hints_owner *o, unsigned steps)
{
	const unsigned own = least(steps, o->own), more = steps - own;

	o->own -= own;
	o->part -= more;
	h->reserve -= more;
	h->walked += steps;
}

int hints_follow(struct hints *h, uid_t uid, const struct keydir *keydir, const struct keypath *dir, const char *path,
		 struct keypath *out)
{
	struct hints_owner nobody = { .uid = uid, .part = least(PART, h->reserve) };
	struct hints_owner *o = owner_of(h, uid);

	if (!o)
		o = &nobody;
	o->own += h->each;

	const unsigned may = least(KEYPATH_HINT_STEPS, o->own + least(o->part, h->reserve));
	unsigned left = may;
	const int err = keypath_at_hint(keydir, dir, path, &left, out);

	spend(h, o, may - left);
	if (err == -ELOOP && left == 0)
		log_limited("recorded paths and links", 1, uid, LOG_WARNING,
			    "user %u: recorded paths or symbolic links lead too far: some are left out", (unsigned)uid);
	return err;
}

int hints_follow_entry(struct hints *h, const struct keydir *keydir, const struct keypath *dir, const char *name,
		       struct keypath *out)
{
	const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;	/* as walk.c looks */
	struct statx stx;

	if (statx(dir->fd, name, flags, STATX_UID, &stx) || !(stx.stx_mask & STATX_UID))
		stx.stx_uid = (uid_t)-1;
	return hints_follow(h, stx.stx_uid, keydir, dir, name, out);
}

void hints_free(struct hints *h)
{
	struct hints_owner *o, *next;

	HASH_ITER(hh, h->owners, o, next) {
		HASH_DEL(h->owners, o);
		free(o);
	}
}
