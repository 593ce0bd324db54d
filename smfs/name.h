/* SPDX-License-Identifier: MIT */
#ifndef SMFS_NAME_H
#define SMFS_NAME_H

#include <stddef.h>

/* The grammar of file names: NAME:P, NAME:P.refcount and NAME:P.info; anything else is a directory's name. */

enum name_kind {
	NAME_DIR,
	NAME_OBJECT,
	NAME_REFCOUNT,
	NAME_INFO,
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

#endif
