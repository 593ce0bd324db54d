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

#define WAIT_MS 20

static void repair(int id, int data_id)
{
	int from = 0, to = 0;
	int err = sm_counter_reap_free(id, data_id, WAIT_MS, &from, &to, NULL);

	if (err && err != -EAGAIN && err != -EBUSY && err != -EIDRM && err != -EINVAL)
		wrong("sm_counter_reap_free: error %d", -err);
	if (err == 0 && to > from)
		wrong("a repair raised a count from %d to %d", from, to);
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
	struct sm_segment *table;
	ssize_t n = sm_segment_list(&table);

	for (ssize_t i = 0; i < n; i++) {
		if (!sm_key_is_counter(table[i].key))
			continue;

		int data_id = sm_segment_find(sm_key_data(table[i].key));

		if (needs_repair(table[i].id))
			repair(table[i].id, data_id < 0 ? -1 : data_id);
	}
	if (n >= 0)
		free(table);
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
