/* SPDX-License-Identifier: MIT */
/* What is written to a control file: two words, with or without a newline, and nothing else. */
#include "fuzz.h"

#include <stdbool.h>
#include <string.h>

#include "smfs/refcount.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	enum refcount_word word = (enum refcount_word)-1;
	char *copy = calloc(n ? n : 1, 1);		/* not a string: a write has no NUL behind it */

	MUST(copy);
	if (n)
		memcpy(copy, bytes, n);

	bool good = refcount_parse(copy, n, &word) == 0;
	bool ends = n == 4 || (n == 5 && bytes[4] == '\n');
	bool decr = ends && memcmp(bytes, "decr", 4) == 0, reap = ends && memcmp(bytes, "reap", 4) == 0;

	MUST(good == (decr || reap));
	MUST(!good || word == (decr ? REFCOUNT_DECR : REFCOUNT_REAP));
	free(copy);
	return 0;
}
