/* SPDX-License-Identifier: MIT */
/*
 * Nothing that the kernel tells of a segment says that it is made of huge pages. What differs is where it could be
 * attached: only at a multiple of its pages' size. So it is asked to attach it where nothing can be, beyond the
 * end of every address space, and refuses with EINVAL for the wrong multiple before it sees (ENOMEM) that the place is
 * impossible. Neither nattch nor a time of the segment is another afterwards.
 */
#include "hugepage.h"

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include <libsm/daemon.h>

#define BEYOND (UINT64_C(1) << 62)
#define LARGEST 35	/* 32 GiB: a power of two above every huge page there is */

int hugepage_size(int id, size_t *size)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	*size = 0;
	if (sizeof(void *) < 8)
		return 0;
	for (uintptr_t multiple = page; multiple < UINT64_C(1) << LARGEST; multiple <<= 1) {
		int err = segment_refused_at(id, BEYOND + multiple);

		if (err == 0)
			return -EFAULT;		/* not on any kernel that is known */
		if (err == -ENOMEM) {
			*size = multiple == page ? 0 : multiple;
			return 0;
		}
		if (err != -EINVAL)
			return err;
	}
	return -EINVAL;
}
