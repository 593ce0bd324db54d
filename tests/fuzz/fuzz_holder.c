/* SPDX-License-Identifier: MIT */
/*
 * What libsm reads of each process to say who has a segment attached: stat, status, comm and maps, in a directory that looks like
 * /proc. Whoever began the process chose its name, which stands in three of them, and the paths in maps.
 *
 * Byte 0 of an input says what the rest is: 0 to 3 the whole of stat, status, comm, maps; 4 the name in the first three, as the
 * kernel writes it; 5 the path in a line of maps.
 */
#include "input.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "../../libsm/holder.c"

#define PID 7
#define UID 4711
#define SHMID 32769

static const char *const names[] = { "stat", "status", "comm", "maps" };
static struct input files[4];
static char base[] = "/tmp/smfs-fuzz.XXXXXX";
static int proc;
static char *buffer;

static void clean_up(void)
{
	char path[sizeof(base) + 16];

	for (unsigned i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/%d/%s", base, PID, names[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/%d", base, PID);
	rmdir(path);
	rmdir(base);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char path[32];

	MUST(mkdtemp(base) && (proc = open(base, O_PATH)) >= 0 && (buffer = malloc(LINES_BUFFER)));
	snprintf(path, sizeof(path), "%d", PID);
	MUST(mkdirat(proc, path, 0700) == 0);
	for (unsigned i = 0; i < 4; i++) {
		input_make(&files[i], names[i]);
		snprintf(path, sizeof(path), "%d/%s", PID, names[i]);
		MUST(symlinkat(files[i].path, proc, path) == 0);
	}
	atexit(clean_up);
	return 0;
}

/* In status, and nowhere else, the kernel writes a newline and a backslash so that they do no harm. */
static void escape(const char *name, char *out)
{
	for (; *name; name++) {
		if (*name == '\n' || *name == '\\')
			*out++ = '\\';
		*out++ = *name == '\n' ? 'n' : *name;
	}
	*out = '\0';
}

static void fill_process(const char *name, const char *path)
{
	char text[512], escaped[32];
	int n = snprintf(text, sizeof(text), "%d (%s) S 1 7 7 0 -1 4194560 105 0 0 0 0 0 0 0 20 0 1 0 4711 2576384 226\n", PID, name);

	input_fill(&files[0], text, (size_t)n);
	escape(name, escaped);
	n = snprintf(text, sizeof(text), "Name:\t%s\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t7\nNgid:\t0\nPid:\t7\nPPid:\t1\n"
		     "TracerPid:\t0\nUid:\t12\t%d\t12\t12\nGid:\t13\t13\t13\t13\n", escaped, UID);
	input_fill(&files[1], text, (size_t)n);
	n = snprintf(text, sizeof(text), "%s\n", name);
	input_fill(&files[2], text, (size_t)n);
	n = snprintf(text, sizeof(text), "7f0000000000-7f0000001000 rw-s 00000000 00:01 %d                      %s\n", SHMID, path);
	input_fill(&files[3], text, (size_t)n);
}

static void scan(struct holders *h)
{
	const struct stat ours = { .st_ino = 1 };

	MUST(scan_process(proc, buffer, &ours, h) == 0);
	for (size_t i = 0; i < h->n; i++) {
		MUST(h->list[i].pid == PID && h->list[i].attached == 1 && h->list[i].id >= 0);
		MUST(memchr(h->list[i].comm, '\0', sizeof(h->list[i].comm)));
	}
}

static void check_name(const uint8_t *bytes, size_t n)
{
	struct holders h = { .id = SHMID, .pid = PID };
	char name[16];

	input_name(name, bytes, n);
	fill_process(name, "/SYSV4101abcd (deleted)");
	MUST(!is_kernel_thread(proc, PID));
	scan(&h);
	MUST(h.n == 1 && h.list[0].uid == UID);
	name[strcspn(name, "\n")] = '\0';
	MUST(strcmp(h.list[0].comm, name) == 0);
	free(h.list);
}

/* What the kernel calls an attached segment, by other means. */
static bool is_segments(const char *path)
{
	return strlen(path) >= 13 && memcmp(path, "/SYSV", 5) == 0 && strspn(path + 5, "0123456789abcdefABCDEF") >= 8 &&
	       (!path[13] || strcmp(path + 13, " (deleted)") == 0);
}

static void check_path(const uint8_t *bytes, size_t n)
{
	struct holders h = { .id = -1, .pid = PID };
	char *path = fuzz_string(bytes, n < 200 ? n : 200), *line;

	while ((line = strchr(path, '\n')))	/* the kernel writes it as \012 */
		*line = ' ';
	fill_process("any", path);
	scan(&h);
	MUST(path[0] != '/' || h.n == is_segments(path));
	free(path);
	free(h.list);
}

static void check_whole(const struct input *in, const uint8_t *bytes, size_t n)
{
	struct holders h = { .id = -1, .pid = PID };

	fill_process("any", "/SYSV4101abcd (deleted)");
	input_fill(in, bytes, n);
	is_kernel_thread(proc, PID);
	scan(&h);
	MUST(in == &files[1] || in == &files[3] || h.n == 1);
	free(h.list);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	if (!n)
		return 0;
	switch (bytes[0] % 6) {
	case 4:
		check_name(bytes + 1, n - 1);
		break;
	case 5:
		check_path(bytes + 1, n - 1);
		break;
	default:
		check_whole(&files[bytes[0] % 6], bytes + 1, n - 1);
	}
	return 0;
}
