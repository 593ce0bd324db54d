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

/* The names in the directory of T's path that have its key; NULL if the directory cannot be read. */
static json_t *twins_find(const struct target *t)
{
	char *copy = need(strdup(t->path));
	DIR *dir = opendir(dirname(copy));
	json_t *list = need(json_array());
	struct dirent *e;
	struct stat own;

	if (!dir || stat(t->path, &own) < 0) {
		warn_user("cannot look for other files with these keys: %s", strerror(errno));
		json_decref(list);
		list = NULL;
	}
	while (list && (e = readdir(dir)))
		if (twin(dirfd(dir), e->d_name, &own, t))
			json_array_append_new(list, json_text(e->d_name));
	if (dir)
		closedir(dir);
	free(copy);
	return list;
}

static void json_show(const struct target *t, json_t *twins)
{
	char data[12], counter[12];
	json_t *j = need(json_object());

	snprintf(data, sizeof data, "0x%08x", (unsigned)t->key);
	snprintf(counter, sizeof counter, "0x%08x", (unsigned)sm_key_counter(t->key));
	json_object_set_new(j, "data", json_string(data));
	json_object_set_new(j, "counter", json_string(counter));
	json_object_set_new(j, "same_keys", twins ? json_incref(twins) : json_null());
	json_print(j);
}

static void twins_tell(const struct target *t, json_t *twins)
{
	size_t i;
	json_t *twin;
	char *name;

	json_array_foreach(twins, i, twin) {
		name = text_clean(json_string_value(twin));
		warn_user("warning: '%s' in the same directory has the same keys; an object of the one is that "
			  "of the other. Use another key file for one of them", name);
		free(name);
	}
}

int run_key(int argc, char **argv)
{
	struct target t = NO_TARGET;
	bool json = false;
	json_t *twins;
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
			json_show(&t, twins);
		else
			printf("data     0x%08x\ncounter  0x%08x\n", (unsigned)t.key,
			       (unsigned)sm_key_counter(t.key));
		twins_tell(&t, twins);
		json_decref(twins);
	}
	target_free(&t);
	return status;
}
