/* SPDX-License-Identifier: MIT */
#ifndef SMFS_NAME_H
#define SMFS_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * The grammar of file names: NAME:P, NAME:P.refcount and NAME:P.info; anything else is a directory's name. In .id:
 * N and N.info; in .key: 0x and eight hexadecimal digits.
 */

enum name_kind {
	NAME_DIR,
	NAME_OBJECT,
	NAME_REFCOUNT,
	NAME_INFO,
	NAME_LINK,		/* in .key only */
};

struct name {
	enum name_kind kind;
	size_t key_length;	/* of NAME, the key file's name; all of it for a directory */
	char proj_id;		/* 0 for a directory */
};

/*
 * Split S, one component of a path. The split is at the last colon; what follows it must be one legal
 * proj_id, then nothing, ".refcount" or ".info". An empty NAME and ".." make no object. Pure.
 */
void name_parse(const char *s, struct name *out);

/* Make PATH, which ends in the name that N was parsed from, that of its key file: "dir/.:A" is about "dir". Pure. */
void name_key_path(const struct name *n, char *path);

/*
 * A name in .id, which is a shmid as it is listed, alone or with ".info": NAME_OBJECT or NAME_INFO, and *ID. NAME_DIR: it
 * is neither. Pure.
 */
enum name_kind name_parse_id(const char *s, int *id);

/* A name in .key, as it is listed. Pure. */
bool name_parse_key(const char *s, key_t *key);

#define NAME_KEY_FORMAT "0x%08x"

#endif
