/* SPDX-License-Identifier: MIT */
/*
 * .id and .key, in the mount's root only: the namespace's segments by shmid and by key. The kernel answers for both
 * in constant time and no key path is in it, so all of this is answered at once.
 *
 * .id/N is the same node as the object file of that segment. Removing it is another thing: it frees one segment, where
 * removing the object file frees both.
 */
#include "ops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <unistd.h>

#include "attr.h"
#include "copying.h"
#include "list.h"
#include "name.h"

#define ALWAYS 3600.0	/* seconds that the kernel may know of the two directories: they are always there */

static const char *const names[] = { [NODE_ID_DIR] = ".id", [NODE_KEY_DIR] = ".key" };

/* NODE_ID_DIR or NODE_KEY_DIR if NAME in the root is that one, else NODE_DIR. */
static enum node_kind own_directory(const char *name)
{
	return strcmp(name, names[NODE_ID_DIR]) == 0 ? NODE_ID_DIR :
	       strcmp(name, names[NODE_KEY_DIR]) == 0 ? NODE_KEY_DIR : NODE_DIR;
}

/* What directory a name belongs to: NODE_ID_DIR or NODE_KEY_DIR, NODE_DIR for all others. */
static enum node_kind kind_of(fuse_ino_t ino)
{
	struct node *n = node_get(ino);
	enum node_kind kind = n ? n->kind : NODE_DIR;

	node_put(n);
	return kind == NODE_ID_DIR || kind == NODE_KEY_DIR ? kind : NODE_DIR;
}

/* ---- lookup ---- */

static struct node *own_node(enum node_kind kind, struct fuse_entry_param *e)
{
	struct node *n = node_by_path(kind, names[kind]);

	if (!n)
		return NULL;
	attr_own_directory(n->path, &e->attr);
	e->ino = n->id;
	e->entry_timeout = ALWAYS;
	node_lookup(n);
	return n;
}

/* What was removed is not kept in .id by us. */
static int stat_id(int id, struct sm_segment *seg)
{
	int err = sm_segment_stat(id, seg);

	if (err || !seg->removed)
		return err;
	copying_let_go();
	return sm_segment_stat(id, seg);
}

/* The node that NAME in .id means, pinned, or NULL and *ERR. */
static struct node *node_in_id(const char *name, int *err)
{
	struct sm_segment seg;
	struct node *n;
	int id;
	enum name_kind kind = name_parse_id(name, &id);

	*err = kind == NAME_DIR ? -ENOENT : stat_id(id, &seg);
	if (*err) {
		*err = *err == -EIDRM ? -ENOENT : *err;
		return NULL;
	}
	n = node_by_segment(kind == NAME_INFO ? NODE_ID_INFO : NODE_SEGMENT, &seg);
	*err = n ? 0 : -ENOMEM;
	return n;
}

static struct node *node_in_key(const char *name, int *err)
{
	struct node *n;
	key_t key;

	*err = name_parse_key(name, &key) ? sm_segment_find(key) : -ENOENT;
	if (*err < 0)
		return NULL;
	n = node_by_key(key);
	*err = n ? 0 : -ENOMEM;
	return n;
}

static int look_up(fuse_req_t req, enum node_kind dir, const char *name, struct fuse_entry_param *e, struct node **n)
{
	struct caller caller;
	int err;

	*n = dir == NODE_ID_DIR ? node_in_id(name, &err) : node_in_key(name, &err);
	if (err)
		return err;
	err = ops_caller(req, &caller);
	if (!err)
		err = ops_entry(*n, &caller, e);
	caller_free(&caller);
	return err == -ESTALE ? -ENOENT : err;
}

bool ops_id_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { 0 };
	struct node *n = NULL;
	enum node_kind dir = parent == NODE_ROOT_ID ? own_directory(name) : kind_of(parent);
	int err = 0;

	if (dir == NODE_DIR)
		return false;
	if (parent != NODE_ROOT_ID)
		err = look_up(req, dir, name, &e, &n);
	else if (!(n = own_node(dir, &e)))
		err = -ENOMEM;
	if (err)
		ops_reply_err(req, -err);
	else
		fuse_reply_entry(req, &e);
	node_put(n);
	return true;
}

/* ---- links ---- */

void ops_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct node *n = node_get(ino);
	int id = n && n->kind == NODE_LINK ? sm_segment_find((key_t)n->thing.number) : -ENOENT;
	char target[ATTR_TARGET_MAX];

	node_put(n);
	if (id < 0) {
		ops_reply_err(req, ENOENT);
		return;
	}
	attr_link_target(id, target);
	fuse_reply_readlink(req, target);
}

/* ---- making and removing ---- */

bool ops_id_create(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (kind_of(parent) == NODE_DIR && (parent != NODE_ROOT_ID || own_directory(name) == NODE_DIR))
		return false;
	ops_reply_err(req, EPERM);	/* a shmid is given, not chosen */
	return true;
}

static int remove_segment(fuse_req_t req, const char *name)
{
	struct caller caller;
	int id, err;

	if (name_parse_id(name, &id) != NAME_OBJECT)
		return -EPERM;
	err = ops_caller(req, &caller);
	if (!err) {
		CALLER_SCOPE(denied, &caller);

		err = denied ? denied : sm_segment_remove(id);
	}
	caller_free(&caller);
	return err == -EIDRM ? -ENOENT : err;
}

bool ops_id_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	enum node_kind dir = kind_of(parent);

	if (dir == NODE_DIR)
		return false;
	ops_reply_err(req, dir == NODE_ID_DIR ? -remove_segment(req, name) : EPERM);
	return true;
}

/* ---- the directories ---- */

void ops_id_getattr(fuse_req_t req, const struct node *dir)
{
	struct stat st;

	attr_own_directory(dir->path, &st);
	fuse_reply_attr(req, &st, 0);
}

void ops_id_access(fuse_req_t req, const struct node *dir, int mask)
{
	/* what is in .id can be removed; who may do it is asked there */
	ops_reply_err(req, mask & W_OK && dir->kind == NODE_KEY_DIR ? EACCES : 0);
}

int ops_id_list(const struct node *dir, struct listing *out)
{
	struct sm_segment *table;
	char name[16];
	int err = 0;

	copying_let_go();

	ssize_t n = sm_segment_list(&table);

	if (n < 0)
		return (int)n;
	for (ssize_t i = 0; i < n && !err; i++) {
		if (dir->kind == NODE_ID_DIR) {
			snprintf(name, sizeof(name), "%d", table[i].id);
			err = list_add(out, name, NAME_OBJECT, &table[i]);
		} else if (table[i].key != IPC_PRIVATE) {
			snprintf(name, sizeof(name), NAME_KEY_FORMAT, (unsigned)table[i].key);
			err = list_add(out, name, NAME_LINK, &table[i]);
		}
	}
	free(table);
	return err;
}

int ops_id_list_root(struct listing *out)
{
	int err = 0;

	/* a directory of such a name below KEYDIR is not seen */
	for (size_t i = 0; i < out->count; i++) {
		if (own_directory(list_name(out, &out->entries[i])) != NODE_DIR)
			out->entries[i--] = out->entries[--out->count];
	}
	for (int kind = NODE_ID_DIR; kind <= NODE_KEY_DIR && !err; kind++)
		if (names[kind])
			err = list_add(out, names[kind], NAME_DIR, NULL);
	return err;
}
