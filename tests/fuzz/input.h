/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

/* An input, or a text made of it, as a file that a parser opens by name: a memfd, opened anew by way of /proc. */

#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct input {
	int fd;
	char path[32];
};

static inline void input_make(struct input *in, const char *name)
{
	in->fd = memfd_create(name, 0);
	MUST(in->fd >= 0);
	snprintf(in->path, sizeof(in->path), "/proc/self/fd/%d", in->fd);
}

static inline void input_fill(const struct input *in, const void *bytes, size_t n)
{
	MUST(ftruncate(in->fd, 0) == 0 && pwrite(in->fd, bytes, n, 0) == (ssize_t)n);
}

/* The bytes as a process can call itself: up to 15, and no NUL. */
static inline void input_name(char name[16], const uint8_t *bytes, size_t n)
{
	n = n < 15 ? n : 15;
	if (n)
		memcpy(name, bytes, n);
	name[n] = '\0';
}

#endif
