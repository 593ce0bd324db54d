// SPDX-License-Identifier: MIT
/*
 * What is shown, as text. Whatever comes from a segment or from /proc was written by strangers: no byte
 * of it that could steer a terminal is let through.
 */
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#include "smctl.h"

char *text_new(const char *format, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	return need(n < 0 ? NULL : text);
}

/* Invisible, or changing the direction of what follows: a name could pass for another. */
static bool deceives(wchar_t c)
{
	return (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
	       c == 0xad || c == 0x61c || c == 0xfeff;
}

/* One character of TEXT, printable, in this locale: its length, or 0 if it must be escaped. */
static size_t printable(const char *text, mbstate_t *state)
{
	wchar_t c;
	size_t n = mbrtowc(&c, text, strnlen(text, MB_LEN_MAX), state);

	if (n == (size_t)-1 || n == (size_t)-2) {
		*state = (mbstate_t){ 0 };
		return 0;
	}
	return iswprint((wint_t)c) && wcwidth(c) >= 0 && !deceives(c) ? n : 0;
}

/* A byte that cannot be shown. Backslashes are doubled, so that no other text looks like it. */
static char *put_byte(char *p, char byte)
{
	return p + sprintf(p, "\\x%02x", (unsigned char)byte);
}

static char *put_character(char *p, const char *text, size_t n)
{
	if (*text == '\\')
		*p++ = '\\';
	return mempcpy(p, text, n);
}

char *text_clean(const char *text)
{
	char *out = need(malloc(4 * strlen(text) + 1)), *p = out;
	mbstate_t state = { 0 };
	size_t n;

	while (*text) {
		n = printable(text, &state);
		p = n ? put_character(p, text, n) : put_byte(p, *text);
		text += n ? n : 1;
	}
	*p = '\0';
	return out;
}

/* The length of the UTF-8 sequence that TEXT begins with, or 0: overlong ones and surrogates are none. */
static size_t utf8_length(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;
	size_t i, n = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : c[0] < 0xf5 ? 4 : 0;

	for (i = 1; i < n; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] >= 0xa0) || (c[0] == 0xf0 && c[1] < 0x90) ||
	    (c[0] == 0xf4 && c[1] >= 0x90))
		return 0;
	return n;
}

char *text_utf8(const char *text)
{
	char *out = need(malloc(4 * strlen(text) + 1)), *p = out;
	size_t n;

	while (*text) {
		n = utf8_length(text);
		p = n ? put_character(p, text, n) : put_byte(p, *text);
		text += n ? n : 1;
	}
	*p = '\0';
	return out;
}

char *text_size(uint64_t bytes)
{
	static const char units[] = "KMGTPE";
	double value = (double)bytes;
	int unit = -1;

	if (bytes < 1024)
		return text_new("%uB", (unsigned)bytes);
	/* What would print as 1024.0 takes the next unit. */
	while (value >= 1023.95 && unit < 5) {
		value /= 1024;
		unit++;
	}
	return text_new("%.1f%c", value, units[unit]);
}

char *text_time(time_t t)
{
	char buf[40] = "", zone[8] = "";
	struct tm tm;

	if (!localtime_r(&t, &tm))
		return text_new("%lld", (long long)t);
	strftime(buf, sizeof buf, "%Y-%m-%dT%H:%M:%S", &tm);
	strftime(zone, sizeof zone, "%z", &tm);
	return text_new("%s%.3s:%s", buf, zone, zone + 3);
}

/* Two units at most: 45s, 12m03s, 5h07m, 12d04h. */
char *text_span(time_t seconds)
{
	long long s = seconds < 0 ? 0 : seconds;

	if (s < 60)
		return text_new("%llds", s);
	if (s < 3600)
		return text_new("%lldm%02llds", s / 60, s % 60);
	if (s < 86400)
		return text_new("%lldh%02lldm", s / 3600, s / 60 % 60);
	return text_new("%lldd%02lldh", s / 86400, s / 3600 % 24);
}

struct name_cache {
	struct entry { unsigned id; char *name; } *entries;
	size_t count;
};

static const char *cached(struct name_cache *cache, unsigned id)
{
	size_t i;

	for (i = 0; i < cache->count; i++)
		if (cache->entries[i].id == id)
			return cache->entries[i].name;
	return NULL;
}

static const char *cache_add(struct name_cache *cache, unsigned id, const char *name)
{
	char *text = name ? need(strdup(name)) : text_new("%u", id);

	cache->entries = need(reallocarray(cache->entries, cache->count + 1, sizeof *cache->entries));
	cache->entries[cache->count++] = (struct entry){ id, text };
	return text;
}

const char *user_name(uid_t uid)
{
	static struct name_cache users;
	const char *name = cached(&users, uid);
	const struct passwd *pw;

	if (name)
		return name;
	pw = getpwuid(uid);
	return cache_add(&users, uid, pw ? pw->pw_name : NULL);
}

const char *group_name(gid_t gid)
{
	static struct name_cache groups;
	const char *name = cached(&groups, gid);
	const struct group *gr;

	if (name)
		return name;
	gr = getgrgid(gid);
	return cache_add(&groups, gid, gr ? gr->gr_name : NULL);
}

const char *error_text(int error)
{
	switch (error < 0 ? -error : error) {
	case EACCES:
		return "permission denied (its mode does not let this user in)";
	case EPERM:
		return "not permitted (only its owner, its creator or root may)";
	case EIDRM:
	case ENOENT:
		return "it is gone; somebody removed it meanwhile";
	case ENOSPC:
		return "the system's limit on segments or on shared memory is reached (see ipcs -l)";
	case EIO:
		return "its memory cannot be had (it was given another size behind its users' backs, or no huge page is "
		       "free); remove it and make it anew";
	case EAGAIN:
		return "it did not hold still for long enough; try again";
	default:
		return strerror(error < 0 ? -error : error);
	}
}
