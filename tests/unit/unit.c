// SPDX-License-Identifier: MIT
#include "unit.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

char unit_key[64];

int unit_namespace(void)
{
	int fd;

	if (unshare(CLONE_NEWIPC) < 0) {
		perror("a private IPC namespace (as root, or with CAP_SYS_ADMIN)");
		return getenv("SMFS_TESTS_MUST_RUN") ? 1 : 77;
	}
	snprintf(unit_key, sizeof unit_key, "/tmp/libsm-unit.XXXXXX");
	fd = mkstemp(unit_key);
	if (fd < 0) {
		perror(unit_key);
		return 1;
	}
	fchmod(fd, 0644);
	close(fd);
	return 0;
}

void unit_remove_key(void)
{
	if (unit_key[0])
		unlink(unit_key);
}

bool unit_is_under(const char *tool)
{
	const char *now = getenv("SMFS_TOOL");

	return now && strcmp(now, tool) == 0;
}

static bool skipped;

void unit_skip(const char *why)
{
	if (getenv("SMFS_TESTS_MUST_RUN"))
		fail_msg("cannot run: %s", why);
	print_message("skipped: %s\n", why);
	skipped = true;
	skip();
}

int unit_result(int failed)
{
	return failed ? 1 : skipped ? 77 : 0;
}

int unit_segments(void)
{
	struct sm_segment *list;
	ssize_t n = sm_segment_list(&list);

	if (n >= 0)
		free(list);
	return (int)n;
}

int unit_setup(void **state)
{
	fault_clear();
	return 0;
}

int unit_teardown(void **state)
{
	struct sm_segment *list;
	ssize_t n;

	fault_clear();
	n = sm_segment_list(&list);
	for (ssize_t i = 0; i < n; i++) {
		print_error("left over: segment %d, key %#x, attached %lu times, %lu of them here\n", list[i].id,
			    (unsigned)list[i].key, list[i].nattch, sm_segment_own(list[i].id));
		sm_segment_remove(list[i].id);
	}
	free(list);
	return n == 0 ? 0 : -1;
}

key_t unit_data_key(char p)
{
	key_t key;

	assert_int_equal(sm_key_from_path(unit_key, p, &key), 0);
	return key;
}

key_t unit_counter_key(char p)
{
	return sm_key_counter(unit_data_key(p));
}

int unit_in_child(int (*fn)(void *), void *arg)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(fn(arg));
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

void unit_become(unsigned uid, unsigned gid)
{
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		_exit(99);
	/* Not the harness' business, but without it /proc/self would be root's. */
	prctl(PR_SET_DUMPABLE, 1);
}

void unit_put_word(int counter_id, int counter, uint32_t seq)
{
	struct word w = { counter, seq };
	void *at;

	assert_int_equal(sm_segment_attach(counter_id, false, &at), 0);
	memcpy(at, &w, sizeof w);
	sm_segment_detach(at);
}

static int ready_fd;

void unit_ready(void)
{
	if (write(ready_fd, "x", 1) != 1)
		_exit(1);
}

pid_t unit_start(void (*fn)(void *), void *arg)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ready_fd = ready[1];
		fn(arg);
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

void unit_end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

void unit_change_inode(const void *at, size_t mapped, off_t size)
{
	char path[80];
	int fd;

	snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", (unsigned long)at, (unsigned long)at + mapped);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}
