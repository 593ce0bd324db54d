/* SPDX-License-Identifier: MIT */
/*
 * Writing to a page of a mapping for the first time is a fault for each page, and was measured to take four times as
 * long as the copy itself. Asking for the pages as if to read them maps up to sixteen at once where they exist, in a
 * shared mapping for writing, too. Asking in vain costs half a copy, so what was asked for is remembered, a bit for
 * each sixteen pages.
 */
#include "touch.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK ((size_t)64 << 10)

struct touch {
	_Atomic uint64_t asked;
};

struct touch *touch_new(size_t size)
{
	return calloc(size / CHUNK / 64 + 1, sizeof(struct touch));
}

static uint64_t bit(size_t chunk)
{
	return UINT64_C(1) << chunk % 64;
}

bool touch_is_new(struct touch *t, size_t offset, size_t n)
{
	if (!t)
		return true;
	for (size_t chunk = offset / CHUNK; chunk <= (offset + n - 1) / CHUNK; chunk++)
		if (!(atomic_load_explicit(&t[chunk / 64].asked, memory_order_relaxed) & bit(chunk)))
			return true;
	return false;
}

static void ask(char *at, size_t from, size_t end)
{
	from &= ~((size_t)sysconf(_SC_PAGESIZE) - 1);
	madvise(at + from, end - from, MADV_POPULATE_READ);	/* what it cannot have, the copy will meet */
}

void touch_range(struct touch *t, void *at, size_t offset, size_t n)
{
	if (!t || !n || !touch_is_new(t, offset, n))
		return;
	ask(at, offset, offset + n);
	for (size_t chunk = offset / CHUNK; chunk <= (offset + n - 1) / CHUNK; chunk++)
		atomic_fetch_or_explicit(&t[chunk / 64].asked, bit(chunk), memory_order_relaxed);
}
