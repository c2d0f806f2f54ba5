/*
 * The one loop. Each round costs one ppoll, one read or write a ready file, and
 * nothing when nothing happens: an idle guest must stay idle.
 */
#include "agent.h"

#include <errno.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"

/* A frame may stop half-way for this long before it counts as cut off. */
#define SILENCE_NS 2000000000u
/* After a large frame the pages behind this are given back. */
#define INPUT_KEPT (64u << 10)

/*
 * Whole pages, as madvise rounds its length up: what shares the last page with
 * the input would be zeroed along with it.
 */
#define INPUT_SIZE ((FRAME_HEADER + FRAME_PAYLOAD_MAX + 4095u) & ~4095u)

static uint8_t input[INPUT_SIZE] __attribute__((aligned(4096)));
static size_t input_used;
static size_t input_peak;
static uint64_t input_deadline; /* of a partial frame */

/* Runs every whole frame of the input, and keeps what may become one. */
static void run_input(void)
{
	enum frame_state state = FRAME_NONE;
	size_t done = 0;

	while (done < input_used && !output_full()) {
		struct frame frame;
		size_t skip;

		state = frame_find(input + done, input_used - done, &skip,
				   &frame);
		done += skip;
		if (state != FRAME_READY)
			break;
		/* a reply of ours that came back is nothing to answer */
		if (frame.status == 0)
			dispatch(frame.id, frame.op, frame.payload,
				 frame.length);
		done += FRAME_HEADER + frame.length;
		state = FRAME_NONE;
	}
	input_used -= done;
	if (done != 0)
		memmove(input, input + done, input_used);
	input_deadline = state == FRAME_PARTIAL ? now_ns() + SILENCE_NS :
						  NO_DEADLINE;
	if (input_used == 0 && input_peak > INPUT_KEPT) {
		madvise(input + INPUT_KEPT, sizeof input - INPUT_KEPT,
			MADV_DONTNEED);
		input_peak = 0;
	}
}

/* False when the line is gone. */
static bool read_line(int line)
{
	ssize_t n = read(line, input + input_used, sizeof input - input_used);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	input_used += (size_t)n;
	if (input_used > input_peak)
		input_peak = input_used;
	run_input();
	return true;
}

/*
 * The rest of a frame never came: the guest was saved in the middle of it and
 * restored to another host process. Whatever came instead lies inside what was
 * taken for its payload.
 */
static void resynchronise(void)
{
	memmove(input, input + 1, --input_used);
	run_input();
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t run_deadlines(uint64_t now)
{
	uint64_t next = system_tick(now);

	if (now >= input_deadline)
		resynchronise();
	next = earliest(next, input_deadline);
	for (int i = 0; i < JOBS_MAX; i++) {
		struct job *job = &jobs[i];

		if (job->kind == JOB_FREE)
			continue;
		if (now >= job->deadline && !output_full()) {
			if (job->kind == JOB_EXEC) {
				exec_deadline(job);
			} else {
				reply_status(job->id, job->op, 0);
				job_free(job);
			}
		}
		if (job->kind != JOB_FREE && now < job->deadline)
			next = earliest(next, job->deadline);
	}
	return next;
}

/* What a ready file means: the job's output 0 or 1, or its input. */
struct source {
	struct job *job;
	int which;
};
enum { INPUT = 2 };

static struct pollfd polled[1 + JOBS_MAX * 3];
static struct source sources[1 + JOBS_MAX * 3];

static nfds_t watch(nfds_t n, struct job *job, int which, int fd, short events)
{
	polled[n] = (struct pollfd){ fd, events, 0 };
	sources[n] = (struct source){ job, which };
	return n + 1;
}

static nfds_t choose(int line)
{
	bool full = output_full();
	nfds_t n = watch(0, NULL, 0, line,
			 (short)((full ? 0 : POLLIN) |
				 (output_queued() != 0 ? POLLOUT : 0)));

	for (int i = 0; i < JOBS_MAX; i++) {
		struct job *job = &jobs[i];

		if (job->kind == JOB_FREE)
			continue;
		for (int which = 0; which < 2 && !full; which++)
			if (job->fd[which] >= 0)
				n = watch(n, job, which, job->fd[which],
					  POLLIN);
		if (job->input_fd >= 0)
			n = watch(n, job, INPUT, job->input_fd, POLLOUT);
	}
	return n;
}

static void handle_sources(nfds_t n)
{
	for (nfds_t i = 1; i < n; i++) {
		struct job *job = sources[i].job;
		int which = sources[i].which;

		if (polled[i].revents == 0)
			continue;
		/* an earlier one of this round may have ended the job */
		if (which == INPUT) {
			if (job->kind == JOB_EXEC &&
			    job->input_fd == polled[i].fd)
				exec_writable(job);
		} else if (job->kind == JOB_FREE ||
			   job->fd[which] != polled[i].fd || output_full()) {
			continue;
		} else if (job->kind == JOB_EXEC) {
			exec_readable(job, which);
		} else {
			worker_readable(job);
		}
	}
}

void agent_serve(int line)
{
	sigset_t waiting;

	signals_listen();
	sigemptyset(&waiting);
	input_used = 0;
	input_deadline = NO_DEADLINE;

	for (;;) {
		uint64_t now, next;
		struct timespec wait;
		nfds_t n;
		int ready;

		/* frames that had to wait while the queue was full */
		if (input_used != 0 && input_deadline == NO_DEADLINE)
			run_input();
		now = now_ns();
		next = run_deadlines(now);
		if (line >= 0 && output_queued() != 0 && !output_flush(line))
			return;
		if (poweroff_wanted && output_queued() == 0) {
			power_off(poweroff_wanted - 1);
			poweroff_wanted = 0;
		}

		n = choose(line);
		next = next > now ? next - now : 0;
		wait.tv_sec = (time_t)(next / 1000000000u);
		wait.tv_nsec = (long)(next % 1000000000u);
		ready = ppoll(polled, n, &wait, &waiting);
		if (child_ended) {
			child_ended = 0;
			jobs_reap();
		}
		if (ready <= 0)
			continue;
		/*
		 * The line last: a new request may take over the slot and the
		 * descriptor number of a job that ended in this round.
		 */
		handle_sources(n);
		if (polled[0].revents & (POLLIN | POLLHUP | POLLERR | POLLNVAL) &&
		    !read_line(line))
			return;
	}
}
