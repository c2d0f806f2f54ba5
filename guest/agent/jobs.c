#include "agent.h"

#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct job jobs[JOBS_MAX];

uint64_t now_ns(void)
{
	struct timespec t;

	/* answered by the vDSO: no system call */
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct job *job_new(enum job_kind kind, const struct request *request)
{
	for (int i = 0; i < JOBS_MAX; i++) {
		struct job *job = &jobs[i];

		if (job->kind != JOB_FREE)
			continue;
		*job = (struct job){
			.kind = kind,
			.id = request->id,
			.op = request->op,
			.deadline = NO_DEADLINE,
			.fd = { -1, -1 },
			.input_fd = -1,
		};
		return job;
	}
	return NULL;
}

void job_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void job_free(struct job *job)
{
	job_close(&job->fd[0]);
	job_close(&job->fd[1]);
	job_close(&job->input_fd);
	job->kind = JOB_FREE;
}

/*
 * As process 1 the agent inherits every orphan of the guest, so most of what
 * comes back here may be nobody's job.
 */
void jobs_reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (int i = 0; i < JOBS_MAX; i++) {
			struct job *job = &jobs[i];

			if (job->kind == JOB_FREE || job->exited ||
			    job->pid != pid)
				continue;
			job->exited = true;
			job->wait_status = status;
			if (job->kind == JOB_EXEC)
				exec_exited(job);
			else
				worker_exited(job);
			break;
		}
	}
}
