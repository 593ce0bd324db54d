/* SPDX-License-Identifier: MIT */
/* The command line. What is not ours is left for libfuse, which knows the mount options and refuses the rest. */
#include "options.h"

#define FUSE_USE_VERSION 317
#include <errno.h>
#include <fuse_opt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipcns.h"

enum key {
	KEY_HELP, KEY_VERSION, KEY_DEBUG, KEY_SIZE, KEY_STAGED, KEY_FILES, KEY_LISTINGS, KEY_ACCESS, KEY_REAP, KEY_SUBTYPE, KEY_REMOUNT,
	KEY_MAX_THREADS, KEY_MAX_IDLE_THREADS, KEY_WAITING, KEY_MAX_WAITING, KEY_MAX_READ, KEY_WITHOUT_VALUE,
};

#define FLAG(text, member) { text, offsetof(struct options, member), 1 }

static const struct fuse_opt known[] = {
	FUSE_OPT_KEY("-h", KEY_HELP),
	FUSE_OPT_KEY("--help", KEY_HELP),
	FUSE_OPT_KEY("-V", KEY_VERSION),
	FUSE_OPT_KEY("--version", KEY_VERSION),
	FLAG("-f", foreground),
	FLAG("-s", single_thread),
	FLAG("clone_fd", clone_fd),
	FUSE_OPT_KEY("max_threads=", KEY_MAX_THREADS),
	FUSE_OPT_KEY("max_idle_threads=", KEY_MAX_IDLE_THREADS),
	FUSE_OPT_KEY("max_read=", KEY_MAX_READ),
	FUSE_OPT_KEY("-d", KEY_DEBUG),
	FUSE_OPT_KEY("debug", KEY_DEBUG),
	FUSE_OPT_KEY("size=", KEY_SIZE),
	FUSE_OPT_KEY("staged=", KEY_STAGED),
	FUSE_OPT_KEY("files=", KEY_FILES),
	FUSE_OPT_KEY("listings=", KEY_LISTINGS),
	FUSE_OPT_KEY("waiting=", KEY_WAITING),
	FUSE_OPT_KEY("max_waiting=", KEY_MAX_WAITING),
	FUSE_OPT_KEY("access=", KEY_ACCESS),
	{ "ipcns=%s", offsetof(struct options, ipcns), 0 },
	FUSE_OPT_KEY("reap", KEY_REAP),
	FUSE_OPT_KEY("reap=", KEY_REAP),
	FUSE_OPT_KEY("subtype=", KEY_SUBTYPE),
	FUSE_OPT_KEY("remount", KEY_REMOUNT),
	FUSE_OPT_KEY("size", KEY_WITHOUT_VALUE),
	FUSE_OPT_KEY("staged", KEY_WITHOUT_VALUE),
	FUSE_OPT_KEY("files", KEY_WITHOUT_VALUE),
	FUSE_OPT_KEY("listings", KEY_WITHOUT_VALUE),
	FUSE_OPT_KEY("waiting", KEY_WITHOUT_VALUE),
	FUSE_OPT_KEY("max_waiting", KEY_WITHOUT_VALUE),
	FUSE_OPT_KEY("access", KEY_WITHOUT_VALUE),
	FUSE_OPT_KEY("ipcns", KEY_WITHOUT_VALUE),
	FUSE_OPT_KEY("max_threads", KEY_WITHOUT_VALUE),
	FUSE_OPT_KEY("max_idle_threads", KEY_WITHOUT_VALUE),
	/* what mount(8) and fstab tell themselves: mount.fuse3 leaves out some of it only */
	FUSE_OPT_KEY("auto", FUSE_OPT_KEY_DISCARD),
	FUSE_OPT_KEY("noauto", FUSE_OPT_KEY_DISCARD),
	FUSE_OPT_KEY("user", FUSE_OPT_KEY_DISCARD),
	FUSE_OPT_KEY("nouser", FUSE_OPT_KEY_DISCARD),
	FUSE_OPT_KEY("users", FUSE_OPT_KEY_DISCARD),
	FUSE_OPT_KEY("owner", FUSE_OPT_KEY_DISCARD),
	FUSE_OPT_KEY("group", FUSE_OPT_KEY_DISCARD),
	FUSE_OPT_KEY("defaults", FUSE_OPT_KEY_DISCARD),
	FUSE_OPT_KEY("nofail", FUSE_OPT_KEY_DISCARD),
	FUSE_OPT_KEY("_netdev", FUSE_OPT_KEY_DISCARD),
	FUSE_OPT_KEY("comment=", FUSE_OPT_KEY_DISCARD),
	FUSE_OPT_KEY("relatime", FUSE_OPT_KEY_DISCARD),	/* as it is anyway */
	FUSE_OPT_END
};

static int complain(const char *option, const char *wanted)
{
	fprintf(stderr, "smfs: -o %s: %s\n", option, wanted);
	return -1;
}

/* A number of bytes above 0, with K, M or G behind it. */
static int parse_size(const char *option, size_t *out)
{
	const char *text = strchr(option, '=') + 1;
	char *end;
	unsigned shift = 0;

	errno = 0;

	unsigned long long n = strtoull(text, &end, 10);

	switch (*end) {
	case 'G': case 'g': shift += 10; /* fall through */
	case 'M': case 'm': shift += 10; /* fall through */
	case 'K': case 'k': shift += 10; end++;
	}
	/* strtoull takes blanks and signs, too; and half of SIZE_MAX is the most that an off_t holds */
	if (*text < '0' || *text > '9' || *end || errno || n == 0 || n > SIZE_MAX / 2 >> shift)
		return complain(option, "not a size in bytes: write a number above 0, with K, M or G if need be");
	*out = (size_t)n << shift;
	return 0;
}

/* A number from 1 to MOST; WANTED says so. */
static int parse_number(const char *option, unsigned most, const char *wanted, unsigned *out)
{
	const char *text = strchr(option, '=') + 1;
	char *end;

	errno = 0;

	unsigned long n = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || errno || n == 0 || n > most)
		return complain(option, wanted);
	*out = (unsigned)n;
	return 0;
}

/* With 0 nobody would serve; and with 0 kept idle, the one that waits for the next request would end itself. */
static int parse_threads(const char *option, unsigned *out)
{
	return parse_number(option, 10000, "not a number of threads from 1 to 10000", out);
}

static int parse_waiting(const char *option, unsigned *out)
{
	return parse_number(option, 10000, "not a number of requests from 1 to 10000", out);
}

/* "reap" or "reap=SECONDS". */
static int parse_seconds(const char *option, unsigned *out)
{
	*out = 1;
	if (!strchr(option, '='))
		return 0;
	return parse_number(option, 86400, "not a number of seconds from 1 to 86400", out);
}

static int parse_access(const char *option, enum way_choice *out)
{
	static const char *const names[] = { [WAY_AUTO] = "auto", [WAY_NATIVE] = "native", [WAY_COPY] = "copy" };

	for (int i = 0; i < 3; i++)
		if (strcmp(strchr(option, '=') + 1, names[i]) == 0) {
			*out = (enum way_choice)i;
			return 0;
		}
	return complain(option, "write auto, native or copy");
}

static int operand(struct options *o, const char *arg)
{
	if (o->mountpoint && o->keydir) {
		fprintf(stderr, "smfs: %s: one operand too many; usage: smfs [options] [KEYDIR] MOUNTPOINT\n", arg);
		return -1;
	}
	o->keydir = o->mountpoint;	/* the last one is the mount point */
	o->mountpoint = strdup(arg);
	return o->mountpoint ? 0 : -1;
}

static int on_option(void *data, const char *arg, int key, struct fuse_args *out)
{
	struct options *o = data;

	switch (key) {
	case FUSE_OPT_KEY_NONOPT:
		return operand(o, arg);
	case KEY_HELP:
		o->help = true;
		return 0;
	case KEY_VERSION:
		o->version = true;
		return 0;
	case KEY_DEBUG:
		o->foreground = true;
		return 1;
	case KEY_SIZE:
		return parse_size(arg, &o->default_size);
	case KEY_STAGED:
		return parse_size(arg, &o->staged);
	case KEY_FILES:
		return parse_number(arg, 1000000000, "not a number of files from 1 to 1000000000", &o->files);
	case KEY_LISTINGS:
		return parse_size(arg, &o->listings);
	case KEY_MAX_THREADS:
		return parse_threads(arg, &o->max_threads);
	case KEY_MAX_IDLE_THREADS:
		return parse_threads(arg, &o->max_idle_threads);
	case KEY_WAITING:
		return parse_waiting(arg, &o->waiting);
	case KEY_MAX_WAITING:
		return parse_waiting(arg, &o->max_waiting);
	case KEY_MAX_READ:	/* libfuse's, which wants it said again when it starts */
		return parse_number(arg, 1 << 30, "not a number of bytes from 1 to 1073741824", &o->max_read) ? -1 : 1;
	case KEY_WITHOUT_VALUE:
		return complain(arg, "a value is missing: write it behind a =");
	case KEY_ACCESS:
		return parse_access(arg, &o->access);
	case KEY_REAP:
		return parse_seconds(arg, &o->reap_seconds);
	case KEY_SUBTYPE:
		return strcmp(arg, "subtype=smfs") == 0 ? 0 :
		       complain(arg, "the type is how one smfs knows another's mount; leave it out");
	case KEY_REMOUNT:
		return complain(arg, "a running smfs cannot be changed: unmount it and mount it again "
				"(mount -i -o remount,ro changes the mount alone)");
	default:
		return 1;
	}
}

int options_parse(struct fuse_args *args, struct options *o)
{
	*o = (struct options){
		.default_size = 4096, .staged = (size_t)256 << 20, .listings = (size_t)64 << 20,
		.max_threads = 10, .max_idle_threads = 4,
	};
	if (fuse_opt_parse(args, o, known, on_option))
		return -1;
	/* both operands are taken out; what libfuse is given gets options behind its own */
	if (args->allocated && strcmp(args->argv[args->argc - 1], "--") == 0) {
		free(args->argv[--args->argc]);
		args->argv[args->argc] = NULL;
	}
	if (o->help || o->version)
		return 0;
	if (!o->mountpoint) {
		fprintf(stderr, "smfs: no MOUNTPOINT; usage: smfs [options] [KEYDIR] MOUNTPOINT (smfs --help says more)\n");
		return -1;
	}
	if (!o->keydir && !(o->keydir = strdup("/")))
		return -1;
	if (o->ipcns && ipcns_is_process(o->ipcns) && o->keydir[0] != '/') {
		fprintf(stderr, "smfs: %s: KEYDIR is a path in the root of the process that ipcns names: it must begin "
			"with /\n", o->keydir);
		return -1;
	}
	return 0;
}

void options_free(struct options *o)
{
	free(o->keydir);
	free(o->mountpoint);
	free(o->ipcns);
}

void options_print_help(const char *program)
{
	printf("usage: %s [options] [KEYDIR] MOUNTPOINT\n"
	       "\n"
	       "Shows the System V shared memory that is keyed by files under KEYDIR (default /) as files under MOUNTPOINT:\n"
	       "KEYFILE:P is the data segment of ftok(KEYFILE, P), KEYFILE:P.refcount its counter. smfs(1) says more.\n"
	       "\n"
	       "options:\n"
	       "    -h   --help            print help\n"
	       "    -V   --version         print version\n"
	       "    -d   -o debug          print every request (implies -f)\n"
	       "    -f                     stay in the foreground, log to standard error\n"
	       "    -s                     one thread\n"
	       "    -o size=N              size of an object made without one (4096; K, M, G understood)\n"
	       "    -o access=WAY          the way to the bytes: auto, native or copy (auto)\n"
	       "    -o reap[=SECONDS]      take off the references of dead holders within SECONDS (1), free what they left\n"
	       "    -o staged=SIZE         most bytes that one user's new files and size changes may hold (256M)\n"
	       "    -o files=N             most open files of one user (a quarter of the descriptors or mappings; 65536)\n"
	       "    -o listings=SIZE       most memory that listings of one user's open directories may hold (64M)\n"
	       "    -o waiting=N           most requests of one user that may wait at once for key files, or work long (8)\n"
	       "    -o max_waiting=N       most of all users (1024)\n"
	       "    -o ipcns=PID|PATH      show that IPC namespace; KEYDIR is in that process' root\n"
	       "    -o max_threads=N       most threads that serve requests (10)\n"
	       "    -o max_idle_threads=N  most of them that are kept idle (4)\n"
	       "    -o clone_fd            a device descriptor for each thread\n"
	       "    -o allow_other         let other users in; System V decides what each may do\n"
	       "    -o allow_root          let root in\n"
	       "    -o auto_unmount        unmount when the process ends, however it ends\n"
	       "    -o ro,...              mount options, as in mount(8)\n", program);
}
