/* SPDX-License-Identifier: MIT */
/* A value that others change is shown in one piece: a reader in small steps sees the one that he began with. */
#include "text.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "refcount.h"

void text_init(struct text *t)
{
	pthread_mutex_init(&t->lock, NULL);
}

void text_destroy(struct text *t)
{
	watch_free(t->watch);
	free(t->bytes);
	pthread_mutex_destroy(&t->lock);
}

void text_set(struct text *t, char *bytes, size_t length, const struct watch_state *seen)
{
	LOCKED(&t->lock);
	free(t->bytes);
	t->bytes = bytes;
	t->length = length;
	t->seen = *seen;
	t->is_known = true;
}

int text_refresh_counter(struct text *t, struct node *n)
{
	struct watch_state seen = { .counter = -1 };
	char text[REFCOUNT_TEXT_MAX], *bytes;
	int length;

	if (node_stat(n, &seen.seg) || seen.seg.removed)	/* removed, it may be there for as long as somebody has it attached */
		return -EIDRM;
	length = refcount_text(seen.seg.id, text);
	if (length < 0)
		return length;
	bytes = strndup(text, (size_t)length);
	if (!bytes)
		return -ENOMEM;
	seen.counter = seen.seg.id;
	seen.value = atoi(text);
	text_set(t, bytes, (size_t)length, &seen);
	return 0;
}

size_t text_read(struct text *t, off_t offset, char *to, size_t length)
{
	LOCKED(&t->lock);
	if ((uint64_t)offset >= t->length)
		return 0;
	if (length > t->length - (size_t)offset)
		length = t->length - (size_t)offset;
	memcpy(to, t->bytes + offset, length);
	return length;
}

bool text_was_read(struct text *t)
{
	LOCKED(&t->lock);
	bool was = t->was_read;

	t->was_read = true;
	return was;
}

int text_poll(struct text *t, void *handle, bool *changed)
{
	LOCKED(&t->lock);
	if (!t->watch)
		t->watch = watch_new();
	if (!t->watch || !t->is_known)
		return t->watch ? -EBADF : -ENOMEM;
	*changed = watch_poll(t->watch, &t->seen, handle);
	return 0;
}
