/* SPDX-License-Identifier: MIT */
#ifndef SMFS_NODE_H
#define SMFS_NODE_H

#include <libsm/sm.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "hash.h"

/*
 * The inode table: node id <-> thing. A node id is a number that the kernel was given and may ask about until it
 * forgets it; it is never used again. The thing is a directory of the mount, or a segment as seen under some name.
 *
 * A segment's node is that of one segment, not of one shmid: when the shmid comes to mean another segment, the
 * next lookup makes another node, and the old one finds nothing any more.
 *
 * All functions are thread-safe. A node from one of them is pinned until node_put().
 */

#define NODE_ROOT_ID 1

enum node_kind {
	NODE_DIR,		/* mirrors a directory below KEYDIR */
	NODE_SEGMENT,
	NODE_REFCOUNT,		/* seg: the counter segment */
	NODE_INFO,		/* seg: the data segment, or the counter where there is none */
	NODE_ID_DIR,		/* .id */
	NODE_ID_INFO,		/* .id/N.info */
	NODE_KEY_DIR,		/* .key */
	NODE_LINK,		/* .key/0x... */
};

struct staged;
struct way;

struct node {
	/* constant */
	uint64_t id;
	enum node_kind kind;
	const char *path;	/* of a directory or NODE_INFO: below the mount, "" is the root; else NULL */

	struct staged *staged;	/* staged.c's: the object in the making, while it is */
	struct way *way;	/* way.c's: the way to the bytes, while the file is open */
	unsigned opens;		/* way.c's */
	unsigned passed, unseen, given_up;	/* passing.c's: open files; how often it gave up those unseen */
	atomic_bool exchanged;	/* exchange.c's: its segment is just being replaced by another */
	atomic_bool followed;	/* by node_follow() */

	/* belong to node.c, under its lock */
	struct sm_segment seg;	/* as last seen; read it through node_seen() and node_stat() */
	uint64_t lookups, pins;
	char *name;		/* what by_name finds it by: the kind as a character, then path */
	struct node_thing { int32_t kind, number; } thing;	/* what by_thing finds it by */
	bool indexed;
	UT_hash_handle hh_id, hh_thing;
};

int node_start(void);

/* The node with this id, pinned, or NULL. */
struct node *node_get(uint64_t id);
void node_put(struct node *n);

/* The node of a thing, pinned, made if need be. NULL when memory is out. PATH, as in struct node, is copied. */
struct node *node_by_path(enum node_kind kind, const char *path);
struct node *node_by_segment(enum node_kind kind, const struct sm_segment *seg);
struct node *node_by_key(key_t key);		/* NODE_LINK */

/* A node for an object that does not exist yet; node_move() gives it its segment. */
struct node *node_staged(void);

/* One more reference that the kernel holds; it is told of the node in a reply. */
void node_lookup(struct node *n);
void node_forget(uint64_t id, uint64_t count);

/* From now on N is the node of SEG, which took the place of the segment N was the node of. */
void node_move(struct node *n, const struct sm_segment *seg);

/*
 * The same, but N is kept only for who has it open: whoever looks SEG up gets another node. The kernel holds one backing
 * file for an inode as long as that is open, and N's is the old segment.
 */
void node_follow(struct node *n, const struct sm_segment *seg);

/* A copy of the segment as the node knows it. */
void node_seen(struct node *n, struct sm_segment *seg);

/*
 * Is NOW, a later look at the same shmid, still the segment that WAS showed? Where a second look cannot tell (the
 * same process made both, and only the time of change differs, by IPC_SET or by making anew) it answers no.
 */
bool node_same_segment(const struct sm_segment *was, const struct sm_segment *now);

/*
 * What the kernel says of the node's segment now. -ESTALE if it is gone or the shmid is another segment's; a
 * node that has none yet: -ENOENT. While it is being replaced by another (exchange.h), what it was before.
 */
int node_stat(struct node *n, struct sm_segment *seg);

#endif
