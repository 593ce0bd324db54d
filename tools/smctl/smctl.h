/* SPDX-License-Identifier: MIT */
#ifndef SMCTL_H
#define SMCTL_H

/*
 * What the verbs of smctl share: the verb table's types, options, operands and messages. smctl knows libsm's
 * public header only; no mount and no daemon is needed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "libsm/sm.h"

/* Exit statuses; `hold` ends with its command's. */
enum { DONE = 0, FAILED = 1, USAGE = 2 };

/* Codes of options without a letter of their own. */
enum {
	OPT_ALL = 256, OPT_DRY_RUN, OPT_ID, OPT_JSON, OPT_LEAKED, OPT_MODE, OPT_OBJECTS, OPT_OLDER,
	OPT_ORPHANED, OPT_OWNER, OPT_REFCOUNT, OPT_TIMEOUT,
};

struct flag {
	int code;		/* a letter, or one of OPT_; 0 ends a table */
	const char *name;	/* the long form */
	const char *arg;	/* what its argument is called, or NULL */
	const char *help;
};

struct verb {
	const char *name;
	const char *args;
	const char *help;
	int (*run)(int argc, char **argv);
	const struct flag *flags;
	const char *more;	/* a paragraph below the options, or NULL */
};

/* main.c: the verb that runs. */
extern const struct verb *verb;

extern const struct flag ls_flags[], stat_flags[], key_flags[], create_flags[], id_flags[], reap_flags[],
	rm_flags[], wait_flags[];

int run_ls(int argc, char **argv);
int run_stat(int argc, char **argv);
int run_key(int argc, char **argv);
int run_create(int argc, char **argv);
int run_cat(int argc, char **argv);
int run_write(int argc, char **argv);
int run_decr(int argc, char **argv);
int run_reap(int argc, char **argv);
int run_rm(int argc, char **argv);
int run_hold(int argc, char **argv);
int run_wait(int argc, char **argv);

/* ---- options.c ---------------------------------------------------------------------------------- */

/*
 * The next option's code, its argument in optarg; -1 after the last, and optind is then the first operand;
 * '?' for one that is wrong (already told). --help prints the verb's help and ends the program. With
 * OPERANDS_END options end at the first operand.
 */
int flag_next(int argc, char **argv, bool operands_end);

/* ---- tell.c: messages, and the ends of the program --------------------------------------------- */

/* "smctl VERB: text" on standard error. They return FAILED, USAGE (with a hint at --help) and nothing. */
int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
int misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));
void warn_user(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Empties standard output: STATUS, or FAILED (told) where it could not all be written. */
int output_end(int status);

/* P itself; ends the program where it is NULL because memory is out. */
void *need(void *p);

/* ---- target.c: what a verb is to work on ------------------------------------------------------- */

struct target {
	char *path;		/* the key file; NULL if the segment was named by --id */
	char proj;
	key_t key;		/* of the data segment */
	int id;			/* --id N; -1 without */
};

#define NO_TARGET { .id = -1 }

/*
 * Takes PATH P, or PATH:P, off the operands and finds the key. 0, USAGE or FAILED (told). A null operand
 * list is a missing operand. The target's path is malloc'd; target_free() may always be called.
 */
int target_take(struct target *t, int *argc, char ***argv);
/* The same, or --id N (then there must be no operand), and nothing after it. */
int target_only(struct target *t, int argc, char **argv);
int target_id(struct target *t, const char *text);
void target_free(struct target *t);
/* "/tmp/app.key:A" or "segment 5", clean for a terminal; valid until the next call. */
const char *target_name(const struct target *t);
/* "no object ..." and why; FAILED. */
int target_absent(const struct target *t);
/* What went wrong with a segment of it, in words; FAILED. */
int target_fail(const struct target *t, const char *doing, int error);

/* No operand may be left: 0, or USAGE. */
int operands_end(int argc, char **argv);

/* ---- object.c: what create and hold have in common --------------------------------------------- */

/* "cannot DOING the target: why", from the object's error; FAILED. */
int object_fail(const struct target *t, const char *doing, const sm_object *obj);

/* The mode of what is made where none was asked for: 0666 less the umask. */
mode_t mode_default(void);

/* ---- parse.c: what users type ------------------------------------------------------------------ */

/* 0, -EINVAL (not one) or -ERANGE (too large). */
int parse_number(const char *text, uint64_t max, uint64_t *out);
/* What is wrong is told, and USAGE returned. Sizes take K, M, G, T; durations s, m, h, d, w. */
int take_size(const char *text, size_t *out);
int take_duration(const char *text, time_t *out);
int take_mode(const char *text, mode_t *out);
int take_owner(const char *text, uid_t *out);

/* ---- format.c: what is shown, as text ---------------------------------------------------------- */

char *text_new(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * All malloc'd, as is the former. Strangers' text for a terminal: what could steer it, or is no character here, becomes \xNN,
 * and a backslash two. For JSON only what is not UTF-8 does.
 */
char *text_clean(const char *text);
char *text_utf8(const char *text);
char *text_size(uint64_t bytes);
char *text_time(time_t t);
char *text_span(time_t seconds);
/* Cached and not clean; the number itself where there is no name. Not to be freed. */
const char *user_name(uid_t uid);
const char *group_name(gid_t gid);
/* An error of libsm in words. */
const char *error_text(int error);

#endif
