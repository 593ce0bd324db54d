// SPDX-License-Identifier: MIT
/*
 * smctl: look at, make, repair and remove System V shared memory objects. The table below is all there is to
 * know about which verbs exist; dispatch and help both come from it.
 */
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smctl.h"

static const struct flag no_flags[] = { { 0 } };

#define WORDS \
	"leaked:   the counter is larger than the number of attachments of the counter segment, so\n" \
	"          that many holders died without leaving.\n" \
	"orphaned: an object that no process has attached, neither half, and that has had a holder\n" \
	"          (its counter is not 0, or was counted with since it was made); or a counter\n" \
	"          segment that records its key file and whose data is gone. An object that was\n" \
	"          made for later use and has had no holder is new, not orphaned.\n" \
	"older:    the last attach, detach or change of the data segment was that long ago, or longer.\n" \
	"T is a number and s, m, h, d or w, also 1h30m; U a user's name or number."

static const struct verb verbs[] = {
	{ "ls", "[options]", "List the segments of the system, or the objects among them",
	  run_ls, ls_flags,
	  WORDS "\n\nCOLUMNS is a list with commas; a '+' before it adds to the columns shown anyway:" },

	{ "stat", "PATH P | --id N", "Show all that is known of an object or a segment, and who holds it",
	  run_stat, stat_flags, NULL },

	{ "key", "PATH P", "Show both keys of an object, and warn if another file beside PATH has the same",
	  run_key, key_flags, NULL },

	{ "create", "PATH P SIZE", "Make an object of SIZE zero bytes, with a counter of 0",
	  run_create, create_flags,
	  "SIZE is in bytes; K, M, G and T are understood." },

	{ "cat", "PATH P | --id N", "Write an object's bytes to standard output",
	  run_cat, id_flags, NULL },

	{ "write", "PATH P | --id N", "Copy standard input into an object, from its first byte on",
	  run_write, id_flags,
	  "What the input does not reach keeps its bytes; an input that is too long is an error." },

	{ "decr", "PATH P", "Take one off an object's counter, and print what is left",
	  run_decr, no_flags,
	  "Frees nothing. Below 0 it does not go." },

	{ "reap", "[PATH P | --all]", "Take leaked references off one object's counter, or off all",
	  run_reap, reap_flags,
	  "Frees nothing. Only what is certainly leaked is taken off. Where that cannot be told,\n"
	  "because others come and go all the time, the status is 1.\n"
	  "Prints a line for each repair: the object, its counter before and after." },

	{ "rm", "PATH P | --id N | options", "Remove an object, a segment, or all that the options choose",
	  run_rm, rm_flags,
	  "Lists what would go and asks first. Options that choose may be combined, and then\n"
	  "never touch what some process has attached.\n\n" WORDS },

	{ "hold", "PATH P [SIZE] -- COMMAND [ARGUMENT...]", "Hold a reference for as long as COMMAND runs",
	  run_hold, no_flags,
	  "With SIZE the object is made if need be, with mode 0666 less the umask. Its last holder\n"
	  "frees an object: so does this.\n"
	  "Ends with COMMAND's status, as a shell gives it: 128 + N after signal N." },

	{ "wait", "PATH P", "Wait until an object's counter has a value",
	  run_wait, wait_flags,
	  "An object that does not exist has the counter 0. T is a number and s, m, h, d or w." },
};

#define VERBS (sizeof verbs / sizeof verbs[0])

const struct verb *verb;

static void help(void)
{
	size_t i;

	puts("usage: smctl VERB [operands and options]\n\n"
	     "System V shared memory objects: a key file and a proj_id ('A' to 'z') name two segments,\n"
	     "data and counter. PATH P may be written PATH:P too, as listings print it.\n");
	for (i = 0; i < VERBS; i++)
		printf("  %-7s %s\n", verbs[i].name, verbs[i].help);
	puts("\n'smctl VERB --help' tells more of one. Also: smctl --help, smctl --version.\n"
	     "Exit status: 0 done, 1 failed, 2 wrong usage.");
}

static const struct verb *verb_find(const char *name)
{
	size_t i;

	for (i = 0; i < VERBS; i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

static int dispatch(int argc, char **argv)
{
	char title[32];

	if (argc < 2) {
		fputs("smctl: a verb is missing; 'smctl --help' lists them\n", stderr);
		return USAGE;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("smctl " SM_VERSION);
		return DONE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		help();
		return DONE;
	}
	verb = verb_find(argv[1]);
	if (!verb) {
		char *name = text_clean(argv[1]);

		fprintf(stderr, "smctl: unknown %s '%s'; 'smctl --help' lists what there is\n",
			argv[1][0] == '-' ? "option" : "verb", name);
		free(name);
		return USAGE;
	}
	snprintf(title, sizeof title, "smctl %s", verb->name);
	argv[1] = title;	/* getopt_long begins its messages with it */
	return verb->run(argc - 1, argv + 1);
}

/*
 * A closed standard stream would give its number to some other file. What is put there cannot be read, or
 * written, either: EBADF, as without it.
 */
static void streams_open(void)
{
	int fd;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);	/* the lowest that is free: FD */
}

int main(int argc, char **argv)
{
	streams_open();
	setlocale(LC_ALL, "");
	return output_end(dispatch(argc, argv));
}
