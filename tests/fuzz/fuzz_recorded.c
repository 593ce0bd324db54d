/* SPDX-License-Identifier: MIT */
/*
 * A counter segment's page, which anyone who may write it fills as they like: the counter, and the path it was recorded
 * for, read by libsm and followed by a directory listing. In an IPC namespace of its own.
 *
 * Byte 0 of an input says what the rest is: 0 the page from its start; 1 a recorded path; 2 the same below KEYDIR.
 */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <libsm/sm.h>
#include <sched.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsm/private.h"
#include "smfs/list.h"

#define PAGE 4096

static char keydir_path[] = "/tmp/smfs-fuzz.XXXXXX";
static struct keydir keydir;
static struct caller self;
static struct page *page;
static char head[16];		/* what says that a path is there: the magic and the version */
static int counter_id;

static void clean_up(void)
{
	char path[sizeof(keydir_path) + 16];
	const char *const made[] = { "app.key", "sub/deep.key", "loop" };

	for (unsigned i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", keydir_path, made[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/sub", keydir_path);
	rmdir(path);
	rmdir(keydir_path);
}

static void make_files(void)
{
	MUST(mkdtemp(keydir_path));

	int dir = open(keydir_path, O_DIRECTORY | O_RDONLY);

	MUST(dir >= 0 && mkdirat(dir, "sub", 0755) == 0 && symlinkat("loop", dir, "loop") == 0);
	close(openat(dir, "app.key", O_CREAT | O_WRONLY, 0644));
	close(openat(dir, "sub/deep.key", O_CREAT | O_WRONLY, 0644));
	close(dir);
	atexit(clean_up);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char path[64];

	if (unshare(CLONE_NEWIPC) && unshare(CLONE_NEWUSER | CLONE_NEWIPC)) {
		fprintf(stderr, "cannot run: no private IPC namespace is to be had\n");
		exit(getenv("SMFS_TESTS_MUST_RUN") ? 1 : 77);
	}
	make_files();
	snprintf(path, sizeof(path), "%s/app.key", keydir_path);

	key_t key;

	MUST(sm_key_from_path(path, 'A', &key) == 0 && sm_segment_create(key, 100, 0666) >= 0);
	counter_id = sm_counter_create(sm_key_counter(key), 0666, path);
	MUST(counter_id >= 0);

	void *at = shmat(counter_id, NULL, 0);

	MUST(at != (void *)-1);
	page = at;
	memcpy(head, &page->magic, sizeof(head));
	caller_start();
	MUST(caller_read(&self, geteuid(), getegid(), gettid()) == 0);
	MUST(keydir_open(&keydir, keydir_path) == 0);
	return 0;
}

static void fill(uint8_t kind, const uint8_t *bytes, size_t n)
{
	int prefix = 0;

	memset(page, 0, PAGE);
	if (kind % 3 == 0) {
		memcpy(page, bytes, n < PAGE ? n : PAGE);
		return;
	}
	memcpy(&page->magic, head, sizeof(head));
	if (kind % 3 == 2)
		prefix = sprintf(page->path, "%s/", keydir_path);
	if (n > sizeof(page->path) - (size_t)prefix)
		n = sizeof(page->path) - (size_t)prefix;
	memcpy(page->path + prefix, bytes, n);
}

static void check_listing(void)
{
	struct listing l = { 0 };
	struct name parsed;

	MUST(list_directory(&keydir, "", &self, &l) == 0);
	MUST(l.count <= 3);
	for (size_t i = 0; i < l.count; i++) {
		const struct list_entry *e = &l.entries[i];

		const char *name = list_name(&l, e);

		MUST(*name && !strchr(name, '/'));
		name_parse(name, &parsed);
		MUST(parsed.kind == e->kind);
		if (e->kind == NAME_DIR)
			MUST(strcmp(name, "sub") == 0);
		else	/* the only file that yields the key */
			MUST(strncmp(name, "app.key:A", 9) == 0);
	}
	list_free(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct sm_counter c;
	int value;

	if (!n)
		return 0;
	fill(bytes[0], bytes + 1, n - 1);
	memset(&c, 0x55, sizeof(c));
	MUST(sm_counter_load(counter_id, &c) == 0);
	MUST(memchr(c.path, '\0', sizeof(c.path)));
	MUST(sm_counter_value(counter_id, &value) == 0 && value == c.value);
	check_listing();

	int r = sm_counter_decrement(counter_id, &value);

	MUST(r == -ERANGE || (r == 0 && value == c.value - 1 && value >= 0));
	return 0;
}
