/* SPDX-License-Identifier: MIT */
/*
 * The protocol of sd_notify(3) is one datagram to a socket that an environment variable names. That is less than the
 * libraries which libsystemd would bring into a process with CAP_SYS_ADMIN.
 */
#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <syslog.h>

#include "cleanup.h"
#include "log.h"

/* An address that begins with @ is abstract: a 0 stands there in truth. Its length is exact, for no 0 ends it. */
static int address(struct sockaddr_un *out, socklen_t *length, const char *path)
{
	size_t n = strlen(path);

	if ((path[0] != '/' && path[0] != '@') || n >= sizeof(out->sun_path))
		return -EINVAL;
	memset(out, 0, sizeof(*out));
	out->sun_family = AF_UNIX;
	memcpy(out->sun_path, path, n);
	if (path[0] == '@')
		out->sun_path[0] = '\0';
	*length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (path[0] == '/'));
	return 0;
}

static int send_to(const char *path, const char *state)
{
	const struct timeval patience = { .tv_sec = 5 };
	struct sockaddr_un to;
	socklen_t length;
	int err = address(&to, &length, path);

	if (err)
		return err;

	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	/* a manager that is busy is waited for, one that does not read must not hold up the mount for ever */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to, length) < 0)
		return -errno;
	return 0;
}

void notify_send(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	int err = path && *path ? send_to(path, state) : 0;

	if (err)
		log_line(LOG_WARNING, "%s could not be told %s: %s", path, state, strerror(-err));
}
