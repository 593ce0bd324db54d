// SPDX-License-Identifier: MIT
/*
 * What a verb is to work on. PATH:P stands for PATH P, so that a name can be taken from a listing; the two
 * cannot be confused where a SIZE may follow, because no digit is a proj_id.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smctl.h"

static bool one_proj(const char *text)
{
	return text[0] && !text[1] && sm_proj_valid((unsigned char)text[0]);
}

/* Whether OPERAND ends in a colon and a proj_id, with a path before it. */
static bool joined(const char *operand)
{
	size_t n = strlen(operand);

	return n > 2 && operand[n - 2] == ':' && one_proj(operand + n - 1);
}

static int split(struct target *t, int *argc, char ***argv)
{
	char *first = (*argv)[0];
	int used = 2;

	if (*argc > 1 && one_proj((*argv)[1])) {
		t->path = need(strdup(first));
		t->proj = (*argv)[1][0];
	} else if (joined(first)) {
		t->path = need(strndup(first, strlen(first) - 2));
		t->proj = first[strlen(first) - 1];
		used = 1;
	} else if (*argc > 1) {
		char *proj = text_clean((*argv)[1]);

		misuse("proj_id '%s' is out of range: it is one character from 'A' to 'z'", proj);
		free(proj);
		return USAGE;
	} else {
		return misuse("operand missing: the proj_id, one character from 'A' to 'z'");
	}
	*argc -= used;
	*argv += used;
	return 0;
}

int target_take(struct target *t, int *argc, char ***argv)
{
	int status;

	if (*argc < 1)
		return misuse("operand missing: the path of the key file");
	status = split(t, argc, argv);
	if (status)
		return status;
	status = sm_key_from_path(t->path, t->proj, &t->key);
	if (status < 0) {
		char *path = text_clean(t->path);

		fail("no key from '%s': %s", path, status == -ENOENT ? "the key file does not exist" :
		     strerror(-status));
		free(path);
		return FAILED;
	}
	return 0;
}

int target_only(struct target *t, int argc, char **argv)
{
	int status = 0;

	if (t->id < 0)
		status = target_take(t, &argc, &argv);
	return status ? status : operands_end(argc, argv);
}

int target_id(struct target *t, const char *text)
{
	uint64_t id;

	if (parse_number(text, INT_MAX, &id) < 0) {
		char *clean = text_clean(text);

		misuse("'%s' is no segment's id: a number up to %d, as ls shows it", clean, INT_MAX);
		free(clean);
		return USAGE;
	}
	t->id = (int)id;
	return 0;
}

void target_free(struct target *t)
{
	free(t->path);
}

const char *target_name(const struct target *t)
{
	static char *name;
	char *path;

	free(name);
	if (t->path) {
		path = text_clean(t->path);
		name = text_new("%s:%c", path, t->proj);
		free(path);
	} else {
		name = text_new("segment %d", t->id);
	}
	return name;
}

int target_absent(const struct target *t)
{
	if (!t->path)
		return fail("there is no segment %d", t->id);
	return fail("there is no object %s (no segment has its key, 0x%08x)", target_name(t),
		    (unsigned)t->key);
}

int target_fail(const struct target *t, const char *doing, int error)
{
	if (error < 0)
		error = -error;
	if (error == ENOENT || error == EIDRM)
		return target_absent(t);
	return fail("cannot %s %s: %s", doing, target_name(t), error_text(error));
}

int operands_end(int argc, char **argv)
{
	char *extra;

	if (argc < 1)
		return 0;
	extra = text_clean(argv[0]);
	misuse("'%s' is one operand too many", extra);
	free(extra);
	return USAGE;
}
