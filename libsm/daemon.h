/* SPDX-License-Identifier: MIT */
#ifndef LIBSM_DAEMON_H
#define LIBSM_DAEMON_H

/*
 * What smfs and smctl need of the library beside sm.h: they act on objects that they do not hold, for whoever asks, and smfs is a
 * daemon that maps segments in a way that no other program does. Only the static library has it: nothing here is installed or
 * exported. All functions here are thread-safe, and act with the calling thread's credentials.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sm.h"

#define PRIVATE __attribute__((visibility("hidden")))

/* ---- segment.c --------------------------------------------------------------------------------- */

/*
 * Attaching and detaching stamp a segment with this process' pid, in whichever thread, and so hide who came before. A number
 * that changes when another thread than the calling one does either, and *BUSY while one is at it.
 */
PRIVATE uint64_t segment_stamped_elsewhere(bool *busy);

/* Whether RMID and SET of a segment with this owner and creator are the calling thread's to do. */
PRIVATE bool segment_may_remove(const struct sm_segment *seg);

/*
 * Why the kernel refuses to attach segment ID for reading at WHERE, beyond the end of every address space: a negative errno.
 * 0: it did not refuse.
 */
PRIVATE int segment_refused_at(int id, uintptr_t where);

/*
 * Is there room for COUNT more segments, of BYTES at the most, as far as the namespace's limits go? True only where that is plain at
 * one look, however many segments there are; false tells nothing.
 */
PRIVATE bool segment_is_room(unsigned count, size_t bytes);

/* ---- mapping.c --------------------------------------------------------------------------------- */

/*
 * Map SIZE bytes of FD, the inode behind a segment (opened in /proc/PID/map_files), shared, for reading and writing. In
 * /proc/PID/maps that looks like an attachment, and it is none: so that sm_segment_own() does not count it, it is made
 * and ended here. *ADDR is the caller's until mapping_end(), with the same SIZE. Errors: those of mmap(2). Thread-safe.
 */
PRIVATE int mapping_make(int fd, size_t size, void **addr);
PRIVATE void mapping_end(void *addr, size_t size);

/* ---- pair.c ------------------------------------------------------------------------------------ */

/*
 * As sm_create(), but the data segment is new. Returns its shmid, also if somebody has removed it by then; PATH, absolute, is
 * recorded. Errors: EEXIST, ENOSPC, EINVAL (SHMMAX), ENOMEM, EAGAIN (somebody removes the object all the time, for 100 ms). A
 * counter that was there and cannot be attached is taken as it is, and so, after that time, is one whose creator has no
 * say in the data.
 */
PRIVATE int pair_create_new(key_t data_key, size_t size, mode_t mode, const char *path);

/* ---- remove.c ---------------------------------------------------------------------------------- */

/*
 * Anybody may make a counter beside data that has none, and count in it as he likes. So it is taken for half of the object, and what
 * it says for a reason to remove data, only if who made the counter could have removed the data himself.
 */
PRIVATE bool counter_may_speak_for(const struct sm_segment *counter, const struct sm_segment *data);

/*
 * Free the object of these two, whoever holds it, or, IF_UNUSED, if nobody has either attached. DATA_ID -1: a counter without
 * data. Who joins meanwhile gets both or none; not where the counter is none, or the thread may not attach it. A counter that a
 * stranger made beside the data, and that the thread may not remove, stays. Errors: EPERM (may not remove one of them: both stay; or
 * the counter has data by now), EIDRM (the data, or the only one, was gone), EBUSY.
 */
PRIVATE int pair_destroy(int data_id, int counter_id, bool if_unused);

/* ---- page.c -------------------------------------------------------------------------------------- */

/*
 * RUN is to call STEP(ARG), which only touches a counter's page, and to return false if that raised SIGBUS: the function of the
 * library that did it then ends with EIO. To be called before any of them; without it the signal has its usual effect.
 */
PRIVATE void counter_touch_with(bool (*run)(void (*step)(void *arg), void *arg));

#endif
