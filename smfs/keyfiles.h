/* SPDX-License-Identifier: MIT */
#ifndef SMFS_KEYFILES_H
#define SMFS_KEYFILES_H

#include <stddef.h>
#include <sys/types.h>

#include "keypath.h"

/* Which key files a key can come from: the way back from ftok(3), as far as it is known where to look. */

struct keyfiles {
	struct keyfile {
		char *path;		/* absolute, as seen from the root */
		dev_t dev;
		ino_t ino;
	} *files;
	size_t count;
};

/*
 * The files that yield DATA_KEY, each once whatever its names: RECORDED (absolute, or NULL; a stranger's word), NAMED
 * (below KEYDIR, or NULL), and those in the directories of the two; without either, those in KEYDIR. As the
 * calling thread, which has entered a caller; it may hang. What cannot be looked at is left out. Errors: ENOMEM;
 * *OUT is to be freed in any case.
 */
int keyfiles_find(const struct keydir *keydir, key_t data_key, const char *recorded, const char *named,
		  struct keyfiles *out);
void keyfiles_free(struct keyfiles *files);

#endif
