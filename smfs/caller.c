/* SPDX-License-Identifier: MIT */

/*
 * The rule is that a caller gets through the mount what the kernel would give that caller directly. Judging
 * it here, by mode bits, was measured to get cases wrong, so the kernel judges: the serving thread becomes
 * the caller for the system calls that matter.
 *
 * Credentials belong to a thread in Linux; it is the C library that spreads a change over all threads of the
 * process. Hence the raw system calls. Only the effective ids change. The real and saved ones stay the
 * daemon's: they are the way back, and they keep the caller from sending signals to this process.
 *
 * The kernel takes the effective capabilities away as the effective uid leaves 0, and puts the permitted
 * ones back as it returns. That is relied upon, unless SECBIT_NO_SETUID_FIXUP says that it does not happen.
 */

#include "caller.h"

#include <cap-ng.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "status.h"

#define BIT(cap) (UINT64_C(1) << (cap))
#define TAKE_ON (BIT(CAP_SETUID) | BIT(CAP_SETGID))
#define SEES_ALL (BIT(CAP_IPC_OWNER) | BIT(CAP_DAC_READ_SEARCH))

/* What this process is. Written by caller_start() only, before there are threads. */
static struct {
	uid_t uid;
	gid_t gid;
	int ngroups;
	gid_t *groups;
	uint64_t effective, permitted;
	bool fixup;		/* the kernel adapts the effective capabilities to the effective uid */
	bool takes_on;
	bool proc;		/* /proc is of this pid namespace, so a tid means the same there */
	char userns[64];
} own;

/* What the calling thread has to undo. */
static __thread struct {
	bool in, groups, gid, uid, caps;
} entered;

static int cap_get(uint64_t *effective, uint64_t *permitted)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	if (syscall(SYS_capget, &header, data) != 0)
		return -errno;
	*effective = data[0].effective | (uint64_t)data[1].effective << 32;
	*permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	return 0;
}

/* Of the calling thread only. Nothing of what this file raises is inheritable. */
static int cap_set(uint64_t effective)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
		{ .effective = (uint32_t)effective, .permitted = (uint32_t)own.permitted },
		{ .effective = (uint32_t)(effective >> 32), .permitted = (uint32_t)(own.permitted >> 32) },
	};

	return syscall(SYS_capset, &header, data) == 0 ? 0 : -errno;
}

static bool proc_is_ours(void)
{
	char text[32];
	const ssize_t n = readlink("/proc/self", text, sizeof(text) - 1);

	if (n <= 0)
		return false;
	text[n] = '\0';
	return strtol(text, NULL, 10) == getpid();
}

void caller_start(void)
{
	const int securebits = prctl(PR_GET_SECUREBITS);

	own.uid = geteuid();
	own.gid = getegid();
	free(own.groups);
	own.ngroups = getgroups(0, NULL);
	own.groups = own.ngroups > 0 ? calloc((size_t)own.ngroups, sizeof(gid_t)) : NULL;
	own.ngroups = own.groups ? getgroups(own.ngroups, own.groups) : 0;
	if (own.ngroups < 0)
		own.ngroups = 0;
	if (cap_get(&own.effective, &own.permitted) != 0)
		own.effective = own.permitted = 0;
	own.fixup = securebits < 0 || !(securebits & SECBIT_NO_SETUID_FIXUP);
	own.takes_on = (own.effective & TAKE_ON) == TAKE_ON;
	own.proc = proc_is_ours();
	const ssize_t n = readlink("/proc/self/ns/user", own.userns, sizeof(own.userns) - 1);
	own.userns[n > 0 ? n : 0] = '\0';
}

bool caller_takes_on_others(void)
{
	return own.takes_on;
}

int caller_read(struct caller *c, uid_t fsuid, gid_t fsgid, pid_t tid)
{
	*c = (struct caller){ .uid = fsuid, .gid = fsgid, .tid = tid };

	/* An ordinary user's daemon serves itself only, and has nothing to become. */
	if (tid <= 0 || !own.proc || (!own.takes_on && own.effective == 0))
		return 0;
	return status_read(c, own.userns);
}

int caller_copy(struct caller *out, const struct caller *c)
{
	*out = *c;
	if (!c->more_groups)
		return 0;
	out->more_groups = malloc(c->ngroups * sizeof(gid_t));
	if (!out->more_groups) {
		out->ngroups = 0;
		return -ENOMEM;
	}
	memcpy(out->more_groups, c->more_groups, c->ngroups * sizeof(gid_t));
	return 0;
}

void caller_free(struct caller *c)
{
	free(c->more_groups);
	c->more_groups = NULL;
	c->ngroups = 0;
}

/* What the caller may keep of our capabilities. */
static uint64_t caps_left(const struct caller *c)
{
	return c->uid == 0 ? own.effective & c->caps : 0;
}

bool caller_can(const struct caller *c, int capability)
{
	return caps_left(c) & BIT(capability);
}

static bool groups_differ(const struct caller *c)
{
	/* Root with what we have of root's power is refused nothing for want of a group. */
	if (c->uid == own.uid && c->gid == own.gid && caps_left(c) == own.effective &&
	    (own.effective & SEES_ALL) == SEES_ALL)
		return false;
	return c->ngroups != (unsigned)own.ngroups ||
	       (c->ngroups && memcmp(caller_groups(c), own.groups, c->ngroups * sizeof(gid_t)) != 0);
}

/* The effective capabilities that the kernel leaves a thread whose effective uid went from FROM to TO. */
static uint64_t caps_after(uid_t from, uid_t to)
{
	if (!own.fixup || (from == 0) == (to == 0))
		return own.effective;
	return to == 0 ? own.permitted : 0;
}

/* Groups while there is still the right to set them, capabilities last. */
static int take_on(const struct caller *c)
{
	if (own.takes_on && groups_differ(c)) {
		if (syscall(SYS_setgroups, c->ngroups, caller_groups(c)) != 0)
			return -errno;
		entered.groups = true;
	}
	if (c->gid != own.gid) {
		if (syscall(SYS_setresgid, -1, c->gid, -1) != 0)
			return -errno;
		entered.gid = true;
	}
	if (c->uid != own.uid) {
		if (syscall(SYS_setresuid, -1, c->uid, -1) != 0)
			return -errno;
		entered.uid = true;
	}
	if (caps_after(own.uid, c->uid) != caps_left(c)) {
		const int err = cap_set(caps_left(c));
		if (err)
			return err;
		entered.caps = true;
	}
	return 0;
}

int caller_enter(const struct caller *c)
{
	if (entered.in)
		return -EDEADLK;
	/* To the kernel that would mean: stay as you are. */
	if (c->uid == (uid_t)-1 || c->gid == (gid_t)-1)
		return -EACCES;
	if (!own.takes_on && (c->uid != own.uid || c->gid != own.gid))
		return -EACCES;
	entered.in = true;

	const int err = take_on(c);
	if (err)
		caller_leave();
	/* An id that our user namespace does not map, or groups that it may not set: no one we can become. */
	return err == -EINVAL || err == -EPERM ? -EACCES : err;
}

/* Whether the way back to our own uid is one to our own capabilities as well. */
static bool uid_restores_caps(void)
{
	return own.fixup && own.uid == 0 && own.permitted == own.effective;
}

/* Only memory or a limit can be in the way of what was ours before, and that passes. */
static void wait_a_moment(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

void caller_leave(void)
{
	if (entered.uid) {
		while (syscall(SYS_setresuid, -1, own.uid, -1) != 0)
			wait_a_moment();
	}
	if (entered.caps || (entered.uid && !uid_restores_caps())) {
		while (cap_set(own.effective) != 0)
			wait_a_moment();
	}
	if (entered.gid) {
		while (syscall(SYS_setresgid, -1, own.gid, -1) != 0)
			wait_a_moment();
	}
	if (entered.groups) {
		while (syscall(SYS_setgroups, own.ngroups, own.groups) != 0)
			wait_a_moment();
	}
	memset(&entered, 0, sizeof(entered));
}

/* Why each is needed stands in SECURITY.md; nothing else is. */
static const int kept[] = {
	CAP_CHECKPOINT_RESTORE,	/* map_files */
	CAP_SYS_ADMIN,		/* registering descriptors, IPC_RMID and IPC_SET, unmounting */
	CAP_IPC_OWNER,		/* attaching as root */
	CAP_SETUID, CAP_SETGID,	/* becoming a caller */
	CAP_SYS_PTRACE,		/* namespaces, roots and maps of other users' processes */
	CAP_DAC_READ_SEARCH,	/* key paths of callers who have it */
};

int caller_reduce(void)
{
	if (own.permitted == 0)
		return 0;
	/*
	 * The bounding set can only be changed with CAP_SETPCAP, and the ambient one follows the
	 * permitted.
	 */
	const capng_select_t what = own.effective & BIT(CAP_SETPCAP) ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS;
	const uint64_t had = own.permitted;

	capng_clear(CAPNG_SELECT_BOTH);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		if (had & BIT(kept[i]) && capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED |
						       CAPNG_BOUNDING_SET, (unsigned)kept[i]) != 0)
			return -EINVAL;
	}
	if (capng_apply(what) != 0)
		return -EPERM;
	/* An ordinary user's daemon still has to run fusermount3, which is setuid, to unmount. */
	if (own.uid == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return -errno;
	caller_start();
	return 0;
}

void caller_capabilities(char text[CALLER_CAPABILITIES_MAX])
{
	size_t n = 0;

	text[0] = '\0';
	for (unsigned cap = 0; cap < 64; cap++) {
		const char *name = own.effective & BIT(cap) ? capng_capability_to_name(cap) : NULL;

		if (name && n + strlen(name) + 2 < CALLER_CAPABILITIES_MAX)
			n += (size_t)snprintf(text + n, CALLER_CAPABILITIES_MAX - n, "%s%s", n ? " " : "", name);
	}
	if (!n)
		strcpy(text, "none");
}
