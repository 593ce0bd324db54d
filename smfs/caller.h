/* SPDX-License-Identifier: MIT */
#ifndef SMFS_CALLER_H
#define SMFS_CALLER_H

/*
 * Callers judged as themselves: who sent a request, and a thread that takes on that caller's credentials for
 * as long as it makes the system calls which the kernel is to judge.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CALLER_GROUPS_INLINE 32

struct caller {
	uid_t uid;		/* effective, and what files are judged by */
	gid_t gid;
	pid_t tid;		/* 0: of another pid namespace */
	uint64_t caps;		/* bit N: capability N; 0 for anyone but root in our own user namespace */
	unsigned ngroups;
	gid_t *more_groups;	/* NULL while they fit in GROUPS */
	gid_t groups[CALLER_GROUPS_INLINE];
};

/*
 * Learn what this process is and may take on. Before the first thread and before any other function here;
 * again after caller_reduce(), which does that by itself.
 */
void caller_start(void);

/* Whether callers other than this process' own user can be served (CAP_SETUID and CAP_SETGID). */
bool caller_takes_on_others(void);

/*
 * Fill C from the user, group and thread that a request names, and from /proc/TID/status: the groups, and
 * for root of our own user namespace the effective capabilities. Where that thread cannot be looked at or is
 * not of this user and group (now), C has no groups and no capabilities. Callable from any thread that has
 * not entered a caller. Errors: ENOMEM (more groups than fit inline); C is then safe to free.
 */
int caller_read(struct caller *c, uid_t fsuid, gid_t fsgid, pid_t tid);

/* A copy that lives on by itself. Errors: ENOMEM; OUT is then safe to free. */
int caller_copy(struct caller *out, const struct caller *c);

/* Free what C holds, not C. Idempotent; fine on a zeroed one. */
void caller_free(struct caller *c);

/* The caller's supplementary groups, C->ngroups of them. */
static inline const gid_t *caller_groups(const struct caller *c)
{
	return c->more_groups ? c->more_groups : c->groups;
}

/* Would a thread that has entered C have that capability (a number of linux/capability.h)? For what we judge ourselves. */
bool caller_can(const struct caller *c, int capability);

/*
 * The calling thread, and no other, takes on C's effective user, group and groups, and no capability that C
 * lacks. Does nothing where that would change nothing. Enters do not nest. Errors, with the thread's own
 * credentials in force: EACCES (this process may not become C), EDEADLK (has entered already), ENOMEM,
 * EAGAIN.
 */
int caller_enter(const struct caller *c);

/*
 * Back to the daemon's own credentials; tries until the kernel agrees. Does nothing in a thread that has
 * not entered.
 */
void caller_leave(void);

static inline void caller_scope_end(const int *entered)
{
	if (*entered == 0)
		caller_leave();
}

/*
 * `CALLER_SCOPE(err, c); if (err) return err;`: enter C, and leave when the scope ends. ERR is what
 * caller_enter() returned.
 */
#define CALLER_SCOPE(err, c) const int err __attribute__((cleanup(caller_scope_end))) = caller_enter(c)

/*
 * Give up for good every capability that serving requests does not need, in the bounding set too, and for
 * root's daemon the gaining of any by exec (no_new_privs). After the mount and before the first thread.
 * A process without capabilities is left as it is. Errors: a negative errno; nothing is certain then.
 */
int caller_reduce(void);

/* The effective capabilities of this process by name, with spaces between them; "none" if there are none. */
#define CALLER_CAPABILITIES_MAX 512
void caller_capabilities(char text[CALLER_CAPABILITIES_MAX]);

#endif
