/*
 * EXEC and KILL. The child is made with vfork: copying the agent's page tables
 * and taking a copy-on-write fault for every page it writes afterwards would
 * cost more than the rest of the start. The child shares our memory until its
 * execve, which is also how it reports a failed one.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STRINGS_MAX 1024u
#define GRACE_NS 500000000u
#define PIPE_ROOM (64u << 10) /* what an empty pipe takes at once */

enum { MERGE_STDERR = 1 };

static char default_path[] = "PATH=/bin:/sbin:/usr/bin:/usr/sbin";
static char default_home[] = "HOME=/";

struct plan {
	char *cwd;
	char **argv;
	char **envp;
	int fds[3]; /* the child's standard streams; -1: as they are */
	volatile int error;
};

/* Steps over a list of strings: how many there are, or bad. */
static uint32_t skip_strings(struct cursor *c, struct cursor *start)
{
	uint32_t count = cursor_u32(c);

	*start = *c;
	if (count > STRINGS_MAX)
		c->bad = true;
	for (uint32_t i = 0; i < count && !c->bad; i++)
		cursor_text(c);
	return count;
}

static bool sets(const char *entry, const char *name_and_equals)
{
	return strncmp(entry, name_and_equals, strlen(name_and_equals)) == 0;
}

static void run_argv(struct plan *plan)
{
	static char candidate[PATH_MAX];
	const char *path = default_path;
	size_t name = strlen(plan->argv[0]);
	int error = ENOENT;

	if (strchr(plan->argv[0], '/') != NULL) {
		execve(plan->argv[0], plan->argv, plan->envp);
		plan->error = errno;
		return;
	}
	for (char **e = plan->envp; *e != NULL; e++)
		if (sets(*e, "PATH="))
			path = *e;
	path += strlen("PATH=");

	while (name != 0) {
		size_t folder = strcspn(path, ":");

		if (folder + 1 + name < sizeof candidate) {
			char *end = candidate + folder;

			memcpy(candidate, path, folder);
			if (folder != 0)
				*end++ = '/';
			memcpy(end, plan->argv[0], name + 1);
			execve(candidate, plan->argv, plan->envp);
			if (errno != ENOENT && errno != ENOTDIR)
				error = errno;
			if (error != ENOENT && error != EACCES)
				break;
		}
		if (path[folder] == 0)
			break;
		path += folder + 1;
	}
	plan->error = error;
}

/* Runs in the child, in our memory, and must leave by execve or _exit. */
static _Noreturn void child(struct plan *plan)
{
	signals_forget();
	setsid();
	umask(022);
	for (int i = 0; i < 3; i++)
		if (plan->fds[i] >= 0 && dup2(plan->fds[i], i) < 0)
			plan->error = errno;
	if (plan->error == 0 && chdir(plan->cwd) < 0)
		plan->error = errno;
	if (plan->error == 0)
		run_argv(plan);
	_exit(127);
}

static __attribute__((noinline)) pid_t spawn(struct plan *plan)
{
	pid_t pid = vfork();

	if (pid == 0)
		child(plan);
	if (pid < 0)
		plan->error = errno;
	return pid;
}

static void close_pair(int pair[2])
{
	job_close(&pair[0]);
	job_close(&pair[1]);
}

/*
 * What fits an empty pipe is written before the child even starts; only a
 * longer input needs a copy, as its frame is gone when the next is read.
 */
static int give_input(struct job *job, int pair[2], struct bytes input)
{
	uint32_t now = input.length < PIPE_ROOM ? input.length : PIPE_ROOM;
	ssize_t n;

	if (input.length == 0)
		return 0; /* the agent's own /dev/null serves */
	if (pipe2(pair, O_CLOEXEC) < 0)
		return errno;
	fcntl(pair[1], F_SETFL, O_NONBLOCK);
	n = write(pair[1], input.data, now);
	if (n < 0)
		return errno;
	if ((uint32_t)n == input.length) {
		job_close(&pair[1]);
		return 0;
	}
	job->input_length = input.length - (uint32_t)n;
	job->input = malloc(job->input_length);
	if (job->input == NULL)
		return ENOMEM;
	memcpy(job->input, input.data + n, job->input_length);
	return 0;
}

int exec_start(struct request *request)
{
	struct cursor *c = &request->at;
	uint32_t flags = cursor_u32(c);
	uint32_t timeout_ms = cursor_u32(c);
	struct bytes cwd = cursor_text(c);
	struct cursor arguments, variables;
	uint32_t argc = skip_strings(c, &arguments);
	uint32_t envc = skip_strings(c, &variables);
	struct bytes input = cursor_bytes(c);
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 };
	struct plan plan = { .fds = { -1, -1, -1 } };
	bool path = false, home = false;
	struct job *job;
	uint32_t n = 0;

	if (!cursor_done(c) || argc == 0 || flags > MERGE_STDERR)
		return EINVAL;
	job = job_new(JOB_EXEC, request);
	if (job == NULL)
		return EAGAIN;

	char *argv[argc + 1], *envp[envc + 3];

	/* the input first: the strings are about to move over their lengths */
	plan.error = give_input(job, in, input);
	for (uint32_t i = 0; i < argc; i++)
		argv[i] = bytes_to_text(cursor_text(&arguments));
	argv[argc] = NULL;
	for (uint32_t i = 0; i < envc; i++) {
		char *entry = bytes_to_text(cursor_text(&variables));

		if (strchr(entry, '=') == NULL)
			plan.error = EINVAL;
		path |= sets(entry, "PATH=");
		home |= sets(entry, "HOME=");
		envp[n++] = entry;
	}
	if (!path)
		envp[n++] = default_path;
	if (!home)
		envp[n++] = default_home;
	envp[n] = NULL;
	plan.cwd = cwd.length != 0 ? bytes_to_text(cwd) : "/";
	plan.argv = argv;
	plan.envp = envp;

	if (plan.error == 0 && pipe2(out, O_CLOEXEC) < 0)
		plan.error = errno;
	if (plan.error == 0 && !(flags & MERGE_STDERR) &&
	    pipe2(err, O_CLOEXEC) < 0)
		plan.error = errno;
	if (plan.error == 0) {
		plan.fds[0] = in[0];
		plan.fds[1] = out[1];
		plan.fds[2] = flags & MERGE_STDERR ? out[1] : err[1];
		job->pid = spawn(&plan);
	}
	if (plan.error != 0) {
		/* a child that could not execve is reaped as nobody's */
		close_pair(in);
		close_pair(out);
		close_pair(err);
		free(job->input);
		job_free(job);
		return plan.error;
	}
	job_close(&in[0]);
	job_close(&out[1]);
	job_close(&err[1]);
	job->input_fd = in[1];
	job->fd[0] = out[0];
	job->fd[1] = err[0];
	if (timeout_ms != 0)
		job->deadline = now_ns() + timeout_ms * UINT64_C(1000000);
	return 0;
}

int exec_kill(struct request *request)
{
	uint32_t id = cursor_u32(&request->at);
	uint32_t signal = cursor_u32(&request->at);

	if (!cursor_done(&request->at) || signal > 64)
		return EINVAL;
	for (int i = 0; i < JOBS_MAX; i++) {
		struct job *job = &jobs[i];

		/* once reaped, its number may be another's */
		if (job->kind != JOB_EXEC || job->id != id || job->exited)
			continue;
		if (kill(-job->pid, (int)signal) < 0)
			return errno;
		reply_status(request->id, request->op, 0);
		return 0;
	}
	return ESRCH;
}

static void finish(struct job *job)
{
	int status = job->wait_status;
	struct reply r = reply_begin(12);

	reply_u32(&r, WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 0);
	reply_u32(&r, WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0);
	reply_u32(&r, job->timed_out);
	reply_end(&r, job->id, OP_EXEC, 0);
	free(job->input);
	job_free(job);
}

static void finish_if_over(struct job *job)
{
	if (job->exited && job->fd[0] < 0 && job->fd[1] < 0)
		finish(job);
}

/* Passes on one frame's worth; false at the end of the stream. */
static bool pass_output(struct job *job, int which)
{
	struct reply r = reply_begin(8 + OUTPUT_BYTES_MAX);
	ssize_t n;

	if (r.at == NULL)
		return false;
	n = read(job->fd[which], r.at + 8, OUTPUT_BYTES_MAX);
	if (n <= 0)
		return n < 0 && errno == EINTR;
	reply_u32(&r, which == 0 ? 1 : 2);
	reply_u32(&r, (uint32_t)n);
	r.at += n;
	reply_end(&r, job->id, OP_EXEC_OUTPUT, 0);
	return true;
}

void exec_readable(struct job *job, int which)
{
	/* a blocking pipe: only read after poll said that it will not */
	if (pass_output(job, which))
		return;
	job_close(&job->fd[which]);
	finish_if_over(job);
}

void exec_writable(struct job *job)
{
	ssize_t n = write(job->input_fd, job->input + job->input_at,
			  job->input_length - job->input_at);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		job->input_at += (uint32_t)n;
	if (n < 0 || job->input_at == job->input_length) {
		/* all given, or nobody reads it any more */
		job_close(&job->input_fd);
		free(job->input);
		job->input = NULL;
	}
}

void exec_exited(struct job *job)
{
	job_close(&job->input_fd);
	job->deadline = now_ns() + GRACE_NS;
	finish_if_over(job);
}

void exec_deadline(struct job *job)
{
	if (!job->exited) {
		job->timed_out = true;
		job->deadline = NO_DEADLINE;
		kill(-job->pid, SIGKILL);
		return;
	}
	if (output_full())
		return; /* it is the host that is slow: ask again */

	/* somebody else still holds the pipes; take what they hold by now */
	for (int which = 0; which < 2; which++) {
		int left = 0;

		while (job->fd[which] >= 0 &&
		       ioctl(job->fd[which], FIONREAD, &left) == 0 &&
		       left > 0 && !output_full())
			if (!pass_output(job, which))
				break;
	}
	finish(job);
}
