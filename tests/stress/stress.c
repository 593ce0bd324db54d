/* SPDX-License-Identifier: MIT */
/*
 * Hundreds of processes hold objects while they are stopped and killed at any instant and a monitor repairs:
 *
 *     stress KEYDIR SECONDS PROCESSES loop|none
 *
 * With "none" the monitor is somebody else's (smfs -o reap). When all stand still, every count must be right (0 lost, 0
 * leaked); while one holds, its object must be there (0 freed too early); when all are gone, nothing but what nobody ever
 * held may be left. Run it in an IPC namespace of its own: every segment there is taken for one of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libsm/sm.h>

#include "reaper.h"
#include "stress.h"

#define KILL_EVERY_US 2500
#define LOOKS 12	/* until the monitor must have repaired all; one or two, on a quiet machine */
#define LOOK_EVERY_US 1100000
#define STANDSTILL_S 60	/* until all hold */

struct shared *shared;
char key_path[OBJECTS][4096];
int workers;

static struct {
	pid_t pid;
	double until;		/* stopped until then; 0: not stopped */
} process[WORKERS_MAX];
static unsigned seed;
static long kills;
static pid_t reaper_pid;

void wrong(const char *format, ...)
{
	va_list args;

	if (atomic_exchange(&shared->wrong, 1))
		return;
	va_start(args, format);
	vsnprintf(shared->what, sizeof(shared->what), format, args);
	va_end(args);
}

void sleep_us(long us)
{
	nanosleep(&(struct timespec){ us / 1000000, us % 1000000 * 1000 }, NULL);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void start(int i)
{
	shared->where[i] = -1;
	process[i].until = 0;
	process[i].pid = fork();
	if (process[i].pid == 0) {
		setpriority(PRIO_PROCESS, 0, 10);	/* the one who kills them must get its turn */
		worker(i);
	}
	if (process[i].pid < 0)
		wrong("fork: %s", strerror(errno));
}

/* Those that ended by exec, and orphans; LEAVING: they are to end, by themselves and with 0. Returns how many ended. */
static int collect(bool leaving)
{
	pid_t pid;
	int status, ended = 0;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (status != 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
			wrong("a process ended with status 0x%x", status);
		for (int i = 0; i < workers; i++) {
			if (process[i].pid != pid)
				continue;
			process[i].pid = 0;
			ended++;
			if (!leaving)
				start(i);
		}
		if (pid == reaper_pid)
			wrong("the monitor ended with status %d", status);
	}
	return ended;
}

static void wake(bool all)
{
	for (int i = 0; i < workers; i++) {
		if (process[i].until && (all || now() > process[i].until)) {
			kill(process[i].pid, SIGCONT);
			process[i].until = 0;
		}
	}
}

/* Kill one, or stop one, some for longer than the second that a repair waits for. */
static void strike(void)
{
	int i = rand_r(&seed) % workers;

	if (rand_r(&seed) % 5) {
		kill(process[i].pid, SIGKILL);
		kills++;
	} else if (!process[i].until) {
		process[i].until = now() + (rand_r(&seed) % 8 ? 0.05 : 2.2);
		kill(process[i].pid, SIGSTOP);
	}
}

static void churn(double seconds)
{
	double end = now() + seconds;

	while (now() < end && !shared->wrong) {
		sleep_us(KILL_EVERY_US);
		strike();
		collect(false);
		wake(false);
	}
	wake(true);
}

static int counter_of(int object)
{
	key_t key;

	return sm_key_from_path(key_path[object], PROJ, &key) ? -1 : sm_segment_find(sm_key_counter(key));
}

/* The count of OBJECT, 0 where there is none. */
static int count(int object)
{
	int value = 0, id = counter_of(object);

	return id >= 0 && sm_counter_value(id, &value) == 0 ? value : 0;
}

static int leaked(int object)
{
	int n = 0, id = counter_of(object);

	return id >= 0 && sm_counter_leaked(id, &n) == 0 ? n : 0;
}

/* Had OBJECT a holder? Then it is gone with the last one. What its maker was killed over may be there. */
static bool is_left_over(int object)
{
	struct sm_counter c;
	int id = counter_of(object);

	return id >= 0 && sm_counter_load(id, &c) == 0 && c.changes > 0;
}

/* Whether the monitor has nothing to do any more; what can never become right is wrong. HELD: by how many, each. */
static bool all_right(const int *held, bool last)
{
	for (int object = 0; object < EXACT + MIXED; object++) {
		bool exact = object < EXACT;
		int n = count(object), dead = leaked(object);

		if (exact && n < held[object])
			wrong("lost counts: object %d counts %d and %d hold it", object, n, held[object]);
		if (shared->wrong || (exact ? n == held[object] : dead == 0)) {
			if (object >= PURE || held[object] || !is_left_over(object))
				continue;
			if (last)
				wrong("leaked: object %d counts %d, had holders, has none, and is there", object, n);
			return false;
		}
		if (last)
			wrong("leaked: object %d counts %d, %d hold it, %d have no holder", object, n, held[object], dead);
		return false;
	}
	return true;
}

static void settle(const int *held)
{
	for (int i = 1; !all_right(held, i == LOOKS) && i < LOOKS; i++)
		sleep_us(LOOK_EVERY_US);
}

/* Once they all stand still, no count may be below its holders, and soon none above. */
static void stand_still(void)
{
	double end = now() + STANDSTILL_S;
	int held[OBJECTS] = { 0 };

	shared->phase = HOLD;
	while (shared->holding < workers && !shared->wrong) {
		sleep_us(2000);
		collect(false);
		if (now() > end)
			wrong("only %d of %d processes came to hold an object", shared->holding, workers);
	}
	for (int i = 0; i < workers && !shared->wrong; i++)
		held[shared->where[i]]++;
	settle(held);
}

static void all_leave(void)
{
	double end = now() + STANDSTILL_S;
	int left = workers;

	shared->phase = LEAVE;
	while (left > 0 && !shared->wrong) {
		left -= collect(true);
		sleep_us(2000);
		if (now() > end)
			wrong("%d processes do not leave", left);
	}
}

/* A process that died between the two segments leaves half of an object, which the next one mends. */
static void use_once(int object)
{
	sm_object *obj = sm_object_new(key_path[object], PROJ, (size_t)workers * sizeof(uint64_t));

	if (sm_create(obj) || sm_access(obj))
		wrong("object %d cannot be used any more: %s", object, sm_error_text(obj));
	else if (sm_refcount(obj) != 1)
		wrong("object %d counts %d, one holds it", object, sm_refcount(obj));
	sm_object_free(obj);
}

static void look_at_what_is_left(void)
{
	const int none[OBJECTS] = { 0 };
	struct sm_segment *table;
	ssize_t n;

	settle(none);
	for (int object = 0; object < EXACT + MIXED && !shared->wrong; object++)
		use_once(object);
	n = sm_segment_list(&table);
	if (n != 2 * UNHELD)
		wrong("%zd segments are left, of %d that nobody ever held", n, 2 * UNHELD);
	for (ssize_t i = 0; i < n; i++)
		sm_segment_remove(table[i].id);
	if (n >= 0)
		free(table);
}

static int set_up(const char *keydir)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || prctl(PR_SET_CHILD_SUBREAPER, 1))
		return -1;
	for (int i = 0; i < OBJECTS; i++) {
		snprintf(key_path[i], sizeof(key_path[i]), "%s/key%d", keydir, i);

		int fd = open(key_path[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

		if (fd < 0)
			return -1;
		close(fd);
	}
	for (int i = EXACT + MIXED; i < OBJECTS; i++) {
		sm_object *obj = sm_object_new(key_path[i], PROJ, 4096);

		if (sm_create(obj))
			wrong("sm_create: %s", sm_error_text(obj));
		sm_object_free(obj);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 5 || (workers = atoi(argv[3])) < 8 || workers > WORKERS_MAX) {
		fprintf(stderr, "usage: stress KEYDIR SECONDS PROCESSES loop|none (8 to %d processes)\n", WORKERS_MAX);
		return 2;
	}
	seed = (unsigned)getpid();
	if (set_up(argv[1])) {
		perror(argv[1]);
		return 1;
	}
	reaper_pid = strcmp(argv[4], "loop") ? 0 : reaper_start();
	for (int i = 0; i < workers; i++)
		start(i);
	churn(atof(argv[2]));
	stand_still();
	all_leave();
	look_at_what_is_left();
	for (int i = 0; i < workers; i++)
		if (process[i].pid > 0)
			kill(process[i].pid, SIGKILL);
	if (reaper_pid)
		kill(reaper_pid, SIGKILL);
	while (wait(NULL) > 0)
		;
	printf("%d processes, %ld kills, %ld by exec, %ld forks, %ld joins, %ld of old programs; those removed %u segments, "
	       "%ld looks found one of them gone\n", workers, kills, shared->execs, shared->forks, shared->joins,
	       shared->old_joins, shared->old_removals, shared->excused);
	if (shared->wrong)
		printf("WRONG: %s\n", shared->what);
	else
		printf("0 leaked, 0 freed too early, 0 counts lost\n");
	return shared->wrong ? 1 : 0;
}
