/* SPDX-License-Identifier: MIT */
/*
 * /proc/PID/stat and comm, as the daemon reads them for a name in .info: whoever began the process chose what it is called,
 * and that stands unquoted between the numbers.
 *
 * Byte 0 of an input says what the rest is: 0 the whole of stat; 1 the name in a stat as the kernel writes it; 2 comm.
 */
#include "input.h"

#include <fcntl.h>

static struct input stat_file, comm_file;

static int open_input(const char *path, int flags)
{
	return (open)(strstr(path, "/stat") ? stat_file.path : comm_file.path, flags);
}

#define open open_input
#include "../../smfs/process.c"
#undef open

#define TICKS 4711

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	input_make(&stat_file, "stat");
	input_make(&comm_file, "comm");
	return 0;
}

static void fill_stat(const char *name)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "4242 (%s) S 1 4242 4242 0 -1 4194560 105 0 0 0 0 0 0 0 20 0 1 0 %d 2576384 %s\n",
			 name, TICKS, "226 18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0");

	input_fill(&stat_file, text, (size_t)n);
}

static void check_comm(const uint8_t *bytes, size_t n)
{
	char name[PROCESS_NAME_MAX];
	const uint8_t *end;
	size_t length;

	fill_stat("any");
	input_fill(&comm_file, bytes, n);
	memset(name, 'x', sizeof(name));
	MUST(process_name(4242, time(NULL), name) == (n > 0));
	if (!n)
		return;
	length = n < sizeof(name) - 1 ? n : sizeof(name) - 1;
	for (int c = 0; c <= '\n'; c += '\n')
		if ((end = memchr(bytes, c, length)))
			length = (size_t)(end - bytes);
	MUST(strlen(name) == length && memcmp(name, bytes, length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	unsigned long long ticks = 0;
	char name[16];

	if (!n)
		return 0;
	switch (bytes[0] % 3) {
	case 0:
		input_fill(&stat_file, bytes + 1, n - 1);
		if (start_ticks(4242, &ticks))
			MUST(memchr(bytes + 1, ')', n - 1) && memchr(bytes + 1, ' ', n - 1));
		break;
	case 1:
		input_name(name, bytes + 1, n - 1);
		fill_stat(name);
		MUST(start_ticks(4242, &ticks) && ticks == TICKS);
		break;
	default:
		check_comm(bytes + 1, n - 1);
	}
	return 0;
}
