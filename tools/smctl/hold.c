// SPDX-License-Identifier: MIT
/*
 * hold: a reference for exactly as long as a command runs, whoever of the two is killed.
 *
 * Three processes. The front one, which the user started, waits for the command, passes signals on and ends
 * with its status. The command is its child, as under any shell. The reference is a third one's, the
 * keeper: it watches the command through a pidfd, so that it still leaves at the right moment when the
 * front one is killed, and is in a session of its own, out of reach of what is sent to the terminal's or
 * the job's process group. If the keeper itself is killed, the front one takes the reference over; if both
 * are, the kernel has detached the counter, and its nattch tells every reaper that the reference is leaked.
 *
 * The command is forked first, and waits at a gate until the keeper has joined: never does it run unheld.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "smctl.h"

#define REAP_MS 1000		/* for the counter to hold still; what is not taken off then is for any reaper */

struct hold {
	const struct target *target;
	sm_object *obj;
	size_t size;		/* 0: it must exist */
	char **command;
	pid_t command_pid, keeper_pid;
	int pidfd;		/* the command */
	int gate[2], joined[2];	/* pipes: front to command, keeper to front */
	sigset_t watched, before;
	bool command_ended, keeper_ended;
	int status;
};

static const int passed_on[] = {
	SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH, SIGCONT,
};

static void signals_take(struct hold *h)
{
	size_t i;

	signal(SIGCHLD, SIG_DFL);	/* ignored, it would keep the status from us */
	sigemptyset(&h->watched);
	sigaddset(&h->watched, SIGCHLD);
	for (i = 0; i < sizeof passed_on / sizeof *passed_on; i++)
		sigaddset(&h->watched, passed_on[i]);
	sigprocmask(SIG_BLOCK, &h->watched, &h->before);
}

static int access_fail(const struct hold *h)
{
	if (sm_error(h->obj) == ENOENT)
		return fail("there is no object %s to hold; give a SIZE to make it", target_name(h->target));
	return object_fail(h->target, "hold", h->obj);
}

/* 0, or -1 and the object's error. Between making and joining, another last holder may free the object. */
static int join(struct hold *h)
{
	int tries = 0;

	do {
		if (h->size && sm_create(h->obj) < 0)
			return -1;
		if (!sm_access(h->obj))
			return 0;
	} while (h->size && sm_error(h->obj) == ENOENT && ++tries < 1000);
	return -1;
}

static void command_run(struct hold *h)
{
	char go;
	int error;

	close(h->gate[1]);
	close(h->joined[1]);	/* the keeper's alone: the front one waits for its end, too */
	if (read(h->gate[0], &go, 1) != 1)
		_exit(FAILED);
	sigprocmask(SIG_SETMASK, &h->before, NULL);
	execvp(h->command[0], h->command);
	error = errno;
	fail("cannot run '%s': %s", h->command[0], strerror(error));
	_exit(error == ENOENT ? 127 : 126);
}

/*
 * Nothing of the user's may be kept open: a pipe's reader waits for its last writer, a lock for its last
 * holder.
 */
static void descriptors_drop(int keep)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), i;

	for (i = 0; i < 3 && null >= 0; i++)
		dup2(null, i);
	if (keep > 3)
		close_range(3, (unsigned)keep - 1, 0);
	close_range((unsigned)keep + 1, ~0U, 0);
}

static bool command_lives(const struct hold *h, int timeout)
{
	struct pollfd p = { .fd = h->pidfd, .events = POLLIN };

	return poll(&p, 1, timeout) <= 0;
}

static void keeper_run(struct hold *h)
{
	setsid();
	close(h->gate[1]);	/* else the command would never see the front one die before the gate opens */
	if (join(h) < 0)
		_exit(access_fail(h));
	if (write(h->joined[1], "", 1) != 1)
		_exit(FAILED);
	descriptors_drop(h->pidfd);
	while (command_lives(h, -1))
		;
	sm_object_free(h->obj);
	_exit(DONE);
}

static int processes_start(struct hold *h)
{
	fflush(stdout);
	if (pipe2(h->gate, O_CLOEXEC) < 0 || pipe2(h->joined, O_CLOEXEC) < 0)
		return fail("cannot make a pipe: %s", strerror(errno));
	h->command_pid = fork();
	if (!h->command_pid)
		command_run(h);
	h->pidfd = h->command_pid < 0 ? -1 : pidfd_open(h->command_pid, 0);
	if (h->pidfd < 0)
		return fail("cannot start a process: %s", strerror(errno));
	h->keeper_pid = fork();
	if (!h->keeper_pid)
		keeper_run(h);
	if (h->keeper_pid < 0)
		return fail("cannot start a process: %s", strerror(errno));
	close(h->joined[1]);
	return 0;
}

/* Opens the gate once the keeper holds. FAILED (the keeper told why): the command has not run. */
static int gate_open(struct hold *h)
{
	char byte;
	ssize_t n;

	do
		n = read(h->joined[0], &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1 && write(h->gate[1], "", 1) == 1)
		n = 2;
	close(h->gate[1]);
	return n == 2 ? 0 : FAILED;
}

/* The keeper was killed while the command runs. Join first and only then take off what it left behind. */
static void take_over(struct hold *h)
{
	/* Not join(): an object that was removed meanwhile is not made again. */
	if (sm_access(h->obj) < 0) {
		access_fail(h);
		warn_user("the process that held %s was killed, and the command goes on without a reference",
			  target_name(h->target));
		return;
	}
	/* Not sm_decrement(): a monitor may have taken it off already. */
	sm_counter_reap(sm_segment_find(sm_key_counter(h->target->key)), REAP_MS, NULL, NULL);
}

static void children_reap(struct hold *h)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == h->command_pid) {
			h->command_ended = true;
			h->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		} else if (pid == h->keeper_pid) {
			h->keeper_ended = true;
			if (!h->command_ended && command_lives(h, 0))
				take_over(h);
		}
	}
}

/* A signal from the terminal has gone to the command as well; one that somebody sent to us has not. */
static void signal_pass(const struct hold *h, const siginfo_t *info)
{
	if (info->si_code <= 0 && !h->command_ended)
		kill(h->command_pid, info->si_signo);
}

static void attend(struct hold *h)
{
	siginfo_t info;

	while (!h->command_ended || !h->keeper_ended) {
		if (sigwaitinfo(&h->watched, &info) < 0)
			continue;
		if (info.si_signo == SIGCHLD)
			children_reap(h);
		else
			signal_pass(h, &info);
	}
}

static int hold(struct hold *h)
{
	int status;

	h->obj = need(sm_object_new(h->target->path, h->target->proj, h->size));
	sm_object_set_mode(h->obj, mode_default());
	signals_take(h);
	status = processes_start(h);
	status = status ? status : gate_open(h);
	if (!status) {
		attend(h);
		status = h->status;
	}
	sm_object_free(h->obj);
	return status;
}

int run_hold(int argc, char **argv)
{
	struct target t = NO_TARGET;
	struct hold h = { .target = &t, .gate = { -1, -1 }, .joined = { -1, -1 } };
	int n, status;

	if (flag_next(argc, argv, true) != -1)
		return USAGE;
	argc -= optind;
	argv += optind;
	for (n = 0; n < argc && strcmp(argv[n], "--"); n++)
		;
	if (n + 1 >= argc)
		return misuse("operand missing: '--' and the command to run");
	h.command = argv + n + 1;
	status = target_take(&t, &n, &argv);
	if (!status && n > 0) {
		status = take_size(argv[0], &h.size);
		status = status ? status : operands_end(n - 1, argv + 1);
	}
	status = status ? status : hold(&h);
	target_free(&t);
	return status;
}
