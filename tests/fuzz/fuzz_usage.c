/* SPDX-License-Identifier: MIT */
/*
 * /proc/sysvipc/shm: whoever makes a segment chooses most of the numbers in its line.
 *
 * Byte 0 of an input says what the rest is: 0 the whole file; 1 numbers, 8 bytes each and 16 for a line, in a file as the kernel
 * writes it.
 */
#include "input.h"

#include <fcntl.h>

static struct input file;

static int open_input(const char *path, int flags)
{
	return (open)(file.path, flags);
}

#define open open_input
#include "../../libsm/usage.c"
#undef open

#define HEADING "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid" \
	"      atime      dtime      ctime                   rss                  swap\n"
#define MOST 30

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	input_make(&file, "shm");
	return 0;
}

static ssize_t list(struct sm_usage **out)
{
	ssize_t n = sm_usage_list(out);

	MUST(n >= 0 && *out);
	for (ssize_t i = 1; i < n; i++)
		MUST((*out)[i - 1].id <= (*out)[i].id);
	return n;
}

static int print_line(char *at, size_t room, const uint64_t *v, int id)
{
	return snprintf(at, room, "%10d %10d  %4o %21lu %5u %5u  %5lu %5u %5u %5u %5u %10llu %10llu %10llu %21lu %21lu\n",
			(int)v[0], id, (unsigned)v[2] & 01777, v[3], (unsigned)v[4] >> 1, (unsigned)v[5] >> 1, v[6], (unsigned)v[7],
			(unsigned)v[8], (unsigned)v[9], (unsigned)v[10], (unsigned long long)v[11] >> 1,
			(unsigned long long)v[12] >> 1, (unsigned long long)v[13] >> 1, v[14], v[15]);
}

static void check_numbers(const uint8_t *bytes, size_t n)
{
	static char text[sizeof(HEADING) + MOST * 320];
	uint64_t v[MOST][16] = { 0 };
	size_t lines = n / sizeof(*v), used = sizeof(HEADING) - 1;
	struct sm_usage *found;

	lines = lines < MOST ? lines : MOST;
	if (lines)
		memcpy(v, bytes, lines * sizeof(*v));
	memcpy(text, HEADING, used);
	for (size_t i = 0; i < lines; i++)	/* ids apart from each other, in any order */
		used += (size_t)print_line(text + used, sizeof(text) - used, v[i], (int)((v[i][1] & 0xffffff) * 64 + i));
	input_fill(&file, text, used);
	MUST(list(&found) == (ssize_t)lines);
	for (size_t i = 0; i < lines; i++) {
		const struct sm_usage key = { .id = (int)((v[i][1] & 0xffffff) * 64 + i) };
		const struct sm_usage *u = bsearch(&key, found, lines, sizeof(*found), by_id);

		MUST(u && u->resident == v[i][14] && u->swapped == v[i][15]);
	}
	free(found);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct sm_usage *found;

	if (!n)
		return 0;
	if (bytes[0] % 2) {
		check_numbers(bytes + 1, n - 1);
		return 0;
	}
	input_fill(&file, bytes + 1, n - 1);
	MUST((size_t)list(&found) <= n / 31);	/* sixteen numbers and what is between them */
	free(found);
	return 0;
}
