/* SPDX-License-Identifier: MIT */
/*
 * Whether a segment could be had is asked before anything is changed for it. The kernel answers by making one, without a name,
 * that is gone again at once; but it stays where we are killed just then, so it is not asked where the answer is plain.
 */
#include "room.h"

#include <errno.h>
#include <fcntl.h>
#include <libsm/daemon.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ipc.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "cleanup.h"

/* Does the kernel refuse memory before there is none left? Read once: nobody changes that every day. */
static bool commits_strictly(void)
{
	static _Atomic char mode;

	if (!mode) {
		AUTO_CLOSE int fd = open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);
		char c;

		mode = fd >= 0 && read(fd, &c, 1) == 1 ? c : '2';
	}
	return mode == '2';
}

static bool is_plenty(unsigned count, size_t bytes)
{
	struct sysinfo machine;

	return segment_is_room(count, bytes) && !commits_strictly() && sysinfo(&machine) == 0 &&
	       bytes / machine.mem_unit < machine.freeram;
}

/* A file system that has no room says ENOSPC, whether it is a limit or memory that is missing; shmget(2) tells the two apart. */
static int probe(size_t size)
{
	int id = sm_segment_create(IPC_PRIVATE, size, 0);

	return id == -ENOMEM ? -ENOSPC : id;
}

int room_for(size_t size, unsigned count)
{
	if (is_plenty(count, size))
		return 0;

	int first = probe(size), second = -1;

	if (first < 0)
		return first;
	if (count > 1) {
		second = probe(1);
		if (second >= 0)
			sm_segment_remove(second);
	}
	sm_segment_remove(first);
	return count > 1 && second < 0 ? second : 0;
}

int room_to_grow(size_t old, size_t size)
{
	return size > old ? room_for(size - old, old ? 1 : 2) : 0;
}

static uint64_t pages(uint64_t bytes)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return bytes / page + (bytes % page != 0);
}

/* Is there memory for it? The kernel may find no room for a segment more, which is not what is asked here. */
static int check_memory(size_t size)
{
	if (is_plenty(1, size))
		return 0;

	int id = sm_segment_create(IPC_PRIVATE, size, 0);

	if (id >= 0)
		sm_segment_remove(id);
	return id == -ENOMEM ? -ENOSPC : 0;
}

/* One that is attached stays when it is removed, and gives nothing back. */
int room_instead_of(const struct sm_segment *old, size_t size)
{
	struct sm_limits limits;
	int err = sm_limits_get(&limits);

	if (err)
		return err;
	if (size > limits.shmmax)
		return -EINVAL;

	bool stays = old->nattch > 0;
	uint64_t used = limits.used - !stays, in_pages = limits.pages - (stays ? 0 : pages(old->size));

	if (used >= limits.shmmni || in_pages + pages(size) > limits.shmall)
		return -ENOSPC;
	return size > old->size ? check_memory(size) : 0;
}
