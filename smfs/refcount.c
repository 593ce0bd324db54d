/* SPDX-License-Identifier: MIT */
/* A counter may hold anything, since strangers write it: it is shown as it stands, and changed by libsm only. */
#include "refcount.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repair.h"

#define REAP_WAIT_MS 4000	/* some microseconds if nobody disturbs */

int refcount_text(int counter_id, char text[REFCOUNT_TEXT_MAX])
{
	int value, err = sm_counter_value(counter_id, &value);

	return err ? err : snprintf(text, REFCOUNT_TEXT_MAX, "%d\n", value);
}

int refcount_parse(const char *bytes, size_t n, enum refcount_word *word)
{
	if (n && bytes[n - 1] == '\n')
		n--;
	if (n == 4 && memcmp(bytes, "decr", n) == 0)
		*word = REFCOUNT_DECR;
	else if (n == 4 && memcmp(bytes, "reap", n) == 0)
		*word = REFCOUNT_REAP;
	else
		return -EINVAL;
	return 0;
}

static int reap(const struct sm_segment *counter)
{
	int data = sm_segment_find(sm_key_data(counter->key));
	struct repair r = { .counter = *counter, .data_id = data < 0 ? -1 : data };

	r.error = sm_counter_reap(counter->id, REAP_WAIT_MS, &r.from, &r.to);
	if (r.error)
		return r.error;
	r.path = repair_path(counter->id);
	repair_tell(&r);
	free(r.path);
	return 0;
}

int refcount_do(const struct sm_segment *counter, enum refcount_word word)
{
	return word == REFCOUNT_DECR ? sm_counter_decrement(counter->id, NULL) : reap(counter);
}
