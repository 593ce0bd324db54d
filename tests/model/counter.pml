/* SPDX-License-Identifier: MIT */
/*
 * Joining, leaving, helping and repairing an object, as libsm/hold.c, pair.c and reap.c do it, for an
 * exhaustive search of all interleavings (tests/model/run). One death, anywhere.
 *
 * A generation g is one pair of segments from its making to its removal; the two keys are one (`key`), since
 * the order "counter first made, last removed" makes a half pair look like none (pair.pml has two). The word is ctr,
 * seq and dead, read in one step and swapped in one step; nat is nattch of the counter; live is how many really hold.
 *
 * left is WORD_LEFT: a last leaver, or a repair, would have removed the object if nobody had had it attached.
 *
 * Checked: nobody holds a removed object (the asserts in P); the count is never below the live holders, as
 * long as nobody takes off what is not his (DRIFT); when all is over and a monitor has gone over it once more,
 * an object is left only if it had no holder, or for a reason that is no death.
 *
 * OLD programs count without a sequence number, as if they all locked something to do it. All stamp what they
 * attach and detach (lpid), and a repair looks at that. Without OLD programs the model does without.
 *
 * SURPRISE: removing may fail with EPERM although it looked allowed; the word is swapped back.
 *
 * Leaving a protection out must be found: NOCLAIM (a helper removes without changing the word first), NOOTHERS
 * (a last leaver does not look whether others are attached), NOSEQ (a repair compares only the counter), NOLPID (a
 * repair does not look who was there last), NOLEFT (0 is 0). The look at the keys after joining is against ipcrm and
 * old programs that remove, which are not in here; tests/unit/test_hold.c has it.
 */
#ifndef NP
#define NP 2		/* processes that may remove */
#endif
#ifndef NU
#define NU 1		/* processes that may not (EPERM) */
#endif
#ifndef NR
#define NR 0		/* monitors */
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef LOOPS
#define LOOPS 3		/* how often one starts over before EAGAIN */
#endif
#define G 3
#define NONE 15

/* Who attached or detached last: what libsm's own programs do, the sequence number tells as well. */
#ifdef OLD
byte lpid[G];
#define STAMP(g) lpid[g] = _pid
#else
#define NOLPID
#define STAMP(g) skip
#endif
#define ATTACH(g) nat[g]++; STAMP(g)
#define DETACH(g) atomic { nat[g]--; STAMP(g) }

byte key = NONE, made = 0;
byte ctr[G], seq[G], nat[G], live[G];
bool dead[G], left[G], rmd[G], held[G];
byte deaths = 0, done = 0;
bool excused = false;	/* something happened, and no death, after which an object may be left over */

inline rmid(g) { d_step { rmd[g] = true; if :: key == g -> key = NONE :: else fi } }

/* Killed here, or not. */
#define MAY_DIE if :: atomic { deaths < DEATHS -> deaths++; nat[g]--; STAMP(g); goto gone } :: skip fi
#define MAY_DIE_HOLDING if :: atomic { deaths < DEATHS -> deaths++; live[g]--; nat[g]--; STAMP(g); goto gone } :: skip fi
#define LOAD c = ctr[g]; s = seq[g]; d = dead[g]; l = left[g]
#define SAME (ctr[g] == c && seq[g] == s && dead[g] == d && left[g] == l)
/* Swap the word for {C, seq + 1, D, L} if it is still what was loaded; ok tells. */
#define SWAP(C, D, L) d_step { ok = SAME; if :: ok -> ctr[g] = C; seq[g]++; dead[g] = D; left[g] = L; LOAD :: else fi }

/* pair_help(): the word was seen dead. */
inline help() {
	if
	:: key != g -> skip
	:: else ->
		if
		:: may ->
#ifndef NOCLAIM
			SWAP(0, true, false);
			if
			:: ok -> rmid(g)
#ifdef SURPRISE
			:: ok -> if :: nat[g] == 1 -> SWAP(0, false, false); excused = true :: else -> excused = true fi
#endif
			:: else
			fi
#else
			rmid(g)
#endif
		:: else ->
			if
			:: nat[g] == 1 -> SWAP(0, false, false)
			:: else -> skip
			fi
		fi
	fi
}

proctype P(bool may) {
	byte g, c, s, loops = 0;
	bool d, l, ok, last, forsake;
again:
	if :: loops >= LOOPS -> excused = true; goto gone :: else -> loops++ fi;
	atomic {
		if
		:: key == NONE && made < G -> key = made; g = made; made++
		:: key == NONE && made >= G -> goto gone
		:: else -> g = key
		fi
	}
	atomic { if :: rmd[g] && nat[g] == 0 -> goto again :: else -> ATTACH(g) fi }
	MAY_DIE;
	d_step { LOAD }
	if
	:: d -> help(); DETACH(g); goto again
	:: else
	fi;
count:
	skip;
	atomic {
		SWAP(c + 1, false, false);
		if :: ok -> live[g]++; held[g] = true :: else -> LOAD fi
	}
	if
	:: !ok && d -> DETACH(g); goto again	/* the next try helps */
	:: !ok && !d -> goto count
	:: else
	fi;
	MAY_DIE_HOLDING;
	if
	:: key != g ->
		d_step { live[g]--; if :: ctr[g] > 0 && !dead[g] -> ctr[g]--; seq[g]++ :: else fi }
		DETACH(g);
		goto again
	:: else
	fi;
	/* holding */
	assert(!rmd[g]);
	MAY_DIE_HOLDING;
	assert(!rmd[g]);
	/* From here on it holds nothing but its reference. */
leave:
	skip;
	d_step { LOAD }
	if
	:: d -> live[g]--; goto detach
	:: !d && c > 1 ->
		atomic { SWAP(c - 1, false, false); if :: ok -> live[g]-- :: else fi }
		if :: ok -> goto detach :: else -> goto leave fi
	:: !d && c <= 1 ->
#ifndef NOOTHERS
		if
		:: nat[g] == 1 -> last = may; forsake = false
		:: nat[g] > 1 -> last = false; forsake = may		/* gave up waiting */
		:: nat[g] > 1 ->						/* waits */
			if
			:: nat[g] == 1 || !SAME -> goto leave
			:: timeout -> last = false; forsake = may	/* for another that waits like it */
			fi
		fi;
#else
		last = may; forsake = false;
#endif
#ifdef NOLEFT
		forsake = false;
#endif
		if :: !may -> excused = true :: else fi;
		atomic { SWAP(0, last, forsake); if :: ok -> live[g]-- :: else fi }
		if :: !ok -> goto leave :: else fi;
		MAY_DIE;
		if
		:: last -> rmid(g)
#ifdef SURPRISE
		:: last -> SWAP(0, false, false); excused = true
#endif
		:: else
		fi
	fi;
detach:
	DETACH(g);
gone:
	done++
}

/* sm_counter_reap_free(), once. */
inline reap() {
	atomic { if :: rmd[g] && nat[g] == 0 -> goto gone :: else -> ATTACH(g) fi }
	d_step { LOAD }
	n = nat[g] - 1;
	if
	:: !d && c > n ->
		/* The second look, in one step: what is between its readings is between it and the first one as well. */
#ifndef NOLPID
		d_step { ok = (SAME && nat[g] - 1 == n && lpid[g] == _pid) };
#else
		ok = true;
#endif
		if
		:: ok ->
#ifndef NOSEQ
			SWAP(n, false, n == 0)
#else
			d_step { ok = (ctr[g] == c && !dead[g]); if :: ok -> ctr[g] = n; left[g] = (n == 0); LOAD :: else fi }
#endif
		:: else
		fi
	:: else
	fi;
	/* Left, by this repair or before, or dead. */
	if
	:: (d || (l && c == 0)) && nat[g] == 1 && key == g ->
		SWAP(0, true, false);
		if :: ok -> rmid(g) :: else fi
	:: else
	fi;
	DETACH(g)
}

proctype R() {
	byte g, c, s, n;
	bool d, l, ok;
	atomic { if :: key == NONE -> goto gone :: else -> g = key fi }
	reap();
gone:
	done++
}

#ifdef OLD
/* A program of the old class that locks to count: one step, and no sequence number. The last one stays. */
proctype O() {
	byte g, k = 0;
	atomic { if :: key == NONE -> goto gone :: else -> g = key fi }
	do
	:: k < OLD ->
		k++;
		atomic { if :: rmd[g] && nat[g] == 0 -> goto gone :: else -> ATTACH(g) fi }
		atomic {
			if
			:: dead[g] || rmd[g] -> DETACH(g); goto gone
			:: else -> ctr[g]++; live[g]++; held[g] = true
			fi
		}
		assert(ctr[g] >= live[g]);
		atomic { if :: ctr[g] > 1 -> ctr[g]--; live[g]-- :: else -> excused = true; goto gone fi }
		DETACH(g)
	:: else -> break
	od;
gone:
	done++
}
#define NO 2
#else
#define NO 0
#endif

#ifdef DRIFT
/* Takes one off that is not its own: sm_decrement(), or an old program's lost ++. */
proctype D() {
	atomic { if :: key != NONE && ctr[key] > 0 && !dead[key] -> ctr[key]--; seq[key]++; excused = true :: else fi }
	done++
}
#define ND 1
#else
#define ND 0
#endif

init {
	byte i = 0, g, c, s, n;
	bool d, l, ok;
	atomic {
		do :: i < NP -> run P(true); i++ :: else -> break od;
		i = 0;
		do :: i < NU -> run P(false); i++ :: else -> break od;
		i = 0;
		do :: i < NR -> run R(); i++ :: else -> break od;
#ifdef OLD
		i = 0;
		do :: i < NO -> run O(); i++ :: else -> break od;
#endif
#ifdef DRIFT
		run D()
#endif
	}
	done == NP + NU + NR + ND + NO;
	atomic { if :: key == NONE -> goto gone :: else -> g = key fi }
	reap();
gone:
	assert(excused || key == NONE || !held[key])
}

#ifndef DRIFT
active proctype invariant() {
	do
	:: atomic { key != NONE && ctr[key] < live[key] -> assert(false) }
	:: done == NP + NU + NR + ND + NO -> break
	od
}
#endif
