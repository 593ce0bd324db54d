/* SPDX-License-Identifier: MIT */
/*
 * Say what the one before left, leave a word, and wait for return: hello KEYFILE P TEXT
 *     cc hello.c $(pkg-config --cflags --libs libsm) -o hello
 */
#include <libsm/sm.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: hello KEYFILE P TEXT\n");
		return 2;
	}

	sm_object *obj = sm_object_new(argv[1], argv[2][0], 4096);
	if (!obj || sm_create(obj) < 0 || sm_access(obj) < 0) {
		sm_perror(obj, "hello");
		sm_object_free(obj);
		return 1;
	}
	printf("%d here; last said: %.4095s\n", sm_refcount(obj), (char *)sm_data(obj));
	snprintf(sm_data(obj), sm_size(obj), "%s", argv[3]);
	fflush(stdout);
	getchar();
	sm_object_free(obj);	/* the last one frees the memory */
	return 0;
}
