/* SPDX-License-Identifier: MIT */

/* Whoever is told of a change, or that nobody waits any more, may do what he likes: no lock of watch.c is held meanwhile. */

#include "smfs/watch.h"

#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "gate.h"

#define FILES 3

static struct watch *watches[FILES], *another;
static struct watch_state seen;
static int *value;
static atomic_int woken, dropped;
static bool frees;

static void ask(void)
{
	watch_poll(another, &seen, NULL);
}

/* The handle is one of `watches`. */
static void woke(void *handle)
{
	struct watch **w = handle;

	ask();
	if (frees) {
		watch_free(*w);
		*w = NULL;
	}
	atomic_fetch_add(&woken, 1);
}

static void drops(void *handle)
{
	ask();
	atomic_fetch_add(&dropped, 1);
}

static int begin(void **state)
{
	void *at;
	int id = sm_segment_create(0x01020304, sizeof(int), 0600);

	if (id < 0 || sm_segment_attach(id, false, &at))
		return -1;
	value = at;
	seen = (struct watch_state){ .counter = id };
	woken = dropped = 0;
	another = watch_new();
	for (int i = 0; i < FILES; i++)
		watches[i] = watch_new();
	return sm_segment_stat(id, &seen.seg);
}

static int end(void **state)
{
	for (int i = 0; i < FILES; i++)
		watch_free(watches[i]);
	watch_free(another);
	sm_segment_detach(value);
	return sm_segment_remove(seen.counter);
}

static void all_wait(void)
{
	for (int i = 0; i < FILES; i++)
		assert_false(watch_poll(watches[i], &seen, &watches[i]));
}

static void await(atomic_int *n, int expected)
{
	while (atomic_load(n) < expected)
		usleep(1000);
	assert_int_equal(*n, expected);
}

static void who_is_woken_may_ask(void **state)
{
	frees = false;
	all_wait();
	*value = 1;
	await(&woken, FILES);
	assert_int_equal(dropped, 0);
}

static void who_is_woken_may_close(void **state)
{
	frees = true;
	all_wait();
	*value = 1;
	await(&woken, FILES);
	assert_int_equal(dropped, 0);
}

/* On a slow machine some are woken before. */
static void who_is_dropped_may_ask(void **state)
{
	frees = false;
	all_wait();
	watch_poll(watches[0], &seen, &watches[0]);	/* the last one is kept */
	watch_free(watches[1]);
	watches[1] = NULL;
	*value = 1;
	assert_true(watch_poll(another, &seen, &another));
	for (int i = 0; i < FILES; i++) {
		watch_free(watches[i]);
		watches[i] = NULL;
	}
	while (woken + dropped < FILES + 2)
		usleep(1000);
	assert_int_equal(woken + dropped, FILES + 2);	/* each handle once */
	assert_true(dropped > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_is_woken_may_ask, begin, end),
		cmocka_unit_test_setup_teardown(who_is_woken_may_close, begin, end),
		cmocka_unit_test_setup_teardown(who_is_dropped_may_ask, begin, end),
	};

	if (unshare(CLONE_NEWIPC))
		return unit_skip("no private IPC namespace");
	alarm(120);	/* what waits for a lock that it has waits for ever */
	watch_start(woke, drops);

	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	watch_stop();
	return failed ? 1 : 0;
}
