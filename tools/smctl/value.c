// SPDX-License-Identifier: MIT
/* One value, as text for people and as JSON for programs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "view.h"

static int by_pid(const void *a, const void *b)
{
	const struct sm_holder *const *x = a, *const *y = b;

	return ((*x)->pid > (*y)->pid) - ((*x)->pid < (*y)->pid);
}

static void holders_add(struct holders *h, const struct row *r, const struct sm_segment *seg)
{
	const struct sm_holder *found;
	size_t n, i;

	if (!seg)
		return;
	found = survey_holders(r->survey, seg->id, &n);
	h->list = need(reallocarray(h->list, h->count + n + 1, sizeof *h->list));
	for (i = 0; i < n; i++)
		h->list[h->count++] = &found[i];
}

struct holders row_holders(const struct row *r)
{
	struct holders h = { 0 };
	size_t i, kept = 0;

	holders_add(&h, r, r->seg);
	if (r->whole && r->obj && r->obj->counter != r->seg)
		holders_add(&h, r, r->obj->counter);
	qsort(h.list, h.count, sizeof *h.list, by_pid);
	for (i = 0; i < h.count; i++)
		if (!kept || h.list[kept - 1]->pid != h.list[i]->pid)
			h.list[kept++] = h.list[i];
	h.count = kept;
	return h;
}

/* "1234 writer, 1300 reader", or NULL. */
static char *holders_text(const struct row *r)
{
	struct holders h = row_holders(r);
	char *all = NULL, *comm, *longer;
	size_t i;

	for (i = 0; i < h.count; i++) {
		comm = text_clean(h.list[i]->comm);
		longer = text_new("%s%s%d %s", all ? all : "", all ? ", " : "", (int)h.list[i]->pid, comm);
		free(comm);
		free(all);
		all = longer;
	}
	free(h.list);
	return all;
}

char *value_text(const struct row *r, const struct value *v, bool human)
{
	char *text = NULL;

	switch (v->type) {
	case NOTHING:
		break;
	case NUMBER:
		return text_new("%lld", v->number);
	case SIZE:
		return human ? text_size((uint64_t)v->number) :
			       text_new("%llu", (unsigned long long)v->number);
	case TIME:
		return human ? text_span(time(NULL) - v->number) : text_time(v->number);
	case SPAN:
		return human ? text_span(v->number) : text_new("%lld", v->number < 0 ? 0 : v->number);
	case TEXT:
		return text_clean(v->text);
	case MODE:
		return text_new("%04llo", (unsigned long long)v->number);
	case KEY:
		return text_new("0x%08x", (unsigned)v->number);
	case HOLDERS:
		text = holders_text(r);
		break;
	}
	return text ? text : text_new("-");
}

json_t *json_text(const char *text)
{
	char *utf8 = text_utf8(text);
	json_t *j = need(json_string(utf8));

	free(utf8);
	return j;
}

static json_t *holder_json(const struct sm_holder *h)
{
	json_t *j = need(json_object());

	json_object_set_new(j, "pid", json_integer(h->pid));
	json_object_set_new(j, "command", json_text(h->comm));
	json_object_set_new(j, "user", json_text(user_name(h->uid)));
	json_object_set_new(j, "attached", json_integer(h->attached));
	json_object_set_new(j, "writable", json_boolean(h->writable));
	return j;
}

static json_t *holders_json(const struct row *r)
{
	struct holders h = row_holders(r);
	json_t *list = need(json_array());
	size_t i;

	for (i = 0; i < h.count; i++)
		json_array_append_new(list, holder_json(h.list[i]));
	free(h.list);
	return list;
}

static json_t *value_json(const struct row *r, const struct value *v)
{
	char *text;
	json_t *j;

	switch (v->type) {
	case NOTHING:
		return json_null();
	case NUMBER:
	case SIZE:
	case SPAN:
		return json_integer(v->number);
	case HOLDERS:
		return holders_json(r);
	case TEXT:
		return json_text(v->text);
	default:
		text = value_text(r, v, false);
		j = json_text(text);
		free(text);
		return j;
	}
}

json_t *row_json(const struct row *r, const struct choice *c)
{
	json_t *j = need(json_object());
	struct value v;
	size_t i;

	for (i = 0; i < c->count; i++) {
		v = c->columns[i]->get(r);
		json_object_set_new(j, c->columns[i]->name, value_json(r, &v));
		free(v.text);
	}
	return j;
}

void json_print(json_t *j)
{
	json_dumpf(j, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(j);
}
