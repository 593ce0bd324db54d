/* SPDX-License-Identifier: MIT */

/*
 * The pool: who runs, who waits, who is told that it took too long, and that each job ends exactly one
 * way.
 */

#include "probe.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static unsigned own_threads;

static void *nothing(void *arg)
{
	return NULL;
}

/* The program's own threads, a sanitizer's included: that comes with the first one. Ended ones linger a moment. */
static unsigned count_own_threads(void)
{
	pthread_t thread;
	unsigned least = UINT32_MAX;

	pthread_create(&thread, NULL, nothing, NULL);
	pthread_join(thread, NULL);
	for (int i = 0; i < 20; i++, usleep(1000)) {
		const unsigned n = count_threads();
		least = n < least ? n : least;
	}
	return least;
}

static void job_finishes_on_a_thread_of_the_pool(void **state)
{
	struct pool *pool = probe_pool(NULL);
	struct probe p = probe(1, NULL, POOL_TIMEOUT_MS);

	submit(pool, &p);
	await(ends == 1);
	assert_int_equal(p.worked, 1);
	assert_int_equal(p.finished, 1);
	assert_int_equal(p.expired + p.discarded, 0);
	assert_false(pthread_equal(p.on, pthread_self()));
	assert_true(pthread_equal(p.on, p.finished_on));
	assert_int_equal(pool_stop(pool, 1000), 0);
}

static void hung_job_expires_and_is_discarded_when_it_returns(void **state)
{
	struct pool *pool = probe_pool(NULL);
	struct barrier barrier;
	struct probe p = probe(1, &barrier, 50);

	barrier_init(&barrier);
	submit(pool, &p);
	await(p.expired == 1);
	assert_int_equal(p.discarded + p.finished, 0);
	barrier_open(&barrier);
	await(ends == 1);
	assert_int_equal(p.discarded, 1);
	assert_int_equal(p.finished, 0);
	assert_int_equal(pool_stop(pool, 1000), 0);
}

static void waiting_job_expires_without_being_run(void **state)
{
	const struct pool_limits one = { .per_user = 1 };
	struct pool *pool = probe_pool(&one);
	struct barrier barrier;
	struct probe hung = probe(1, &barrier, 0), waits = probe(1, NULL, 50);

	barrier_init(&barrier);
	submit(pool, &hung);
	submit(pool, &waits);
	await(ends == 1);
	assert_int_equal(waits.expired, 1);
	assert_int_equal(waits.discarded, 1);
	assert_int_equal(waits.worked + waits.finished, 0);
	barrier_open(&barrier);
	await(ends == 2);
	assert_int_equal(hung.finished, 1);
	assert_int_equal(pool_stop(pool, 1000), 0);
}

static void deadline_earlier_than_all_others_is_met(void **state)
{
	struct pool *pool = probe_pool(NULL);
	struct barrier barrier;
	struct probe late = probe(1, &barrier, 60000), soon = probe(1, &barrier, 30);

	barrier_init(&barrier);
	submit(pool, &late);
	barrier_await(&barrier, 1);
	usleep(5000);		/* the timekeeper sleeps for a minute now */
	submit(pool, &soon);
	await(soon.expired == 1);
	assert_int_equal(late.expired, 0);
	barrier_open(&barrier);
	await(ends == 2);
	assert_int_equal(pool_stop(pool, 1000), 0);
}

static void user_whose_jobs_hang_blocks_nobody_else(void **state)
{
	enum { MANY = 40 };
	const struct pool_limits limits = { .per_user = 8 };
	struct pool *pool = probe_pool(&limits);
	struct barrier barrier;
	struct probe hung[MANY], other;

	barrier_init(&barrier);
	for (int i = 0; i < MANY; i++) {
		hung[i] = probe(1, &barrier, 0);
		submit(pool, &hung[i]);
	}
	barrier_await(&barrier, 8);
	for (int i = 0; i < 100; i++) {
		other = probe(2, NULL, POOL_TIMEOUT_MS);
		submit(pool, &other);
		await(other.finished == 1);
	}
	assert_int_equal(barrier.at, 8);
	barrier_open(&barrier);
	await(ends == MANY + 100);
	assert_int_equal(pool_stop(pool, 1000), 0);
}

/*
 * Each of them hangs as many threads as may be had, expired ones too, and somebody else still finds one: 4 of 16 threads go
 * to the first, one to each of the others.
 */
static void users_who_all_hang_leave_others_a_thread(void **state)
{
	enum { USERS = 12, EACH = 6, MANY = USERS * EACH };
	const struct pool_limits limits = { .threads = 16, .per_user = 4 };
	struct pool *pool = probe_pool(&limits);
	struct barrier barrier;
	struct probe hung[MANY], other;

	barrier_init(&barrier);
	for (int i = 0; i < MANY; i++) {
		hung[i] = probe((uid_t)(i / EACH), &barrier, 20);
		submit(pool, &hung[i]);
	}
	barrier_await(&barrier, 4 + USERS - 1);
	for (int i = 0; i < 100; i++) {
		other = probe(99, NULL, 60000);
		submit(pool, &other);
		await(other.finished + other.expired == 1);
		assert_int_equal(other.finished, 1);
	}
	for (int i = 0; i < MANY; i++) {
		const bool first = i < EACH;

		await(hung[i].expired == 1);
		assert_int_equal(hung[i].job.late.why, i % EACH < (first ? 4 : 1) ? POOL_HANGS :
						       first ? POOL_USER_IS_FULL : POOL_IS_FULL);
		if (hung[i].job.late.why == POOL_USER_IS_FULL)
			assert_true(hung[i].job.late.running == 4 && hung[i].job.late.limit == 4);
		if (hung[i].job.late.why == POOL_IS_FULL)
			assert_true(hung[i].job.late.running >= 4 && hung[i].job.late.limit == 16);
	}
	barrier_open(&barrier);
	await(ends == MANY + 100);
	assert_int_equal(pool_stop(pool, 1000), 0);
}

static void hung_job_still_counts_for_its_user_after_its_deadline(void **state)
{
	const struct pool_limits one = { .per_user = 1 };
	struct pool *pool = probe_pool(&one);
	struct barrier barrier;
	struct probe hung = probe(1, &barrier, 20), next = probe(1, NULL, 0);

	barrier_init(&barrier);
	submit(pool, &hung);
	submit(pool, &next);
	await(hung.expired == 1);
	usleep(20000);
	assert_int_equal(next.worked, 0);
	barrier_open(&barrier);
	await(ends == 2);
	assert_int_equal(next.finished, 1);
	assert_int_equal(pool_stop(pool, 1000), 0);
}

static void jobs_of_a_user_start_in_order_and_users_take_turns(void **state)
{
	const struct pool_limits limits = { .threads = 1, .per_user = 1 };
	struct pool *pool = probe_pool(&limits);
	struct barrier barrier;
	struct probe first = probe(9, &barrier, 0), a[10], b[3];

	barrier_init(&barrier);
	submit(pool, &first);
	barrier_await(&barrier, 1);
	for (int i = 0; i < 10; i++) {
		a[i] = probe(1, NULL, 0);
		submit(pool, &a[i]);
	}
	for (int i = 0; i < 3; i++) {
		b[i] = probe(2, NULL, 0);
		submit(pool, &b[i]);
	}
	barrier_open(&barrier);
	await(ends == 14);
	for (int i = 1; i < 10; i++)
		assert_true(a[i].order > a[i - 1].order);
	for (int i = 0; i < 3; i++)
		assert_true(b[i].order <= 3 + 2 * (unsigned)i);
	assert_int_equal(pool_stop(pool, 1000), 0);
}

static void no_more_threads_than_the_limit(void **state)
{
	enum { USERS = 20 };
	const struct pool_limits limits = { .threads = 5, .per_user = 8 };
	struct pool *pool = probe_pool(&limits);
	struct barrier barrier;
	struct probe p[USERS];

	barrier_init(&barrier);
	for (uid_t i = 0; i < USERS; i++) {
		p[i] = probe(i, &barrier, 0);
		submit(pool, &p[i]);
	}
	barrier_await(&barrier, 5);
	await(count_threads() == own_threads + 5 + 1);
	barrier_open(&barrier);
	await(ends == USERS);
	assert_int_equal(pool_stop(pool, 1000), 0);
}

static void job_waits_where_no_thread_can_be_made(void **state)
{
	struct pool *pool = probe_pool(NULL);
	struct barrier barrier;
	struct probe hung = probe(1, &barrier, 0), waits = probe(1, NULL, 0), late = probe(2, NULL, 20);

	barrier_init(&barrier);
	refuse_threads = 1;
	submit(pool, &hung);
	barrier_await(&barrier, 1);
	submit(pool, &waits);
	submit(pool, &late);
	await(late.discarded == 1);
	assert_int_equal(waits.worked, 0);
	barrier_open(&barrier);
	await(ends == 3);
	refuse_threads = 0;
	assert_int_equal(waits.finished, 1);
	assert_int_equal(pool_stop(pool, 1000), 0);
}

static void pool_without_threads_does_not_start(void **state)
{
	struct pool *pool = NULL;

	refuse_threads = 1;
	assert_int_equal(pool_start(&pool, NULL), -EAGAIN);
	refuse_threads = 0;
	assert_null(pool);
}

static void idle_threads_end_but_one(void **state)
{
	enum { MANY = 6 };
	const struct pool_limits limits = { .idle_ms = 20 };
	struct pool *pool = probe_pool(&limits);
	struct barrier barrier;
	struct probe p[MANY];

	barrier_init(&barrier);
	for (int i = 0; i < MANY; i++) {
		p[i] = probe(1, &barrier, 0);
		submit(pool, &p[i]);
	}
	barrier_await(&barrier, MANY);
	barrier_open(&barrier);
	await(count_threads() == own_threads + 2);
	assert_int_equal(pool_stop(pool, 1000), 0);
	await(count_threads() == own_threads);
}

static long long cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void idle_pool_uses_no_time(void **state)
{
	const struct pool_limits limits = { .idle_ms = 1 };
	struct pool *pool = probe_pool(&limits);
	struct probe p = probe(1, NULL, 10);
	struct rusage before, after;

	submit(pool, &p);
	await(ends == 1);
	usleep(30000);		/* the last deadline and the idle time are over */
	getrusage(RUSAGE_SELF, &before);
	const long long cpu = cpu_ns();
	usleep(200000);
	assert_true(cpu_ns() - cpu < 5000000);
	getrusage(RUSAGE_SELF, &after);
	assert_true(after.ru_nvcsw - before.ru_nvcsw < 5);
	assert_int_equal(pool_stop(pool, 1000), 0);
}

static sigset_t mask_seen;

static void work_mask(struct pool_job *job)
{
	pthread_sigmask(SIG_BLOCK, NULL, &mask_seen);
}

static void threads_block_signals(void **state)
{
	struct pool *pool = probe_pool(NULL);
	struct probe p = probe(1, NULL, 0);

	p.job.work = work_mask;
	submit(pool, &p);
	await(ends == 1);
	assert_true(sigismember(&mask_seen, SIGTERM) && sigismember(&mask_seen, SIGHUP) &&
		    sigismember(&mask_seen, SIGCHLD));
	assert_false(sigismember(&mask_seen, SIGBUS) || sigismember(&mask_seen, SIGSEGV));	/* guard.c's */
	assert_int_equal(pool_stop(pool, 1000), 0);
}

static void stop_expires_all_and_leaves_what_hangs(void **state)
{
	const struct pool_limits limits = { .per_user = 2 };
	static struct pool *pool;	/* stays, as after any stop that left threads */
	struct barrier barrier;
	struct probe p[5], refused = probe(1, NULL, 0);

	pool = probe_pool(&limits);
	barrier_init(&barrier);
	for (int i = 0; i < 5; i++) {
		p[i] = probe(1, &barrier, i > 2 ? 0 : POOL_TIMEOUT_MS);
		submit(pool, &p[i]);
	}
	barrier_await(&barrier, 2);
	assert_int_equal(pool_stop(pool, 20), 2);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(p[i].expired, 1);
		assert_int_equal(p[i].job.late.why, POOL_STOPS);
	}
	assert_int_equal(ends, 3);
	assert_int_equal(pool_submit(pool, &refused.job), -ESHUTDOWN);
	barrier_open(&barrier);
	await(ends == 5);
	await(count_threads() == own_threads);
}

static void stop_waits_for_what_runs(void **state)
{
	struct pool *pool = probe_pool(NULL);
	struct probe p = probe(1, NULL, 0);

	p.sleep_us = 30000;
	submit(pool, &p);
	await(starts == 1);
	assert_int_equal(pool_stop(pool, 10000), 0);
	assert_int_equal(p.finished, 1);
}

/* Without a deadline it must be finished, however long that takes. */
static void stop_waits_for_what_has_no_deadline(void **state)
{
	static struct pool *pool;
	struct barrier barrier;
	struct probe p = probe(1, NULL, 0), hung = probe(1, &barrier, POOL_TIMEOUT_MS);

	pool = probe_pool(NULL);
	barrier_init(&barrier);
	p.sleep_us = 100000;
	submit(pool, &p);
	submit(pool, &hung);
	await(starts == 2);
	assert_int_equal(pool_stop(pool, 1), 1);
	assert_int_equal(p.finished, 1);
	assert_int_equal(hung.expired, 1);
	barrier_open(&barrier);
	await(ends == 2);
	await(count_threads() == own_threads);
}

/* Deadlines about as long as the work: every job must still end one way, and once. */
static void every_job_ends_exactly_once(void **state)
{
	enum { JOBS = 4000 };
	const struct pool_limits limits = { .threads = 12, .per_user = 4, .idle_ms = 1 };
	struct pool *pool = probe_pool(&limits);
	struct probe *p = calloc(JOBS, sizeof(*p));
	unsigned seed = 1, finished = 0;

	assert_non_null(p);
	for (unsigned i = 0; i < JOBS; i++) {
		p[i] = probe((uid_t)rand_r(&seed) % 70, NULL, (unsigned)rand_r(&seed) % 4);
		p[i].sleep_us = rand_r(&seed) % 4 ? 0 : (unsigned)rand_r(&seed) % 3000;
		submit(pool, &p[i]);
		if (i % 64 == 0)
			usleep(1000);
	}
	await(ends == JOBS);
	assert_int_equal(pool_stop(pool, 10000), 0);
	for (unsigned i = 0; i < JOBS; i++) {
		assert_int_equal(p[i].finished + p[i].expired, 1);
		assert_int_equal(p[i].discarded, p[i].expired);
		finished += p[i].finished == 1;
	}
	printf("%u finished, %u expired\n", finished, JOBS - finished);
	free(p);
}

static pthread_mutex_t turn_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER;
static bool replied;

static void no_work(struct pool_job *job)
{
}

static void reply(struct pool_job *job)
{
	pthread_mutex_lock(&turn_lock);
	replied = true;
	pthread_cond_signal(&turn);
	pthread_mutex_unlock(&turn_lock);
}

static int by_value(const void *a, const void *b)
{
	return (*(const long *)a > *(const long *)b) - (*(const long *)a < *(const long *)b);
}

/* For the eye: there and back again, two wake-ups. */
static void measure_round_trip(void **state)
{
	enum { TIMES = 2000 };
	static long ns[TIMES];
	struct pool *pool = probe_pool(NULL);
	struct pool_job job = { no_work, reply, probe_expire, probe_discard, .timeout_ms = POOL_TIMEOUT_MS };

	for (int i = 0; i < TIMES; i++) {
		struct timespec a, b;

		replied = false;
		clock_gettime(CLOCK_MONOTONIC, &a);
		assert_int_equal(pool_submit(pool, &job), 0);
		pthread_mutex_lock(&turn_lock);
		while (!replied)
			pthread_cond_wait(&turn, &turn_lock);
		pthread_mutex_unlock(&turn_lock);
		clock_gettime(CLOCK_MONOTONIC, &b);
		ns[i] = (b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec;
	}
	qsort(ns, TIMES, sizeof(ns[0]), by_value);
	printf("round trip: median %.1f us, 99%% %.1f us\n",
	       (double)ns[TIMES / 2] / 1e3, (double)ns[TIMES * 99 / 100] / 1e3);
	assert_int_equal(pool_stop(pool, 1000), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(job_finishes_on_a_thread_of_the_pool),
		cmocka_unit_test(hung_job_expires_and_is_discarded_when_it_returns),
		cmocka_unit_test(waiting_job_expires_without_being_run),
		cmocka_unit_test(deadline_earlier_than_all_others_is_met),
		cmocka_unit_test(user_whose_jobs_hang_blocks_nobody_else),
		cmocka_unit_test(users_who_all_hang_leave_others_a_thread),
		cmocka_unit_test(hung_job_still_counts_for_its_user_after_its_deadline),
		cmocka_unit_test(jobs_of_a_user_start_in_order_and_users_take_turns),
		cmocka_unit_test(no_more_threads_than_the_limit),
		cmocka_unit_test(job_waits_where_no_thread_can_be_made),
		cmocka_unit_test(pool_without_threads_does_not_start),
		cmocka_unit_test(idle_threads_end_but_one),
		cmocka_unit_test(idle_pool_uses_no_time),
		cmocka_unit_test(threads_block_signals),
		cmocka_unit_test(stop_expires_all_and_leaves_what_hangs),
		cmocka_unit_test(stop_waits_for_what_runs),
		cmocka_unit_test(stop_waits_for_what_has_no_deadline),
		cmocka_unit_test(every_job_ends_exactly_once),
		cmocka_unit_test(measure_round_trip),
	};

	own_threads = count_own_threads();
	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
