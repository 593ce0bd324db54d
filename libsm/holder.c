// SPDX-License-Identifier: MIT
/*
 * Who has a segment attached, and how much of it is in memory: what only /proc tells.
 *
 * /proc/PID/maps shows an attachment as a mapping of /SYSV<key> on the kernel's own file system, whose inode number is the
 * shmid. It also shows other IPC namespaces' attachments, whose ids mean something else, so a process counts only if its
 * ns/ipc is ours. The files are read in blocks into one buffer and looked at line by line in place.
 */
#include "private.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define PF_KTHREAD 0x00200000u

/* Is this the path that the kernel gives an attached segment? */
static bool is_sysv(const char *path)
{
	if (strncmp(path, "/SYSV", 5) != 0)
		return false;
	for (int i = 5; i < 13; i++) {
		if (!isxdigit((unsigned char)path[i]))
			return false;
	}
	return path[13] == '\0' || strcmp(path + 13, " (deleted)") == 0;
}

struct mapped {
	long id;		/* of the segment, or -1 */
	uintptr_t start;
	const char *perms;
	bool by_file;		/* not an attachment, but a file's mapping */
};

static dev_t read_device(const char *at)
{
	char *colon;
	unsigned long major = strtoul(at, &colon, 16);

	return makedev((unsigned)major, *colon == ':' ? (unsigned)strtoul(colon + 1, NULL, 16) : 0);
}

/*
 * "START-END PERMS OFFSET DEV INODE   PATH": is it a segment that is attached, or one mapped through a file of the file system
 * FILES? What looks like the former, but whose device cannot be told from the kernel's, is one if UNKNOWN.
 */
static struct mapped read_line(const char *line, dev_t files, bool unknown)
{
	const char *path = strchr(line, '/');	/* the first thing in a line that can have a slash */
	struct mapped m = { .id = -1 };
	const char *at = line;
	dev_t device = 0;
	char *end;
	long inode;

	if (!path)
		return m;
	m.by_file = !is_sysv(path);
	if (m.by_file && !files)
		return m;
	for (int field = 0; field < 4; field++) {
		at = strchr(at, ' ');
		if (!at)
			return m;
		at++;
		if (field == 0)
			m.perms = at;
		else if (field == 2)
			device = read_device(at);
	}
	if (m.by_file ? device != files : !shmfs_is(device, unknown))
		return m;
	m.start = strtoul(line, NULL, 16);
	inode = strtol(at, &end, 10);
	m.id = end == at || inode > INT_MAX ? -1 : inode;
	return m;
}

struct own {
	int id;
	unsigned long n;
};

static int count_own(char *line, void *arg)
{
	struct own *own = arg;
	struct mapped m = read_line(line, 0, false);

	own->n += m.id == own->id && !mapping_covers(m.start);
	return 0;
}

unsigned long sm_segment_own(int id)
{
	struct own own = { .id = id };
	SCOPED_FD fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	SCOPED_BUFFER buffer = malloc(LINES_BUFFER);
	int err;

	if (fd < 0 || !buffer)
		return 0;
	mapping_lock();
	err = lines_read(fd, buffer, count_own, &own);
	mapping_unlock();
	return err < 0 ? 0 : own.n;
}

struct holders {
	struct sm_holder *list;
	size_t n, room;
	int id;			/* wanted; -1: any */
	dev_t files;		/* of a file system whose files are segments, or 0 */
	pid_t pid, self;	/* whose maps are being read; this process */
};

/* What this process maps by a descriptor of the segment itself. Another's cannot be told from an attachment. */
static bool is_by_descriptor(const struct holders *h, uintptr_t start)
{
	bool covers;

	if (h->pid != h->self)
		return false;
	mapping_lock();
	covers = mapping_covers(start);
	mapping_unlock();
	return covers;
}

static int add_holder(char *line, void *arg)
{
	struct holders *h = arg;
	struct mapped m = read_line(line, h->files, true);

	if (m.id < 0 || (h->id >= 0 && m.id != h->id))
		return 0;
	m.by_file |= is_by_descriptor(h, m.start);
	if (h->n == h->room) {
		size_t room = h->room ? h->room * 2 : 64;
		struct sm_holder *list = reallocarray(h->list, room, sizeof *list);

		if (!list)
			return -ENOMEM;
		h->list = list;
		h->room = room;
	}
	h->list[h->n++] = (struct sm_holder){
		.pid = h->pid, .id = (int)m.id, .attached = 1, .by_file = m.by_file, .writable = m.perms[1] == 'w' && m.perms[3] == 's',
	};
	return 0;
}

/* A small file of /proc/PID, as a string. */
static ssize_t slurp(int proc, pid_t pid, const char *name, char *out, size_t size)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof path, "%d/%s", (int)pid, name);
	SCOPED_FD fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, out, size - 1);
	if (n < 0)
		return -errno;
	out[n] = '\0';
	return n;
}

/* Kernel threads have no memory of their own; nothing of theirs is hidden. */
static bool is_kernel_thread(int proc, pid_t pid)
{
	char stat[512], *at;
	unsigned flags;

	if (slurp(proc, pid, "stat", stat, sizeof stat) < 0)
		return true;	/* gone */
	at = strrchr(stat, ')');
	/* state ppid pgrp session tty tpgid flags */
	return at && sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %u", &flags) == 1 && (flags & PF_KTHREAD);
}

static bool same_namespace(int proc, pid_t pid, const struct stat *ours)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof path, "%d/ns/ipc", (int)pid);
	/* Where this is closed to us, so is maps. */
	return fstatat(proc, path, &st, 0) < 0 || (st.st_ino == ours->st_ino && st.st_dev == ours->st_dev);
}

/* The entries of one process, the last ones of the list, get its user and name; without those it is gone. */
static void describe(int proc, struct holders *h, size_t first)
{
	char status[1024], comm[32] = "", *at;
	unsigned uid = 0;

	if (first == h->n)
		return;
	if (slurp(proc, h->pid, "status", status, sizeof status) < 0 || !(at = strstr(status, "\nUid:")) ||
	    sscanf(at, "\nUid:%*u %u", &uid) != 1 || slurp(proc, h->pid, "comm", comm, sizeof comm) < 0) {
		h->n = first;
		return;
	}
	comm[strcspn(comm, "\n")] = '\0';
	for (size_t i = first; i < h->n; i++) {
		h->list[i].uid = uid;
		snprintf(h->list[i].comm, sizeof h->list[i].comm, "%.15s", comm);
	}
}

/* 1 if its maps are closed to us. */
static int scan_process(int proc, char *buffer, const struct stat *ours, struct holders *h)
{
	size_t first = h->n;
	char path[64];
	int r;

	if (!same_namespace(proc, h->pid, ours))
		return 0;
	snprintf(path, sizeof path, "%d/maps", (int)h->pid);
	SCOPED_FD fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	r = fd < 0 ? -errno : lines_read(fd, buffer, add_holder, h);
	if (r == -EACCES || r == -EPERM)
		return !is_kernel_thread(proc, h->pid);
	if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
		return r;
	/* Other errors: it ended meanwhile. */
	describe(proc, h, first);
	return 0;
}

static int by_id_and_pid(const void *a, const void *b)
{
	const struct sm_holder *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return (x->pid > y->pid) - (x->pid < y->pid);
}

/* Several mappings of one segment in one process are one holder. */
static size_t merge(struct sm_holder *list, size_t n)
{
	size_t kept = 0;

	if (n > 0)
		qsort(list, n, sizeof *list, by_id_and_pid);
	for (size_t i = 0; i < n; i++) {
		if (kept > 0 && by_id_and_pid(&list[kept - 1], &list[i]) == 0) {
			list[kept - 1].attached += list[i].attached;
			list[kept - 1].by_file += list[i].by_file;
			list[kept - 1].writable |= list[i].writable;
		} else {
			list[kept++] = list[i];
		}
	}
	return kept;
}

static int scan_all(DIR *dir, struct holders *h, unsigned *hidden)
{
	SCOPED_BUFFER buffer = malloc(LINES_BUFFER);
	struct dirent *entry;
	struct stat ours;
	int r;

	if (!buffer)
		return -ENOMEM;
	if (fstatat(dirfd(dir), "self/ns/ipc", &ours, 0) < 0)
		return -errno;
	while ((errno = 0, entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		h->pid = (pid_t)strtol(entry->d_name, NULL, 10);
		r = scan_process(dirfd(dir), buffer, &ours, h);
		if (r < 0)
			return r;
		*hidden += (unsigned)r;
	}
	return -errno;		/* of readdir: 0 at the end */
}

ssize_t sm_holder_list(int id, struct sm_holder **out, unsigned *hidden)
{
	return sm_holder_list_on(id, 0, out, hidden);
}

ssize_t sm_holder_list_on(int id, dev_t files, struct sm_holder **out, unsigned *hidden)
{
	struct holders h = { .id = id, .files = files, .self = getpid() };
	unsigned closed = 0;
	DIR *dir = opendir("/proc");
	int r;

	if (!dir)
		return -errno;
	r = scan_all(dir, &h, &closed);
	closedir(dir);
	if (r < 0) {
		free(h.list);
		return r;
	}
	h.n = merge(h.list, h.n);
	*out = h.list ? h.list : calloc(1, sizeof **out);
	if (!*out)
		return -ENOMEM;
	if (hidden)
		*hidden = closed;
	return (ssize_t)h.n;
}
