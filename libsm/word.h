/* SPDX-License-Identifier: MIT */
#ifndef LIBSM_WORD_H
#define LIBSM_WORD_H

/*
 * The first 8 bytes of a counter segment: one atomic word of the int that old programs count in and a
 * sequence number beside it. Every change by libsm raises the sequence number, so a compare-and-swap that
 * succeeds proves that nobody of libsm's joined, left or repaired since the load, even if the counter has
 * the same value again. In a segment of 4 bytes the other 4 exist too: the kernel maps a whole page.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "the word is shared between processes");

struct word {
	int32_t counter;
	uint32_t seq;		/* 30 bits, WORD_DEAD, and WORD_LEFT or WORD_GONE */
};

/* Somebody is removing both segments; whoever meets this helps, and starts over. */
#define WORD_DEAD 0x80000000u

/*
 * The counter went to 0 and the object was to be freed, but somebody had it attached: a monitor frees it when
 * nobody has. An object that was only made has 0, too, and not this. Any later change takes it off.
 */
#define WORD_LEFT 0x40000000u

/* The same bit beside WORD_DEAD: the data segment is removed, only the counter is left to remove. */
#define WORD_GONE WORD_LEFT

#define WORD_SEQ (WORD_LEFT - 1)

/*
 * A dead word's counter is 0. An old program that does not know the bit may still count once or twice on
 * top of it. Anything else is not ours: garbage must not make anyone remove an object.
 */
#define WORD_DEAD_COUNTER_MAX 64

static inline struct word word_load(_Atomic uint64_t *at)
{
	uint64_t bits = atomic_load(at);
	struct word w;

	memcpy(&w, &bits, sizeof w);
	return w;
}

static inline bool word_dead(struct word w)
{
	return (w.seq & WORD_DEAD) && w.counter >= 0 && w.counter <= WORD_DEAD_COUNTER_MAX;
}

static inline bool word_gone(struct word w)
{
	return word_dead(w) && (w.seq & WORD_GONE);
}

static inline bool word_left(struct word w)
{
	return (w.seq & (WORD_LEFT | WORD_DEAD)) == WORD_LEFT && w.counter == 0;
}

static inline bool word_same(struct word a, struct word b)
{
	return a.counter == b.counter && a.seq == b.seq;
}

/* The word after W with this counter. */
static inline struct word word_next(struct word w, int32_t counter)
{
	return (struct word){ counter, (w.seq + 1) & WORD_SEQ };
}

static inline struct word word_next_left(struct word w)
{
	return (struct word){ 0, word_next(w, 0).seq | WORD_LEFT };
}

/* A claim to remove: of what is dead already, too. */
static inline struct word word_next_dead(struct word w)
{
	return (struct word){ 0, word_next(w, 0).seq | WORD_DEAD | (word_gone(w) ? WORD_GONE : 0) };
}

static inline struct word word_next_gone(struct word w)
{
	return (struct word){ 0, word_next(w, 0).seq | WORD_DEAD | WORD_GONE };
}

/* Swap *W for TO. On failure *W is what stands there instead; on success it is TO. */
static inline bool word_swap(_Atomic uint64_t *at, struct word *w, struct word to)
{
	uint64_t old, new;
	bool done;

	memcpy(&old, w, sizeof old);
	memcpy(&new, &to, sizeof new);
	done = atomic_compare_exchange_strong(at, &old, new);
	if (done)
		old = new;
	memcpy(w, &old, sizeof old);
	return done;
}

#endif
