/* SPDX-License-Identifier: MIT */
/* Options -> session -> mount -> loop -> exit status. Whatever is wrong before the mount is said in one line. */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "background.h"
#include "cleanup.h"
#include "ipcns.h"
#include "device.h"
#include "exchange.h"
#include "hash.h"
#include "info.h"
#include "log.h"
#include "loop.h"
#include "monitor.h"
#include "mountpoint.h"
#include "native.h"
#include "notify.h"
#include "ops.h"
#include "options.h"
#include "share.h"
#include "staged.h"
#include "truncate.h"

#define STOP_WAIT_MS 1000	/* for requests that hang on a key path, at the end */

static int fail(const char *what, int err)
{
	fprintf(stderr, "smfs: %s: %s\n", what, strerror(err));
	return -1;
}

static int open_keydir(const struct options *o)
{
	/* the namespace first: what may not be entered is better said so than as a KEYDIR that cannot be opened */
	if (o->ipcns && ipcns_enter(o->ipcns))
		return -1;

	int err = o->ipcns ? ipcns_keydir_open(o->ipcns, o->keydir, &ops.keydir) : keydir_open(&ops.keydir, o->keydir);

	if (err == -EINVAL) {
		fprintf(stderr, "smfs: %s: lies in an smfs mount; KEYDIR must be a directory of key files\n", o->keydir);
		return -1;
	}
	return err ? fail(o->keydir, -err) : 0;
}

/* Each native file that is open is a descriptor. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* How many mappings the kernel lets a process have; what is written through us is mapped until it is closed. */
static rlim_t most_mappings(void)
{
	FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
	unsigned n = 65530;	/* the kernel's default */

	if (f) {
		if (fscanf(f, "%u", &n) != 1)
			n = 65530;
		fclose(f);
	}
	return n;
}

/* A quarter of the descriptors, or of the mappings: three users who open everything leave another some. */
static unsigned default_files(void)
{
	rlim_t most = most_mappings();
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < most)
		most = limit.rlim_cur;
	most /= 4;
	return most > 65536 ? 65536 : most ? (unsigned)most : 1;
}

static int start_core(const struct options *o)
{
	int err = hash_start();

	if (!err)
		err = node_start();
	if (err)
		return fail("cannot start", -err);
	raise_descriptor_limit();
	staged_start(o->default_size);
	share_start(o->staged, o->listings, o->files ? o->files : default_files());
	caller_start();
	return 0;
}

/*
 * The first request is INIT: it is answered here, so that what the kernel offers is known before anything is promised.
 * False: it was unmounted already.
 */
static bool shake_hands(struct fuse_session *se)
{
	struct fuse_buf buf = { 0 };
	int n;

	do
		n = fuse_session_receive_buf(se, &buf);
	while (n == -EINTR);
	if (n > 0)
		fuse_session_process_buf(se, &buf);
	free(buf.mem);
	return n > 0;
}

/*
 * Only a real registration tells whether native access can be had: it is offered even to those who may not use it.
 * *WHY_NOT is 0 where it can.
 */
static int choose_way(struct fuse_session *se, const struct options *o, int *why_not)
{
	int err = o->access == WAY_COPY ? -EOPNOTSUPP : native_start(fuse_session_fd(se));

	if (err && o->access == WAY_NATIVE) {
		fprintf(stderr, "smfs: native access cannot be had (%s): it needs CAP_SYS_ADMIN and Linux 6.9; "
			"leave out -o access=native to copy instead\n", strerror(-err));
		return -1;
	}
	*why_not = err;
	err = way_start(err ? WAY_COPY : o->access);
	return err ? fail("cannot start", -err) : 0;
}

struct start {
	const struct options *options;
	const char *mountpoint;		/* resolved: it was given relative to a directory that nobody knows later */
	int why_not_native;
	bool served;
};

/* Whoever looks for a cause later wants to know first what runs here, where, how, and with what rights. */
static void announce(const struct start *start)
{
	const struct options *o = start->options;
	const int why_not_native = start->why_not_native;
	char capabilities[CALLER_CAPABILITIES_MAX], reason[128] = "";

	caller_capabilities(capabilities);
	if (why_not_native && o->access == WAY_AUTO)
		snprintf(reason, sizeof(reason), " (no passthrough: %s)", strerror(-why_not_native));
	if (!o->foreground) {
		log_line(LOG_INFO, "version " SM_VERSION ", %s on %s, %s access%s, capabilities: %s", ops.keydir.dir.path,
			 start->mountpoint, why_not_native ? "copying" : "native", reason, capabilities);
		return;
	}
	printf("smfs: version " SM_VERSION ", %s on %s, %s access%s, capabilities: %s\n", ops.keydir.dir.path,
	       start->mountpoint, why_not_native ? "copying" : "native", reason, capabilities);
	fflush(stdout);
}

/* Nothing that is refused is left, so now whoever started it may go. */
static void begin_to_serve(void *arg)
{
	struct start *start = arg;

	start->served = true;
	if (!start->options->foreground)
		log_to_syslog();
	announce(start);
	background_ready();
	notify_send("READY=1");
}

/* libfuse hands out some lines in pieces, and begins them with its own name. */
static void on_fuse_log(enum fuse_log_level level, const char *format, va_list args)
{
	static __thread char line[512];
	size_t n = strlen(line);

	if (level == FUSE_LOG_DEBUG) {
		vfprintf(stderr, format, args);
		return;
	}
	vsnprintf(line + n, sizeof(line) - n, format, args);
	n = strlen(line);
	if (!n || (line[n - 1] != '\n' && n < sizeof(line) - 1))
		return;
	line[strcspn(line, "\n")] = '\0';
	log_line((int)level, "%s", strncmp(line, "fuse: ", 6) == 0 ? line + 6 : line);
	line[0] = '\0';
}

/* A descriptor for each thread only libfuse's own loop can have. It ends for want of a thread's buffer or of a thread. */
static int serve_cloned(struct fuse_session *se, struct start *start)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int res;

	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_clone_fd(config, 1);
	fuse_loop_cfg_set_max_threads(config, start->options->max_threads);
	begin_to_serve(start);
	while ((res = fuse_session_loop_mt(se, config)) == -ENOMEM || res == -1) {
		log_limited("memory", 1, LOG_NOBODY, LOG_WARNING, "memory is short: cannot serve for a moment");
		nanosleep(&pause, NULL);
	}
	fuse_loop_cfg_destroy(config);
	return res;
}

/* The exit status: leaving by a signal or because it was unmounted is success. */
static int serve(struct fuse_session *se, struct start *start)
{
	const struct options *o = start->options;
	int res = o->clone_fd && !o->single_thread ? serve_cloned(se, start) :
		  loop_run(se, o->single_thread ? 1 : o->max_threads, o->max_idle_threads, begin_to_serve, start);

	if (res < 0 && res != -ENODEV && res != -ENOTCONN && res != -ECONNABORTED) {
		log_line(LOG_ERR, "%s: %s", start->served ? "stopped" : "cannot start", strerror(-res));
		return 1;
	}
	return 0;
}

static void wake(void *handle)
{
	fuse_lowlevel_notify_poll(handle);
	fuse_pollhandle_destroy(handle);
}

static void drop(void *handle)
{
	fuse_pollhandle_destroy(handle);
}

/* What is left to do before the first request, threads at last. */
static int start_threads(const struct options *o)
{
	int err = caller_reduce();

	if (!err)
		err = pool_start(&ops.pool, &(struct pool_limits){ .threads = o->max_waiting, .per_user = o->waiting });
	if (!err && o->reap_seconds)
		err = monitor_start(o->reap_seconds);
	watch_start(wake, drop);
	return err ? fail("cannot start", -err) : 0;
}

/* Mounted: once it serves, nothing ends the daemon but a signal or an unmount. */
static int run_mounted(struct fuse_session *se, const struct options *o, const char *mountpoint)
{
	struct start start = { .options = o, .mountpoint = mountpoint };
	int status;

	if (device_start(se))
		return 1;
	ops.max_read = o->max_read;
	if (!shake_hands(se))
		return 0;
	if (fuse_session_exited(se))
		return 1;	/* libfuse would not have what the kernel answered, and has said why */
	if (choose_way(se, o, &start.why_not_native) || (!o->foreground && background_begin()))
		return 1;
	if ((chdir("/") && fail("/", errno)) || fuse_set_signal_handlers(se) || start_threads(o))
		return 1;
	status = serve(se, &start);
	if (start.served)
		notify_send("STOPPING=1");
	watch_stop();
	exchange_stop();
	fuse_remove_signal_handlers(se);
	if (pool_stop(ops.pool, STOP_WAIT_MS)) {
		/* a thread hangs on somebody's file system and may yet come back to what would be freed below */
		fuse_session_unmount(se);
		_exit(status);
	}
	return status;
}

/*
 * The source is KEYDIR, for `mount -a` to see that its line in fstab is mounted already; -o fsname of the user comes
 * later and wins.
 */
static int add_mount_options(struct fuse_args *args)
{
	AUTO_FREE char *source = NULL;
	char *escaped = NULL;

	if (asprintf(&source, "fsname=%s", ops.keydir.dir.path) < 0)
		source = NULL;

	int err = source ? fuse_opt_add_opt_escaped(&escaped, source) : -1;
	AUTO_FREE char *first = escaped;

	if (err || fuse_opt_insert_arg(args, 1, "-o") || fuse_opt_insert_arg(args, 2, first) ||
	    fuse_opt_add_arg(args, "-osubtype=smfs,nosuid,nodev,noexec"))
		return fail("cannot start", ENOMEM);
	return 0;
}

static int run(struct fuse_args *args, const struct options *o)
{
	if (mountpoint_prepare(o->mountpoint) || open_keydir(o) || start_core(o) || mountpoint_check_device())
		return 1;
	if (add_mount_options(args))
		return 1;

	struct fuse_session *se = fuse_session_new(args, &ops_table, sizeof(ops_table), NULL);

	if (!se)
		return 2;	/* it has said which option it does not know */

	char *mountpoint = realpath(o->mountpoint, NULL);
	int status = 1;

	if (!mountpoint) {
		fail(o->mountpoint, errno);
	} else if (fuse_session_mount(se, mountpoint) == 0) {
		dev_t device = mountpoint_device(mountpoint);

		info_start(device);
		truncate_start(device);
		status = run_mounted(se, o, mountpoint);
		fuse_session_unmount(se);
	}
	fuse_session_destroy(se);
	free(mountpoint);
	return status;
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct options o;
	int status;

	mallopt(M_ARENA_MAX, 2);	/* an arena for each thread would be memory that an idle daemon holds */
	fuse_set_log_func(on_fuse_log);
	if (options_parse(&args, &o)) {
		status = 2;
	} else if (o.help) {
		options_print_help("smfs");
		status = 0;
	} else if (o.version) {
		printf("smfs %s\nlibfuse %s\n", SM_VERSION, fuse_pkgversion());
		status = 0;
	} else {
		status = run(&args, &o);
	}
	options_free(&o);
	fuse_opt_free_args(&args);
	return status;
}
