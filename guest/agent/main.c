/*
 * Process 1 of the guest. It does as little as a guest can come up with: every
 * system call and every page touched here is paid at every boot.
 *
 * It does not lower its own oom_score_adj: the kernel never picks process 1,
 * and so nothing has to be put back in its children either.
 */
#include "agent.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

/*
 * The kernel's terminal defaults would translate bytes and echo them. What came
 * in before this was treated that way already, so it is thrown away.
 */
static int open_line(void)
{
	struct termios raw = {
		.c_cflag = B115200 | CS8 | CREAD | CLOCAL,
		.c_cc = { [VMIN] = 1 },
	};
	int line = open("/dev/hvc0", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	if (line < 0)
		return -1;
	if (line <= STDERR_FILENO) {
		/* started without a console: keep the standard streams apart */
		int high = fcntl(line, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

		dup2(STDIN_FILENO, STDOUT_FILENO);
		dup2(STDIN_FILENO, STDERR_FILENO);
		line = high;
	}
	tcsetattr(line, TCSANOW, &raw);
	tcflush(line, TCIFLUSH);
	return line;
}

static void say(const char *text)
{
	if (write(STDOUT_FILENO, text, strlen(text)) < 0)
		return; /* a guest without a console: nobody to tell */
}

int main(void)
{
	int line;

	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mount("tmpfs", "/tmp", "tmpfs", 0, NULL);
	/* WRITE_FILE means the mode it says; an exec's child sets 022 again */
	umask(0);
	/* the standard input every exec without one inherits */
	close(STDIN_FILENO);
	open("/dev/null", O_RDWR);
	system_init();

	line = open_line();
	say("cryovm guest ready\n");
	for (;;) {
		/* without a line it still reaps, ticks and keeps the guest up */
		agent_serve(line);
		close(line);
		output_drop();
		sleep(1);
		line = open_line();
	}
}
