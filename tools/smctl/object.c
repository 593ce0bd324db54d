// SPDX-License-Identifier: MIT
/* create, decr: what changes one object. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "smctl.h"

const struct flag create_flags[] = {
	{ OPT_MODE, "mode", "MODE", "permissions of both segments, octal (0666 less the umask)" },
	{ 0 },
};

int object_fail(const struct target *t, const char *doing, const sm_object *obj)
{
	int error = sm_error(obj);
	char *text;

	if (error != EINVAL)
		return fail("cannot %s %s: %s", doing, target_name(t), error_text(error));
	/* A size that cannot be had: the library says which of the limits it is. */
	text = text_clean(sm_error_text(obj));
	fail("cannot %s %s: %s", doing, target_name(t), text);
	free(text);
	return FAILED;
}

mode_t mode_default(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return 0666 & ~mask;
}

static int exists(const struct target *t, const struct sm_segment *seg)
{
	return fail("%s exists already, with %zu bytes; nothing changed", target_name(t), seg->size);
}

static int create(const struct target *t, size_t size, mode_t mode)
{
	struct sm_segment seg;
	sm_object *obj;
	int status = DONE;

	if (!sm_segment_stat_key(t->key, &seg))
		return exists(t, &seg);
	obj = need(sm_object_new(t->path, t->proj, size));
	if (sm_object_set_mode(obj, mode) < 0 || sm_create(obj) < 0)
		status = object_fail(t, "make", obj);
	/* sm_create() finds as well as makes: somebody else may have been quicker. */
	else if (!sm_segment_stat_key(t->key, &seg) && seg.cpid != getpid())
		status = exists(t, &seg);
	sm_object_free(obj);
	return status;
}

int run_create(int argc, char **argv)
{
	struct target t = NO_TARGET;
	mode_t mode = mode_default();
	size_t size = 0;
	int code, status = 0;

	while (!status && (code = flag_next(argc, argv, false)) != -1)
		status = code == OPT_MODE ? take_mode(optarg, &mode) : USAGE;
	if (status)
		return status;
	argc -= optind;
	argv += optind;
	status = target_take(&t, &argc, &argv);
	if (!status && argc < 1)
		status = misuse("operand missing: the size in bytes");
	status = status ? status : take_size(argv[0], &size);
	status = status ? status : operands_end(argc - 1, argv + 1);
	status = status ? status : create(&t, size, mode);
	target_free(&t);
	return status;
}

int run_decr(int argc, char **argv)
{
	struct target t = NO_TARGET;
	int status, left = 0;

	if (flag_next(argc, argv, false) != -1)
		return USAGE;
	status = target_only(&t, argc - optind, argv + optind);
	if (!status) {
		int id = sm_segment_find(sm_key_counter(t.key));
		int error = id < 0 ? id : sm_counter_decrement(id, &left);

		if (error == -ERANGE)
			status = fail("the counter of %s is 0 already; nothing changed", target_name(&t));
		else if (error < 0)
			status = target_fail(&t, "count down", error);
		else
			printf("%d\n", left);
	}
	target_free(&t);
	return status;
}
