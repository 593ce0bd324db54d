// SPDX-License-Identifier: MIT
/*
 * Where the kernel keeps segments: on file systems of its own, one for ordinary pages and one for each size of huge ones,
 * which are mounted nowhere. Anybody can have a file named /SYSV12345678 on a tmpfs of his own, with the inode number that
 * he likes; but not on those. Their device numbers are told by the anonymous files of memfd_create(2), which lie there too.
 */
#include "private.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef MFD_HUGETLB
#define MFD_HUGETLB 0x0004U
#endif

#define HUGE_SHIFT 26		/* of the logarithm of the pages' size in the flags */
#define HUGE_FIRST 14		/* 16 KiB */
#define HUGE_LAST 34		/* 16 GiB */

/* 0: not known yet (ordinary pages), or there are none (huge ones). Several threads may find out the same. */
static _Atomic dev_t ordinary, huge[HUGE_LAST - HUGE_FIRST + 1];

static int device_with(unsigned flags, dev_t *device)
{
	/* NOEXEC_SEAL, of Linux 6.3, because a system may refuse files that could be made executable. */
	int sealed = memfd_create("libsm", MFD_CLOEXEC | MFD_NOEXEC_SEAL | flags);
	SCOPED_FD fd = sealed < 0 && errno == EINVAL ? memfd_create("libsm", MFD_CLOEXEC | flags) : sealed;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	*device = st.st_dev;
	return 0;
}

static bool is_shortage(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM;
}

static bool find_out(void)
{
	dev_t device;
	int err;

	for (unsigned log = HUGE_FIRST; log <= HUGE_LAST; log++) {
		err = device_with(MFD_HUGETLB | log << HUGE_SHIFT, &device);
		if (is_shortage(err))
			return false;
		if (!err)
			atomic_store(&huge[log - HUGE_FIRST], device);
	}
	err = device_with(0, &device);
	if (!err)
		atomic_store(&ordinary, device);	/* last: who sees it sees the others */
	return !err;
}

bool shmfs_is(dev_t device, bool unknown)
{
	if (!atomic_load(&ordinary) && !find_out())
		return unknown;
	if (device == atomic_load(&ordinary))
		return true;
	for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
		if (device && device == atomic_load(&huge[i]))
			return true;
	}
	return false;
}
