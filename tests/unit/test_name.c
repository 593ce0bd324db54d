/* SPDX-License-Identifier: MIT */
/* The grammar of names: what is one, and that nothing almost like one is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "name.h"

static void expect(const char *s, enum name_kind kind, size_t key_length, char proj_id)
{
	struct name n;

	name_parse(s, &n);
	if (n.kind != kind || n.key_length != key_length || n.proj_id != proj_id)
		fail_msg("\"%s\": kind %d, length %zu, proj_id %d", s, n.kind, n.key_length, n.proj_id);
}

static void objects(void **state)
{
	expect("app.key:A", NAME_OBJECT, 7, 'A');
	expect("app.key:z.refcount", NAME_REFCOUNT, 7, 'z');
	expect("app.key:_.info", NAME_INFO, 7, '_');
	expect("a:A:B", NAME_OBJECT, 3, 'B');
	expect(".:A", NAME_OBJECT, 1, 'A');
	expect("...:A", NAME_OBJECT, 3, 'A');
	for (int c = 1; c < 256; c++) {
		char s[] = { 'k', ':', (char)c, '\0' };
		int legal = c >= 'A' && c <= 'z';

		expect(s, legal ? NAME_OBJECT : NAME_DIR, legal ? 1 : strlen(s), legal ? (char)c : 0);
	}
}

static void directories(void **state)
{
	static const char *const names[] = {
		"", ":", ":A", "..:A", "a", "a:", "a:A.", "a:A.inf", "a:A.infos", "a:A.refcoun", "a:A.refcount2", "a:AB",
		"a:A.info:", "a:A.INFO", "a:A .info",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		expect(names[i], NAME_DIR, strlen(names[i]), 0);
}

static void shmids(void **state)
{
	static const struct { const char *s; int id; } good[] = {
		{ "0", 0 }, { "7", 7 }, { "10", 10 }, { "32769", 32769 }, { "2147483647", INT_MAX },
	};
	static const char *const bad[] = {
		"", "-1", "+1", "-0", "00", "01", " 1", "1 ", "0x1", "1a", "1.", "1.inf", "1.info2", ".info", "01.info",
		"2147483648", "2147483648.info", "4294967296", "4294967297", "18446744073709551616", "99999999999999999999",
	};
	char text[32];
	int id;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		id = -1;
		assert_int_equal(name_parse_id(good[i].s, &id), NAME_OBJECT);
		assert_int_equal(id, good[i].id);
		snprintf(text, sizeof(text), "%s.info", good[i].s);
		assert_int_equal(name_parse_id(text, &id), NAME_INFO);
		assert_int_equal(id, good[i].id);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (name_parse_id(bad[i], &id) != NAME_DIR)
			fail_msg("\"%s\" is no shmid", bad[i]);
}

static void keys(void **state)
{
	static const uint32_t good[] = { 0, 1, 0x4101abcd, 0x7fffffff, 0x80000000, 0xffffffff };
	static const char *const bad[] = {
		"", "0x", "0x1", "0x4101abc", "0x4101abcd0", "0x04101abcd", "4101abcd", "4101abcd00", "0X4101abcd",
		"0x4101ABCD", "0x4101abcg", "0x-101abcd", "0x+101abcd", "0x 101abcd", "0x101abcd ", "-0x101abcd", "0x0x01abcd",
	};
	char text[32];
	key_t key;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(text, sizeof(text), NAME_KEY_FORMAT, (unsigned)good[i]);
		assert_int_equal(strlen(text), 10);
		assert_true(name_parse_key(text, &key));
		assert_int_equal((uint32_t)key, good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (name_parse_key(bad[i], &key))
			fail_msg("\"%s\" is no key", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects), cmocka_unit_test(directories), cmocka_unit_test(shmids), cmocka_unit_test(keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
