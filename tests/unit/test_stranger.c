// SPDX-License-Identifier: MIT
/*
 * What strangers write into a counter's page, before and while libsm looks at it. Each value is read once: the
 * writers here flip between two states, each of which is harmless, and what is seen must be one of the two.
 */
#include "unit.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#define LOOKS 20000

static int make(const char *path)
{
	int id = sm_counter_create(unit_counter_key('A'), 0600, path);

	assert_true(id >= 0);
	return id;
}

/* What stands where magic and path should be is anything. */
static void test_garbage_pages(void **state)
{
	struct sm_counter c;
	struct page *page;
	int id = make("/good");

	assert_int_equal(sm_segment_attach(id, false, (void **)&page), 0);
	page->version++;
	assert_int_equal(sm_counter_load(id, &c), 0);
	assert_string_equal(c.path, "");
	page->version--;
	page->magic++;
	assert_int_equal(sm_counter_load(id, &c), 0);
	assert_string_equal(c.path, "");
	memset(page, 0xff, sizeof *page);
	assert_int_equal(sm_counter_load(id, &c), 0);
	assert_int_equal(c.value, -1);
	assert_string_equal(c.path, "");
	sm_segment_detach(page);
	sm_segment_remove(id);
}

/* The path fills the page and has no end; behind the answer lies nothing that could be read. */
static void test_a_path_without_an_end(void **state)
{
	size_t room = (sizeof(struct sm_counter) + 4095) / 4096 * 4096;
	char *at = mmap(NULL, room + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct sm_counter *c = (void *)(at + room - sizeof *c);
	struct page *page;
	int id = make("/good");

	assert_true(at != MAP_FAILED);
	assert_int_equal(mprotect(at + room, 4096, PROT_NONE), 0);
	assert_int_equal(sm_segment_attach(id, false, (void **)&page), 0);
	memset(page->path + 1, 'x', sizeof page->path - 1);
	assert_int_equal(sm_counter_load(id, c), 0);
	assert_non_null(memchr(c->path, '\0', sizeof c->path));
	assert_string_equal(c->path, "");
	sm_segment_detach(page);
	sm_segment_remove(id);
	munmap(at, room + 4096);
}

/* Behind an int there may be a whole page that looks like one of ours; the segment does not have it. */
static void test_a_path_behind_the_end_of_the_segment(void **state)
{
	struct page *page, *good;
	int from = make("/good"), id = sm_segment_create(unit_counter_key('B'), 4, 0600);
	struct sm_counter c;

	assert_int_equal(sm_segment_attach(from, true, (void **)&good), 0);
	assert_int_equal(sm_segment_attach(id, false, (void **)&page), 0);
	memcpy(page, good, sizeof *page);
	assert_int_equal(sm_counter_load(id, &c), 0);
	assert_string_equal(c.path, "");
	sm_segment_detach(page);
	sm_segment_detach(good);
	sm_segment_remove(from);
	sm_segment_remove(id);
}

/* ---- while we look */

static _Atomic bool stop;

struct stranger {
	void *(*writes)(void *);
	struct page *page;
	pthread_t thread;
	int id;
};

static struct stranger begin(void *(*writes)(void *))
{
	struct stranger s = { .writes = writes, .id = make("/good") };

	assert_int_equal(sm_segment_attach(s.id, false, (void **)&s.page), 0);
	atomic_store(&stop, false);
	assert_int_equal(pthread_create(&s.thread, NULL, writes, s.page), 0);
	return s;
}

static void finish(struct stranger *s)
{
	atomic_store(&stop, true);
	pthread_join(s->thread, NULL);
	sm_segment_detach(s->page);
	assert_int_equal(sm_segment_remove(s->id), 0);
}

static void *scribble(void *arg)
{
	unsigned long random = 88172645463325252UL;
	struct page *page = arg;
	volatile unsigned long *words = arg;

	while (!atomic_load(&stop)) {
		for (size_t i = 0; i < sizeof *page / sizeof *words; i++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			words[i] = random;
		}
		/* Now and then a page that looks right, without an end of its path. */
		memcpy(&page->magic, "sMSMCTR1", 8);
	}
	return NULL;
}

static void test_content_that_changes_while_we_look(void **state)
{
	struct stranger s = begin(scribble);
	struct sm_counter c;
	int value;

	for (int i = 0; i < 3000; i++) {
		assert_int_equal(sm_counter_load(s.id, &c), 0);
		assert_true(strnlen(c.path, sizeof c.path) < sizeof c.path);
		value = sm_counter_decrement(s.id, NULL);
		assert_true(value == 0 || value == -ERANGE);
		assert_int_equal(sm_counter_leaked(s.id, &value), 0);
		assert_true(value >= 0);
	}
	finish(&s);
}

/* The path fills all of its room, and its last byte ends it, or does not. */
static void *flip_the_end(void *arg)
{
	struct page *page = arg;
	volatile char *last = &page->path[sizeof page->path - 1];

	memset(page->path + 1, 'x', sizeof page->path - 2);
	while (!atomic_load(&stop)) {
		*last = 'x';
		*last = '\0';
	}
	return NULL;
}

static void test_a_path_that_loses_its_end(void **state)
{
	struct stranger s = begin(flip_the_end);
	int whole = 0, none = 0;
	struct sm_counter c;

	for (int i = 0; i < LOOKS; i++) {
		assert_int_equal(sm_counter_load(s.id, &c), 0);
		assert_non_null(memchr(c.path, '\0', sizeof c.path));
		whole += strlen(c.path) == sizeof c.path - 1;
		none += !c.path[0];
	}
	finish(&s);
	assert_true(whole + none > LOOKS / 2);	/* the others were before the path was long */
}

static void put(struct page *page, int counter, uint32_t seq)
{
	struct word w = { counter, seq };
	uint64_t bits;

	memcpy(&bits, &w, sizeof bits);
	atomic_store(&page->word, bits);
}

static void *flip_the_word(void *arg)
{
	while (!atomic_load(&stop)) {
		put(arg, 1, 1000);
		put(arg, -7, 5);
	}
	return NULL;
}

/* Counter and changes are of one moment. */
static void test_a_word_is_loaded_whole(void **state)
{
	struct stranger s = begin(flip_the_word);
	struct sm_counter c;

	for (int i = 0; i < LOOKS; i++) {
		assert_int_equal(sm_counter_load(s.id, &c), 0);
		if (c.value != 0 || c.changes != 0)
			assert_true((c.value == 1 && c.changes == 1000) || (c.value == -7 && c.changes == 5));
	}
	finish(&s);
}

/* A reference that may be there is leaked, or there is none; never less than none. */
static void test_what_leaked_is_counted_from_one_look(void **state)
{
	struct stranger s = begin(flip_the_word);
	int leaked;

	for (int i = 0; i < LOOKS / 10; i++) {
		assert_int_equal(sm_counter_leaked(s.id, &leaked), 0);
		assert_in_range(leaked, 0, 1);
	}
	finish(&s);
}

/* ---- between any two instructions: what a thread would hit once in a million times ---- */

#if defined __x86_64__ && !defined __SANITIZE_THREAD__
static struct page *watched;
static int steps, period;

static void on_step(int sig)
{
	if (++steps % period == 0)
		*(volatile int *)watched ^= 1;
}

#define TRAP_FLAG "0x100"
#define FLAGS(change) __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; " change "; popfq; lea 128(%%rsp), %%rsp" ::: "cc", "memory")

static int take_in_steps(void)
{
	int r;

	FLAGS("orq $" TRAP_FLAG ", (%%rsp)");
	r = counter_take(watched);
	FLAGS("andq $~" TRAP_FLAG ", (%%rsp)");
	return r;
}

/* The counter flips between 1 and 0. Who found 1 takes it off; who found 0 takes nothing. */
static void test_nothing_is_taken_below_zero(void **state)
{
	struct sigaction was, step = { .sa_handler = on_step };
	int id = make("/good"), taken = 0, r;

	assert_int_equal(sm_segment_attach(id, false, (void **)&watched), 0);
	assert_int_equal(sigaction(SIGTRAP, &step, &was), 0);
	for (period = 1; period <= 40; period++) {
		for (int phase = 0; phase < period; phase++) {
			put(watched, 1, 1000);
			steps = phase;
			r = take_in_steps();
			if (r != 0 && r != -ERANGE)
				fail_msg("%d is left, with a flip at every %dth instruction from %d", r, period, phase);
			taken += r == 0;
		}
	}
	assert_in_range(taken, 1, 40 * 41 / 2);
	assert_int_equal(sigaction(SIGTRAP, &was, NULL), 0);
	sm_segment_detach(watched);
	sm_segment_remove(id);
}
#endif

static const struct CMUnitTest tests[] = {
	UNIT(test_garbage_pages),
	UNIT(test_a_path_without_an_end),
	UNIT(test_a_path_behind_the_end_of_the_segment),
	UNIT(test_content_that_changes_while_we_look),
	UNIT(test_a_path_that_loses_its_end),
	UNIT(test_a_word_is_loaded_whole),
	UNIT(test_what_leaked_is_counted_from_one_look),
#if defined __x86_64__ && !defined __SANITIZE_THREAD__
	UNIT(test_nothing_is_taken_below_zero),
#endif
};

UNIT_MAIN(tests)
