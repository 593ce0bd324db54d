/* SPDX-License-Identifier: MIT */
/*
 * What a directory listed. It is held for as long as the directory is open, by whoever opens many, so an entry is small and
 * the names lie in one buffer.
 */
#include "listing.h"

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define TRIM_AFTER ((size_t)1 << 20)	/* bytes that listings gave back: worth a look at what the system can have */

/* AT, or what takes its place, with room for MORE elements of SIZE bytes behind the LENGTH that it has; NULL: memory is out. */
static void *grown(void *at, size_t length, size_t more, size_t size, size_t *capacity)
{
	size_t wanted = *capacity ? 2 * *capacity : 64;

	if (length + more <= *capacity)
		return at;
	if (wanted < length + more)
		wanted = length + more;
	at = reallocarray(at, wanted, size);
	if (at)
		*capacity = wanted;
	return at;
}

static int make_room(struct listing *l, size_t n)
{
	struct list_entry *entries = grown(l->entries, l->count, 1, sizeof(*entries), &l->capacity);

	if (!entries)
		return -ENOMEM;
	l->entries = entries;

	char *names = n > UINT32_MAX - l->names_length ? NULL : grown(l->names, l->names_length, n, 1, &l->names_capacity);

	if (!names)
		return -ENOMEM;
	l->names = names;
	return 0;
}

int list_add(struct listing *l, const char *name, enum name_kind kind, const struct sm_segment *seg)
{
	size_t n = strlen(name) + 1;
	int err = make_room(l, n);

	if (err)
		return err;

	struct list_entry *e = &l->entries[l->count++];

	*e = (struct list_entry){ .name = (uint32_t)l->names_length, .kind = (uint8_t)kind };
	if (seg) {
		e->id = seg->id;
		e->key = seg->key;
	}
	memcpy(l->names + l->names_length, name, n);
	l->names_length += n;
	return 0;
}

const char *list_name(const struct listing *l, const struct list_entry *e)
{
	return l->names + e->name;
}

/* What cannot be made smaller stays as it is. */
static void *fitted(void *at, size_t length, size_t size, size_t *capacity)
{
	void *smaller = length ? realloc(at, length * size) : NULL;

	if (!smaller)
		return at;
	*capacity = length;
	return smaller;
}

void list_trim(struct listing *l)
{
	l->entries = fitted(l->entries, l->count, sizeof(*l->entries), &l->capacity);
	l->names = fitted(l->names, l->names_length, 1, &l->names_capacity);
}

size_t list_bytes(const struct listing *l)
{
	return l->capacity * sizeof(*l->entries) + l->names_capacity;
}

void list_free(struct listing *l)
{
	static _Atomic size_t freed;
	size_t bytes = list_bytes(l);

	free(l->entries);
	free(l->names);
	*l = (struct listing){ 0 };
	/* to the C library it is as good as allocated while anything that is in use lies behind it */
	if (atomic_fetch_add(&freed, bytes) + bytes >= TRIM_AFTER) {
		freed = 0;
		malloc_trim(0);
	}
}
