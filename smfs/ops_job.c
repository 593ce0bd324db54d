/* SPDX-License-Identifier: MIT */
/*
 * Requests that are answered from the pool. The kernel waits for a reply as long as it takes, so there is always one:
 * FINISH's, or ETIMEDOUT when the key path's file system has not answered in time, or EAGAIN when no thread was free for the
 * request all that time. Where it is only a hint that led there, the request is done once more without it.
 */
#include "ops.h"

#include <errno.h>
#include <stdlib.h>
#include <syslog.h>
#include <unistd.h>

#include "log.h"
#include "walk.h"

#define AGAIN_MS 2000	/* the whole time has been waited before; what is left is quick, unless more of it hangs */

static void job_free(struct ops_job *job)
{
	if (job->free)
		job->free(job);
	node_put(job->node);
	caller_free(&job->caller);
	free(job);
}

static void on_work(struct pool_job *p)
{
	struct ops_job *job = (struct ops_job *)p;

	job->thread = gettid();
	job->work(job);
}

void ops_job_finish(void *p)
{
	struct ops_job *job = p;

	job->finish(job);
	job_free(job);
}

static void on_finish(struct pool_job *p)
{
	ops_job_finish(p);
}

/* The log says whose limit it was: what is slow is then not the file system that the caller asked for. */
static void refuse(struct ops_job *job)
{
	const struct pool_late *late = &job->pool.late;

	if (late->why == POOL_USER_IS_FULL)
		log_limited("a user's threads", 1, job->caller.uid, LOG_WARNING,
			    "user %u: a request waited in vain while %u of the same user hang or take long, as many as "
			    "-o waiting=%u allows", (unsigned)job->caller.uid, late->running, late->limit);
	else if (late->why == POOL_IS_FULL)
		log_limited("all users' threads", 1, job->caller.uid, LOG_WARNING,
			    "user %u: a request waited in vain while %u of all users hang or take long: -o max_waiting=%u "
			    "gives this user no thread more", (unsigned)job->caller.uid, late->running, late->limit);
	ops_reply_err(job->req, late->why == POOL_STOPS ? ENOTCONN : EAGAIN);
}

static void on_expire(struct pool_job *p)
{
	struct ops_job *job = (struct ops_job *)p;

	if (job->pool.late.why != POOL_HANGS) {
		refuse(job);
		return;
	}
	log_limited("key paths", 1, job->caller.uid, LOG_WARNING,
		    "user %u: a key path below /%s did not answer in time: its file system hangs",
		    (unsigned)job->caller.uid, job->node->path ? job->node->path : "");
	if (!job->again || !walk_give_up(job->thread)) {
		ops_reply_err(job->req, ETIMEDOUT);
		return;
	}

	struct ops_job *next = job->again(job);

	if (!next)
		return;
	next->again = job->again;
	next->pool.timeout_ms = AGAIN_MS;
	ops_job_submit(next);
}

static void on_discard(struct pool_job *p)
{
	job_free((struct ops_job *)p);
}

void *ops_job_new(fuse_req_t req, struct node *node, size_t size, ops_step *work, ops_step *finish, ops_step *free_)
{
	struct ops_job *job = node ? calloc(1, size) : NULL;
	int err = !node ? ESTALE : !job ? ENOMEM : -ops_caller(req, &job->caller);

	if (err) {
		if (job)
			caller_free(&job->caller);
		free(job);
		node_put(node);
		ops_reply_err(req, err);
		return NULL;
	}
	job->pool = (struct pool_job){
		.work = on_work, .finish = on_finish, .expire = on_expire, .discard = on_discard,
		.uid = job->caller.uid, .timeout_ms = POOL_TIMEOUT_MS,
	};
	job->req = req;
	job->node = node;
	job->work = work;
	job->finish = finish;
	job->free = free_;
	return job;
}

void ops_job_fail(void *p, int err)
{
	struct ops_job *job = p;

	ops_reply_err(job->req, err);
	job_free(job);
}

void ops_job_submit(void *p)
{
	struct ops_job *job = p;
	int err = pool_submit(ops.pool, &job->pool);

	if (err)
		ops_job_fail(job, err == -ESHUTDOWN ? ENOTCONN : -err);
}

void ops_job_submit_patiently(void *p)
{
	((struct ops_job *)p)->pool.timeout_ms = 0;
	ops_job_submit(p);
}
