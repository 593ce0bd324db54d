/* SPDX-License-Identifier: MIT */
/*
 * A name may hold every byte but '/' and NUL, colons too, and a proj_id may be any of the characters 'A'..'z',
 * which include [ \ ] ^ _ and `. So there is one rule, read from the right, and no escaping.
 */
#include "name.h"

#include <libsm/sm.h>
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
