/* SPDX-License-Identifier: MIT */
#ifndef SMFS_PASSING_H
#define SMFS_PASSING_H

#include <stdatomic.h>
#include <stdbool.h>

/*
 * What the kernel was told of one open file: is it passed through to its backing file, or plain? All functions are
 * thread-safe.
 */

struct node;

enum passing_state { PASSING_NONE, PASSING_UNSEEN, PASSING_PLAIN, PASSING_THROUGH };

struct passing {
	_Atomic enum passing_state state;	/* all zero at first */
	unsigned given_up;			/* of the node, when it was answered */
};

/*
 * N's open is about to be answered; POSSIBLE: it has a backing file. Errors: ESTALE (it can only be plain, and others are passed
 * through by now: the kernel looks the name up again, and opens what is there).
 */
int passing_begin(struct passing *p, struct node *n, bool possible);

/* The kernel knows of that open: it asked for something. */
void passing_seen(struct passing *p, struct node *n);

/* It is closed, or could not be answered. */
void passing_end(struct passing *p, struct node *n);

/*
 * Is the kernel still to ask for something with a plain open file of N? And wait until it has; a descriptor that nobody uses is
 * waited for once, for PASSING_WAIT_MS, by which time the kernel knows of it.
 */
#define PASSING_WAIT_MS 100

bool passing_is_awaited(struct node *n);
void passing_await(struct node *n);

bool passing_is_through(const struct passing *p);

#endif
