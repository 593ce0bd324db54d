/* SPDX-License-Identifier: MIT */

/* Where the data of a segment is, without looking at all of it, and without touching a hole. */

#include "smfs/extent.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include "gate.h"
#include "smfs/guard.h"

#define PAGE ((size_t)4096)
#define HUGE ((size_t)1 << 41)	/* at 50 ns a page, to look at all of it takes half a minute */

static struct sm_segment seg;
static char *from;

static void make(size_t size)
{
	int id = shmget(IPC_PRIVATE, size, IPC_CREAT | SHM_NORESERVE | 0600);

	assert_true(id >= 0);
	assert_int_equal(sm_segment_stat(id, &seg), 0);
	from = shmat(id, NULL, 0);
	assert_true(from != (void *)-1);
	shmctl(id, IPC_RMID, NULL);
}

static size_t pages_in_use(void)
{
	struct sm_usage usage;

	assert_int_equal(extent_usage(seg.id, &usage), 0);
	return (size_t)(usage.resident + usage.swapped) / PAGE;
}

/* What extent_copy_attached() says, and at OFFSET the letter there. */
static int copied(size_t size, size_t offset, char *letter, const atomic_bool *stop)
{
	char *to = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_true(to != MAP_FAILED);

	int err = extent_copy_attached(to, from, size, &seg, stop);

	*letter = to[offset];
	munmap(to, size);
	return err;
}

static void nothing_is_found_at_once(void **state)
{
	char letter;

	make(HUGE);
	assert_int_equal(copied(HUGE, 0, &letter, NULL), 0);
	assert_int_equal(letter, 0);
	assert_int_equal(pages_in_use(), 0);
	shmdt(from);
}

static void the_search_ends_where_all_is_found(void **state)
{
	char letter;

	make(HUGE);
	from[100 * PAGE] = 'x';
	assert_int_equal(copied(HUGE, 100 * PAGE, &letter, NULL), 0);
	assert_int_equal(letter, 'x');
	assert_int_equal(pages_in_use(), 1);
	shmdt(from);
}

static void what_lies_behind_is_not_looked_for(void **state)
{
	char letter;

	make(HUGE);
	from[0] = 'a';
	from[HUGE - 1] = 'z';
	assert_int_equal(copied(3 * PAGE, 0, &letter, NULL), 0);
	assert_int_equal(letter, 'a');
	assert_int_equal(pages_in_use(), 2);
	shmdt(from);
}

static void the_search_is_given_up(void **state)
{
	char letter;

	make(HUGE);
	from[HUGE - 1] = 'z';
	assert_int_equal(copied(HUGE, 0, &letter, NULL), -EFBIG);
	assert_int_equal(pages_in_use(), 1);
	shmdt(from);
}

static void the_search_ends_when_it_is_told_to(void **state)
{
	atomic_bool stop = true;
	char letter;

	make(HUGE);
	from[HUGE - 1] = 'z';
	assert_int_equal(copied(HUGE, 0, &letter, &stop), -EINTR);
	shmdt(from);
}

static void a_copy_ends_when_it_is_told_to(void **state)
{
	atomic_bool stop = true;
	char bytes[] = "bytes", to[sizeof(bytes)] = "";
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(extent_copy(to, bytes, sizeof(bytes), fd, &stop), -EINTR);
	assert_string_equal(to, "");
	stop = false;
	assert_int_equal(extent_copy(to, bytes, sizeof(bytes), fd, &stop), 0);
	assert_string_equal(to, bytes);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_found_at_once),
		cmocka_unit_test(the_search_ends_where_all_is_found),
		cmocka_unit_test(what_lies_behind_is_not_looked_for),
		cmocka_unit_test(the_search_is_given_up),
		cmocka_unit_test(the_search_ends_when_it_is_told_to),
		cmocka_unit_test(a_copy_ends_when_it_is_told_to),
	};

#ifdef __SANITIZE_THREAD__
	return UNIT_LEFT_OUT("extent", "ThreadSanitizer leaves no room for it in the address space");
#endif
	if (unshare(CLONE_NEWIPC))
		return unit_skip("no private IPC namespace");
	guard_start();
	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
