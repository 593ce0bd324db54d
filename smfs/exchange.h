/* SPDX-License-Identifier: MIT */
#ifndef SMFS_EXCHANGE_H
#define SMFS_EXCHANGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

/*
 * Another size puts another segment in the place of the first. Until that is done, those who want to use it through us wait: a
 * use by another thread is nobody else's to the kernel, and who came between the two segments would find none. All
 * functions are thread-safe.
 */

struct node;

/* One thread's use of the segment with a key, or its exchange; on its stack. */
struct exchange {
	key_t key;
	struct node *node;	/* NULL: a use */
	LIST_ENTRY(exchange) entry;
};

/*
 * Use the segment with KEY, until exchange_leave(); waits for the end of its exchange. IPC_PRIVATE is never exchanged. Errors:
 * ETIMEDOUT, EINTR (the session is over).
 */
int exchange_enter(struct exchange *e, key_t key);

/* The same, but EBUSY where it would wait. */
int exchange_try(struct exchange *e, key_t key);

/* Exchange the segment N with KEY, until exchange_leave(); waits for all uses, and for another exchange. The same errors. */
int exchange_begin(struct exchange *e, key_t key, struct node *n);

void exchange_leave(struct exchange *e);

/* Would exchange_enter() wait? */
bool exchange_is_on(key_t key);

/*
 * From exchange_remove() on, the old segment may be gone and the new one not complete: until exchange_leave(), node_stat()
 * says of E's node what it was, and the key stands for that node.
 */
void exchange_remove(struct exchange *e);

/* The node that KEY stands for, pinned, or NULL. */
struct node *exchange_node(key_t key);

/* Another number after each exchange_remove() and the end of it. */
uint64_t exchange_mark(void);

/* The session is over: nobody waits any more, and what *exchange_over() is given to ends early. */
void exchange_stop(void);
const atomic_bool *exchange_over(void);

#endif
