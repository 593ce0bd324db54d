/* SPDX-License-Identifier: MIT */
/*
 * What a caller may do with a segment is for the kernel to say, and it is asked by attaching as that caller. Of what does not
 * exist yet, staged_others.c says it.
 */
#include "rights.h"

#include <errno.h>
#include <unistd.h>

#include "attach.h"
#include "copying.h"
#include "exchange.h"
#include "staged.h"

int rights_attach(struct node *n, bool write, const struct caller *caller, struct sm_segment *seg, void **at)
{
	struct sm_segment now;
	int err = node_stat(n, seg);

	if (err)
		return err;
	{
		CALLER_SCOPE(denied, caller);

		err = denied ? denied : attach_map(seg->id, seg->size, !write, at);
		if (err == -ENOMEM) {
			copying_make_room();
			err = attach_map(seg->id, seg->size, !write, at);
		}
	}
	if (err)
		return err == -EIDRM ? -ESTALE : err;
	/* attached, the shmid cannot become another's any more; until then it could, and the node could move to another */
	err = node_stat(n, &now);
	if (!err && now.id != seg->id)
		err = -ESTALE;
	if (err)
		attach_unmap(*at, seg->size);
	else
		*seg = now;
	return err;
}

int rights_check(struct node *n, bool write, const struct caller *caller)
{
	struct sm_segment seg;
	void *at;
	int err = rights_attach(n, write, caller, &seg, &at);

	if (!err)
		attach_unmap(at, seg.size);
	return err;
}

static int check_in_turn(struct node *n, bool write, const struct caller *caller)
{
	struct sm_segment seg;
	struct exchange e;

	node_seen(n, &seg);

	int err = exchange_enter(&e, seg.key);

	if (err)
		return err;
	err = rights_check(n, write, caller);
	exchange_leave(&e);
	return err;
}

int rights_access(struct node *n, int mask, const struct caller *caller)
{
	if (mask & X_OK)
		return -EACCES;	/* nothing in a segment is a program */
	if (n->kind != NODE_SEGMENT && n->kind != NODE_REFCOUNT)
		return mask & W_OK ? -EACCES : 0;
	if (!(mask & (R_OK | W_OK)))
		return 0;

	int err = staged_access(n, mask & W_OK, caller);

	return err == -EALREADY ? check_in_turn(n, mask & W_OK, caller) : err;
}
