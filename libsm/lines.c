// SPDX-License-Identifier: MIT
/* The lines of a file of /proc, through one buffer, looked at in place. */
#include "private.h"

#include <errno.h>
#include <unistd.h>

/* A line longer than the buffer is cut; no line that matters is. */
int lines_read(int fd, char *buffer, line_fn fn, void *arg)
{
	size_t have = 0;

	for (;;) {
		ssize_t n = read(fd, buffer + have, LINES_BUFFER - 1 - have);
		char *line = buffer, *end;
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		have += (size_t)n;
		while ((end = memchr(line, '\n', have - (size_t)(line - buffer)))) {
			*end = '\0';
			r = fn(line, arg);
			if (r < 0)
				return r;
			line = end + 1;
		}
		have -= (size_t)(line - buffer);
		memmove(buffer, line, have);
		if (have == LINES_BUFFER - 1)
			have = 0;
	}
}
