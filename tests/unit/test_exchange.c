/* SPDX-License-Identifier: MIT */

/* Who waits for whom while a segment is exchanged, and what its node is meanwhile. */

#include "smfs/exchange.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "gate.h"
#include "smfs/node.h"

#define KEY 0x41010203

static atomic_int step;

static void wait_ms(int ms)
{
	const struct timespec t = { .tv_nsec = ms * 1000000L };

	nanosleep(&t, NULL);
}

static void *use(void *key)
{
	struct exchange e;
	int err = exchange_enter(&e, *(key_t *)key);

	atomic_fetch_add(&step, 1);
	if (!err)
		exchange_leave(&e);
	return (void *)(intptr_t)err;
}

static void *begin(void *n)
{
	struct exchange e;
	int err = exchange_begin(&e, KEY, n);

	atomic_fetch_add(&step, 1);
	if (!err)
		exchange_leave(&e);
	return (void *)(intptr_t)err;
}

/* That thread does not get on until E is left, and then does. */
static void assert_waits(void *(*what)(void *), void *arg, struct exchange *e)
{
	pthread_t thread;
	void *result;

	step = 0;
	assert_int_equal(pthread_create(&thread, NULL, what, arg), 0);
	wait_ms(50);
	assert_int_equal(step, 0);
	exchange_leave(e);
	pthread_join(thread, &result);
	assert_int_equal((intptr_t)result, 0);
	assert_int_equal(step, 1);
}

static void uses_wait_for_an_exchange(void **state)
{
	struct node *n = node_staged();
	key_t key = KEY;
	struct exchange e;

	assert_false(exchange_is_on(KEY));
	assert_int_equal(exchange_begin(&e, KEY, n), 0);
	assert_true(exchange_is_on(KEY));
	assert_waits(use, &key, &e);
	assert_false(exchange_is_on(KEY));
	node_put(n);
}

static void an_exchange_waits_for_uses_and_for_another(void **state)
{
	struct node *n = node_staged();
	struct exchange e;

	assert_int_equal(exchange_enter(&e, KEY), 0);
	assert_waits(begin, n, &e);
	assert_int_equal(exchange_begin(&e, KEY, n), 0);
	assert_waits(begin, n, &e);
	node_put(n);
}

static void others_do_not_wait(void **state)
{
	struct node *n = node_staged();
	struct exchange e, other, private, third;

	assert_int_equal(exchange_begin(&e, KEY, n), 0);
	assert_int_equal(exchange_enter(&other, KEY + 1), 0);
	assert_int_equal(exchange_enter(&third, KEY + 1), 0);
	assert_int_equal(exchange_enter(&private, 0), 0);
	exchange_leave(&private);
	exchange_leave(&third);
	exchange_leave(&other);
	exchange_leave(&e);
	node_put(n);
}

static void between_two_segments_the_key_is_that_node(void **state)
{
	const struct sm_segment old = { .id = 1 << 30, .key = KEY, .size = 5 };
	struct node *n = node_by_segment(NODE_SEGMENT, &old);
	struct sm_segment seg;
	struct exchange e;

	assert_int_equal(node_stat(n, &seg), -ESTALE);
	assert_int_equal(exchange_begin(&e, KEY, n), 0);
	assert_null(exchange_node(KEY));

	uint64_t mark = exchange_mark();

	exchange_remove(&e);
	assert_int_not_equal(exchange_mark(), mark);
	mark = exchange_mark();
	assert_ptr_equal(exchange_node(KEY), n);
	node_put(n);
	assert_null(exchange_node(KEY + 1));
	assert_int_equal(node_stat(n, &seg), 0);
	assert_int_equal(seg.size, 5);
	exchange_leave(&e);
	assert_int_not_equal(exchange_mark(), mark);
	assert_null(exchange_node(KEY));
	assert_int_equal(node_stat(n, &seg), -ESTALE);
	node_put(n);
}

static void nobody_waits_at_the_end(void **state)
{
	struct node *n = node_staged();
	struct exchange e, other;

	assert_int_equal(exchange_begin(&e, KEY, n), 0);
	assert_false(*exchange_over());
	assert_int_equal(exchange_try(&other, KEY), -EBUSY);
	assert_int_equal(exchange_try(&other, KEY + 1), 0);
	exchange_leave(&other);
	exchange_stop();
	assert_true(*exchange_over());
	assert_int_equal(exchange_enter(&other, KEY), -EINTR);
	assert_int_equal(exchange_begin(&other, KEY, n), -EINTR);
	exchange_leave(&e);
	node_put(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uses_wait_for_an_exchange),
		cmocka_unit_test(an_exchange_waits_for_uses_and_for_another),
		cmocka_unit_test(others_do_not_wait),
		cmocka_unit_test(between_two_segments_the_key_is_that_node),
		cmocka_unit_test(nobody_waits_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
