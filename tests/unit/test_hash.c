/* SPDX-License-Identifier: MIT */

/* The hash of the tables, and that names chosen to be slow are as fast as any. */

#include "smfs/hash.h"

#include <string.h>

#include "gate.h"
#include "smfs/node.h"

#define NAMES 2000
#define LENGTH 24		/* with the kind that node.c puts before a path */

static unsigned compared;

int __real_memcmp(const void *a, const void *b, size_t n);
int __wrap_memcmp(const void *a, const void *b, size_t n);

int __wrap_memcmp(const void *a, const void *b, size_t n)
{
	compared++;
	return __real_memcmp(a, b, n);
}

/* Of another implementation, with a secret of 0: the low half of hash(b'...') of Python 3.11 with PYTHONHASHSEED=0. */
static void it_is_siphash_1_3(void **state)
{
	static const struct { const char *text; uint32_t hash; } known[] = {
		{ "a", 0xb89b1813 }, { "abcdefg", 0x9070f506 }, { "abcdefgh", 0x0b8e35ea },
		{ "abcdefghijklmnopqrstuvwxyz", 0xd30709df }, { "/a/directory/of/some/length", 0x63c8f069 },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		assert_int_equal(hash_bytes(known[i].text, strlen(known[i].text)), known[i].hash);
}

static void its_secret_is_another_each_time(void **state)
{
	const uint32_t before = hash_bytes("abcdefgh", 8);
	bool other = false;

	for (int i = 0; i < 3; i++) {		/* by chance the same thrice: 2^-96 */
		assert_int_equal(hash_start(), 0);
		other |= hash_bytes("abcdefgh", 8) != before;
	}
	assert_true(other);
}

static uint32_t word_at(const char *at)
{
	uint32_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/* Name number I: its second twelve bytes bring uthash's function from where the first have brought it to one and the same state. */
static bool make_name(char *name, unsigned i)
{
	static const uint32_t wanted[3] = { 0x12345678, 0x9abcdef1, 0x55667788 };
	uint32_t a = 0x9e3779b9, b = a, c = 0xfeedbeef;

	snprintf(name, LENGTH + 1, "%c%011u", 'a' + NODE_DIR, i);
	a += word_at(name);
	b += word_at(name + 4);
	c += word_at(name + 8);
	HASH_JEN_MIX(a, b, c);

	const uint32_t second[3] = { wanted[0] - a, wanted[1] - b, wanted[2] - c };

	memcpy(name + 12, second, sizeof(second));
	name[LENGTH] = '\0';
	return !memchr(name, '\0', LENGTH);
}

static unsigned hash_of_uthash(const char *name)
{
	unsigned hash;

	HASH_JEN(name, LENGTH, hash);
	return hash;
}

static void names_with_one_hash_of_uthash_are_found_at_once(void **state)
{
	static char names[NAMES][LENGTH + 1];
	static struct node *nodes[NAMES];

	for (unsigned i = 0, n = 0; n < NAMES; i++)
		n += make_name(names[n], i);
	for (int i = 0; i < NAMES; i++) {
		assert_int_equal(hash_of_uthash(names[i]), hash_of_uthash(names[0]));
		nodes[i] = node_by_path(NODE_DIR, names[i] + 1);
		assert_non_null(nodes[i]);
	}
	compared = 0;
	for (int i = 0; i < NAMES; i++) {
		struct node *n = node_by_path(NODE_DIR, names[i] + 1);

		assert_ptr_equal(n, nodes[i]);
		node_put(n);
	}
	printf("%u comparisons for %u names\n", compared, NAMES);
	assert_in_range(compared, NAMES, 2 * NAMES);
	for (int i = 0; i < NAMES; i++)
		node_put(nodes[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_siphash_1_3),
		cmocka_unit_test(its_secret_is_another_each_time),
		cmocka_unit_test(names_with_one_hash_of_uthash_are_found_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
