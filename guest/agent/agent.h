/* What the parts of the agent know of each other. */
#ifndef AGENT_H
#define AGENT_H

#include <poll.h>
#include <signal.h>
#include <sys/types.h>

#include "output.h"
#include "wire.h"

/* A request as dispatch hands it on: `at` reads its payload. */
struct request {
	uint32_t id;
	uint16_t op;
	struct cursor at;
};

/* ---- jobs.c: everything that outlives the call that started it ---- */

#define JOBS_MAX 64

enum job_kind { JOB_FREE, JOB_SLEEP, JOB_EXEC, JOB_WORKER };

#define NO_DEADLINE UINT64_MAX

struct job {
	enum job_kind kind;
	uint32_t id;       /* of the request that will be answered */
	uint16_t op;       /* its op; 0: none is waiting */
	pid_t pid;
	bool exited;
	int wait_status;
	uint64_t deadline; /* CLOCK_MONOTONIC, ns */

	/* exec: [0] standard output, [1] standard error; worker: [0] its socket */
	int fd[2];

	/* exec only */
	int input_fd;
	uint8_t *input;
	uint32_t input_at;
	uint32_t input_length;
	bool timed_out;

	/* worker only: one that holds memory outlives its first answer */
	uint32_t handle;
	bool releasing;
	uint32_t release_id;
};

extern struct job jobs[JOBS_MAX];

struct job *job_new(enum job_kind kind, const struct request *request);
void job_free(struct job *job);
void job_close(int *fd);
void jobs_reap(void);
uint64_t now_ns(void);

/* ---- the handlers: they answer, or start a job, or return an errno ---- */

int exec_start(struct request *request);
int exec_kill(struct request *request);
void exec_readable(struct job *job, int which);
void exec_writable(struct job *job);
void exec_exited(struct job *job);
void exec_deadline(struct job *job);

int worker_fill(struct request *request);
int worker_read(struct request *request);
int worker_release(struct request *request);
int worker_drop_caches(struct request *request);
int worker_read_phys(struct request *request);
void worker_readable(struct job *job);
void worker_exited(struct job *job);

int file_write(struct request *request);
int file_read(struct request *request);

int entropy_reseed(struct request *request);

int system_hello(struct request *request);
int system_meminfo(struct request *request);
int system_time(struct request *request);
int system_sleep(struct request *request);
int system_counter(struct request *request);
int system_counter_start(struct request *request);
int system_poweroff(struct request *request);
void system_init(void);
uint64_t system_tick(uint64_t now); /* returns when it wants to be called */

/* ---- signals.c ---- */

/* From now on SIGCHLD sets child_ended, SIGTERM and SIGUSR2 poweroff_wanted. */
void signals_listen(void);
/* In a child: as it was before. */
void signals_forget(void);

extern volatile sig_atomic_t child_ended;

/* ---- loop.c, dispatch.c ---- */

void dispatch(uint32_t id, uint16_t op, uint8_t *payload, uint32_t length);

/* Reads and runs whatever `line` brings; returns when the line is gone. */
void agent_serve(int line);

/*
 * 0: none was asked for; otherwise 1 + the way of it. Set by POWEROFF, and by
 * the signals that programs send to process 1.
 */
extern volatile sig_atomic_t poweroff_wanted;
/* power.c; the fuzz harness has its own. */
void power_off(int how);

#endif
