/* SPDX-License-Identifier: MIT */
/*
 * As the monitor of smfs does it, but more eager: without a pause, and whether or not anything seems to have happened.
 */
#include "reaper.h"

#include <errno.h>
#include <libsm/sm.h>
#include <stdlib.h>
#include <unistd.h>

#include "stress.h"

#define PAIRS_MAX (OBJECTS * 4)
#define WAIT_MS 20

static void check(const struct sm_repair *r)
{
	if (r->error && r->error != -EAGAIN && r->error != -EBUSY && r->error != -EIDRM && r->error != -EINVAL)
		wrong("sm_counter_reap_many: error %d", -r->error);
	if (r->error == 0 && r->to > r->from)
		wrong("a repair raised a count from %d to %d", r->from, r->to);
}

/* Dead holders, or a last leaver that died while removing. */
static bool needs_repair(int id)
{
	int n;

	if (sm_counter_leaked(id, &n) == 0 && n > 0)
		return true;
	return sm_counter_value(id, &n) == 0 && n <= 0;
}

static void pass(void)
{
	struct sm_repair repairs[PAIRS_MAX];
	struct sm_segment *table;
	ssize_t n = sm_segment_list(&table);
	size_t pairs = 0;

	for (ssize_t i = 0; i < n && pairs < PAIRS_MAX; i++) {
		if (!sm_key_is_counter(table[i].key))
			continue;

		int data_id = sm_segment_find(sm_key_data(table[i].key));

		if (needs_repair(table[i].id))
			repairs[pairs++] = (struct sm_repair){ .counter_id = table[i].id, .data_id = data_id < 0 ? -1 : data_id };
	}
	if (n >= 0)
		free(table);
	sm_counter_reap_many(repairs, pairs, WAIT_MS);
	for (size_t i = 0; i < pairs; i++)
		check(&repairs[i]);
}

pid_t reaper_start(void)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	pause_one_in = 3;
	for (;;) {
		pass();
		sleep_us(5000);
	}
}
