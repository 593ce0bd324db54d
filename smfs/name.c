/* SPDX-License-Identifier: MIT */
/*
 * A name may hold every byte but '/' and NUL, colons too, and a proj_id may be any of the characters 'A'..'z',
 * which include [ \ ] ^ _ and `. So there is one rule, read from the right, and no escaping.
 */
#include "name.h"

#include <libsm/sm.h>
#include <stdint.h>
#include <string.h>

static enum name_kind suffix_kind(const char *suffix)
{
	if (*suffix == '\0')
		return NAME_OBJECT;
	if (strcmp(suffix, ".refcount") == 0)
		return NAME_REFCOUNT;
	if (strcmp(suffix, ".info") == 0)
		return NAME_INFO;
	return NAME_DIR;
}

void name_parse(const char *s, struct name *out)
{
	const char *colon = strrchr(s, ':');

	*out = (struct name){ .kind = NAME_DIR, .key_length = strlen(s) };
	if (!colon || colon == s || !sm_proj_valid((unsigned char)colon[1]))
		return;
	if (colon - s == 2 && memcmp(s, "..", 2) == 0)
		return;

	enum name_kind kind = suffix_kind(colon + 2);

	if (kind != NAME_DIR)
		*out = (struct name){ .kind = kind, .key_length = (size_t)(colon - s), .proj_id = colon[1] };
}

void name_key_path(const struct name *n, char *path)
{
	size_t end = strlen(path) - strlen(strrchr(path, ':')), start = end - n->key_length;

	path[end] = '\0';
	if (n->key_length == 1 && path[start] == '.')
		path[start ? start - 1 : 0] = '\0';
}

/* One text for one number: no sign, no space, no leading zero. */
enum name_kind name_parse_id(const char *s, int *id)
{
	const char *p = s;
	int n = 0;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *p - '0', &n))
			return NAME_DIR;
	if (p == s || (*s == '0' && p != s + 1))
		return NAME_DIR;
	*id = n;
	return *p == '\0' ? NAME_OBJECT : strcmp(p, ".info") == 0 ? NAME_INFO : NAME_DIR;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool name_parse_key(const char *s, key_t *key)
{
	uint32_t n = 0;

	if (strlen(s) != 10 || s[0] != '0' || s[1] != 'x')
		return false;
	for (s += 2; *s; s++) {
		int digit = hex_digit(*s);

		if (digit < 0)
			return false;
		n = n << 4 | (uint32_t)digit;
	}
	*key = (key_t)n;
	return true;
}
