// SPDX-License-Identifier: MIT
/*
 * One segment: the only file that calls shmget, shmat, shmdt and shmctl.
 *
 * The hard fact here is that ids and keys belong to everyone: a segment can go, and its key come back with
 * another id, between any two calls. So each function is one question to the kernel, and the two errors
 * with which the kernel says "gone" (EINVAL for an id it does not know, EIDRM for one that just went) are
 * one: EIDRM. SHM_STAT_ANY asks by table slot; that the id it returns is the one asked for is what proves
 * that the segment is still that one.
 */
#include "private.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MODE_BITS 0777
#define MAP_TRIES 8
#define GAPS_BELOW ((uintptr_t)4 << 30)
#define GAP_APART ((uintptr_t)16 << 20)
#define GAPS 1024
#define NO_LIMIT_PAGES (1UL << 50)	/* of SHMALL: what Linux has by itself is more */

static int gone_or(int err)
{
	return err == EINVAL ? -EIDRM : -err;
}

static void fill(struct sm_segment *out, int id, const struct shmid_ds *ds)
{
	*out = (struct sm_segment){
		.id = id,
		.key = ds->shm_perm.__key,
		.size = ds->shm_segsz,
		.mode = ds->shm_perm.mode & MODE_BITS,
		.removed = ds->shm_perm.mode & SHM_DEST,
		.locked = ds->shm_perm.mode & SHM_LOCKED,
		.uid = ds->shm_perm.uid,
		.cuid = ds->shm_perm.cuid,
		.gid = ds->shm_perm.gid,
		.cgid = ds->shm_perm.cgid,
		.nattch = ds->shm_nattch,
		.cpid = ds->shm_cpid,
		.lpid = ds->shm_lpid,
		.atime = ds->shm_atime,
		.dtime = ds->shm_dtime,
		.ctime = ds->shm_ctime,
	};
}

int sm_segment_find(key_t key)
{
	int id;

	/* Key 0 is IPC_PRIVATE: looking it up makes a segment. */
	if (key == IPC_PRIVATE)
		return -ENOENT;
	id = shmget(key, 0, 0);
	return id < 0 ? -errno : id;
}

/*
 * The kernel takes the slot from the low bits of ID, so a full id and a bare slot are both right. (Zeros first: valgrind
 * does not know this command, and takes for unset what only the kernel has set.)
 */
static int stat_slot(int id, struct shmid_ds *ds)
{
	*ds = (struct shmid_ds){ 0 };

	int now = shmctl(id, SHM_STAT_ANY, ds);

	return now < 0 ? gone_or(errno) : now;
}

int sm_segment_stat(int id, struct sm_segment *out)
{
	struct shmid_ds ds;
	int now;

	if (id < 0)
		return -EIDRM;
	now = stat_slot(id, &ds);
	if (now < 0)
		return now;
	if (now != id)
		return -EIDRM;
	fill(out, id, &ds);
	return 0;
}

int sm_segment_stat_key(key_t key, struct sm_segment *out)
{
	int id = sm_segment_find(key);
	int r;

	if (id < 0)
		return id;
	r = sm_segment_stat(id, out);
	return r == -EIDRM ? -ENOENT : r;
}

int sm_segment_create(key_t key, size_t size, mode_t mode)
{
	int id = shmget(key, size, IPC_CREAT | IPC_EXCL | (int)(mode & MODE_BITS));

	return id < 0 ? -errno : id;
}

/*
 * Attaches in flight and attaches done, by id. Whoever subtracts this process' own attachments from nattch
 * needs to know that no other thread attached between the two readings: own would be too high then, others
 * too low, and an object freed under someone. Detaching errs on the safe side and is not counted.
 */
#define MARKS 64
#define MARK_DONE (1ULL << 16)
static _Atomic uint64_t marks[MARKS];

uint64_t segment_attach_mark(int id, bool *busy)
{
	uint64_t mark = atomic_load(&marks[(unsigned)id % MARKS]);

	*busy = mark % MARK_DONE != 0;
	return mark;
}

/* Of all threads, and of this one: how many attach or detach just now, and above that how many did. */
static _Atomic uint64_t stamping;
static __thread uint64_t stamping_here;

static void stamp(uint64_t step)
{
	stamping_here += step;
	atomic_fetch_add(&stamping, step);
}

uint64_t segment_stamped_elsewhere(bool *busy)
{
	uint64_t elsewhere = atomic_load(&stamping) - stamping_here;

	*busy = elsewhere % MARK_DONE != 0;
	return elsewhere;
}

/* shmat says EINVAL also of a segment that is there and was truncated to nothing behind its users' backs. */
static int no_memory_or_gone(int id)
{
	struct sm_segment seg;

	return sm_segment_stat(id, &seg) == 0 ? -EIO : -EIDRM;
}

static int attach_at(int id, const void *where, int flags, void **addr)
{
	_Atomic uint64_t *mark = &marks[(unsigned)id % MARKS];
	void *at;
	int err;

	stamp(1);
	atomic_fetch_add(mark, 1);
	at = shmat(id, where, flags);
	err = errno;
	atomic_fetch_add(mark, MARK_DONE - 1);
	stamp(MARK_DONE - 1);
	if (at == (void *)-1)
		return err == EINVAL ? no_memory_or_gone(id) : -err;
	*addr = at;
	return 0;
}

int sm_segment_attach(int id, bool readonly, void **addr)
{
	return attach_at(id, NULL, readonly ? SHM_RDONLY : 0, addr);
}

int sm_segment_detach(const void *addr)
{
	int err;

	stamp(1);
	err = shmdt(addr) < 0 ? -errno : 0;
	stamp(MARK_DONE - 1);
	return err;
}

int segment_refused_at(int id, uintptr_t where)
{
	return shmat(id, (void *)where, SHM_RDONLY) == (void *)-1 ? -errno : 0;
}

static size_t whole_pages(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (size + page - 1) / page * page;
}

/* Less than the whole is there: what lies behind is reserved, and stays inaccessible. */
static int map_short(int id, size_t whole, int flags, void **addr)
{
	void *reserved = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int err;

	if (reserved == MAP_FAILED)
		return -errno;
	err = attach_at(id, reserved, flags | SHM_REMAP, addr);
	if (err)
		munmap(reserved, whole);
	return err;
}

/*
 * Where to leave a gap: the kernel gives whoever maps anything the highest place that is free, which a gap beside what is mapped
 * already would be. So it lies well below, and each time elsewhere. NULL: wherever the kernel likes.
 */
static void *place_of_gap(void)
{
	static _Atomic uintptr_t highest;
	static _Atomic unsigned turn;
	uintptr_t at = atomic_load(&highest);

	if (!at) {
		void *page = mmap(NULL, whole_pages(1), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (page == MAP_FAILED)
			return NULL;
		munmap(page, whole_pages(1));
		at = (uintptr_t)page;
		atomic_store(&highest, at);
	}
	return (void *)(at - GAPS_BELOW - atomic_fetch_add(&turn, 1) % GAPS * GAP_APART);
}

/*
 * Without SHM_REMAP the kernel refuses an attachment that would reach into the page behind the gap. And as that page is
 * taken, mremap(2) can grow nothing: EFAULT is its word for a mapping that does not reach up to there.
 */
static int map_whole(int id, size_t whole, int flags, void **addr)
{
	size_t page = whole_pages(1);
	char *gap = mmap(place_of_gap(), whole + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int err;

	if (gap == MAP_FAILED)
		return -errno;
	munmap(gap, whole);
	err = attach_at(id, gap, flags, addr);

	bool is_short = !err && mremap(gap, whole, whole + page, 0) == MAP_FAILED && errno == EFAULT;

	munmap(gap + whole, page);
	if (!is_short)
		return err;
	sm_segment_detach(gap);
	return map_short(id, whole, flags, addr);
}

static bool has_huge_pages(void *at)
{
	return madvise(at, whole_pages(1), MADV_COLD) != 0;
}

/*
 * shmat(2) maps what the inode has, which is less or more than the segment's size where somebody changed it. Behind it lies
 * whatever else this process has mapped: it must neither be taken for the segment nor be mapped over.
 */
int sm_segment_map(int id, size_t size, bool readonly, void **addr)
{
	int flags = readonly ? SHM_RDONLY : 0, err;

	for (int tries = 0; tries < MAP_TRIES; tries++) {
		err = map_whole(id, whole_pages(size), flags, addr);
		if (err != -EIO)
			return err;
		err = attach_at(id, NULL, flags, addr);
		if (err || has_huge_pages(*addr))	/* which lie on other boundaries */
			return err;
		sm_segment_detach(*addr);	/* it is too long, or another thread has just mapped something in the gap */
	}
	return -EIO;
}

/* Can this not be grown because less than WHOLE bytes are mapped at AT (EFAULT, as above)? */
static bool is_short(char *at, size_t whole)
{
	size_t page = whole_pages(1);
	char *behind = mmap(at + whole, page, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	void *grown = mremap(at, whole, whole + page, 0);
	int err = errno;

	if (grown != MAP_FAILED)	/* another thread has just unmapped what was behind */
		mremap(at, whole + page, whole, 0);
	if (behind != MAP_FAILED)
		munmap(behind, page);
	return grown == MAP_FAILED && err == EFAULT;
}

int segment_attach_reserved(int id, size_t size, void **addr, size_t *reserved)
{
	size_t whole = whole_pages(size);
	int err = attach_at(id, NULL, 0, addr);

	*reserved = 0;
	if (err || !is_short(*addr, whole))
		return err;
	sm_segment_detach(*addr);
	err = map_short(id, whole, 0, addr);
	if (!err)
		*reserved = size;
	return err;
}

void segment_detach_reserved(const void *addr, size_t reserved)
{
	if (reserved > 0)
		sm_segment_unmap(addr, reserved);
	else
		sm_segment_detach(addr);
}

int sm_segment_unmap(const void *addr, size_t size)
{
	int err;

	stamp(1);
	err = munmap((void *)addr, whole_pages(size));
	stamp(MARK_DONE - 1);
	return err ? sm_segment_detach(addr) : 0;
}

int sm_segment_set(int id, uid_t uid, gid_t gid, mode_t mode)
{
	struct shmid_ds ds;
	int now;

	if (mode != (mode_t)-1 && (mode & ~(mode_t)MODE_BITS))
		return -EINVAL;
	/* IPC_STAT wants read permission, which an owner need not have. */
	now = id < 0 ? -EIDRM : stat_slot(id, &ds);
	if (now < 0)
		return now;
	if (now != id)
		return -EIDRM;
	if (uid != (uid_t)-1)
		ds.shm_perm.uid = uid;
	if (gid != (gid_t)-1)
		ds.shm_perm.gid = gid;
	if (mode != (mode_t)-1)
		ds.shm_perm.mode = (unsigned short)mode;
	return shmctl(id, IPC_SET, &ds) < 0 ? gone_or(errno) : 0;
}

int sm_segment_remove(int id)
{
	return shmctl(id, IPC_RMID, NULL) < 0 ? gone_or(errno) : 0;
}

static bool capable_sys_admin(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	/* Pid 0 is the calling thread; a daemon's threads may differ. */
	if (syscall(SYS_capget, &head, data) < 0)
		return false;
	return data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN);
}

bool segment_may_remove(const struct sm_segment *seg)
{
	uid_t euid = geteuid();

	return euid == seg->uid || euid == seg->cuid || capable_sys_admin();
}

ssize_t sm_segment_list(struct sm_segment **out)
{
	struct sm_segment *list;
	struct shm_info info;
	struct shmid_ds ds;
	size_t n = 0, room;
	int highest = shmctl(0, SHM_INFO, (struct shmid_ds *)&info);

	if (highest < 0)
		return -errno;
	room = (size_t)info.used_ids + 16;
	list = malloc(room * sizeof *list);
	if (!list)
		return -ENOMEM;
	for (int slot = 0; slot <= highest; slot++) {
		int id = stat_slot(slot, &ds);

		if (id < 0)
			continue;	/* an empty slot */
		if (n == room) {
			struct sm_segment *more = reallocarray(list, room * 2, sizeof *list);

			if (!more) {
				free(list);
				return -ENOMEM;
			}
			list = more;
			room *= 2;
		}
		fill(&list[n++], id, &ds);
	}
	*out = list;
	return (ssize_t)n;
}

/* IPC_INFO tells the highest index in use: there are that many segments and one more at the most. */
bool segment_is_room(unsigned count, size_t bytes)
{
	struct shminfo limits;
	int highest = shmctl(0, IPC_INFO, (struct shmid_ds *)&limits);

	return highest >= 0 && bytes <= limits.shmmax && limits.shmall >= NO_LIMIT_PAGES &&
	       (unsigned long)highest + 1 + count <= limits.shmmni;
}

int sm_limits_get(struct sm_limits *out)
{
	struct shminfo limits;
	struct shm_info info;

	if (shmctl(0, IPC_INFO, (struct shmid_ds *)&limits) < 0 ||
	    shmctl(0, SHM_INFO, (struct shmid_ds *)&info) < 0)
		return -errno;
	*out = (struct sm_limits){
		.shmmax = limits.shmmax,
		.shmall = limits.shmall,
		.shmmni = limits.shmmni,
		.used = (uint64_t)info.used_ids,
		.pages = info.shm_tot,
		.resident = info.shm_rss,
		.swapped = info.shm_swp,
	};
	return 0;
}
