/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into smfs, makes every Nth call of a kind fail with an errno. The file that SMFS_FAULTS names is a table of
 * struct fault, shared with the test, which switches a kind on and off and reads what happened while the daemon runs.
 * Nothing fails before the test says so. The rows stand in the order of enum kind; test_faults.py has the same list.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { SHMGET, SHMAT, SHMDT, SHMCTL, RMID, MAP_FILES, REGISTER, MALLOC, MMAP, OPEN_REPLY, WRONG_INODE, KINDS };

struct fault {
	uint32_t every;		/* 0: none fails */
	int32_t err;
	uint32_t calls, failed;
};

static struct fault *faults;

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv("SMFS_FAULTS");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0)
		return;

	void *at = mmap(NULL, sizeof(struct fault) * KINDS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at != MAP_FAILED)
		faults = at;
}

static bool fails(enum kind kind)
{
	struct fault *f = faults ? &faults[kind] : NULL;
	uint32_t every = f ? __atomic_load_n(&f->every, __ATOMIC_RELAXED) : 0;

	if (!every || __atomic_add_fetch(&f->calls, 1, __ATOMIC_RELAXED) % every)
		return false;
	__atomic_add_fetch(&f->failed, 1, __ATOMIC_RELAXED);
	errno = f->err;
	return true;
}

/* The next definition of the function that this is in; looked up once (again is harmless). */
#define NEXT(name) \
	static __typeof__(&name) next; \
	if (!next) \
		next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int shmget(key_t key, size_t size, int flags)
{
	NEXT(shmget);
	return fails(SHMGET) ? -1 : next(key, size, flags);
}

void *shmat(int id, const void *at, int flags)
{
	NEXT(shmat);
	return fails(SHMAT) ? (void *)-1 : next(id, at, flags);
}

/* It says that it failed, and has not: an attachment that is left would be the test's doing. */
int shmdt(const void *at)
{
	NEXT(shmdt);
	int r = next(at);

	return fails(SHMDT) ? -1 : r;
}

int shmctl(int id, int cmd, struct shmid_ds *ds)
{
	NEXT(shmctl);
	return fails(cmd == IPC_RMID ? RMID : SHMCTL) ? -1 : next(id, cmd, ds);
}

/* A descriptor on something else of the size that this entry of map_files has. */
static int open_another(const char *path)
{
	unsigned long start, end;
	int fd = memfd_create("another", MFD_CLOEXEC);

	if (sscanf(path, "/proc/self/map_files/%lx-%lx", &start, &end) != 2 || ftruncate(fd, (off_t)(end - start)))
		abort();
	return fd;
}

/* With 64-bit offsets this is what open(2) is called in the program. */
int open64(const char *path, int flags, ...)
{
	NEXT(open64);
	va_list args;

	va_start(args, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;

	va_end(args);
	if (strncmp(path, "/proc/self/map_files/", 21) == 0) {
		if (fails(MAP_FILES))
			return -1;
		if (fails(WRONG_INODE))
			return open_another(path);
	}
	return next(path, flags, mode);
}

int ioctl(int fd, unsigned long request, ...);
int ioctl(int fd, unsigned long request, ...)
{
	static int (*next)(int, unsigned long, ...);
	va_list args;

	if (!next)
		next = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	va_start(args, request);
	void *arg = va_arg(args, void *);

	va_end(args);
	/* FUSE_DEV_IOC_BACKING_OPEN */
	return (request & 0xffff) == 0xe501 && fails(REGISTER) ? -1 : next(fd, request, arg);
}

static bool is_open_reply(const struct iovec *iov, int count)
{
	size_t open = sizeof(struct fuse_open_out), create = open + sizeof(struct fuse_entry_out);

	return count == 2 && iov[0].iov_len == sizeof(struct fuse_out_header) && (iov[1].iov_len == open || iov[1].iov_len == create);
}

/* The kernel cannot take in the reply to an open: it tells us, and EIO to who asked; as where the reply is too short. */
ssize_t writev(int fd, const struct iovec *iov, int count)
{
	NEXT(writev);
	if (!is_open_reply(iov, count) || !fails(OPEN_REPLY))
		return next(fd, iov, count);

	int err = errno;
	struct fuse_out_header short_one = *(struct fuse_out_header *)iov[0].iov_base;

	short_one.len = sizeof(short_one);
	next(fd, &(struct iovec){ &short_one, sizeof(short_one) }, 1);
	errno = err;
	return -1;
}

void *malloc(size_t n)
{
	NEXT(malloc);
	return fails(MALLOC) ? NULL : next(n);
}

void *realloc(void *at, size_t n)
{
	NEXT(realloc);
	return fails(MALLOC) ? NULL : next(at, n);
}

/* Looking a function up may need calloc, so the C library's own is asked first. */
void *__libc_calloc(size_t n, size_t size);

void *calloc(size_t n, size_t size)
{
	return fails(MALLOC) ? NULL : __libc_calloc(n, size);
}

void *mmap64(void *at, size_t n, int protection, int flags, int fd, off64_t offset)
{
	NEXT(mmap64);
	return flags & MAP_SHARED && fails(MMAP) ? MAP_FAILED : next(at, n, protection, flags, fd, offset);
}
