// SPDX-License-Identifier: MIT
/*
 * The promises of SMObject.hpp that one process can see, each a function of its own. Compiled for every
 * standard from C++11 to C++20. PATH is a key file; NAME picks one, without it all run. Exit status 1: a
 * broken promise, named on standard error.
 */
#include "SMObject.hpp"

#include <sys/wait.h>
#include <type_traits>
#include <unistd.h>

using namespace SMObjectSpace;

static const char *path;

#define REQUIRE(what) \
	do { \
		if (!(what)) { \
			fprintf(stderr, "%s:%d: not so: %s\n", __func__, __LINE__, #what); \
			exit(1); \
		} \
	} while (0)

static_assert(EBADK == -2 && ErrorFlags::EBADK == -2 && SMObjectSpace::EBADK == SM_EBADK, "EBADK");
static_assert(KEY_OFFSET == 58 && sizeof(EBADK_MSG) == sizeof(": key_id out of range."), "constants");
static_assert(!std::is_copy_constructible<SMObject>::value && !std::is_copy_assignable<SMObject>::value, "copy");
static_assert(std::is_nothrow_move_constructible<SMObject>::value, "a vector must move, never copy");
static_assert(std::is_nothrow_move_assignable<SMObject>::value, "move");
static_assert(std::is_same<decltype(SMObject::error_handle_), int>::value, "error_handle_");
static_assert(std::is_same<decltype(SMObject::pdata_), void *>::value, "pdata_");
static_assert(std::is_same<decltype(&SMObject::shmCreate), int (SMObject::*)()>::value, "shmCreate");
static_assert(std::is_same<decltype(&SMObject::decrementMemCtr), void (SMObject::*)()>::value, "decrement");

// The segment of the object's data (or, below, its counter), or -1; and what the kernel knows of it.
static int found(char proj_id, int below = 0)
{
	return shmget(ftok(path, proj_id - below), 0, 0);
}

static unsigned long attached(char proj_id, int below = 0)
{
	struct shmid_ds about;

	return shmctl(found(proj_id, below), IPC_STAT, &about) < 0 ? 0 : about.shm_nattch;
}

static int counted(char proj_id)
{
	const void *bytes = shmat(found(proj_id, KEY_OFFSET), nullptr, SHM_RDONLY);

	if (bytes == reinterpret_cast<void *>(-1))
		return -1;
	const int value = *static_cast<const int *>(bytes);
	shmdt(bytes);
	return value;
}

static SMObject opened(char proj_id, int size)
{
	SMObject object(path, proj_id, size);

	REQUIRE(object.shmCreate() == 0 && object.shmAccess() == 0 && object.error_handle_ == 0);
	return object;
}

static void last_one_frees()
{
	{
		SMObject first = opened('A', 100), second = opened('A', 100);
		static_cast<char *>(first.pdata_)[99] = 'x';
		REQUIRE(static_cast<char *>(second.pdata_)[99] == 'x');
		REQUIRE(counted('A') == 2 && attached('A') == 2);
	}
	REQUIRE(found('A') < 0 && found('A', KEY_OFFSET) < 0);
}

static void others_detach_and_count_down()
{
	SMObject stays = opened('A', 8);
	{
		SMObject goes = opened('A', 8);
		REQUIRE(counted('A') == 2);
	}
	REQUIRE(counted('A') == 1 && attached('A') == 1 && attached('A', KEY_OFFSET) == 1);
}

static void destructor_without_access_changes_nothing()
{
	SMObject holder = opened('A', 8);
	{
		SMObject idle(path, 'A', 8), unnamed, created(path, 'A', 8);
		REQUIRE(created.shmCreate() == 0);
	}
	REQUIRE(counted('A') == 1 && found('A') >= 0);
}

static void access_needs_no_create()
{
	SMObject holder = opened('A', 8), late(path, 'A', 8);

	REQUIRE(late.shmAccess() == 0 && late.pdata_ && counted('A') == 2);
}

static void failed_access_leaves_null()
{
	SMObject object(path, 'A', 8);

	REQUIRE(object.shmAccess() == -1 && object.pdata_ == nullptr && object.error_handle_ == ENOENT);
	REQUIRE(object.shmCreate() == 0 && object.shmAccess() == 0 && object.error_handle_ == 0);
}

static void second_access_counts_once()
{
	SMObject object = opened('A', 8);
	void *bytes = object.pdata_;

	REQUIRE(object.shmCreate() == 0 && object.shmAccess() == 0 && object.pdata_ == bytes && counted('A') == 1);
}

static void renamed_object_keeps_what_it_had()
{
	{
		SMObject object = opened('A', 8);
		char *first = static_cast<char *>(object.pdata_);
		strcpy(first, "first");

		object.setUniquePathID(path, 'B');
		REQUIRE(object.pdata_ == nullptr);
		object.setSize(16);
		REQUIRE(object.shmCreate() == 0 && object.shmAccess() == 0 && object.pdata_ != first);
		REQUIRE(strcmp(first, "first") == 0 && counted('A') == 1 && counted('B') == 1);
	}
	REQUIRE(found('A') < 0 && found('B') < 0);
}

static void bad_name_never_means_the_one_before()
{
	SMObject object(path, 'A', 8);

	object.setUniquePathID(path, '!');
	REQUIRE(object.shmCreate() == -1 && object.error_handle_ == EBADK && found('A') < 0);
	object.setUniquePathID(nullptr, 'A');
	REQUIRE(object.shmCreate() == -1 && object.error_handle_ == ENOENT);
}

static void moved_object_is_one_reference()
{
	std::vector<SMObject> all;
	for (char proj_id = 'A'; proj_id < 'K'; ++proj_id)
		all.push_back(opened(proj_id, 8));
	REQUIRE(counted('A') == 1 && attached('A') == 1);

	SMObject &self = all[0];
	self = std::move(all[1]);	// leaves 'A'
	REQUIRE(found('A') < 0 && counted('B') == 1 && all[1].pdata_ == nullptr);
	REQUIRE(all[1].shmAccess() == -1 && all[1].shmCreate() == -1 && all[1].error_handle_ == EBADK);
	all[1].decrementMemCtr();
	all[1].setUniquePathID(path, 'A');
	all[1].setSize(8);
	REQUIRE(all[1].shmCreate() == 0 && all[1].shmAccess() == 0);
	all.clear();
	for (char proj_id = 'A'; proj_id < 'K'; ++proj_id)
		REQUIRE(found(proj_id) < 0);
}

static void decrement_never_goes_below_zero()
{
	SMObject object = opened('A', 8), other = opened('A', 8);

	object.decrementMemCtr();
	REQUIRE(object.error_handle_ == 0 && counted('A') == 1);
	object.decrementMemCtr();
	object.decrementMemCtr();
	REQUIRE(object.error_handle_ == ERANGE && counted('A') == 0 && found('A') >= 0);
}

static void larger_than_what_exists_is_refused()
{
	SMObject small = opened('A', 8), large(path, 'A', 8192);

	REQUIRE(large.shmCreate() == -1 && large.error_handle_ == EINVAL);
	REQUIRE(large.shmAccess() == -1 && large.pdata_ == nullptr);
}

static void child_of_fork_takes_no_count_away()
{
	SMObject object = opened('A', 8);
	int status = 0;
	const pid_t child = fork();

	if (child == 0) {
		object = SMObject();	// what a destructor run by exit(3) does
		_exit(0);
	}
	REQUIRE(waitpid(child, &status, 0) == child && status == 0);
	REQUIRE(counted('A') == 1 && found('A') >= 0);
}

static void child_of_fork_can_count_for_itself()
{
	SMObject object = opened('A', 8);
	int status = 0;
	const pid_t child = fork();

	if (child == 0) {
		REQUIRE(object.shmAccess() == 0 && object.pdata_ && counted('A') == 2);
		*static_cast<char *>(object.pdata_) = 'c';
		object = SMObject();
		_exit(0);
	}
	REQUIRE(waitpid(child, &status, 0) == child && status == 0);
	REQUIRE(counted('A') == 1 && *static_cast<char *>(object.pdata_) == 'c');
}

static void no_count_is_lost_among_many()
{
	SMObject object = opened('A', 8);
	int status = 0;

	for (int child = 0; child < 8; ++child) {
		if (fork() == 0) {
			for (int turn = 0; turn < 100; ++turn)
				opened('A', 8);
			_exit(0);
		}
	}
	while (wait(&status) > 0)
		REQUIRE(status == 0);
	REQUIRE(counted('A') == 1 && attached('A') == 1);
}

static void many_that_free_and_make_leave_nothing()
{
	int status = 0;

	for (int child = 0; child < 8; ++child) {
		if (fork() == 0) {
			for (int turn = 0; turn < 100; ++turn) {
				SMObject object(path, 'A', 8);
				REQUIRE(object.shmCreate() == 0);
				if (object.shmAccess() < 0)	// freed by its last holder since
					REQUIRE(object.error_handle_ == ENOENT || object.error_handle_ == EAGAIN);
			}
			_exit(0);
		}
	}
	while (wait(&status) > 0)
		REQUIRE(status == 0);
	opened('A', 8);
	REQUIRE(found('A') < 0 && found('A', KEY_OFFSET) < 0);
}

static const struct {
	const char *name;
	void (*run)();
} promises[] = {
#define PROMISE(name) {#name, name}
	PROMISE(last_one_frees),
	PROMISE(others_detach_and_count_down),
	PROMISE(destructor_without_access_changes_nothing),
	PROMISE(access_needs_no_create),
	PROMISE(failed_access_leaves_null),
	PROMISE(second_access_counts_once),
	PROMISE(renamed_object_keeps_what_it_had),
	PROMISE(bad_name_never_means_the_one_before),
	PROMISE(moved_object_is_one_reference),
	PROMISE(decrement_never_goes_below_zero),
	PROMISE(larger_than_what_exists_is_refused),
	PROMISE(child_of_fork_takes_no_count_away),
	PROMISE(child_of_fork_can_count_for_itself),
	PROMISE(no_count_is_lost_among_many),
	PROMISE(many_that_free_and_make_leave_nothing),
};

int main(int argc, char *argv[])
{
	if (argc < 2)
		return 2;
	path = argv[1];
	for (const auto &promise : promises) {
		if (argc > 2 && strcmp(argv[2], promise.name) != 0)
			continue;
		promise.run();
		for (char proj_id = 'A'; proj_id < 'K'; ++proj_id)	// some leave a created object behind on purpose
			shmctl(found(proj_id), IPC_RMID, nullptr), shmctl(found(proj_id, KEY_OFFSET), IPC_RMID, nullptr);
		printf("ok %s\n", promise.name);
	}
	return 0;
}
