// SPDX-License-Identifier: MIT
#include "unit.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

static sm_object *new(size_t size)
{
	sm_object *obj = sm_object_new(unit_key, 'O', size);

	assert_non_null(obj);
	return obj;
}

static void refused(sm_object *obj, int r, int error)
{
	assert_int_equal(r, -1);
	assert_int_equal(sm_error(obj), error);
}

static void test_a_whole_life(void **state)
{
	sm_object *a = new(5000), *b = new(0);

	assert_null(sm_data(a));
	assert_int_equal(sm_size(a), 5000);
	assert_int_equal(sm_create(a), 0);
	assert_int_equal(sm_refcount(a), 0);
	assert_null(sm_data(a));
	assert_int_equal(sm_access(a), 0);
	assert_int_equal(sm_refcount(a), 1);
	assert_int_equal(sm_create(b), 0);
	assert_int_equal(sm_size(b), 5000);
	assert_int_equal(sm_access(b), 0);
	assert_int_equal(sm_refcount(a), 2);
	memcpy((char *)sm_data(a) + 4990, "0123456789", 10);
	assert_memory_equal((char *)sm_data(b) + 4990, "0123456789", 10);
	sm_object_free(a);
	assert_int_equal(sm_refcount(b), 1);
	sm_object_free(b);
	assert_int_equal(unit_segments(), 0);
}

static void test_size_0_is_what_exists(void **state)
{
	sm_object *none = new(0), *obj = new(7);
	char text[200];

	refused(none, sm_create(none), ENOENT);
	refused(none, sm_access(none), ENOENT);
	assert_int_equal(unit_segments(), 0);
	assert_int_equal(sm_create(obj), 0);
	assert_int_equal(sm_create(none), 0);
	assert_int_equal(sm_size(none), 7);
	/* Half an object is none, and nothing is made. */
	sm_segment_remove(sm_segment_find(unit_counter_key('O')));
	refused(none, sm_create(none), ENOENT);
	snprintf(text, sizeof text, "No such file or directory: %s:O does not exist; create it first", unit_key);
	assert_string_equal(sm_error_text(none), text);
	assert_int_equal(unit_segments(), 1);
	assert_int_equal(sm_create(obj), 0);
	assert_int_equal(sm_access(obj), 0);
	sm_object_free(obj);
	sm_object_free(none);
}

static void test_sizes(void **state)
{
	sm_object *obj = new(5000), *small = new(100), *big = new(5001), *huge = new(SIZE_MAX);

	assert_int_equal(sm_create(obj), 0);
	assert_int_equal(sm_create(small), 0);
	assert_int_equal(sm_size(small), 5000);
	refused(big, sm_create(big), EINVAL);
	refused(big, sm_access(big), EINVAL);
	assert_int_equal(sm_refcount(obj), 0);
	assert_int_equal(sm_object_set_size(big, 5000), 0);
	assert_int_equal(sm_access(big), 0);
	sm_object_free(big);
	assert_int_equal(sm_create(huge), -1);
	assert_true(sm_error(huge) == EINVAL || sm_error(huge) == ENOMEM || sm_error(huge) == ENOSPC);
	assert_int_equal(unit_segments(), 0);
	sm_object_free(huge);
	sm_object_free(small);
	sm_object_free(obj);
}

/* sm_create() is EINVAL, and says so. */
static void says(sm_object *obj, const char *format, ...)
{
	char wanted[300];
	va_list args;
	int n = snprintf(wanted, sizeof wanted, "Invalid argument: %s:O ", unit_key);

	va_start(args, format);
	vsnprintf(wanted + n, sizeof wanted - (size_t)n, format, args);
	va_end(args);
	refused(obj, sm_create(obj), EINVAL);
	assert_string_equal(sm_error_text(obj), wanted);
}

static void test_what_is_said_of_sizes_beyond_the_limits(void **state)
{
	sm_object *obj = new(10), *huge = new(SIZE_MAX);
	struct sm_limits limits;

	assert_int_equal(sm_limits_get(&limits), 0);
	says(huge, "cannot have %zu bytes: one segment may have %" PRIu64 " at most (SHMMAX)", SIZE_MAX, limits.shmmax);
	assert_int_equal(sm_size(huge), SIZE_MAX);
	/* Within SHMMAX as it is by default, and more than the largest file. */
	if (limits.shmmax > INT64_MAX) {
		assert_int_equal(sm_object_set_size(huge, limits.shmmax), 0);
		says(huge, "cannot have %" PRIu64 " bytes: one segment can have %" PRIi64 " at most", limits.shmmax, INT64_MAX);
	}
	assert_int_equal(unit_segments(), 0);
	assert_int_equal(sm_create(obj), 0);
	assert_int_equal(sm_object_set_size(huge, SIZE_MAX), 0);
	says(huge, "exists with 10 bytes, fewer than the %zu asked for", SIZE_MAX);
	assert_int_equal(sm_access(obj), 0);
	sm_object_free(huge);
	sm_object_free(obj);
}

/* As another program may have made one beside an object that this handle has found. */
static void test_what_is_said_of_a_counter_too_small(void **state)
{
	sm_object *obj = new(10);
	char text[200];
	int id;

	assert_int_equal(sm_create(obj), 0);
	assert_int_equal(sm_segment_remove(sm_segment_find(unit_counter_key('O'))), 0);
	id = sm_segment_create(unit_counter_key('O'), 1, 0600);
	assert_true(id >= 0);
	refused(obj, sm_refcount(obj), EINVAL);
	snprintf(text, sizeof text, "Invalid argument: the counter segment of %s:O is smaller than an int", unit_key);
	assert_string_equal(sm_error_text(obj), text);
	assert_int_equal(sm_segment_remove(id), 0);
	assert_int_equal(sm_segment_remove(sm_segment_find(unit_data_key('O'))), 0);
	sm_object_free(obj);
}

static void test_accessing_twice(void **state)
{
	sm_object *obj = new(10);
	void *data;

	assert_int_equal(sm_create(obj), 0);
	assert_int_equal(sm_access(obj), 0);
	data = sm_data(obj);
	refused(obj, sm_access(obj), EBUSY);
	refused(obj, sm_object_set_id(obj, "/", 'A'), EBUSY);
	refused(obj, sm_object_set_size(obj, 3), EBUSY);
	refused(obj, sm_object_set_mode(obj, 0600), EBUSY);
	assert_ptr_equal(sm_data(obj), data);
	assert_int_equal(sm_refcount(obj), 1);
	assert_int_equal(sm_error(obj), 0);
	sm_object_free(obj);
}

static void test_names_that_are_refused(void **state)
{
	sm_object *obj = sm_object_new(NULL, 'A', 10);

	assert_int_equal(sm_error(obj), EINVAL);
	refused(obj, sm_create(obj), EINVAL);
	refused(obj, sm_access(obj), EINVAL);
	refused(obj, sm_refcount(obj), EINVAL);
	refused(obj, sm_decrement(obj), EINVAL);
	refused(obj, sm_object_set_id(obj, NULL, 'A'), EINVAL);
	refused(obj, sm_object_set_id(obj, unit_key, '@'), SM_EBADK);
	refused(obj, sm_object_set_id(obj, unit_key, '{'), SM_EBADK);
	refused(obj, sm_object_set_id(obj, unit_key, (char)200), SM_EBADK);
	refused(obj, sm_object_set_mode(obj, 01777), EINVAL);
	refused(obj, sm_create(obj), EINVAL);
	assert_int_equal(sm_object_set_id(obj, "/nonexistent/x", 'O'), 0);
	refused(obj, sm_create(obj), ENOENT);
	assert_int_equal(sm_object_set_id(obj, "/dev/null/x", 'O'), 0);
	refused(obj, sm_access(obj), ENOTDIR);
	/* Usable after all that. */
	assert_int_equal(sm_object_set_id(obj, unit_key, 'O'), 0);
	assert_int_equal(sm_create(obj), 0);
	assert_int_equal(sm_access(obj), 0);
	sm_object_free(obj);
	obj = sm_object_new(unit_key, '0', 10);
	refused(obj, sm_create(obj), SM_EBADK);
	refused(obj, sm_access(obj), SM_EBADK);
	refused(obj, sm_refcount(obj), SM_EBADK);
	sm_object_free(obj);
}

static void test_null_objects(void **state)
{
	sm_object_free(NULL);
	assert_int_equal(sm_object_set_id(NULL, "/", 'A'), -1);
	assert_int_equal(sm_object_set_size(NULL, 1), -1);
	assert_int_equal(sm_object_set_mode(NULL, 0600), -1);
	assert_int_equal(sm_create(NULL), -1);
	assert_int_equal(sm_access(NULL), -1);
	assert_null(sm_data(NULL));
	assert_int_equal(sm_size(NULL), 0);
	assert_int_equal(sm_refcount(NULL), -1);
	assert_int_equal(sm_decrement(NULL), -1);
}

static void test_decrement(void **state)
{
	sm_object *obj = new(10), *other = new(0);

	refused(obj, sm_decrement(obj), ENOENT);
	refused(obj, sm_refcount(obj), ENOENT);
	assert_int_equal(sm_create(obj), 0);
	refused(obj, sm_decrement(obj), ERANGE);
	assert_int_equal(sm_access(obj), 0);
	assert_int_equal(sm_decrement(other), 0);
	refused(obj, sm_decrement(obj), ERANGE);
	assert_int_equal(sm_refcount(obj), 0);
	assert_int_equal(unit_segments(), 2);
	sm_object_free(other);
	sm_object_free(obj);
	assert_int_equal(unit_segments(), 0);
}

static void test_a_handle_that_never_accessed_changes_nothing(void **state)
{
	sm_object *obj = new(10);

	assert_int_equal(sm_create(obj), 0);
	sm_object_free(obj);
	assert_int_equal(unit_segments(), 2);
	obj = new(0);
	assert_int_equal(sm_access(obj), 0);
	sm_object_free(obj);
}

static void test_mode_and_recorded_path(void **state)
{
	struct sm_segment seg;
	struct sm_counter c;
	sm_object *obj;
	char link[80];
	mode_t old = umask(0777);

	snprintf(link, sizeof link, "%s.link", unit_key);
	assert_int_equal(symlink(unit_key, link), 0);
	obj = sm_object_new(link, 'O', 10);
	assert_int_equal(sm_object_set_mode(obj, 0624), 0);
	assert_int_equal(sm_create(obj), 0);
	umask(old);
	unlink(link);
	assert_int_equal(sm_segment_stat_key(unit_data_key('O'), &seg), 0);
	assert_int_equal(seg.mode, 0624);
	assert_int_equal(sm_segment_stat_key(unit_counter_key('O'), &seg), 0);
	assert_int_equal(seg.mode, 0624);
	assert_int_equal(sm_counter_load(seg.id, &c), 0);
	assert_string_equal(c.path, unit_key);
	sm_object_free(obj);
	obj = new(0);
	assert_int_equal(sm_access(obj), 0);
	sm_object_free(obj);
}

static void test_garbage_in_the_counter_is_no_error(void **state)
{
	sm_object *obj = new(10);

	assert_int_equal(sm_create(obj), 0);
	assert_int_equal(sm_access(obj), 0);
	*(int *)obj->hold.page = INT_MIN;
	assert_int_equal(sm_refcount(obj), 0);
	assert_int_equal(sm_error(obj), 0);
	*(int *)obj->hold.page = INT_MAX;
	refused(NULL, sm_access(NULL), EINVAL);
	assert_int_equal(sm_refcount(obj), INT_MAX);
	*(int *)obj->hold.page = 1;
	sm_object_free(obj);
}

static int as_a_stranger(void *arg)
{
	sm_object *obj = new(10);

	unit_become(4242, 4242);
	if (sm_create(obj) != -1 || sm_error(obj) != EACCES || sm_access(obj) != -1 || sm_error(obj) != EACCES ||
	    sm_refcount(obj) != -1 || sm_error(obj) != EACCES || sm_decrement(obj) != -1 || sm_error(obj) != EACCES)
		return 1;
	sm_object_free(obj);
	return 0;
}

static void test_somebody_elses(void **state)
{
	sm_object *obj = new(10);

	assert_int_equal(sm_object_set_mode(obj, 0600), 0);
	assert_int_equal(sm_create(obj), 0);
	assert_int_equal(unit_in_child(as_a_stranger, NULL), 0);
	assert_int_equal(sm_access(obj), 0);
	assert_int_equal(sm_refcount(obj), 1);
	sm_object_free(obj);
}

static int in_a_forked_child(void *arg)
{
	sm_object *obj = arg;

	if (!sm_data(obj) || sm_refcount(obj) != 1 || sm_object_set_size(obj, 10) != 0 || sm_access(obj) != 0 ||
	    sm_refcount(obj) != 2)
		return 1;
	sm_object_free(obj);
	return 0;
}

static int free_in_a_forked_child(void *arg)
{
	sm_object_free(arg);
	return 0;
}

static void test_fork(void **state)
{
	sm_object *obj = new(10);

	assert_int_equal(sm_create(obj), 0);
	assert_int_equal(sm_access(obj), 0);
	assert_int_equal(unit_in_child(free_in_a_forked_child, obj), 0);
	assert_int_equal(sm_refcount(obj), 1);
	assert_int_equal(unit_in_child(in_a_forked_child, obj), 0);
	assert_int_equal(sm_refcount(obj), 1);
	sm_object_free(obj);
}

static void test_a_key_file_that_is_replaced(void **state)
{
	sm_object *obj = new(10);
	char other[80];

	assert_int_equal(sm_create(obj), 0);
	assert_int_equal(sm_access(obj), 0);
	snprintf(other, sizeof other, "%s.new", unit_key);
	fclose(fopen(other, "w"));
	assert_int_equal(rename(other, unit_key), 0);
	/* It still holds what it accessed. */
	assert_int_equal(sm_refcount(obj), 1);
	sm_object_free(obj);
	assert_int_equal(unit_segments(), 0);
}

static void test_out_of_memory(void **state)
{
	sm_object *obj;

	fault_fail(FAULT_CALLOC, 1, ENOMEM);
	assert_null(sm_object_new(unit_key, 'O', 10));
	fault_fail(FAULT_STRDUP, 1, ENOMEM);
	assert_null(sm_object_new(unit_key, 'O', 10));
	obj = new(10);
	fault_fail(FAULT_STRDUP, 1, ENOMEM);
	refused(obj, sm_object_set_id(obj, "/", 'A'), ENOMEM);
	assert_string_equal(obj->path, unit_key);
	sm_object_free(obj);
}

static const struct CMUnitTest tests[] = {
	UNIT(test_a_whole_life),
	UNIT(test_size_0_is_what_exists),
	UNIT(test_sizes),
	UNIT(test_what_is_said_of_sizes_beyond_the_limits),
	UNIT(test_what_is_said_of_a_counter_too_small),
	UNIT(test_accessing_twice),
	UNIT(test_names_that_are_refused),
	UNIT(test_null_objects),
	UNIT(test_decrement),
	UNIT(test_a_handle_that_never_accessed_changes_nothing),
	UNIT(test_mode_and_recorded_path),
	UNIT(test_garbage_in_the_counter_is_no_error),
	UNIT(test_somebody_elses),
	UNIT(test_fork),
	UNIT(test_a_key_file_that_is_replaced),
	UNIT(test_out_of_memory),
};

UNIT_MAIN(tests)
