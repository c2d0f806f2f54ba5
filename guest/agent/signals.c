/*
 * The signals that process 1 listens to. They are blocked everywhere but in the
 * ppoll of the loop, so that none is missed.
 */
#include "agent.h"

volatile sig_atomic_t child_ended;

static void on_child(int signal)
{
	(void)signal;
	child_ended = 1;
}

/*
 * The programs reboot and poweroff only ask process 1, by SIGTERM and SIGUSR2,
 * unless they are forced to do it themselves.
 */
static void on_end(int signal)
{
	(void)signal;
	poweroff_wanted = 1;
}

void signals_listen(void)
{
	struct sigaction child = { .sa_handler = on_child };
	struct sigaction end = { .sa_handler = on_end };
	sigset_t blocked;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGUSR2);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	sigaction(SIGCHLD, &child, NULL);
	sigaction(SIGTERM, &end, NULL);
	sigaction(SIGUSR2, &end, NULL);
}

void signals_forget(void)
{
	sigset_t none;

	/*
	 * Before they are let in: the child of a vfork would run our handlers
	 * on our memory, and end the guest for a signal that was its own.
	 */
	signal(SIGCHLD, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGUSR2, SIG_DFL);
	/* a mask survives execve */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}
