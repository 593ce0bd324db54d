/* SPDX-License-Identifier: MIT */
#ifndef STRESS_H
#define STRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Objects 0 .. PURE-1 are used through libsm only, and the next LOCKED ones by programs laid out like the old class only,
 * which lock their key file to count: of both, every count must be right. The MIXED ones are used by both kinds, the old
 * ones without a lock, whose plain ++ may lose counts. The last ones are made and never held: nobody may free them.
 */
#define PURE 32
#define LOCKED 8
#define EXACT (PURE + LOCKED)
#define MIXED 16
#define UNHELD 4
#define OBJECTS (EXACT + MIXED + UNHELD)
#define WORKERS_MAX 512
#define PROJ 'S'
#define REMEMBERED (1u << 18)

enum phase { CHURN, HOLD, LEAVE };

/* Shared by all processes of one run. */
struct shared {
	_Atomic int phase;
	_Atomic int holding;		/* workers that stand still with a reference, in HOLD */
	_Atomic int where[WORKERS_MAX];	/* the object that each of them holds */
	_Atomic long joins, old_joins, forks, execs, excused;
	_Atomic uint32_t old_removals;
	_Atomic int old_removed[REMEMBERED];	/* the last shmids that old programs removed */
	_Atomic int wrong;
	char what[256];			/* the first thing that went wrong */
};

extern struct shared *shared;
extern char key_path[OBJECTS][4096];
extern int workers;

/* An error of the thing under test; the first one is kept. */
void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
void sleep_us(long us);

/* One in so many shm calls of this process takes up to two milliseconds longer. */
extern uint32_t pause_one_in;

/* Join and leave until killed, or the phase is LEAVE. Worker ME is the only process that writes slot ME of an object. */
void worker(int me) __attribute__((noreturn));
bool worker_is_old(int me);

/* ---- old.c: an object as a program of the old class has it ---- */

struct old {
	int data_id, counter_id;
	int lock;		/* the key file, or -1 */
	volatile int *counter;
	volatile uint64_t *data;
};

/* 0, or -1: an object that comes and goes, as such programs know no protocol against that. */
int old_join(struct old *o, const char *path, size_t size, bool locked);
void old_leave(struct old *o);

/* Whether an old program removed one of both lately, after which neither is what libsm answers for. */
bool old_removed_one(int data_id, int counter_id);

#endif
