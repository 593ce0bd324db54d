/* SPDX-License-Identifier: MIT */
#include "other.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct other other_start(void (*prepare)(void))
{
	int ready[2], ends[2];
	char c;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	const pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[1]);
		prepare();
		(void)!write(ready[1], "", 1);
		(void)!read(ends[0], &c, 1);
		_exit(0);
	}
	close(ends[0]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return (struct other){ pid, ends[1] };
}

void other_end(struct other o)
{
	kill(o.pid, SIGKILL);
	close(o.ends);
	waitpid(o.pid, NULL, 0);
}

void set_capabilities(uint64_t caps)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ (uint32_t)caps, (uint32_t)caps, 0 }, { (uint32_t)(caps >> 32), (uint32_t)(caps >> 32), 0 },
	};

	if (syscall(SYS_capset, &header, data) != 0)
		_exit(1);
}

void become_user(void)
{
	const gid_t groups[] = { 11, 12, 13 };

	if (setgroups(3, groups) || setresgid(1, GROUP, 2) || setresuid(3, USER, 4))
		_exit(1);
}

void become_root_with_few_caps(void)
{
	if (setgroups(0, NULL))
		_exit(1);
	set_capabilities(BIT(CAP_IPC_OWNER) | BIT(CAP_CHOWN));
}
