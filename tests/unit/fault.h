/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FAULT_H
#define TESTS_FAULT_H

/* System calls (and allocations) of the library under test, failing or interrupted where the test says. */

enum fault_call {
	FAULT_SHMGET,
	FAULT_SHMAT,
	FAULT_SHMDT,
	FAULT_STAT,		/* shmctl SHM_STAT_ANY */
	FAULT_RMID,		/* shmctl IPC_RMID */
	FAULT_SHMCTL,		/* other shmctl */
	FAULT_MADVISE,
	FAULT_OPEN,
	FAULT_READ,
	FAULT_READDIR,
	FAULT_MALLOC,
	FAULT_CALLOC,
	FAULT_REALLOCARRAY,
	FAULT_STRDUP,
	FAULT_ASPRINTF,
	FAULT_CALLS
};

/* The NTH such call from now on (1 is the next) fails with ERR. NTH 0: all of them do. */
void fault_fail(enum fault_call call, int nth, int err);

/* Just before the NTH such call, what another process might do: FN(ARG). Faults rest meanwhile. */
void fault_hook(enum fault_call call, int nth, void (*fn)(void *), void *arg);

/* As it was. Says whether a fault or hook set since has come to pass. */
int fault_clear(void);

/* How many such calls there were since fault_clear(). */
int fault_count(enum fault_call call);

#endif
