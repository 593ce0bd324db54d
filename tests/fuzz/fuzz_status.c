/* SPDX-License-Identifier: MIT */
/* /proc/TID/status: a process chooses its name and its groups, and must gain nothing by them. */
#include "fuzz.h"

#include <string.h>

#include "smfs/status.h"

static void check(const uint8_t *bytes, size_t n, uid_t id)
{
	struct caller c = { .uid = id, .gid = id };
	char *text = fuzz_string(bytes, n);
	unsigned sum = 0;
	int r = status_parse(&c, text);

	MUST(r == 0 || r == 1);
	MUST(r == 0 || (memmem(bytes, n, "Uid:", 4) && memmem(bytes, n, "Gid:", 4) && memmem(bytes, n, "Groups:", 7)));
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
