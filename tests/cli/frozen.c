// SPDX-License-Identifier: MIT
/*
 * To be preloaded: every segment looks as if another process had attached it last, so that a repair never sees one hold
 * still.
 */
#include <stdarg.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((visibility("default"))) int shmctl(int id, int command, struct shmid_ds *ds)
{
	int r = (int)syscall(SYS_shmctl, id, command, ds);

	if (r >= 0 && command == SHM_STAT_ANY)
		ds->shm_lpid = 1;
	return r;
}
