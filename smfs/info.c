/* SPDX-License-Identifier: MIT */
/*
 * Most of what is asked of a segment is secret to nobody: the kernel shows its record to everyone. The counter's value,
 * other processes' maps and key files are not: those are looked at as the caller, and what that does not show is said to be
 * hidden. Reading the counter attaches it, which changes its record, so the record is taken before.
 */
#include "info.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "hugepage.h"
#include "keyfiles.h"
#include "process.h"
#include "store.h"
#include "usage.h"

#define NOT_PERMITTED "not permitted"
#define NOTHING "-"
#define LOOKS 3		/* at all processes, until each attachment is one's */

/* What had to be looked at as the caller. */
struct findings {
	enum { PLAIN, DATA, COUNTER } kind;
	key_t data_key;			/* if the key is one that names have, else 0 */
	int refcount, refcount_err;
	int leaked, leaked_err;
	struct keyfiles files;
	struct sm_holder *holders;
	ssize_t nholders;
	unsigned hidden;
	size_t hugepage;
	int hugepage_err;
	char creator[PROCESS_NAME_MAX], last[PROCESS_NAME_MAX];
};

/* ---- looking ---- */

/* What SEG is; *COUNTER is the counter segment, or -1. */
static void classify(const struct info_question *q, struct findings *f, int *counter)
{
	const struct sm_segment *seg = &q->seg;
	bool named_key = !seg->removed && (sm_key_is_data(seg->key) || sm_key_is_counter(seg->key));
	struct object obj;

	*counter = -1;
	if (!named_key)
		return;

	key_t data_key = sm_key_is_data(seg->key) ? seg->key : sm_key_data(seg->key);

	store_find(data_key, &obj);
	if (obj.has_data && obj.data.id == seg->id) {
		f->kind = obj.has_counter ? DATA : PLAIN;
		*counter = obj.has_counter ? obj.counter.id : -1;
		f->data_key = data_key;
	} else if (obj.has_counter && obj.counter.id == seg->id && (obj.has_data || q->named)) {
		f->kind = COUNTER;
		*counter = seg->id;
		f->data_key = data_key;
	}
}

static dev_t own_device;

void info_start(dev_t device)
{
	own_device = device;
}

/* A process that forks, or maps much else meanwhile, can be missed; nattch tells that someone was. */
static int look_for_holders(const struct sm_segment *seg, struct findings *f)
{
	for (int i = 0; i < LOOKS; i++) {
		struct sm_segment now;
		unsigned long seen = 0;

		free(f->holders);
		f->holders = NULL;
		f->nholders = sm_holder_list_on(seg->id, own_device, &f->holders, &f->hidden);
		for (ssize_t j = 0; j < f->nholders; j++)
			seen += f->holders[j].attached - f->holders[j].by_file;
		if (f->nholders < 0 || f->hidden || sm_segment_stat(seg->id, &now) || seen >= now.nattch)
			break;
	}
	return f->nholders < 0 && f->nholders != -EACCES ? (int)f->nholders : 0;
}

static int look(const struct info_question *q, int counter, struct findings *f)
{
	const struct sm_segment *seg = &q->seg;
	AUTO_FREE struct sm_counter *record = calloc(1, sizeof(*record));

	if (!record)
		return -ENOMEM;
	/* a hint also for those who may not read the counter; where it leads is asked as the caller */
	if (counter >= 0 && sm_counter_load(counter, record))
		record->path[0] = '\0';

	CALLER_SCOPE(denied, q->caller);

	if (denied)
		return denied;
	if (counter >= 0) {
		f->refcount_err = sm_counter_value(counter, &f->refcount);
		f->leaked_err = sm_counter_leaked(counter, &f->leaked);
	}
	f->hugepage_err = hugepage_size(seg->id, &f->hugepage);
	process_name(seg->cpid, seg->ctime, f->creator);
	process_name(seg->lpid, seg->atime > seg->dtime ? seg->atime : seg->dtime, f->last);

	int err = look_for_holders(seg, f);

	if (err)
		return err;
	if (!f->data_key)
		return 0;
	return keyfiles_find(q->keydir, f->data_key, *record->path ? record->path : NULL, q->named, &f->files);
}

/* ---- writing ---- */

/* One line stays one line whatever a name holds, and no two names look alike. */
static void put_clean(FILE *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < ' ' || c == 0x7f)
			fprintf(out, "\\x%02x", c);
		else if (c == '\\')
			fputs("\\\\", out);
		else
			fputc(c, out);
	}
}

static void put_user(FILE *out, uid_t uid)
{
	char buffer[4096];
	struct passwd entry, *found = NULL;

	fprintf(out, "%u ", (unsigned)uid);
	put_clean(out, getpwuid_r(uid, &entry, buffer, sizeof(buffer), &found) == 0 && found ? entry.pw_name : NOTHING);
}

static void put_group(FILE *out, const char *name, gid_t gid)
{
	char buffer[16384];	/* the members are in it */
	struct group entry, *found = NULL;

	fprintf(out, "%s: %u ", name, (unsigned)gid);
	put_clean(out, getgrgid_r(gid, &entry, buffer, sizeof(buffer), &found) == 0 && found ? entry.gr_name : NOTHING);
	fputc('\n', out);
}

static void put_process(FILE *out, const char *name, pid_t pid, const char *command)
{
	if (pid <= 0) {		/* nobody yet, or of a pid namespace that is not seen from here */
		fprintf(out, "%s: " NOTHING "\n", name);
		return;
	}
	fprintf(out, "%s: %d ", name, (int)pid);
	put_clean(out, *command ? command : NOTHING);
	fputc('\n', out);
}

static void put_time(FILE *out, const char *name, time_t t)
{
	char text[40] = NOTHING, zone[8] = "";
	struct tm tm;

	if (t && localtime_r(&t, &tm) && strftime(zone, sizeof(zone), "%z", &tm) == 5) {
		size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);

		snprintf(text + n, sizeof(text) - n, "%.3s:%s", zone, zone + 3);
	}
	fprintf(out, "%s: %s\n", name, text);
}

/* A number that needed the right to read the counter. */
static void put_counted(FILE *out, const char *name, bool exists, int err, int value)
{
	if (exists && !err)
		fprintf(out, "%s: %d\n", name, value);
	else
		fprintf(out, "%s: %s\n", name, exists && err == -EACCES ? NOT_PERMITTED : NOTHING);
}

static void put_key(FILE *out, const struct sm_segment *seg, const struct findings *f)
{
	static const char *const kinds[] = { [PLAIN] = "plain", [DATA] = "data", [COUNTER] = "counter" };

	fprintf(out, "shmid: %d\nkey: 0x%08x\nkind: %s\n", seg->id, (unsigned)seg->key, kinds[f->kind]);
	for (size_t i = 0; i < f->files.count; i++) {
		fputs("path: ", out);
		put_clean(out, f->files.files[i].path);
		fputc('\n', out);
	}
	if (!f->files.count)
		fputs("path: " NOTHING "\n", out);
	fprintf(out, "proj_id: %c\n", f->data_key ? sm_key_proj(f->data_key) : '-');
}

static void put_memory(FILE *out, const struct sm_segment *seg, const struct findings *f)
{
	uint64_t resident, swapped;

	usage_get(seg->id, &resident, &swapped);
	fprintf(out, "size: %zu\nresident: %" PRIu64 "\nswapped: %" PRIu64 "\n", seg->size, resident, swapped);
	if (f->hugepage)
		fprintf(out, "hugepage: %zu\n", f->hugepage);
	else if (f->hugepage_err == -EACCES)
		fputs("hugepage: " NOT_PERMITTED "\n", out);
}

static void put_rights(FILE *out, const struct sm_segment *seg)
{
	fprintf(out, "mode: %04o\nowner: ", (unsigned)seg->mode);
	put_user(out, seg->uid);
	fputc('\n', out);
	put_group(out, "group", seg->gid);
	fputs("creator: ", out);
	put_user(out, seg->cuid);
	fputc('\n', out);
	put_group(out, "cgroup", seg->cgid);
}

static void put_holders(FILE *out, const struct sm_segment *seg, const struct findings *f)
{
	unsigned long seen = 0;
	bool any = false;

	for (ssize_t i = 0; i < f->nholders; i++) {
		const struct sm_holder *h = &f->holders[i];

		seen += h->attached - h->by_file;
		if (h->pid == getpid())
			continue;	/* it is we who look */
		any = true;
		fprintf(out, "attached: %d ", (int)h->pid);
		put_clean(out, h->comm);
		fputc(' ', out);
		put_user(out, h->uid);
		fputs(h->writable ? " rw\n" : " ro\n", out);
	}
	if (f->nholders < 0)
		fputs("attached: " NOT_PERMITTED "\n", out);
	else if (seen < seg->nattch && f->hidden)
		fprintf(out, "attached: " NOT_PERMITTED " (%u process%s)\n", f->hidden, f->hidden == 1 ? "" : "es");
	else if (!any)
		fputs("attached: " NOTHING "\n", out);
}

static void put_all(FILE *out, const struct info_question *q, const struct findings *f, unsigned long nattch)
{
	const struct sm_segment *seg = &q->seg;
	const char *flags = seg->removed ? seg->locked ? "removed locked" : "removed" : seg->locked ? "locked" : NOTHING;

	put_key(out, seg, f);
	put_memory(out, seg, f);
	put_rights(out, seg);
	fprintf(out, "nattch: %lu\n", nattch);
	put_counted(out, "refcount", f->kind != PLAIN, f->refcount_err, f->refcount);
	put_counted(out, "leaked", f->kind != PLAIN, f->leaked_err, f->leaked);
	put_process(out, "cpid", seg->cpid, f->creator);
	put_process(out, "lpid", seg->lpid, f->last);
	put_time(out, "atime", seg->atime);
	put_time(out, "dtime", seg->dtime);
	put_time(out, "ctime", seg->ctime);
	fprintf(out, "flags: %s\naccess: %s\n", flags, q->native && !f->hugepage ? "native" : "copy");
	put_holders(out, seg, f);
}

ssize_t info_gather(const struct info_question *q, char **text, struct watch_state *seen)
{
	struct findings f = { .nholders = 0 };
	unsigned long own = sm_segment_own(q->seg.id), nattch = q->seg.nattch > own ? q->seg.nattch - own : 0;
	size_t length = 0;
	int counter, err;
	FILE *out;

	*text = NULL;
	classify(q, &f, &counter);
	err = look(q, counter, &f);
	/* a counter that the caller may not read is none that he may watch */
	*seen = (struct watch_state){ .record = true, .seg = q->seg, .counter = f.refcount_err ? -1 : counter, .value = f.refcount };
	if (!err && !(out = open_memstream(text, &length)))
		err = -ENOMEM;
	if (!err) {
		put_all(out, q, &f, nattch);
		if (fclose(out))
			err = -ENOMEM;
	}
	keyfiles_free(&f.files);
	free(f.holders);
	if (err) {
		free(*text);
		*text = NULL;
		return err;
	}
	return (ssize_t)length;
}
