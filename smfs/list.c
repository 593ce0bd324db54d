/* SPDX-License-Identifier: MIT */
/*
 * ftok(3) throws away most of what it is given: 16 bits of the inode number, 8 of the device and the proj_id are
 * left. To get back from keys to names there are two ways, and a listing needs both.
 *
 *   recorded   our counter segments hold the path they were made for. It is a stranger's word: it counts only
 *              where resolving it, as the caller, yields the very key.
 *   reverse    any file of the directory whose key some data segment has, whoever made that. Only entries whose
 *              inode number ends like some key, and symbolic links, are worth a stat.
 *
 * Where two names share a key, the recorded one is meant, so a reverse match is dropped if the recorded path still
 * yields the key.
 *
 * What is being made has no segment to record a path in, but its maker's path is known: it is listed like a recorded one.
 *
 * The disk is not walked: one directory is read, and recorded paths are resolved one by one.
 */
#include "list.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "cleanup.h"
#include "hash.h"
#include "hints.h"
#include "pool.h"
#include "staged.h"

#define FILE_BITS 0xffffffu	/* of a key: what ftok(3) takes from the file */

/* A data segment and its counter; either may be missing where there is a recorded path. */
struct pair {
	bool has_data;
	uint64_t staged;	/* the serial of what is being made, and has neither */
	struct sm_segment data, counter;
	key_t key;		/* of the data */
	char *recorded;		/* NULL: none */
	const char *name;	/* it was listed under, by the recorded path */
	enum { UNKNOWN, FOR_THIS, FOR_ANOTHER } meant;	/* what meant_for_another() has found */
};

struct subdirectory {
	UT_hash_handle hh;
	char name[];
};

struct scan {
	const struct keydir *keydir;
	struct keypath dir;
	struct pair *pairs;	/* sorted by the file's bits of the key */
	size_t count;
	struct staged_name *staged;
	ssize_t nstaged;
	struct subdirectory *subdirectories;	/* listed already */
	struct hints records, links;
	struct listing *out;
};

/* ---- the kernel's table, in pairs ---- */

static int compare_keys(const void *a, const void *b)
{
	uint32_t x = (uint32_t)((const struct sm_segment *)a)->key, y = (uint32_t)((const struct sm_segment *)b)->key;

	return (x > y) - (x < y);
}

static int compare_pairs(const void *a, const void *b)
{
	uint32_t x = (uint32_t)((const struct pair *)a)->key, y = (uint32_t)((const struct pair *)b)->key;

	if ((x ^ y) & FILE_BITS)
		return (x & FILE_BITS) > (y & FILE_BITS) ? 1 : -1;
	if (x != y)
		return x > y ? 1 : -1;
	return ((const struct pair *)a)->staged ? -1 : 1;	/* before the counter that is there already */
}

/* An absolute path in its simplest form, or NULL: a stranger wrote it. A counter of ours is no larger than a page. */
static char *recorded_path(const struct sm_segment *counter)
{
	struct sm_counter c;

	if (counter->size > ATTACH_LARGE || sm_counter_load(counter->id, &c) || c.path[0] != '/' || !c.path[1])
		return NULL;
	for (const char *p = c.path; *p; p = strchrnul(p + 1, '/')) {
		size_t n = (size_t)(strchrnul(p + 1, '/') - p - 1);

		if (n == 0 || (n == 1 && p[1] == '.') || (n == 2 && p[1] == '.' && p[2] == '.'))
			return NULL;
	}
	return strdup(c.path);
}

static const struct sm_segment *find_key(const struct sm_segment *table, size_t n, key_t key)
{
	struct sm_segment wanted = { .key = key };

	return bsearch(&wanted, table, n, sizeof(*table), compare_keys);
}

/* What is being made, but for what was made meanwhile. */
static void collect_staged(struct scan *scan, const struct sm_segment *table, size_t n)
{
	for (ssize_t i = 0; i < scan->nstaged; i++) {
		struct staged_name *s = &scan->staged[i];

		if (find_key(table, n, s->key))
			continue;
		scan->pairs[scan->count++] = (struct pair){ .staged = s->serial, .key = s->key, .recorded = s->path };
		s->path = NULL;
	}
}

static int collect_pairs(struct scan *scan)
{
	AUTO_FREE struct sm_segment *table = NULL;

	scan->nstaged = staged_list(&scan->staged);	/* first, so that what is made meanwhile is in the table */

	ssize_t n = scan->nstaged < 0 ? scan->nstaged : sm_segment_list(&table);

	if (n < 0)
		return (int)n;
	scan->pairs = calloc((size_t)(n + scan->nstaged) + 1, sizeof(*scan->pairs));
	if (!scan->pairs)
		return -ENOMEM;
	qsort(table, (size_t)n, sizeof(*table), compare_keys);
	for (ssize_t i = 0; i < n; i++) {
		if (!sm_key_is_counter(table[i].key))
			continue;

		struct pair *p = &scan->pairs[scan->count];
		const struct sm_segment *data = find_key(table, (size_t)n, sm_key_data(table[i].key));

		if (!data && table[i].size != SM_COUNTER_SIZE)	/* records no path, and may be any program's */
			continue;
		*p = (struct pair){ .has_data = data, .counter = table[i], .key = sm_key_data(table[i].key) };
		if (data)
			p->data = *data;
		p->recorded = recorded_path(&table[i]);
		if (data || p->recorded)
			scan->count++;
	}
	collect_staged(scan, table, (size_t)n);
	qsort(scan->pairs, scan->count, sizeof(*scan->pairs), compare_pairs);
	return 0;
}

/* ---- names ---- */

/* What has a longer name than a file can have is not there. */
static int add_file(struct scan *scan, const struct pair *p, const char *name, enum name_kind kind)
{
	char text[NAME_MAX + 1];
	int n = snprintf(text, sizeof(text), "%s:%c%s", name, sm_key_proj(p->key), kind == NAME_REFCOUNT ? ".refcount" : "");

	if (n > NAME_MAX)
		return 0;

	int err = list_add(scan->out, text, kind, kind == NAME_REFCOUNT ? &p->counter : &p->data);

	if (!err && p->staged) {
		struct list_entry *e = &scan->out->entries[scan->out->count - 1];

		e->is_staged = true;
		e->serial = p->staged;
	}
	return err;
}

static int add_object(struct scan *scan, const struct pair *p, const char *name)
{
	int err = p->has_data || p->staged ? add_file(scan, p, name, NAME_OBJECT) : 0;

	return err || p->staged ? err : add_file(scan, p, name, NAME_REFCOUNT);
}

static bool yields(const struct keypath *kp, key_t key)
{
	return sm_key_from_stat(&kp->st, sm_key_proj(key)) == key;
}

/* ---- recorded ---- */

/* Its counter's mode may let others write a path, and IPC_SET could make it another user's; a creator stays what he is. */
static int follow_recorded(struct scan *scan, const struct pair *p, const struct keypath *dir, const char *relative,
			   struct keypath *kp)
{
	const uid_t recorder = p->staged ? (uid_t)-1 : p->counter.cuid;

	return hints_follow(&scan->records, recorder, scan->keydir, dir, relative, kp);
}

static int add_subdirectory(struct scan *scan, const char *relative)
{
	struct subdirectory *sub;
	size_t n = (size_t)(strchrnul(relative, '/') - relative);

	sub = calloc(1, sizeof(*sub) + n + 1);
	if (!sub)
		return -ENOMEM;
	memcpy(sub->name, relative, n);
	HASH_ADD_STR(scan->subdirectories, name, sub);
	if (!hash_added(sub->hh)) {
		free(sub);
		return -ENOMEM;
	}
	return list_add(scan->out, sub->name, NAME_DIR, NULL);
}

static bool has_subdirectory(struct scan *scan, const char *relative)
{
	struct subdirectory *sub;
	size_t n = (size_t)(strchrnul(relative, '/') - relative);

	HASH_FIND(hh, scan->subdirectories, relative, n, sub);
	return sub;
}

/* A directory "a:b" cannot be reached through the mount where a key file "a" exists: the name is an object's. */
static bool is_hidden(struct scan *scan, const struct pair *p, const char *relative)
{
	char component[NAME_MAX + 1];
	struct name name;
	struct keypath kp;
	size_t n = (size_t)(strchrnul(relative, '/') - relative);

	if (n > NAME_MAX)
		return true;
	memcpy(component, relative, n);
	component[n] = '\0';
	name_parse(component, &name);
	if (name.kind == NAME_DIR)
		return false;
	component[name.key_length] = '\0';
	if (strcmp(component, ".") == 0)
		return true;

	/* where it cannot be told, neither can the directory be reached */
	bool taken = follow_recorded(scan, p, &scan->dir, component, &kp) != -ENOENT;

	keypath_close(&kp);
	return taken;
}

static int add_recorded(struct scan *scan, struct pair *p)
{
	const char *relative = p->recorded ? keypath_below(scan->dir.path, p->recorded) : NULL;
	struct keypath kp;
	bool deeper = relative && strchr(relative, '/');

	if (!relative || (deeper && (has_subdirectory(scan, relative) || is_hidden(scan, p, relative))))
		return 0;

	bool good = follow_recorded(scan, p, &scan->dir, relative, &kp) == 0 && yields(&kp, p->key);

	keypath_close(&kp);
	if (!good)
		return 0;
	if (deeper)
		return add_subdirectory(scan, relative);
	p->name = *relative ? relative : ".";
	return add_object(scan, p, p->name);
}

/* ---- reverse ---- */

/* Is another name the one that was meant by this key? Any number of links may lead to one file, so it is found out once. */
static bool meant_for_another(struct scan *scan, struct pair *p)
{
	const char *relative = p->recorded ? keypath_below(scan->keydir->dir.path, p->recorded) : NULL;
	struct keypath kp;

	if (!relative || p->meant)
		return p->meant == FOR_ANOTHER;

	bool another = follow_recorded(scan, p, &scan->keydir->dir, relative, &kp) == 0 && yields(&kp, p->key);

	keypath_close(&kp);
	p->meant = another ? FOR_ANOTHER : FOR_THIS;
	return another;
}

static struct pair *first_with(const struct scan *scan, uint32_t bits)
{
	size_t low = 0, high = scan->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (((uint32_t)scan->pairs[middle].key & FILE_BITS) < bits)
			low = middle + 1;
		else
			high = middle;
	}
	return low < scan->count && ((uint32_t)scan->pairs[low].key & FILE_BITS) == bits ? &scan->pairs[low] : NULL;
}

static uint32_t file_bits(dev_t dev, ino_t ino)
{
	struct stat st = { .st_dev = dev, .st_ino = ino };

	return (uint32_t)sm_key_from_stat(&st, SM_PROJ_MIN) & FILE_BITS;
}

static int add_reverse(struct scan *scan, const char *name, const struct stat *st)
{
	uint32_t bits = file_bits(st->st_dev, st->st_ino);
	struct pair *p = first_with(scan, bits), *end = scan->pairs + scan->count;

	for (; p && p < end && ((uint32_t)p->key & FILE_BITS) == bits; p++) {
		if (!(p->has_data || p->staged) || p->name || meant_for_another(scan, p))
			continue;

		int err = add_object(scan, p, name);

		if (err)
			return err;
	}
	return 0;
}

static int read_entries(struct scan *scan, DIR *stream)
{
	struct dirent *d;
	int err = 0;

	while (!err && !pool_is_expired() && (errno = 0, d = readdir(stream))) {
		struct keypath kp;
		bool maybe = d->d_type == DT_LNK || d->d_type == DT_UNKNOWN ||
			     first_with(scan, file_bits(scan->dir.st.st_dev, d->d_ino));

		if (!maybe || strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		/* in a directory that everybody may write to, links are strangers' words, too */
		if (hints_follow_entry(&scan->links, scan->keydir, &scan->dir, d->d_name, &kp) == 0)
			err = add_reverse(scan, d->d_name, &kp.st);
		keypath_close(&kp);
	}
	return err ? err : -errno;
}

static int scan_directory(struct scan *scan, const char *path)
{
	int err = keypath_resolve(scan->keydir, path, KEYPATH_DIRECTORY | KEYPATH_REALPATH, &scan->dir);

	if (err)
		return err;

	int fd = keypath_open_directory(&scan->dir);

	if (fd < 0)
		return fd;

	DIR *stream = fdopendir(fd);

	if (!stream) {
		err = -errno;
		close(fd);
		return err;
	}
	hints_of_records(&scan->records);
	hints_of_links(&scan->links, scan->dir.st.st_uid);
	for (size_t i = 0; i < scan->count && !err; i++)
		err = add_recorded(scan, &scan->pairs[i]);
	if (!err)
		err = add_reverse(scan, ".", &scan->dir.st);
	if (!err)
		err = read_entries(scan, stream);
	closedir(stream);
	return err;
}

static void scan_free(struct scan *scan)
{
	struct subdirectory *sub, *next;

	HASH_ITER(hh, scan->subdirectories, sub, next) {
		HASH_DEL(scan->subdirectories, sub);
		free(sub);
	}
	for (size_t i = 0; i < scan->count; i++)
		free(scan->pairs[i].recorded);
	free(scan->pairs);
	staged_list_free(scan->staged, scan->nstaged);
	hints_free(&scan->records);
	hints_free(&scan->links);
	keypath_close(&scan->dir);
}

int list_directory(const struct keydir *keydir, const char *path, const struct caller *caller, struct listing *out)
{
	struct scan scan = { .keydir = keydir, .dir = KEYPATH_NONE, .out = out };

	/* as ourselves: that an object exists is no secret, only where its key file is */
	int err = collect_pairs(&scan);

	if (!err) {
		CALLER_SCOPE(denied, caller);

		err = denied ? denied : scan_directory(&scan, path);
	}
	scan_free(&scan);
	return err;
}
