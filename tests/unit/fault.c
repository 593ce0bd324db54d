// SPDX-License-Identifier: MIT
#include "fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/shm.h>
#include <sys/types.h>

static struct {
	_Atomic int count;	/* of all threads */
	bool armed;
	int fail_at, err;		/* 0: every call */
	int hook_at;
	void (*hook)(void *);
	void *arg;
} faults[FAULT_CALLS];

static bool resting, happened;

void fault_fail(enum fault_call call, int nth, int err)
{
	faults[call].armed = true;
	faults[call].fail_at = nth ? faults[call].count + nth : 0;
	faults[call].err = err;
}

void fault_hook(enum fault_call call, int nth, void (*fn)(void *), void *arg)
{
	faults[call].hook_at = faults[call].count + nth;
	faults[call].hook = fn;
	faults[call].arg = arg;
}

int fault_clear(void)
{
	bool was = happened;

	for (int i = 0; i < FAULT_CALLS; i++) {
		faults[i].armed = false;
		faults[i].hook = NULL;
		faults[i].count = 0;
	}
	happened = false;
	return was;
}

int fault_count(enum fault_call call)
{
	return faults[call].count;
}

/* Whether this call is to fail; errno is set then. */
static bool fails(enum fault_call call)
{
	void (*hook)(void *);

	if (resting)
		return false;
	int count = ++faults[call].count;

	hook = faults[call].hook;
	if (hook && count == faults[call].hook_at) {
		faults[call].hook = NULL;
		happened = resting = true;
		hook(faults[call].arg);
		resting = false;
	}
	if (!faults[call].armed || (faults[call].fail_at && count != faults[call].fail_at))
		return false;
	happened = true;
	errno = faults[call].err;
	return true;
}

#define WRAP(type, name, parameters, call, failure, ...) \
	type __real_##name parameters; \
	type __wrap_##name parameters; \
	type __wrap_##name parameters \
	{ \
		return fails(call) ? failure : __real_##name(__VA_ARGS__); \
	}

static enum fault_call kind(int cmd)
{
	return cmd == SHM_STAT_ANY ? FAULT_STAT : cmd == IPC_RMID ? FAULT_RMID : FAULT_SHMCTL;
}

WRAP(int, shmget, (key_t key, size_t size, int flags), FAULT_SHMGET, -1, key, size, flags)
WRAP(void *, shmat, (int id, const void *at, int flags), FAULT_SHMAT, (void *)-1, id, at, flags)
WRAP(int, shmdt, (const void *at), FAULT_SHMDT, -1, at)
WRAP(int, shmctl, (int id, int cmd, struct shmid_ds *ds), kind(cmd), -1, id, cmd, ds)
WRAP(int, madvise, (void *at, size_t size, int advice), FAULT_MADVISE, -1, at, size, advice)
WRAP(ssize_t, read, (int fd, void *to, size_t size), FAULT_READ, -1, fd, to, size)
WRAP(struct dirent *, readdir64, (DIR *dir), FAULT_READDIR, NULL, dir)
WRAP(void *, malloc, (size_t size), FAULT_MALLOC, NULL, size)
WRAP(void *, calloc, (size_t n, size_t size), FAULT_CALLOC, NULL, n, size)
WRAP(void *, reallocarray, (void *at, size_t n, size_t size), FAULT_REALLOCARRAY, NULL, at, n, size)
WRAP(char *, strdup, (const char *s), FAULT_STRDUP, NULL, s)
WRAP(int, vasprintf, (char **out, const char *format, va_list args), FAULT_ASPRINTF, -1, out, format, args)

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	/* The library only opens to read. With 64-bit offsets open(2) is called by this name. */
	return fails(FAULT_OPEN) ? -1 : __real_open64(path, flags);
}

int __wrap_asprintf(char **out, const char *format, ...);
int __wrap_asprintf(char **out, const char *format, ...)
{
	va_list args;
	int n;

	if (fails(FAULT_ASPRINTF))
		return -1;
	va_start(args, format);
	n = __real_vasprintf(out, format, args);
	va_end(args);
	return n;
}
