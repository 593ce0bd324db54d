/* SPDX-License-Identifier: MIT */
/* /proc/PID/maps and /proc/sysvipc/shm: whoever maps a file chooses a path in the first. */
#include "../../libsm/holder.c"
#include "../../libsm/usage.c"

#include "fuzz.h"

#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static int fd = -1;
	static char buffer[LINES_BUFFER];
	struct holders h = { .id = -1, .pid = 1 };
	struct usages u = { 0 };

	if (fd < 0)
		fd = memfd_create("maps", 0);
	MUST(ftruncate(fd, 0) == 0 && pwrite(fd, bytes, n, 0) == (ssize_t)n && lseek(fd, 0, SEEK_SET) == 0);
	MUST(lines_read(fd, buffer, add_holder, &h) == 0);
	for (size_t i = 0; i < h.n; i++)
		MUST(h.list[i].pid == 1 && h.list[i].attached == 1);
	MUST(h.n == 0 || memmem(bytes, n, "/SYSV", 5));
	MUST(lseek(fd, 0, SEEK_SET) == 0 && lines_read(fd, buffer, add_usage, &u) == 0);
	MUST(u.n <= n / 31 + 1);	/* sixteen numbers and what is between them */
	free(h.list);
	free(u.list);
	return 0;
}
