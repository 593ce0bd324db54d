/* SPDX-License-Identifier: MIT */
/*
 * fuse_daemonize() has the parent exit with 0 at once, but what may still fail, as starting threads, cannot be done before
 * the fork, which takes none along. So the parent waits for a byte of a pipe. The pipe closes without one when the child ends.
 */
#include "background.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int word = -1;	/* to the parent */

static int fail(const char *why)
{
	fprintf(stderr, "smfs: cannot start: %s\n", why);
	return -1;
}

/* As the parent. Nothing is flushed or freed: that is the child's to do. */
static int wait_for(pid_t child, int fd)
{
	int status = 1 << 8;	/* where SIGCHLD is ignored it stays unknown */
	char byte;
	ssize_t n;

	do
		n = read(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(0);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status))
		_exit(WEXITSTATUS(status));
	return fail(strsignal(WTERMSIG(status)));
}

int background_begin(void)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return fail(strerror(errno));

	pid_t child = fork();

	if (child < 0)
		return fail(strerror(errno));
	if (child > 0) {
		close(fds[1]);
		return wait_for(child, fds[0]);
	}
	close(fds[0]);
	word = fds[1];
	setsid();
	return 0;
}

void background_ready(void)
{
	if (word < 0)
		return;

	int null = open("/dev/null", O_RDWR);

	for (int fd = 0; fd <= 2 && null >= 0; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	/* SIGPIPE is ignored, as everywhere in the daemon: the parent may have been killed */
	while (write(word, "", 1) < 0 && errno == EINTR)
		;
	close(word);
	word = -1;
}
