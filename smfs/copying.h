/* SPDX-License-Identifier: MIT */
#ifndef SMFS_COPYING_H
#define SMFS_COPYING_H

#include <libsm/sm.h>
#include <stdbool.h>
#include <sys/queue.h>

/*
 * An attachment that is there while requests need it, and is let go within a second of the last one: other programs
 * decide by nattch whether a segment is in use. Thread-safe.
 */
struct copying {
	struct sm_segment seg;		/* as it was last seen */
	void *at[2];			/* read-only, writable; NULL: not attached */
	struct touch *touch;		/* of at[1]; read it while holding that */
	unsigned users;			/* requests that are using it */
	long long used_ms;		/* CLOCK_MONOTONIC: when the last one ended */
	bool listed;
	bool traced;			/* not attached, and seg shows when we attached and let go last, and nobody since */
	TAILQ_ENTRY(copying) attached;
};

/* ATTACHED, made as the caller, is kept as the first attachment. */
void copying_open(struct copying *c, const struct sm_segment *seg, const void *attached, bool writable);
void copying_close(struct copying *c);

/* ATTACHED serves C too, if C has none of that kind; otherwise it is detached. */
void copying_offer(struct copying *c, const void *attached, bool writable);

/* C's segment, which is NOW, was changed by us: that is no sign of another one. */
void copying_changed(struct copying *c, const struct sm_segment *now);

/*
 * The attached segment, until copying_release(). Errors: EIDRM (removed, or another segment has the shmid),
 * EACCES, ENOMEM.
 */
int copying_hold(struct copying *c, bool writable, void **at);
void copying_release(struct copying *c);

/* Let go now of large segments that no request uses: addresses are short. */
void copying_make_room(void);

/* Let go now of what was removed, by anyone, and of what is idle. */
void copying_let_go(void);

#endif
