/* SPDX-License-Identifier: MIT */
#ifndef SMFS_HASH_H
#define SMFS_HASH_H

/*
 * uthash, which without this ends the process when memory is out. Instead HASH_ADD... leaves the element out of the table,
 * and hash_added() says so.
 */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* Of an element's handle, right after it was added. */
#define hash_added(hh) ((hh).tbl != NULL)

#endif
