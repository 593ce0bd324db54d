/* SPDX-License-Identifier: MIT */

/* Which opens of one inode are answered as passed through: never one while the kernel may still have to take in a plain one. */

#include "smfs/passing.h"

#include <errno.h>

#include "gate.h"
#include "smfs/node.h"

static struct node node;

static void alone_it_is_passed_through(void **state)
{
	struct passing a = { 0 }, b = { 0 };

	assert_int_equal(passing_begin(&a, &node, true), 0);
	assert_int_equal(passing_begin(&b, &node, true), 0);
	assert_true(passing_is_through(&a) && passing_is_through(&b));
	passing_end(&a, &node);
	passing_end(&b, &node);
	assert_int_equal(node.passed, 0);
}

static void not_while_a_plain_one_may_be_on_its_way(void **state)
{
	struct passing plain = { 0 }, a = { 0 }, b = { 0 };

	assert_int_equal(passing_begin(&plain, &node, false), 0);
	assert_int_equal(passing_begin(&a, &node, true), 0);
	assert_false(passing_is_through(&a));
	passing_seen(&plain, &node);
	passing_seen(&plain, &node);
	/* the second one is on its way now */
	assert_int_equal(passing_begin(&b, &node, true), 0);
	assert_false(passing_is_through(&b));
	passing_end(&a, &node);
	passing_seen(&b, &node);
	assert_int_equal(passing_begin(&a, &node, true), 0);
	assert_true(passing_is_through(&a));
	passing_end(&plain, &node);
	passing_end(&b, &node);
	passing_end(&a, &node);
	assert_int_equal(node.passed + node.unseen, 0);
}

static void a_plain_one_is_refused_while_others_are_passed_through(void **state)
{
	struct passing a = { 0 }, plain = { 0 };

	assert_int_equal(passing_begin(&a, &node, true), 0);
	assert_int_equal(passing_begin(&plain, &node, false), -ESTALE);
	passing_end(&plain, &node);
	passing_end(&a, &node);
	assert_int_equal(passing_begin(&plain, &node, false), 0);
	passing_end(&plain, &node);
	assert_int_equal(node.passed + node.unseen, 0);
}

static void an_idle_one_is_waited_for_once(void **state)
{
	struct passing idle = { 0 }, late = { 0 }, a = { 0 };

	assert_int_equal(passing_begin(&idle, &node, false), 0);
	assert_true(passing_is_awaited(&node));
	passing_await(&node);
	assert_false(passing_is_awaited(&node));
	assert_int_equal(passing_begin(&late, &node, false), 0);
	passing_end(&idle, &node);	/* it counts no more */
	assert_true(passing_is_awaited(&node));
	passing_seen(&late, &node);
	passing_await(&node);
	assert_int_equal(passing_begin(&a, &node, true), 0);
	assert_true(passing_is_through(&a));
	passing_end(&a, &node);
	passing_end(&late, &node);
	assert_int_equal(node.passed + node.unseen, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alone_it_is_passed_through),
		cmocka_unit_test(not_while_a_plain_one_may_be_on_its_way),
		cmocka_unit_test(a_plain_one_is_refused_while_others_are_passed_through),
		cmocka_unit_test(an_idle_one_is_waited_for_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
