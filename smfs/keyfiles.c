/* SPDX-License-Identifier: MIT */
/*
 * ftok(3) keeps 24 bits of a file, so a key is no proof of where it comes from: several files may yield it, and all
 * that are found are told. Two names of one file are one file.
 */
#include "keyfiles.h"

#include <dirent.h>
#include <errno.h>
#include <libsm/sm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "hints.h"
#include "pool.h"

#define INODE_BITS 0xffffu	/* of a key, and what ftok(3) takes of an inode number */

struct search {
	const struct keydir *keydir;
	key_t key;
	struct keyfiles *out;
	struct hints links;	/* of the directory that is searched */
};

static bool yields(const struct search *s, const struct stat *st)
{
	return sm_key_from_stat(st, sm_key_proj(s->key)) == s->key;
}

/* Takes over PATH. */
static int add(struct search *s, const struct stat *st, char *path)
{
	struct keyfiles *out = s->out;
	struct keyfile *more;

	for (size_t i = 0; i < out->count; i++)
		if (out->files[i].dev == st->st_dev && out->files[i].ino == st->st_ino) {
			free(path);
			return 0;
		}
	more = path ? reallocarray(out->files, out->count + 1, sizeof(*more)) : NULL;
	if (!more) {
		free(path);
		return -ENOMEM;
	}
	out->files = more;
	out->files[out->count++] = (struct keyfile){ path, st->st_dev, st->st_ino };
	return 0;
}

/* RELATIVE to KEYDIR, "" is itself; HINT: KEYPATH_HINT if a stranger wrote it, else 0. */
static int try_path(struct search *s, const char *relative, unsigned hint)
{
	struct keypath kp;
	int err = 0;

	if (keypath_resolve(s->keydir, relative, KEYPATH_REALPATH | hint, &kp) == 0 && yields(s, &kp.st)) {
		err = add(s, &kp.st, kp.path);
		kp.path = NULL;
	}
	keypath_close(&kp);
	return err;
}

static int try_entry(struct search *s, const struct keypath *dir, const struct dirent *d)
{
	const char *slash = dir->path[1] ? "/" : "";	/* the root's path ends in one */
	struct keypath kp;
	char *path = NULL;
	int err = 0;

	if (d->d_type != DT_LNK && d->d_type != DT_UNKNOWN && (d->d_ino & INODE_BITS) != ((uint32_t)s->key & INODE_BITS))
		return 0;
	if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
		return 0;
	if (hints_follow_entry(&s->links, s->keydir, dir, d->d_name, &kp) == 0 && yields(s, &kp.st))
		err = asprintf(&path, "%s%s%s", dir->path, slash, d->d_name) < 0 ? -ENOMEM : add(s, &kp.st, path);
	keypath_close(&kp);
	return err;
}

static int search_stream(struct search *s, const struct keypath *dir, DIR *stream)
{
	struct dirent *d;
	int err = 0;

	hints_of_links(&s->links, dir->st.st_uid);
	while (!err && !pool_is_expired() && (d = readdir(stream)))
		err = try_entry(s, dir, d);
	hints_free(&s->links);
	return err;
}

/* The directory RELATIVE to KEYDIR, and what is in it. */
static int search_directory(struct search *s, const char *relative, unsigned hint)
{
	struct keypath dir;
	int err = 0;

	if (keypath_resolve(s->keydir, relative, KEYPATH_DIRECTORY | KEYPATH_REALPATH | hint, &dir) == 0) {
		int fd = keypath_open_directory(&dir);
		DIR *stream = fd < 0 ? NULL : fdopendir(fd);

		if (yields(s, &dir.st))
			err = add(s, &dir.st, strdup(dir.path));
		if (stream && !err)
			err = search_stream(s, &dir, stream);
		if (stream)
			closedir(stream);
		else if (fd >= 0)
			close(fd);
	}
	keypath_close(&dir);
	return err;
}

static int search_around(struct search *s, const char *relative, unsigned hint)
{
	const char *slash = strrchr(relative, '/');
	AUTO_FREE char *dir = strndup(relative, slash ? (size_t)(slash - relative) : 0);

	return dir ? search_directory(s, dir, hint) : -ENOMEM;
}

int keyfiles_find(const struct keydir *keydir, key_t data_key, const char *recorded, const char *named,
		  struct keyfiles *out)
{
	struct search s = { .keydir = keydir, .key = data_key, .out = out };
	const char *relative = recorded ? keypath_below(keydir->dir.path, recorded) : NULL;
	int err = 0;

	*out = (struct keyfiles){ 0 };
	if (relative)
		err = try_path(&s, relative, KEYPATH_HINT);
	if (!err && named)
		err = try_path(&s, named, 0);
	if (!err && relative)
		err = search_around(&s, relative, KEYPATH_HINT);
	if (!err && named)
		err = search_around(&s, named, 0);
	if (!err && !relative && !named)
		err = search_directory(&s, "", 0);
	return err;
}

void keyfiles_free(struct keyfiles *files)
{
	for (size_t i = 0; i < files->count; i++)
		free(files->files[i].path);
	free(files->files);
	*files = (struct keyfiles){ 0 };
}
