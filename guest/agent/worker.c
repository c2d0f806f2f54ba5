/*
 * Work too long for the loop, each in a forked child that reports through a
 * socket: memory tests, dropping caches, scanning physical memory. A child that
 * holds memory stays and takes READMEM requests through the same socket.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"

enum { HUGE = 1, HOLD = 2, COMPACT = 1 };

static uint32_t last_handle;

/* What the child is to do, decoded before the fork. */
struct task {
	uint16_t op;
	uint32_t mib;
	uint32_t flags;
	uint8_t pattern;
	uint64_t first_frame;
	uint32_t frames;
};

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int error = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) < 0)
		error = errno;
	close(fd);
	return error;
}

/* ---- in the child ---- */

static void hold(int fd, const struct memory *memory, uint8_t pattern)
{
	struct report report = { 0 };
	char request;

	while (read(fd, &request, 1) == 1) {
		memory_count(memory, pattern, &report);
		if (write(fd, &report, sizeof report) < 0)
			break;
	}
}

static void work_on_memory(int fd, const struct task *task)
{
	struct report report = { 0 };
	struct memory memory;

	write_text("/proc/self/oom_score_adj", "1000");
	report.error = memory_map(&memory, task->mib, task->flags & HUGE);
	if (report.error == 0 && task->op == OP_FILLMEM) {
		memory_fill(&memory, task->pattern, &report);
		if (task->flags & HUGE)
			report.value[1] = memory_huge_bytes();
	} else if (report.error == 0) {
		memory_touch(&memory);
		memory_count(&memory, task->pattern, &report);
	}
	if (write(fd, &report, sizeof report) < 0 || report.error != 0)
		return;
	if (task->op == OP_FILLMEM && task->flags & HOLD)
		hold(fd, &memory, task->pattern);
}

static void work(int fd, const struct task *task)
{
	struct report report = { 0 };

	switch (task->op) {
	case OP_DROP_CACHES:
		sync();
		report.error = write_text("/proc/sys/vm/drop_caches", "3");
		if (report.error == 0 && task->flags & COMPACT)
			report.error = write_text("/proc/sys/vm/compact_memory",
						  "1");
		break;
	case OP_READ_PHYS:
		memory_count_physical(task->first_frame, task->frames, &report);
		break;
	default:
		work_on_memory(fd, task);
		return;
	}
	if (write(fd, &report, sizeof report) < 0)
		return;
}

/* ---- in the agent ---- */

static int start(const struct request *request, const struct task *task,
		 bool held)
{
	struct job *job = job_new(JOB_WORKER, request);
	int pair[2];

	if (job == NULL)
		return EAGAIN;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		job_free(job);
		return errno;
	}
	job->pid = fork();
	if (job->pid == 0) {
		signals_forget();
		/*
		 * A copy of an exec's standard input kept open here would keep
		 * it from ever ending.
		 */
		dup2(pair[1], 3);
		syscall(SYS_close_range, 4u, ~0u, 0u); /* not in musl 1.2.3 */
		work(3, task);
		_exit(0);
	}
	close(pair[1]);
	job->fd[0] = pair[0];
	if (job->pid < 0) {
		int error = errno;

		job_free(job);
		return error;
	}
	if (held)
		job->handle = ++last_handle != 0 ? last_handle : ++last_handle;
	return 0;
}

/*
 * Huge pages are off by default in a small guest. Once is enough, and it is
 * kept by every snapshot taken after.
 */
static void allow_huge_pages(void)
{
	static bool done;

	if (!done)
		write_text("/sys/kernel/mm/transparent_hugepage/enabled",
			   "madvise");
	done = true;
}

int worker_fill(struct request *request)
{
	struct cursor *c = &request->at;
	struct task task = { .op = OP_FILLMEM };
	uint32_t pattern;

	task.mib = cursor_u32(c);
	pattern = cursor_u32(c);
	task.flags = cursor_u32(c);
	task.pattern = (uint8_t)pattern;
	if (!cursor_done(c) || task.mib == 0 || pattern > 255 ||
	    task.flags > (HUGE | HOLD))
		return EINVAL;
	if (task.flags & HUGE)
		allow_huge_pages();
	return start(request, &task, task.flags & HOLD);
}

static struct job *holder(uint32_t handle)
{
	for (int i = 0; i < JOBS_MAX; i++) {
		struct job *job = &jobs[i];

		if (job->kind == JOB_WORKER && job->handle == handle &&
		    !job->releasing)
			return job;
	}
	return NULL;
}

int worker_read(struct request *request)
{
	struct cursor *c = &request->at;
	uint32_t handle = cursor_u32(c);
	struct task task = { .op = OP_READMEM };
	uint32_t pattern;
	struct job *job;

	task.mib = cursor_u32(c);
	pattern = cursor_u32(c);
	task.flags = cursor_u32(c);
	task.pattern = (uint8_t)pattern;
	if (!cursor_done(c) || pattern > 255 || task.flags > HUGE ||
	    (handle == 0 && task.mib == 0))
		return EINVAL;
	if (handle == 0) {
		if (task.flags & HUGE)
			allow_huge_pages();
		return start(request, &task, false);
	}
	job = holder(handle);
	if (job == NULL || job->fd[0] < 0)
		return ENOENT;
	if (job->op != 0)
		return EBUSY;
	if (send(job->fd[0], "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
		return errno;
	job->id = request->id;
	job->op = request->op;
	return 0;
}

int worker_release(struct request *request)
{
	uint32_t handle = cursor_u32(&request->at);
	struct job *job;

	if (!cursor_done(&request->at))
		return EINVAL;
	job = handle == 0 ? NULL : holder(handle);
	if (job == NULL)
		return ENOENT;
	/* answered by worker_exited, when its memory is free again */
	job->releasing = true;
	job->release_id = request->id;
	kill(job->pid, SIGKILL);
	return 0;
}

int worker_drop_caches(struct request *request)
{
	struct cursor *c = &request->at;
	struct task task = { .op = OP_DROP_CACHES };

	if (c->at != c->end)
		task.flags = cursor_u32(c);
	if (!cursor_done(c) || task.flags > COMPACT)
		return EINVAL;
	return start(request, &task, false);
}

int worker_read_phys(struct request *request)
{
	struct task task = { .op = OP_READ_PHYS };

	task.first_frame = cursor_u64(&request->at);
	task.frames = cursor_u32(&request->at);
	/* 52 bits is the most an x86 physical address can have */
	if (!cursor_done(&request->at) || task.first_frame >> 40 != 0)
		return EINVAL;
	return start(request, &task, false);
}

static void answer(struct job *job, const struct report *report,
		   uint32_t signal)
{
	struct reply r = reply_begin(28);
	int status = report->error;

	if (status != 0) {
		reply_status(job->id, job->op, status);
		job->op = 0;
		return;
	}
	switch (job->op) {
	case OP_FILLMEM:
		reply_u32(&r, signal == 0 ? job->handle : 0);
		reply_u64(&r, report->value[0]);
		reply_u32(&r, signal);
		reply_u64(&r, report->value[1]);
		break;
	case OP_READMEM:
		reply_u64(&r, report->value[0]);
		reply_u64(&r, report->value[1]);
		reply_u64(&r, report->value[2]);
		reply_u32(&r, signal);
		break;
	case OP_READ_PHYS:
		reply_u64(&r, report->value[0]);
		/* fall through */
	default:
		if (signal != 0)
			status = EFAULT;
	}
	reply_end(&r, job->id, job->op, (uint16_t)status);
	job->op = 0;
}

void worker_readable(struct job *job)
{
	struct report report;
	ssize_t n = recv(job->fd[0], &report, sizeof report, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != sizeof report) {
		job_close(&job->fd[0]); /* its end follows as SIGCHLD */
		return;
	}
	if (job->op != 0)
		answer(job, &report, 0);
	if (report.error != 0)
		job->handle = 0;
}

void worker_exited(struct job *job)
{
	struct report none = { 0 };

	/* it may have reported and gone between two rounds of the loop */
	if (job->op != 0 && job->fd[0] >= 0)
		worker_readable(job);
	if (job->op != 0) {
		uint32_t signal = WIFSIGNALED(job->wait_status) ?
					  (uint32_t)WTERMSIG(job->wait_status) :
					  0;

		if (signal == 0)
			none.error = EIO;
		answer(job, &none, signal);
	}
	if (job->releasing)
		reply_status(job->release_id, OP_RELEASE, 0);
	job_free(job);
}
