/* SPDX-License-Identifier: MIT */
#ifndef LIBSM_SM_H
#define LIBSM_SM_H

/*
 * libsm: System V shared memory as counted objects.
 *
 * An SMObject is named by a key file and a proj_id and consists of two System V segments, laid out as
 * the C++ class SMObjectSpace::SMObject lays them out, so that programs of both kinds share it:
 *
 *   data      key ftok(path, proj_id)        the user's bytes, from offset 0, nothing else
 *   counter   key ftok(path, proj_id - 58)   an int at offset 0: the reference counter
 *
 * The first part of this header is the object, the second the pieces it is made of (keys, segments,
 * counters, holders), for tools that look at the system as it is.
 *
 * Thread safety: one object belongs to one thread at a time; different objects are independent. All
 * functions of the second part are thread-safe and keep no state.
 *
 * Errors: the object functions return 0 or -1 and keep the error, see sm_error(). Each may be called after one that
 * failed, and with a handle that is NULL: that is -1, NULL or 0, and sm_error(NULL) is EINVAL. The functions of the
 * second part return 0 or a count, or a negative errno; errno itself is not preserved by any of them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

#define SM_VERSION "1.0.0"

/* The proj_id is not in 'A'..'z': "key_id out of range.". The class calls it EBADK. */
#define SM_EBADK (-2)

#define SM_PROJ_MIN 'A'
#define SM_PROJ_MAX 'z'

/* ---- the object -------------------------------------------------------------------------------- */

typedef struct sm_object sm_object;

/*
 * A handle on the object that PATH and PROJ_ID name; SMObject(path, proj_id, size) of the class. No
 * segment is touched. PATH is any existing file or directory (it may be made later, before sm_create) and
 * is copied. SIZE is in bytes; 0 means "what exists": the size is then the kernel's, and sm_create makes
 * nothing. A PROJ_ID out of range is kept as SM_EBADK and refused by sm_create and sm_access.
 * Returns NULL only when memory is out. The caller owns the handle: sm_object_free().
 */
sm_object *sm_object_new(const char *path, char proj_id, size_t size);

/*
 * Leave the object and free the handle; ~SMObject() of the class. If the handle had accessed the object
 * and its counter is 1 or less, both segments are removed; otherwise the counter goes down by one. What
 * another process still has attached as a counter, although the count says otherwise, is not removed: the
 * counter is left at 0 then, as it is where this process may not remove (shmctl(2), EPERM); in the first case
 * the next last holder, or a monitor, frees it. A handle that never accessed changes nothing. In a forked child the
 * parent's reference stays the parent's.
 */
void sm_object_free(sm_object *obj);

/*
 * Change what the handle names, or the size or mode that sm_create will use; setUniquePathID and setSize
 * of the class (which always creates 0666). Only the low nine bits of MODE count. The defaults are the
 * arguments of sm_object_new() and 0666; the umask is not applied. Errors: EBUSY while the object is
 * accessed, SM_EBADK, EINVAL (a null path, mode bits above 0777), ENOMEM; the handle is then as before.
 */
int sm_object_set_id(sm_object *obj, const char *path, char proj_id);
int sm_object_set_size(sm_object *obj, size_t size);
int sm_object_set_mode(sm_object *obj, mode_t mode);

/*
 * Make both segments, or find them; shmCreate() of the class. The counter of a new object is 0. With
 * size 0 nothing is made. Errors: SM_EBADK; those of stat(2) on the path; ENOENT (size 0 and no object);
 * EINVAL (the existing data segment is smaller than asked, or the size is beyond SHMMAX); EACCES;
 * ENOSPC (SHMMNI, SHMALL); ENOMEM; EAGAIN and EIO as of sm_access(). Where one segment could not be made, the
 * other is not left behind. Until the caller has joined with sm_access(), the last of others who hold the
 * object may free it: that is ENOENT there, and this is to be called again.
 */
int sm_create(sm_object *obj);

/*
 * Attach both segments read-write and add one to the counter; shmAccess() of the class. The object must
 * exist. From before the increment until after the decrement this process has the counter segment
 * attached, so the kernel's nattch of it never falls below the number of live references. Accessing
 * twice is EBUSY. Errors: SM_EBADK; those of stat(2); ENOENT (after sm_create(), too, where another last
 * holder freed it between the two: call that again); EACCES; EINVAL (smaller than the size); EOVERFLOW (the
 * counter is INT_MAX); EAGAIN (the object was removed and made again all the time, or its last holder died
 * while removing it and this process may not finish that); EIO (its memory cannot be had); ENOMEM; EMFILE.
 */
int sm_access(sm_object *obj);

/*
 * The attached bytes (pdata_ of the class), or NULL if not accessed. Valid until sm_object_free(). What is missing of a
 * segment that was truncated behind its users' backs raises SIGBUS or SIGSEGV, and is never anything else's memory.
 */
void *sm_data(sm_object *obj);

/* The size of the data segment in bytes: the kernel's if the object was found or made, else as asked (see sm_data()). */
size_t sm_size(const sm_object *obj);

/* The counter now (garbage below 0 is 0), or -1 and the error (ENOENT, EACCES ...). It need not be accessed. */
int sm_refcount(sm_object *obj);

/*
 * Take one off the counter and free nothing; decrementMemCtr() of the class. Errors: ERANGE (it is 0 or
 * less), ENOENT, EACCES. A handle that has accessed the object no longer counts afterwards, whoever's
 * reference this was meant to be: its sm_object_free() still takes one off, never below 0.
 */
int sm_decrement(sm_object *obj);

/* 0, a positive errno or SM_EBADK: how the last call on OBJ ended; error_handle_ of the class. */
int sm_error(const sm_object *obj);

/* Print "MSG: TEXT" and a newline on standard error, TEXT being that error in words; pError() of the class. */
void sm_perror(const sm_object *obj, const char *msg);

/* The same text without printing; valid until the next call on OBJ. */
const char *sm_error_text(const sm_object *obj);

/* ---- keys: ftok(3), and its reverse ------------------------------------------------------------ */

/*
 * A key has 8 bits of proj_id, 8 of the device and 16 of the inode number, so different files share keys,
 * and a key file that is removed and made again has another key.
 */

static inline bool sm_proj_valid(int proj_id)
{
	return proj_id >= SM_PROJ_MIN && proj_id <= SM_PROJ_MAX;
}

/* The key of the data segment: ftok(3) of a file with this stat. */
key_t sm_key_from_stat(const struct stat *st, char proj_id);

/* The same by path, as ftok(3) resolves it. Errors: EINVAL (proj_id out of range), those of stat(2). */
int sm_key_from_path(const char *path, char proj_id, key_t *key);

/* Which half of an object a key would be, by its top byte: 'A'..'z' a data key, 7..64 a counter key. */
bool sm_key_is_data(key_t key);
bool sm_key_is_counter(key_t key);

/* From one half's key to the other's; the argument must be a data key, or a counter key. */
key_t sm_key_counter(key_t data_key);
key_t sm_key_data(key_t counter_key);

/* The proj_id in a data key. */
char sm_key_proj(key_t data_key);

/* ---- segments: shmget(2), shmop(2), shmctl(2) -------------------------------------------------- */

struct sm_segment {
	int id;			/* shmid */
	key_t key;		/* 0: IPC_PRIVATE, or removed */
	size_t size;		/* bytes, as asked for when made */
	mode_t mode;		/* the low nine bits */
	bool removed;		/* SHM_DEST: goes with its last user */
	bool locked;		/* SHM_LOCKED */
	uid_t uid, cuid;	/* owner, creator */
	gid_t gid, cgid;
	unsigned long nattch;
	pid_t cpid, lpid;	/* made by; last attached or detached by */
	time_t atime, dtime, ctime;	/* attached, detached (0: never), changed */
};

/*
 * The shmid of the segment with KEY, whatever its mode, in constant time. Never creates one. Errors:
 * ENOENT, also for IPC_PRIVATE.
 */
int sm_segment_find(key_t key);

/*
 * Everything the kernel shows everyone of segment ID (SHM_STAT_ANY), in constant time and without
 * attaching. Errors: EIDRM if there is no such segment (now).
 */
int sm_segment_stat(int id, struct sm_segment *out);

/* Find and stat in one: the segment that KEY names at this moment. Errors: ENOENT. */
int sm_segment_stat_key(key_t key, struct sm_segment *out);

/*
 * Make the segment with KEY, of SIZE bytes, all zero, with the low nine bits of MODE, owned by the calling
 * thread's euid and egid. Returns its shmid. Errors: EEXIST, EINVAL (size 0 or beyond SHMMAX), ENOSPC
 * (SHMMNI or SHMALL), ENOMEM. KEY may be IPC_PRIVATE.
 */
int sm_segment_create(key_t key, size_t size, mode_t mode);

/*
 * Attach segment ID; the kernel judges by the calling thread's credentials. *ADDR is the caller's until
 * sm_segment_detach(). Of a segment that was truncated behind its users' backs, less than its size is mapped, and behind
 * that lies whatever else is: see sm_segment_map(). Errors: EACCES, EIDRM (gone), EIO (nothing of it is left), ENOMEM, EMFILE.
 */
int sm_segment_attach(int id, bool readonly, void **addr);
int sm_segment_detach(const void *addr);

/*
 * The same for a segment of SIZE bytes that may have been truncated behind everybody's back: what is not there of
 * [*ADDR, *ADDR + SIZE) raises SIGBUS or SIGSEGV and is never anything else's. To be let go with sm_segment_unmap(), with the
 * same SIZE. Errors: as above; EIO (nothing of it is left, or it has become longer).
 */
int sm_segment_map(int id, size_t size, bool readonly, void **addr);
int sm_segment_unmap(const void *addr, size_t size);

/* IPC_SET. (uid_t)-1, (gid_t)-1 and (mode_t)-1 leave that field. Errors: EPERM, EIDRM, EINVAL (mode > 0777). */
int sm_segment_set(int id, uid_t uid, gid_t gid, mode_t mode);

/* IPC_RMID: the name goes at once, the memory with its last user. Errors: EPERM, EIDRM. */
int sm_segment_remove(int id);

/*
 * Every segment of the IPC namespace in one pass over the kernel's table, in the table's order. *OUT is
 * malloc'd (free(3)); returns their number. Errors: ENOMEM, ENOSYS.
 */
ssize_t sm_segment_list(struct sm_segment **out);

/*
 * How often the calling process itself has segment ID attached (from /proc/self/maps); 0 if unknown. One that maps a
 * descriptor from /proc/PID/map_files with mmap(2) is taken for attached: the kernel shows both alike.
 */
unsigned long sm_segment_own(int id);

struct sm_usage {
	int id;
	uint64_t resident, swapped;	/* bytes */
};

/*
 * Resident and swapped bytes of every segment (/proc/sysvipc/shm; nothing is attached). A pass costs some
 * ten times that of sm_segment_list(). *OUT is malloc'd and sorted by id; returns their number.
 */
ssize_t sm_usage_list(struct sm_usage **out);

struct sm_limits {
	uint64_t shmmax;		/* bytes in one segment */
	uint64_t shmall;		/* pages in all */
	uint64_t shmmni;		/* segments */
	uint64_t used;			/* segments now */
	uint64_t pages;			/* pages in all segments now, resident or not */
	uint64_t resident, swapped;	/* pages */
};

/* The limits of the IPC namespace and what is used of them. Linear in the number of segments. */
int sm_limits_get(struct sm_limits *out);

/* ---- counters ---------------------------------------------------------------------------------- */

#define SM_COUNTER_SIZE 4096	/* bytes of a counter segment that libsm makes; the class makes sizeof(int) */
#define SM_PATH_CAPACITY 4032	/* the longest path a counter segment records, its NUL included */

struct sm_counter {
	int value;			/* as it stands, garbage included */
	uint32_t changes;		/* 0: no program on libsm has counted in it since it was made */
	bool marked;			/* it holds libsm's magic number, as all that libsm makes */
	char path[SM_PATH_CAPACITY];	/* as recorded by whoever made it, "" if nothing is; not to be believed */
};

/*
 * All functions here attach the counter segment ID for some microseconds, with the calling thread's
 * credentials, and take any content for possible. Errors of each: EACCES, EIDRM (gone), EINVAL (smaller
 * than an int), EIO (its page cannot be had), ENOMEM, EMFILE.
 */

/*
 * Make a counter segment of value 0 that is marked as libsm's and records PATH. Left out is a path that is NULL, not
 * absolute or too long, and both where MODE keeps the maker itself from writing. Returns the shmid. Errors: those of
 * sm_segment_create().
 */
int sm_counter_create(key_t counter_key, mode_t mode, const char *path);

int sm_counter_load(int id, struct sm_counter *out);
int sm_counter_value(int id, int *value);	/* the same without the path */

/* One off, never below 0: ERANGE then. *VALUE, if not NULL, is what is left. */
int sm_counter_decrement(int id, int *value);

/* References of which no holder is left: max(0, value - nattch), the calling process' attachments not counted. */
int sm_counter_leaked(int id, int *leaked);

/*
 * Take the leaked references off, if it is certain that they are leaked: no other process attaches, detaches
 * or counts while this looks, for some microseconds. Tries for WAIT_MS milliseconds, and some thirty times at
 * the least. Frees nothing. *FROM and *TO, if not NULL, are the counter before and after, equal where nothing
 * leaked, and where somebody who does not count had it attached just then: he hides one who died. Errors:
 * EAGAIN (it did not hold still for long enough).
 */
int sm_counter_reap(int id, int wait_ms, int *from, int *to);

/*
 * The same for a monitor that comes back by itself: free the object too where the repair takes its counter
 * from above 0 to 0, as its last holder would have, and where a last holder before could not, because he died
 * over it or somebody had it attached. One that was made and never held is not freed. DATA_ID is the data
 * segment, as found before ID was; -1: there is none (an object half removed).
 * A quarter of all keys are counter keys, and nobody has named this one: it is taken for a counter only if it is
 * marked, or of sizeof(int) bytes with DATA_ID beside it. All else is some other program's, and is not written to.
 * *FREED, if not NULL, tells. Errors: those above; EINVAL (it is not to be taken for a counter); EPERM (may not
 * remove: the counter is left at 0); EBUSY (to be freed, but somebody has it attached: come back when he has
 * not). With the last two, *FROM and *TO are set.
 */
int sm_counter_reap_free(int id, int data_id, int wait_ms, int *from, int *to, bool *freed);

/* ---- who has a segment attached ---------------------------------------------------------------- */

struct sm_holder {
	pid_t pid;
	uid_t uid;
	char comm[16];		/* the command's name, as in /proc/PID/comm */
	unsigned attached;	/* how many mappings of it the process has */
	unsigned by_file;	/* of them: through a file, see sm_holder_list_on(); nattch does not count these */
	bool writable;
	int id;			/* the segment */
};

/*
 * The processes of this IPC namespace that have segment ID attached, from /proc/PID/maps; ID -1 means any segment,
 * in one walk over /proc. Sorted by id, then pid. *OUT is malloc'd (free(3)); returns their number. *HIDDEN, if not
 * NULL, is the number of processes whose maps the calling thread may not read. Errors: ENOMEM, EMFILE, ENFILE, those of
 * opendir(3) and readdir(3) on /proc; there is no incomplete list.
 */
ssize_t sm_holder_list(int id, struct sm_holder **out, unsigned *hidden);

/*
 * The same, and those who have mapped the segment through a file of the file system with the device number FILES, whose
 * inode numbers are shmids: a mount of smfs with native access.
 */
ssize_t sm_holder_list_on(int id, dev_t files, struct sm_holder **out, unsigned *hidden);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
