// SPDX-License-Identifier: MIT
/*
 * key. A key holds 16 bits of the inode number and 8 of the device, so files share keys by chance, and two
 * programs that believe to have an object each then have one. The files beside PATH are where that matters.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "view.h"

const struct flag key_flags[] = {
	{ OPT_JSON, "json", NULL, "JSON" },
	{ 0 },
};

/* Whether the entry is another file than OWN, with its key. Names of the same file do not count. */
static bool twin(int dir, const char *name, const struct stat *own, const struct target *t)
{
	struct stat st;

	if (!strcmp(name, "..") || fstatat(dir, name, &st, AT_NO_AUTOMOUNT) < 0)
		return false;
	if (st.st_dev == own->st_dev && st.st_ino == own->st_ino)
		return false;
	return sm_key_from_stat(&st, t->proj) == t->key;
}

struct twins {
	char **names;
	size_t count;
	bool unknown;		/* the directory could not be read, or not to its end */
};

/* The names in the directory of T's path that have its key. */
static struct twins twins_find(const struct target *t)
{
	char *copy = need(strdup(t->path));
	DIR *dir = opendir(dirname(copy));
	struct twins found = { 0 };
	struct dirent *e;
	struct stat own;

	found.unknown = !dir || stat(t->path, &own) < 0;
	while (!found.unknown && (errno = 0, e = readdir(dir))) {
		if (!twin(dirfd(dir), e->d_name, &own, t))
			continue;
		found.names = need(reallocarray(found.names, found.count + 1, sizeof *found.names));
		found.names[found.count++] = need(strdup(e->d_name));
	}
	if (errno) {
		warn_user("cannot look for all other files with these keys: %s", strerror(errno));
		found.unknown = true;
	}
	if (dir)
		closedir(dir);
	free(copy);
	return found;
}

static void twins_free(struct twins *twins)
{
	while (twins->count)
		free(twins->names[--twins->count]);
	free(twins->names);
}

static void json_show(const struct target *t, const struct twins *twins)
{
	char data[12], counter[12];
	json_t *j = need(json_object()), *list = need(twins->unknown ? json_null() : json_array());
	size_t i;

	snprintf(data, sizeof data, "0x%08x", (unsigned)t->key);
	snprintf(counter, sizeof counter, "0x%08x", (unsigned)sm_key_counter(t->key));
	for (i = 0; i < twins->count; i++)
		json_array_append_new(list, json_text(twins->names[i]));
	json_object_set_new(j, "data", json_string(data));
	json_object_set_new(j, "counter", json_string(counter));
	json_object_set_new(j, "same_keys", list);
	json_print(j);
}

static void twins_tell(const struct twins *twins)
{
	size_t i;
	char *name;

	for (i = 0; i < twins->count; i++) {
		name = text_clean(twins->names[i]);
		warn_user("warning: '%s' in the same directory has the same keys; an object of the one is that "
			  "of the other. Use another key file for one of them", name);
		free(name);
	}
}

int run_key(int argc, char **argv)
{
	struct target t = NO_TARGET;
	bool json = false;
	struct twins twins;
	int code, status = 0;

	while ((code = flag_next(argc, argv, false)) != -1) {
		if (code != OPT_JSON)
			return USAGE;
		json = true;
	}
	status = target_only(&t, argc - optind, argv + optind);
	if (!status) {
		twins = twins_find(&t);
		if (json)
			json_show(&t, &twins);
		else
			printf("data     0x%08x\ncounter  0x%08x\n", (unsigned)t.key,
			       (unsigned)sm_key_counter(t.key));
		twins_tell(&twins);
		twins_free(&twins);
	}
	target_free(&t);
	return status;
}
