/* SPDX-License-Identifier: MIT */
/* /proc/self/mountinfo: who mounts chooses the paths, the source and the options in it. */
#include "fuzz.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "smfs/mounts.h"

static char path[64];
static int fd;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fd = memfd_create("mountinfo", 0);
	MUST(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	const uint64_t ids[] = { 0, 1, 21, UINT64_MAX };

	struct mounts *mounts;

	MUST(ftruncate(fd, 0) == 0 && pwrite(fd, bytes, n, 0) == (ssize_t)n);
	/* anew, since a memfd, unlike mountinfo, does not tell poll(2) that it has changed */
	MUST(mounts_open(&mounts, path) == 0);
	for (unsigned i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		int flags = mounts_flags(mounts, ids[i]);

		MUST(flags < 0 || flags <= (MOUNT_SMFS | MOUNT_PROC | MOUNT_NOSYMFOLLOW | MOUNT_FUSE));
		/* a type needs its separator before it */
		MUST(flags <= 0 || !(flags & MOUNT_SMFS) || memmem(bytes, n, " - fuse.smfs", 12));
		MUST(flags <= 0 || !(flags & MOUNT_FUSE) || memmem(bytes, n, " - fuse", 7));
	}
	mounts_free(mounts);
	return 0;
}
