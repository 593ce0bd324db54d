/* SPDX-License-Identifier: MIT */
/*
 * Joining, leaving, helping and repairing an object, as libsm/hold.c, pair.c and reap.c do it, for an
 * exhaustive search of all interleavings (tests/model/run). One death, anywhere.
 *
 * A generation g is one pair of segments from its making to its removal; the two keys are one (`key`), since
 * the order "counter first made, last removed" makes a half pair look like none. The word is ctr, seq and
 * dead, read in one step and swapped in one step; nat is nattch of the counter; live is how many really hold.
 *
 * Checked: nobody holds a removed object (the asserts in P); the count is never below the live holders, as
 * long as nobody takes off what is not his (DRIFT); when all is over, an object is left only for a reason.
 *
 * SURPRISE: removing may fail with EPERM although it looked allowed; the word is swapped back.
 *
 * Leaving a protection out must be found: NOCLAIM (a helper removes without changing the word first), NOOTHERS
 * (a last leaver does not look whether others are attached), NOSEQ (a repair compares only the counter). The look
 * at the keys after joining is against ipcrm and old programs, which are not in here; tests/unit/test_hold.c has it.
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

byte key = NONE, made = 0;
byte ctr[G], seq[G], nat[G], live[G];
bool dead[G], rmd[G];
byte deaths = 0, done = 0;
bool excused = false;	/* something happened after which an object may be left over */

inline rmid(g) { d_step { rmd[g] = true; if :: key == g -> key = NONE :: else fi } }

/* Killed here, or not. */
#define MAY_DIE if :: atomic { deaths < DEATHS -> deaths++; excused = true; nat[g]--; goto gone } :: skip fi
#define LOAD c = ctr[g]; s = seq[g]; d = dead[g]
#define SAME (ctr[g] == c && seq[g] == s && dead[g] == d)
/* Swap the word for {C, seq + 1, D} if it is still what was loaded; ok tells. */
#define SWAP(C, D) d_step { ok = SAME; if :: ok -> ctr[g] = C; seq[g]++; dead[g] = D; LOAD :: else fi }

/* pair_help(): the word was seen dead. */
inline help() {
	if
	:: key != g -> skip
	:: else ->
		if
		:: may ->
#ifndef NOCLAIM
			SWAP(0, true);
			if
			:: ok -> rmid(g)
#ifdef SURPRISE
			:: ok -> if :: nat[g] == 1 -> SWAP(0, false); excused = true :: else -> excused = true fi
#endif
			:: else
			fi
#else
			rmid(g)
#endif
		:: else ->
			if
			:: nat[g] == 1 -> SWAP(0, false)
			:: else -> skip
			fi
		fi
	fi
}

proctype P(bool may) {
	byte g, c, s, loops = 0;
	bool d, ok, last;
again:
	if :: loops >= LOOPS -> excused = true; goto gone :: else -> loops++ fi;
	atomic {
		if
		:: key == NONE && made < G -> key = made; g = made; made++
		:: key == NONE && made >= G -> goto gone
		:: else -> g = key
		fi
	}
	atomic { if :: rmd[g] && nat[g] == 0 -> goto again :: else -> nat[g]++ fi }
	MAY_DIE;
	d_step { LOAD }
	if
	:: d -> help(); nat[g]--; goto again
	:: else
	fi;
count:
	skip;
	atomic {
		SWAP(c + 1, false);
		if :: ok -> live[g]++ :: else -> LOAD fi
	}
	if
	:: !ok && d -> nat[g]--; goto again	/* the next try helps */
	:: !ok && !d -> goto count
	:: else
	fi;
	if :: atomic { deaths < DEATHS -> deaths++; excused = true; nat[g]--; live[g]--; goto gone } :: skip fi;
	if
	:: key != g ->
		d_step { live[g]--; if :: ctr[g] > 0 && !dead[g] -> ctr[g]--; seq[g]++ :: else fi }
		nat[g]--;
		goto again
	:: else
	fi;
	/* holding */
	assert(!rmd[g]);
	if :: atomic { deaths < DEATHS -> deaths++; excused = true; nat[g]--; live[g]--; goto gone } :: skip fi;
	assert(!rmd[g]);
	/* From here on it holds nothing but its reference. */
leave:
	skip;
	d_step { LOAD }
	if
	:: d -> live[g]--; goto detach
	:: !d && c > 1 ->
		atomic { SWAP(c - 1, false); if :: ok -> live[g]-- :: else fi }
		if :: ok -> goto detach :: else -> goto leave fi
	:: !d && c <= 1 ->
#ifndef NOOTHERS
		if
		:: nat[g] == 1 -> last = may
		:: nat[g] > 1 -> last = false; excused = true		/* gave up waiting */
		:: nat[g] > 1 ->						/* waits */
			if
			:: nat[g] == 1 || !SAME -> goto leave
			:: timeout -> last = false; excused = true	/* for another that waits like it */
			fi
		fi;
#else
		last = may;
#endif
		if :: !may -> excused = true :: else fi;
		atomic { SWAP(0, last); if :: ok -> live[g]-- :: else fi }
		if :: !ok -> goto leave :: else fi;
		MAY_DIE;
		if
		:: last -> rmid(g)
#ifdef SURPRISE
		:: last -> SWAP(0, false); excused = true
#endif
		:: else
		fi
	fi;
detach:
	nat[g]--;
gone:
	done++
}

/* sm_counter_reap_free(), once. */
proctype R() {
	byte g, c, s, n;
	bool d, ok, may = true;
	atomic { if :: key == NONE -> goto gone :: else -> g = key fi }
	atomic { if :: rmd[g] && nat[g] == 0 -> goto gone :: else -> nat[g]++ fi }
	d_step { LOAD }
	n = nat[g] - 1;
	if
	:: d && n == 0 -> help()
	:: !d && c > n ->
#ifndef NOSEQ
		SWAP(n, n == 0);
#else
		d_step { ok = (ctr[g] == c && !dead[g]); if :: ok -> ctr[g] = n; dead[g] = (n == 0) :: else fi }
#endif
		if :: ok && n == 0 -> rmid(g) :: else fi
	:: else
	fi;
	nat[g]--;
gone:
	done++
}

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
	byte i = 0;
	atomic {
		do :: i < NP -> run P(true); i++ :: else -> break od;
		i = 0;
		do :: i < NU -> run P(false); i++ :: else -> break od;
		i = 0;
		do :: i < NR -> run R(); i++ :: else -> break od;
#ifdef DRIFT
		run D()
#endif
	}
	done == NP + NU + NR + ND;
	assert(excused || key == NONE)
}

#ifndef DRIFT
active proctype invariant() {
	do
	:: atomic { key != NONE && ctr[key] < live[key] -> assert(false) }
	:: done == NP + NU + NR + ND -> break
	od
}
#endif
