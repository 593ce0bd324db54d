/* SPDX-License-Identifier: MIT */
#ifndef SMFS_OPTIONS_H
#define SMFS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "way.h"

/* What the command line says; smfs(1) is the contract. */
struct options {
	char *keydir, *mountpoint;	/* as given; NULL only where help or version is asked for */
	char *ipcns;			/* ipcns.h; NULL: our own */
	bool help, version;
	int foreground, single_thread, clone_fd;	/* fuse_opt stores an int */
	unsigned max_threads, max_idle_threads;
	unsigned max_read;		/* bytes of a read; 0: the kernel's */
	size_t default_size;		/* of an object made without a size, bytes */
	size_t staged;			/* most bytes of one user's files in the making */
	size_t listings;		/* most bytes that listings of one user's open directories hold */
	unsigned files;			/* most open files of one user; 0: by RLIMIT_NOFILE and vm.max_map_count */
	unsigned waiting, max_waiting;	/* most requests that wait at once, of one user and in all; 0: pool.h's */
	enum way_choice access;
	unsigned reap_seconds;		/* 0: no monitor */
};

struct fuse_args;

/*
 * Take smfs's own options and both operands out of ARGS and leave libfuse's. 0, or -1 after a line on standard
 * error that says what is wrong. *OUT is to be freed with options_free() in both cases.
 */
int options_parse(struct fuse_args *args, struct options *out);
void options_free(struct options *o);

void options_print_help(const char *program);

#endif
