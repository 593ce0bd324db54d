/* SPDX-License-Identifier: MIT */
/* Names as a directory's lookup gets them, and the names of .id and .key: what is accepted reads back as it was. */
#include "fuzz.h"

#include <libsm/sm.h>
#include <string.h>

#include "smfs/name.h"

static const char *suffix(enum name_kind kind)
{
	return kind == NAME_REFCOUNT ? ".refcount" : kind == NAME_INFO ? ".info" : "";
}

static void check_name(const char *s)
{
	size_t length = strlen(s);
	char *path = malloc(length + 5);
	struct name n;

	MUST(path);
	name_parse(s, &n);
	if (n.kind == NAME_DIR) {
		MUST(n.key_length == length && !n.proj_id);
	} else {
		MUST(n.kind == NAME_OBJECT || n.kind == NAME_REFCOUNT || n.kind == NAME_INFO);
		MUST(n.key_length > 0 && n.key_length + 2 + strlen(suffix(n.kind)) == length);
		MUST(s[n.key_length] == ':' && s[n.key_length + 1] == n.proj_id);
		MUST(n.proj_id >= SM_PROJ_MIN && n.proj_id <= SM_PROJ_MAX);
		MUST(strcmp(s + n.key_length + 2, suffix(n.kind)) == 0);
		sprintf(path, "dir/%s", s);
		name_key_path(&n, path);
		if (n.key_length == 1 && s[0] == '.')
			MUST(strcmp(path, "dir") == 0);
		else
			MUST(strlen(path) == 4 + n.key_length && memcmp(path + 4, s, n.key_length) == 0);
	}
	free(path);
}

static void check_id(const char *s)
{
	char again[32];
	key_t key;
	int id = -1;
	enum name_kind kind = name_parse_id(s, &id);

	if (kind != NAME_DIR) {
		MUST(id >= 0 && (kind == NAME_OBJECT || kind == NAME_INFO));
		snprintf(again, sizeof(again), "%d%s", id, suffix(kind));
		MUST(strcmp(again, s) == 0);
	}
	if (name_parse_key(s, &key)) {
		snprintf(again, sizeof(again), NAME_KEY_FORMAT, (unsigned)key);
		MUST(strcmp(again, s) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char *s = fuzz_string(bytes, n);

	check_id(s);
	if (!strchr(s, '/'))	/* the kernel lets none through */
		check_name(s);
	free(s);
	return 0;
}
