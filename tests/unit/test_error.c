// SPDX-License-Identifier: MIT
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* What sm_perror() prints; the caller frees. */
static char *printed(const sm_object *obj, const char *msg)
{
	char *text = NULL;
	size_t size;
	FILE *real = stderr;

	stderr = open_memstream(&text, &size);
	assert_non_null(stderr);
	sm_perror(obj, msg);
	fclose(stderr);
	stderr = real;
	return text;
}

static void check(const sm_object *obj, const char *msg, const char *wanted)
{
	char *text = printed(obj, msg);

	assert_string_equal(text, wanted);
	free(text);
}

static void test_ebadk_in_the_words_of_the_class(void **state)
{
	sm_object *obj = sm_object_new(unit_key, '!', 100);

	assert_int_equal(sm_error(obj), SM_EBADK);
	assert_int_equal(SM_EBADK, -2);
	check(obj, "shmCreate", "shmCreate: key_id out of range.\n");
	assert_int_equal(sm_create(obj), -1);
	assert_int_equal(sm_error(obj), SM_EBADK);
	assert_string_equal(sm_error_text(obj), "key_id out of range.");
	sm_object_free(obj);
}

static void test_no_error(void **state)
{
	sm_object *obj = sm_object_new(unit_key, 'A', 100);

	assert_int_equal(sm_error(obj), 0);
	check(obj, "msg", "msg: Success\n");
	check(obj, "", "Success\n");
	check(obj, NULL, "Success\n");
	sm_object_free(obj);
}

static void test_the_text_names_object_and_reason(void **state)
{
	sm_object *obj = sm_object_new(unit_key, 'A', 5000), *big = sm_object_new(unit_key, 'A', 8192);
	char wanted[300];

	assert_int_equal(sm_access(obj), -1);
	snprintf(wanted, sizeof wanted, "No such file or directory: %s:A does not exist; create it first", unit_key);
	assert_string_equal(sm_error_text(obj), wanted);
	assert_int_equal(sm_create(obj), 0);
	assert_int_equal(sm_create(big), -1);
	snprintf(wanted, sizeof wanted,
		 "x: Invalid argument: %s:A exists with 5000 bytes, fewer than the 8192 asked for\n", unit_key);
	check(big, "x", wanted);
	assert_int_equal(sm_access(big), -1);
	check(big, "x", wanted);
	assert_int_equal(sm_access(obj), 0);
	assert_string_equal(sm_error_text(obj), "Success");
	sm_object_free(big);
	sm_object_free(obj);
}

static void test_null_is_an_invalid_object(void **state)
{
	assert_int_equal(sm_error(NULL), EINVAL);
	assert_string_equal(sm_error_text(NULL), "Invalid argument");
	check(NULL, "msg", "msg: Invalid argument\n");
}

static void test_without_memory_the_name_has_to_do(void **state)
{
	sm_object *obj = sm_object_new("/nonexistent", 'A', 1);

	for (int nth = 1; nth <= 2; nth++) {
		fault_fail(FAULT_ASPRINTF, nth, ENOMEM);
		assert_int_equal(sm_create(obj), -1);
		assert_int_equal(sm_error(obj), ENOENT);
		assert_string_equal(sm_error_text(obj), "No such file or directory");
		assert_true(fault_clear());
	}
	assert_int_equal(sm_create(obj), -1);
	assert_string_equal(sm_error_text(obj),
			    "No such file or directory: key file /nonexistent; any file will do, make it first");
	sm_object_free(obj);
}

static const struct CMUnitTest tests[] = {
	UNIT(test_ebadk_in_the_words_of_the_class),
	UNIT(test_no_error),
	UNIT(test_the_text_names_object_and_reason),
	UNIT(test_null_is_an_invalid_object),
	UNIT(test_without_memory_the_name_has_to_do),
};

UNIT_MAIN(tests)
