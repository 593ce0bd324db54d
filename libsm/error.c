// SPDX-License-Identifier: MIT
/* How the last call on an object ended, as a number and in words that name the object and the reason. */
#include "private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* The class's own words, which people's scripts look for. */
#define EBADK_TEXT "key_id out of range."

int error_clear(sm_object *obj)
{
	free(obj->text);
	obj->text = NULL;
	obj->error = 0;
	return 0;
}

static const char *name_of(int err)
{
	return err == SM_EBADK ? EBADK_TEXT : strerror(err);
}

int error_set(sm_object *obj, int err, const char *reason, ...)
{
	char *why = NULL;
	va_list args;

	error_clear(obj);
	obj->error = err;
	if (!reason)
		return -1;
	va_start(args, reason);
	if (vasprintf(&why, reason, args) < 0)
		why = NULL;
	va_end(args);
	/* Without memory for the reason, the error's name has to do. */
	if (why && asprintf(&obj->text, "%s: %s", name_of(err), why) < 0)
		obj->text = NULL;
	free(why);
	return -1;
}

int sm_error(const sm_object *obj)
{
	return obj ? obj->error : EINVAL;
}

const char *sm_error_text(const sm_object *obj)
{
	if (obj && obj->text)
		return obj->text;
	return name_of(sm_error(obj));
}

void sm_perror(const sm_object *obj, const char *msg)
{
	if (msg && *msg)
		fprintf(stderr, "%s: %s\n", msg, sm_error_text(obj));
	else
		fprintf(stderr, "%s\n", sm_error_text(obj));
}
