// SPDX-License-Identifier: MIT
/*
 * What users type: numbers, sizes, durations, modes and users. Nothing is read half: trailing bytes are an
 * error.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "smctl.h"

/* The digits at *TEXT, which moves past them. */
static int digits(const char **text, uint64_t *out)
{
	const char *p = *text;
	bool over = false;

	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	for (*out = 0; isdigit((unsigned char)*p); p++)
		over |= __builtin_mul_overflow(*out, 10, out) ||
			__builtin_add_overflow(*out, (uint64_t)(*p - '0'), out);
	*text = p;
	return over ? -ERANGE : 0;
}

int parse_number(const char *text, uint64_t max, uint64_t *out)
{
	int error = digits(&text, out);

	if (error != -EINVAL && *text)
		return -EINVAL;
	if (error)
		return error;
	return *out > max ? -ERANGE : 0;
}

static int parse_size(const char *text, uint64_t *out)
{
	static const char units[] = "KMGT";
	int error = digits(&text, out);
	const char *unit;
	int shift;

	if (error == -EINVAL)
		return error;
	if (*text) {
		unit = strchr(units, toupper((unsigned char)*text));
		if (!unit || text[1])
			return -EINVAL;
		shift = 10 * (int)(unit - units + 1);
		if (*out > UINT64_MAX >> shift)
			return -ERANGE;
		*out <<= shift;
	}
	return error;
}

static long unit_seconds(char unit)
{
	switch (unit) {
	case '\0':
	case 's':
		return 1;
	case 'm':
		return 60;
	case 'h':
		return 3600;
	case 'd':
		return 86400;
	case 'w':
		return 604800;
	default:
		return 0;
	}
}

static int parse_duration(const char *text, time_t *out)
{
	uint64_t n, total = 0;
	long unit;
	int error;

	do {
		error = digits(&text, &n);
		if (error)
			return error;
		unit = unit_seconds(*text);
		if (!unit)
			return -EINVAL;
		if (__builtin_mul_overflow(n, (uint64_t)unit, &n) ||
		    __builtin_add_overflow(total, n, &total) || total > INT_MAX)
			return -ERANGE;
		if (*text)
			text++;
	} while (*text);
	*out = (time_t)total;
	return 0;
}

/* "WHAT 'TEXT' WHY", TEXT made harmless; USAGE. */
static int refuse(const char *what, const char *text, const char *why)
{
	char *clean = text_clean(text);

	misuse("%s '%s' %s", what, clean, why);
	free(clean);
	return USAGE;
}

int take_size(const char *text, size_t *out)
{
	uint64_t size = 0;
	int error = parse_size(text, &size);

	if (error == -EINVAL)
		return refuse("size", text, "is not a number of bytes (4096, 64K, 2G)");
	if (error || size > SIZE_MAX)
		return refuse("size", text, "is too large for any segment (2^64 bytes or more)");
	if (!size)
		return refuse("size", text, "is too small: an object has one byte at least");
	*out = size;
	return 0;
}

int take_duration(const char *text, time_t *out)
{
	int error = parse_duration(text, out);

	if (error == -EINVAL)
		return refuse("time", text, "is not a duration (90s, 5m, 2h, 1d12h, 1w)");
	return error ? refuse("time", text, "is too long: 68 years at most") : 0;
}

int take_mode(const char *text, mode_t *out)
{
	const char *p = text;
	unsigned mode = 0;

	for (; *p >= '0' && *p <= '7' && mode <= 0777; p++)
		mode = mode * 8 + (unsigned)(*p - '0');
	if (p == text || *p || mode > 0777)
		return refuse("mode", text, "is not an octal number up to 0777");
	*out = mode;
	return 0;
}

int take_owner(const char *text, uid_t *out)
{
	const struct passwd *pw = getpwnam(text);
	uint64_t uid;

	if (pw) {
		*out = pw->pw_uid;
		return 0;
	}
	if (parse_number(text, UINT32_MAX - 1, &uid) < 0)
		return refuse("user", text, "is not known here, and not a number");
	*out = (uid_t)uid;
	return 0;
}
