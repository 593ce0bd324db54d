// SPDX-License-Identifier: MIT
/* What a person is told on standard error, and the ends of the program: output that cannot be written, no memory. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smctl.h"

static void tell(const char *format, va_list ap)
{
	fflush(stdout);
	fputs("smctl", stderr);
	if (verb)
		fprintf(stderr, " %s", verb->name);
	fputs(": ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
}

int fail(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	tell(format, ap);
	va_end(ap);
	return FAILED;
}

void warn_user(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	tell(format, ap);
	va_end(ap);
}

int misuse(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	tell(format, ap);
	va_end(ap);
	fprintf(stderr, "usage: smctl %s %s\n", verb->name, verb->args);
	return USAGE;
}

int output_end(int status)
{
	bool before = ferror(stdout);

	if (fflush(stdout) || before) {
		fail("cannot write the output: %s", before ? "an earlier part failed" : strerror(errno));
		return status ? status : FAILED;
	}
	return status;
}

void *need(void *p)
{
	if (!p) {
		fail("out of memory");
		exit(FAILED);
	}
	return p;
}
