/* SPDX-License-Identifier: MIT */
/*
 * One measurement for tools/bench: does one thing again and again and prints the nanoseconds that one took. What has
 * to be done once (opening, mapping, the first touch of each page) is not timed, unless the kind's name says so.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct probe {
	const char *target;	/* a path, or a shmid */
	size_t block, size;	/* bytes at a time; of the file or segment, in whole blocks */
	long count;
	int fd;
	char *at, *buffer;
	uint64_t random;
} p;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "probe: %s: %s: %m\n", p.target, what);
	exit(1);
}

static size_t next(size_t offset)
{
	offset += p.block;
	return offset < p.size ? offset : 0;
}

static size_t any(void)
{
	p.random = p.random * 6364136223846793005u + 1442695040888963407u;
	return (size_t)(p.random >> 20) % (p.size / p.block) * p.block;
}

/* ---- a descriptor ---- */

static void open_as(int flags)
{
	struct stat st;

	p.fd = open(p.target, flags);
	if (p.fd < 0 || fstat(p.fd, &st))
		die("open");
	p.size = (size_t)st.st_size / p.block * p.block;
	if (!p.size)
		die("smaller than a block");
}

static void open_read(void)
{
	open_as(O_RDONLY);
}

static void open_both(void)
{
	open_as(O_RDWR);
}

static void read_at(size_t offset)
{
	if (pread(p.fd, p.buffer, p.block, (off_t)offset) != (ssize_t)p.block)
		die("read");
}

static void write_at(size_t offset)
{
	if (pwrite(p.fd, p.buffer, p.block, (off_t)offset) != (ssize_t)p.block)
		die("write");
}

/* ---- memory ---- */

static void map_file(void)
{
	open_read();
	p.at = mmap(NULL, p.size, PROT_READ, MAP_SHARED, p.fd, 0);
	if (p.at == MAP_FAILED)
		die("mmap");
}

static void attach(void)
{
	struct shmid_ds ds;
	int id = atoi(p.target);

	if (shmctl(id, IPC_STAT, &ds))
		die("shmctl");
	p.size = ds.shm_segsz / p.block * p.block;
	p.at = shmat(id, NULL, SHM_RDONLY);
	if (p.at == (void *)-1)
		die("shmat");
}

static void copy_at(size_t offset)
{
	memcpy(p.buffer, p.at + offset, p.block);
	__asm__ volatile("" : : "r"(p.buffer) : "memory");
}

/* ---- whole uses ---- */

static void nothing(void)
{
	p.size = p.block;
}

static void use_file(size_t unused)
{
	int fd = open(p.target, O_RDONLY);

	if (fd < 0 || read(fd, p.buffer, p.block) < 0)
		die("open and read");
	close(fd);
}

static void use_segment(size_t unused)
{
	void *at = shmat(atoi(p.target), NULL, SHM_RDONLY);

	if (at == (void *)-1)
		die("shmat");
	memcpy(p.buffer, at, p.block);
	shmdt(at);
}

static void open_close(size_t unused)
{
	int fd = open(p.target, O_RDONLY);

	if (fd < 0)
		die("open");
	close(fd);
}

static void stat_file(size_t unused)
{
	struct stat st;

	if (stat(p.target, &st))
		die("stat");
}

/* ---- */

static const struct kind {
	const char *name, *target, *does;
	void (*begin)(void);
	void (*once)(size_t offset);
	enum { FIRST_PASS = 1, RANDOM = 2 } how;
} kinds[] = {
	{ "read", "FILE", "read blocks in order", open_read, read_at, 0 },
	{ "read-both", "FILE", "the same from a descriptor opened for writing, too", open_both, read_at, 0 },
	{ "read-random", "FILE", "read blocks anywhere", open_read, read_at, RANDOM },
	{ "write", "FILE", "write blocks in order, over bytes that were written before", open_both, write_at, 0 },
	{ "write-first", "FILE", "one pass of that, the first through this descriptor", open_both, write_at, FIRST_PASS },
	{ "map", "FILE", "copy blocks out of a mapping", map_file, copy_at, 0 },
	{ "map-random", "FILE", "the same anywhere", map_file, copy_at, RANDOM },
	{ "attach", "SHMID", "copy blocks out of an attachment", attach, copy_at, 0 },
	{ "attach-random", "SHMID", "the same anywhere", attach, copy_at, RANDOM },
	{ "use-file", "FILE", "open, read a block, close", nothing, use_file, 0 },
	{ "use-segment", "SHMID", "shmat, copy a block, shmdt", nothing, use_segment, 0 },
	{ "open", "FILE", "open, close", nothing, open_close, 0 },
	{ "stat", "FILE", "stat", nothing, stat_file, 0 },
};

static const struct kind *find(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

static int usage(void)
{
	fprintf(stderr, "usage: probe KIND TARGET BLOCK COUNT\n"
		"Prints the nanoseconds that one of COUNT takes, on BLOCK bytes.\n\n");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		fprintf(stderr, "    %-13s  %-5s  %s\n", kinds[i].name, kinds[i].target, kinds[i].does);
	return 2;
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double measure(const struct kind *kind)
{
	size_t offset = 0;
	long blocks = (long)(p.size / p.block);

	if (kind->how & FIRST_PASS)
		p.count = blocks;
	else
		for (long i = 0; i < blocks && (i < p.count || kind->how & RANDOM); i++)
			kind->once((size_t)i * p.block);

	double start = now_ns();

	for (long i = 0; i < p.count; i++) {
		kind->once(kind->how & RANDOM ? any() : offset);
		offset = next(offset);
	}
	return (now_ns() - start) / (double)p.count;
}

int main(int argc, char **argv)
{
	const struct kind *kind = argc == 5 ? find(argv[1]) : NULL;

	if (!kind)
		return usage();
	p.target = argv[2];
	p.block = strtoul(argv[3], NULL, 10);
	p.count = strtol(argv[4], NULL, 10);
	if (!p.block || p.count < 1)
		return usage();
	p.buffer = aligned_alloc(4096, (p.block + 4095) & ~(size_t)4095);
	if (!p.buffer)
		die("no memory");
	memset(p.buffer, 'x', p.block);
	kind->begin();
	printf("%.1f\n", measure(kind));
	return 0;
}
