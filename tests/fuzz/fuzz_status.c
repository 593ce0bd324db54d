/* SPDX-License-Identifier: MIT */
/* /proc/TID/status: a process chooses its name and its groups, and must gain nothing by them. */
#include "fuzz.h"

#include <stdbool.h>
#include <string.h>

#include "smfs/status.h"

/* Is there a whole line in TEXT that begins with NAME and has ID as its fourth number? */
static bool names(const char *text, const char *name, unsigned long id)
{
	for (const char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		unsigned long numbers[4];
		char *copy = strndup(line, (size_t)(end - line));
		bool found = strncmp(copy, name, strlen(name)) == 0 &&
			     sscanf(copy + strlen(name), "%lu%lu%lu%lu", numbers, numbers + 1, numbers + 2, numbers + 3) == 4 &&
			     numbers[3] == id;

		free(copy);
		if (found)
			return true;
	}
	return false;
}

static void check(const uint8_t *bytes, size_t n, uid_t id)
{
	struct caller c = { .uid = id, .gid = id };
	char *text = fuzz_string(bytes, n);
	bool named = names(text, "Uid:", id) && names(text, "Gid:", id);
	unsigned sum = 0;
	int r = status_parse(&c, text);

	MUST(r == 0 || r == 1);
	MUST(r == 0 || (named && memmem(bytes, n, "Groups:", 7)));
	MUST(r == 1 || (c.ngroups == 0 && c.caps == 0));
	MUST(c.uid == id && c.gid == id && (id == 0 || c.caps == 0));
	for (unsigned i = 0; i < c.ngroups; i++)
		sum += caller_groups(&c)[i];
	MUST(sum || !sum);	/* the groups can be read */
	caller_free(&c);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	check(bytes, n, 0);
	check(bytes, n, 1000);
	return 0;
}
