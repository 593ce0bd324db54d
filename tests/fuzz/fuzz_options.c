/* SPDX-License-Identifier: MIT */
/* Sizes on the command line (-o size=, -o staged=): a number above 0 that an off_t holds, K, M or G; or it is refused. */
#include "fuzz.h"

#define FUSE_USE_VERSION 317
#include <fuse_opt.h>
#include <string.h>

#include "smfs/options.h"

/* The same by other means; 0: to be refused. */
static size_t expected(const char *s)
{
	unsigned __int128 n = 0, most = SIZE_MAX / 2;
	const char *p = s;

	for (; *p >= '0' && *p <= '9'; p++)
		if ((n = n * 10 + (unsigned)(*p - '0')) > most)
			return 0;
	if (p == s)
		return 0;
	if (*p && strchr("gG", *p))
		n <<= 30, p++;
	else if (*p && strchr("mM", *p))
		n <<= 20, p++;
	else if (*p && strchr("kK", *p))
		n <<= 10, p++;
	return *p || n > most ? 0 : (size_t)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static FILE *nowhere;
	FILE *usual = stderr;
	char *s = fuzz_string(bytes, n), *word = malloc(n + 8);
	struct options o;

	MUST(word && (nowhere || (nowhere = fopen("/dev/null", "w"))));
	sprintf(word, "size=%s", s);
	if (!strpbrk(s, ",\\")) {	/* they end an option */
		struct fuse_args args = FUSE_ARGS_INIT(0, NULL);

		MUST(fuse_opt_add_arg(&args, "smfs") == 0 && fuse_opt_add_arg(&args, "-o") == 0 &&
		     fuse_opt_add_arg(&args, word) == 0 && fuse_opt_add_arg(&args, "/mnt") == 0);
		stderr = nowhere;

		int r = options_parse(&args, &o);

		stderr = usual;
		MUST((r == 0) == (expected(s) != 0));
		MUST(r || o.default_size == expected(s));
		options_free(&o);
		fuse_opt_free_args(&args);
	}
	free(word);
	free(s);
	return 0;
}
