// SPDX-License-Identifier: MIT
/*
 * cat, write. The kernel copies straight between the segment and the descriptor: a page that cannot be had (a
 * truncated segment, an empty pool of huge pages) is then EFAULT from read or write, and no SIGBUS. Of a truncated one
 * shmat maps less than its size, and behind that lies our own memory: so what is missing is reserved (sm_segment_map).
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smctl.h"

const struct flag id_flags[] = {
	{ OPT_ID, "id", "N", "the segment with this shmid, whoever made it" },
	{ 0 },
};

#define CHUNK ((size_t)1 << 20)

static int broken(const struct target *t, size_t at, const char *what)
{
	if (errno == EFAULT)
		return fail("cannot go on at byte %zu of %s: %s", at, target_name(t), error_text(EIO));
	return fail("cannot %s: %s", what, strerror(errno));
}

static int copy_out(const struct target *t, const char *bytes, size_t size)
{
	size_t at = 0;
	ssize_t n;

	while (at < size) {
		n = write(STDOUT_FILENO, bytes + at, size - at < CHUNK ? size - at : CHUNK);
		if (n < 0 && errno != EINTR)
			return broken(t, at, "write the output");
		at += n > 0 ? (size_t)n : 0;
	}
	return DONE;
}

static int copy_in(const struct target *t, char *bytes, size_t size)
{
	size_t at = 0;
	ssize_t n;
	char beyond;

	do {
		if (at < size)
			n = read(STDIN_FILENO, bytes + at, size - at < CHUNK ? size - at : CHUNK);
		else
			n = read(STDIN_FILENO, &beyond, 1);
		if (n < 0 && errno != EINTR)
			return broken(t, at, "read the input");
		if (n > 0 && at == size)
			return fail("the input is longer than %s, which has %zu bytes: those are written, the "
				    "rest is not", target_name(t), size);
		at += n > 0 ? (size_t)n : 0;
	} while (n);
	return DONE;
}

static int segment_of(const struct target *t, struct sm_segment *seg)
{
	return t->path ? sm_segment_stat_key(t->key, seg) : sm_segment_stat(t->id, seg);
}

static int copy(const struct target *t, bool in)
{
	const char *doing = in ? "write" : "read";
	struct sm_segment seg;
	void *bytes;
	int error, status;

	error = segment_of(t, &seg);
	if (error < 0)
		return target_fail(t, doing, error);
	error = sm_segment_map(seg.id, seg.size, !in, &bytes);
	if (error < 0)
		return target_fail(t, doing, error);
	status = in ? copy_in(t, bytes, seg.size) : copy_out(t, bytes, seg.size);
	sm_segment_unmap(bytes, seg.size);
	return status;
}

static int run_copy(int argc, char **argv, bool in)
{
	struct target t = NO_TARGET;
	int code, status = 0;

	while (!status && (code = flag_next(argc, argv, false)) != -1)
		status = code == OPT_ID ? target_id(&t, optarg) : USAGE;
	status = status ? status : target_only(&t, argc - optind, argv + optind);
	status = status ? status : copy(&t, in);
	target_free(&t);
	return status;
}

int run_cat(int argc, char **argv)
{
	return run_copy(argc, argv, false);
}

int run_write(int argc, char **argv)
{
	return run_copy(argc, argv, true);
}
