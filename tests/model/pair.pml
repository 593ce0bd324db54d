/* SPDX-License-Identifier: MIT */
/*
 * The two keys of an object that is made, joined, left and removed (rm(1) through the mount, `smctl rm`), as libsm/pair.c,
 * hold.c, remove.c and reap.c do it, for an exhaustive search of all interleavings. One death, anywhere.
 *
 * counter.pml takes the two keys for one. Here they are two, because this is about what comes between them: data that a
 * slow maker made beside a counter that is being removed may be taken over by whoever makes the next counter.
 *
 * Checked: a holder has lost data or counter only if somebody was asked to remove this very data. When all is over and
 * nobody died or gave up, there is no half of an object.
 *
 * Leaving a protection out must be found: NOGONE (the word does not tell whether the data is removed already), NOFIND (a
 * helper removes the data that it found before its claim), NOCHECK (he finds it afterwards, and does not look whether
 * his claim is still the last), NODEAD (who is asked to remove it does without DEAD), NOLOOK (and does not look once more,
 * with the counter attached, whether the two that were found are a pair).
 */
#ifndef NP
#define NP 2		/* programs that may remove */
#endif
#ifndef NU
#define NU 0		/* programs that may not (EPERM) */
#endif
#ifndef NX
#define NX 0		/* who is asked to remove it */
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
#define IDS 4
#define NONE 15

byte dkey = NONE, ckey = NONE, dmade = 0, cmade = 0;
byte ctr[IDS], seq[IDS], nat[IDS], dnat[IDS];
bool dead[IDS], gone[IDS], crmd[IDS], drmd[IDS], asked[IDS];
byte deaths = 0, done = 0;
bool excused = false;

inline crm() { d_step { crmd[c] = true; if :: ckey == c -> ckey = NONE :: else fi } }
inline drm() { d_step { if :: d != NONE -> drmd[d] = true; if :: dkey == d -> dkey = NONE :: else fi :: else fi } }

#define MAY_DIE if :: atomic { deaths < DEATHS -> deaths++; nat[c]--; goto over } :: skip fi
#define MAY_DIE_JOINED if :: atomic { deaths < DEATHS -> deaths++; nat[c]--; dnat[d]--; goto over } :: skip fi
#define LOAD n = ctr[c]; s = seq[c]; x = dead[c]; g = gone[c]
#define SAME (ctr[c] == n && seq[c] == s && dead[c] == x && gone[c] == g)
/* Swap the word for {N, seq + 1, D, G} if it is still what was loaded; ok tells. */
#define SWAP(N, D, G) d_step { ok = SAME; if :: ok -> ctr[c] = N; seq[c]++; dead[c] = D; gone[c] = G; LOAD :: else fi }

/* pair_remove(): the word is dead, and this one's claim. DIE is how it may die. */
#ifndef NOGONE
#define REMOVE(DIE) \
	if :: !g -> drm(); DIE; SWAP(0, true, true) :: else -> ok = true fi; \
	if :: ok -> DIE; crm() :: else fi
#else
#define REMOVE(DIE) drm(); DIE; crm()
#endif

/* pair_help() */
inline help() {
	if
	:: ckey != c -> skip
	:: ckey == c && may ->
		SWAP(0, true, g);
		if
		:: ok ->
#ifndef NOFIND
			d = dkey;
#ifndef NOCHECK
			ok = SAME;
#endif
#endif
			if :: ok -> REMOVE(MAY_DIE) :: else fi
		:: else
		fi
	:: ckey == c && !may ->
		if :: nat[c] == 1 -> SWAP(0, false, false) :: else fi
	fi
}

proctype P(bool may) {
	byte d, c, n, s, loops = 0;
	bool x, g, ok, last, others;
again:
	if :: loops >= LOOPS -> excused = true; goto over :: else -> loops++ fi;
	/* pair_create() */
	atomic {
		if
		:: ckey != NONE -> c = ckey
		:: ckey == NONE && cmade < IDS -> c = cmade; cmade++; ckey = c
		:: else -> excused = true; goto over
		fi
	}
	atomic { if :: crmd[c] && nat[c] == 0 -> goto again :: else -> nat[c]++ fi }
	d = dkey;
	d_step { LOAD }
	if :: x -> help(); nat[c]--; goto again :: else fi;
	atomic {
		if
		:: dkey != NONE -> d = dkey
		:: dkey == NONE && dmade < IDS -> d = dmade; dmade++; dkey = d
		:: else -> excused = true; nat[c]--; goto over
		fi
	}
	MAY_DIE;
	if :: dead[c] -> nat[c]--; goto again :: else fi;
	if :: ckey != c -> nat[c]--; goto again :: else fi;
	if :: dkey != d -> nat[c]--; goto again :: else fi;
	nat[c]--;
	/* hold_join() */
	d = dkey;
	c = ckey;
	if :: d == NONE || c == NONE -> goto again :: else fi;
	atomic { if :: crmd[c] && nat[c] == 0 -> goto again :: else -> nat[c]++ fi }
	d_step { LOAD }
	if :: x -> help(); nat[c]--; goto again :: else fi;
	atomic { if :: drmd[d] && dnat[d] == 0 -> nat[c]--; goto again :: else -> dnat[d]++ fi }
count:
	skip;
	SWAP(n + 1, false, false);
	if
	:: !ok ->
		d_step { LOAD }
		if :: x -> dnat[d]--; nat[c]--; goto again :: else -> goto count fi
	:: else
	fi;
	MAY_DIE_JOINED;
	if :: dkey == d && ckey == c -> goto holding :: else fi;
	d_step { if :: ctr[c] > 0 && !dead[c] -> ctr[c]--; seq[c]++ :: else fi }
	dnat[d]--; nat[c]--;
	goto again;
holding:
	assert(!(drmd[d] || crmd[c]) || asked[d]);
	MAY_DIE_JOINED;
leave:
	skip;
	d_step { LOAD }
	if
	:: x -> goto detach
	:: !x && n > 1 -> SWAP(n - 1, false, false); if :: ok -> goto detach :: else -> goto leave fi
	:: else
	fi;
	/* Whether it waited for the others or not: it looks, and it has given up waiting. */
	others = (nat[c] > 1);
	last = may && !others;
	/* counter_is_current() */
	if :: ckey != c && ckey != NONE -> last = false :: else fi;
	SWAP(0, last, false);
	if :: !ok -> goto leave :: else fi;
	if
	:: last -> MAY_DIE_JOINED; REMOVE(MAY_DIE_JOINED)
	:: else -> excused = true
	fi;
detach:
	dnat[d]--; nat[c]--;
over:
	done++
}

/* sm_counter_reap_free(), of a word that is dead. */
proctype R() {
	byte d, c, n, s;
	bool x, g, ok;
	d = dkey;
	c = ckey;
	if :: c == NONE -> goto over :: else fi;
	atomic { if :: crmd[c] && nat[c] == 0 -> goto over :: else -> nat[c]++ fi }
	d_step { LOAD }
	if
	:: !x || dkey != d || ckey != c -> skip
	:: else ->
		if
		:: nat[c] > 1 -> skip
		:: nat[c] == 1 && d != NONE && dnat[d] > 0 -> skip
		:: else ->
			if
			:: g && d != NONE -> SWAP(0, false, false)
			:: else -> SWAP(0, true, g); if :: ok -> REMOVE(MAY_DIE) :: else fi
			fi
		fi
	fi;
	nat[c]--;
over:
	done++
}

/* pair_destroy() */
proctype X() {
	byte d, c, n, s, loops = 0;
	bool x, g, ok;
again:
	if :: loops >= LOOPS -> goto over :: else -> loops++ fi;
	d = dkey;
	c = ckey;
	if
	:: d == NONE -> goto over
	:: d != NONE && c == NONE -> asked[d] = true; drm(); goto over
	:: else
	fi;
	atomic { if :: crmd[c] && nat[c] == 0 -> goto again :: else -> nat[c]++ fi }
	asked[d] = true;
#ifndef NODEAD
claim:
	skip;
	d_step { LOAD }
#ifndef NOLOOK
	if :: dkey != d || ckey != c -> nat[c]--; goto again :: else fi;
#endif
	SWAP(0, true, (x && g));
	if :: !ok -> goto claim :: else fi;
	MAY_DIE;
	if :: g -> drm() :: else fi;
	REMOVE(MAY_DIE);
#else
	drm();
	MAY_DIE;
	crm();
#endif
	nat[c]--;
over:
	done++
}

init {
	byte i = 0;
	atomic {
		do :: i < NP -> run P(true); i++ :: else -> break od;
		i = 0;
		do :: i < NU -> run P(false); i++ :: else -> break od;
		i = 0;
		do :: i < NX -> run X(); i++ :: else -> break od;
		i = 0;
		do :: i < NR -> run R(); i++ :: else -> break od
	}
	done == NP + NU + NX + NR;
	assert(excused || deaths || (dkey == NONE) == (ckey == NONE))
}
