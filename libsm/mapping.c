// SPDX-License-Identifier: MIT
/*
 * This process' mappings of segments that are no attachments.
 *
 * The hard fact here is that the kernel shows both alike: the mapping of a descriptor from /proc/PID/map_files has the path,
 * the device and the inode number of an attachment, and adds nothing to nattch. Counted as one's own attachment it would
 * hide somebody else's, and an object be freed under him. So each stands in a list, from before the kernel shows it until
 * after it has ceased to; and who reads /proc/self/maps keeps the list as it is until he has compared the last line. An
 * attachment that comes to lie where such a mapping has just been is not counted for that instant, which errs on the safe side.
 */
#include "private.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

struct mapping {
	uintptr_t start, end;
	struct mapping *next;
};

/* Held over mmap(2) and over reading /proc/self/maps, which wait for nothing but this process' own memory map. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mapping *mappings;

void mapping_lock(void)
{
	pthread_mutex_lock(&lock);
}

void mapping_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

/* A forked child has the same mappings and the same list. */
__attribute__((constructor)) static void guard_fork(void)
{
	pthread_atfork(mapping_lock, mapping_unlock, mapping_unlock);
}

bool mapping_covers(uintptr_t at)
{
	for (const struct mapping *m = mappings; m; m = m->next) {
		if (at >= m->start && at < m->end)
			return true;
	}
	return false;
}

int mapping_make(int fd, size_t size, void **addr)
{
	struct mapping *m = malloc(sizeof *m);
	int err = 0;
	void *at;

	if (!m)
		return -ENOMEM;
	mapping_lock();
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (at == MAP_FAILED) {
		err = -errno;
	} else {
		*m = (struct mapping){ (uintptr_t)at, (uintptr_t)at + size, mappings };
		mappings = m;
	}
	mapping_unlock();
	if (err)
		free(m);
	else
		*addr = at;
	return err;
}

/* Another thread's may begin at the same place already. */
static struct mapping *take_out(uintptr_t start, uintptr_t end)
{
	struct mapping **at = &mappings, *m;

	mapping_lock();
	while (*at && ((*at)->start != start || (*at)->end != end))
		at = &(*at)->next;
	m = *at;
	if (m)
		*at = m->next;
	mapping_unlock();
	return m;
}

void mapping_end(void *addr, size_t size)
{
	if (munmap(addr, size) == 0)
		free(take_out((uintptr_t)addr, (uintptr_t)addr + size));
}
