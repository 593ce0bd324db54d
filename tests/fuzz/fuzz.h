/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

/*
 * One parser of bytes that others wrote, called with whatever the fuzzer (or replay.c) makes up. A target checks what the
 * parser says against the words of its header, not only that it survives.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Called once, before the first input; may be missing. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define MUST(what) \
	do { \
		if (!(what)) { \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #what); \
			abort(); \
		} \
	} while (0)

/* The bytes as a string of its own, so that the address sanitizer sees what lies behind it. To be freed. */
static inline char *fuzz_string(const uint8_t *bytes, size_t n)
{
	char *s = malloc(n + 1);

	MUST(s);
	for (size_t i = 0; i < n; i++)
		s[i] = (char)bytes[i];
	s[n] = '\0';
	return s;
}

#endif
