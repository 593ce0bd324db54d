/* SPDX-License-Identifier: MIT */
#ifndef SMFS_HASH_H
#define SMFS_HASH_H

#include <stddef.h>
#include <stdint.h>

/*
 * uthash, which without this ends the process when memory is out. Instead HASH_ADD... leaves the element out of the table,
 * and hash_added() says so.
 */
#define HASH_NONFATAL_OOM 1

/*
 * Its hash is one that anybody can compute; this one is not. Names are not the only keys that users choose: so they do the key of a
 * segment (.key/, objects in the making), and what was looked up stays a node as long as the kernel likes. So it is for all tables.
 */
#define HASH_FUNCTION(bytes, n, out) ((out) = hash_bytes(bytes, n))
#include <uthash.h>

/* Of an element's handle, right after it was added. */
#define hash_added(hh) ((hh).tbl != NULL)

/* Another secret for each daemon; before the first table. Errors: those of getrandom(2). */
int hash_start(void);

uint32_t hash_bytes(const void *bytes, size_t n);

#endif
