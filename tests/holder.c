// SPDX-License-Identifier: MIT
/*
 * holder PATH P [SIZE]: make (SIZE given) or find the object, access it, say "ready", and hold it until a signal comes.
 * SIGTERM and SIGINT leave as a program should; anything else, SIGKILL above all, is how references leak.
 */
#include <libsm/sm.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	sigset_t signals;
	sm_object *obj;
	int sig;

	if (argc < 3 || argc > 4 || strlen(argv[2]) != 1) {
		fprintf(stderr, "usage: holder PATH P [SIZE]\n");
		return 2;
	}
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	obj = sm_object_new(argv[1], argv[2][0], argc > 3 ? strtoull(argv[3], NULL, 10) : 0);
	if (!obj || sm_create(obj) < 0 || sm_access(obj) < 0) {
		sm_perror(obj, "holder");
		sm_object_free(obj);
		return 1;
	}
	puts("ready");
	fflush(stdout);
	sigwait(&signals, &sig);
	sm_object_free(obj);
	return 0;
}
