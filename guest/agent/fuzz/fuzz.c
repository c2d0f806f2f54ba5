/*
 * Feeds the agent, built from the same sources for the host and with the
 * sanitizers, whole requests, broken ones and rubbish. It must neither crash
 * nor forget to answer: every request sent unbroken is answered exactly once.
 *
 * usage: fuzz-agent [rounds [seed]]; as root it works as nobody, in a
 * temporary directory.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "frame.h"

void power_off(int how)
{
	(void)how; /* the request is checked and answered; the host stays up */
}

static uint64_t state;

static uint32_t rnd(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return below == 0 ? 0 : (uint32_t)(state >> 16) % below;
}

static uint8_t payload[512 << 10];
static uint32_t used;

static void u32(uint32_t v)
{
	memcpy(payload + used, &v, 4);
	used += 4;
}

static void u64(uint64_t v)
{
	memcpy(payload + used, &v, 8);
	used += 8;
}

static void text(const char *s)
{
	u32((uint32_t)strlen(s));
	memcpy(payload + used, s, strlen(s));
	used += (uint32_t)strlen(s);
}

static void filler(uint32_t n)
{
	u32(n);
	for (uint32_t i = 0; i < n; i++)
		payload[used++] = (uint8_t)rnd(256);
}

static const char *const commands[][4] = {
	{ "true", NULL },
	{ "cat", NULL },
	{ "echo", "hello", NULL },
	{ "no-such-program", NULL },
	{ "/etc/passwd", NULL },
	{ "sleep", "0.02", NULL },
	{ "sh", "-c", "kill -9 $$", NULL },
	{ "sh", "-c", "echo out; echo err >&2; exit 7", NULL },
	{ "sh", "-c", "sleep 1 & exit 0", NULL },
};

static void make_payload(uint16_t op)
{
	uint32_t which = rnd(sizeof commands / sizeof *commands), n = 0;

	used = 0;
	switch (op) {
	case OP_EXEC:
		u32(rnd(2));
		u32(rnd(4) == 0 ? 1 + rnd(30) : 0);
		text(rnd(2) ? "" : rnd(4) ? "/tmp" : "/nowhere");
		while (commands[which][n] != NULL)
			n++;
		u32(n);
		for (uint32_t i = 0; i < n; i++)
			text(commands[which][i]);
		u32(2);
		text("A=b");
		text(rnd(4) ? "LANG=C" : "PATH=/nowhere:/bin");
		filler(rnd(3) ? 0 : rnd(rnd(4) ? 20000 : 400000));
		break;
	case OP_KILL:
		u32(rnd(1000));
		u32(rnd(70));
		break;
	case OP_FILLMEM:
		u32(1 + rnd(3));
		u32(rnd(260));
		u32(rnd(5));
		break;
	case OP_RELEASE:
		u32(rnd(10));
		break;
	case OP_READMEM:
		u32(rnd(3) ? 0 : rnd(10));
		u32(rnd(3));
		u32(rnd(260));
		u32(rnd(3));
		break;
	case OP_WRITE_FILE:
		text(rnd(3) ? "file" : rnd(2) ? "no/file" : "other");
		u32(rnd(01000) | 0600);
		u32(rnd(3));
		filler(rnd(30000));
		break;
	case OP_READ_FILE:
		text(rnd(2) ? "file" : rnd(2) ? "/dev/zero" : "/proc/self/maps");
		u64(rnd(3) ? 0 : rnd(50000));
		u32(rnd(60000));
		break;
	case OP_SLEEP:
	case OP_COUNTER_START:
		u32(rnd(20));
		break;
	case OP_POWEROFF:
		u32(rnd(3));
		break;
	case OP_READ_PHYS:
		u64(rnd(1000));
		u32(rnd(10));
		break;
	case OP_RESEED: /* without privilege the generator itself says EPERM */
		filler(rnd(600));
		break;
	default:
		break;
	}
}

/* Never more memory or sleep than the host can spare, however bent. */
static void tame(uint16_t op)
{
	uint32_t v, at = op == OP_FILLMEM ? 0 : 4;

	if (op == OP_SLEEP)
		at = 0;
	else if (op != OP_FILLMEM && op != OP_READMEM)
		return;
	if (used < at + 4)
		return;
	memcpy(&v, payload + at, 4);
	v %= 4;
	memcpy(payload + at, &v, 4);
}

static void bend(void)
{
	static const uint32_t odd[] = { 0, 1, 0x7fffffff, 0x80000000,
					0xffffffff, 0xfffffffc, 1 << 20 };

	switch (rnd(4)) {
	case 0: /* cut */
		used = rnd(used + 1);
		break;
	case 1: /* lengthen */
		if (used + 8 < sizeof payload)
			used += 1 + rnd(7);
		break;
	case 2: /* a strange number somewhere */
		if (used >= 4)
			memcpy(payload + rnd(used - 3),
			       &odd[rnd(sizeof odd / sizeof *odd)], 4);
		break;
	default:
		for (uint32_t i = rnd(8); i != 0 && used != 0; i--)
			payload[rnd(used)] = (uint8_t)rnd(256);
	}
}

/* ---- the other end of the line ---- */

static uint8_t incoming[4 << 20];
static size_t incoming_used;
static uint8_t *answered; /* by id */
static uint8_t *op_of;
static uint32_t ids;

static void receive(int fd, int wait_ms)
{
	struct pollfd p = { fd, POLLIN, 0 };

	while (poll(&p, 1, wait_ms) > 0) {
		ssize_t n = read(fd, incoming + incoming_used,
				 sizeof incoming - incoming_used);
		size_t done = 0;

		if (n <= 0) {
			fprintf(stderr, "the agent is gone\n");
			exit(1);
		}
		incoming_used += (size_t)n;
		for (;;) {
			struct frame f;
			size_t skip;

			if (frame_find(incoming + done, incoming_used - done,
				       &skip, &f) != FRAME_READY)
				break;
			assert(skip == 0); /* what the agent sends is clean */
			done += FRAME_HEADER + f.length;
			if ((f.op != OP_EXEC_OUTPUT || f.status != 0) &&
			    f.id < ids)
				answered[f.id]++;
		}
		incoming_used -= done;
		memmove(incoming, incoming + done, incoming_used);
		wait_ms = 0;
	}
}

static void transmit(int fd, const void *data, size_t length)
{
	const uint8_t *at = data;

	while (length != 0) {
		ssize_t n = send(fd, at, length, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			receive(fd, 10);
			continue;
		}
		if (n < 0) {
			perror("the agent is gone");
			exit(1);
		}
		at += n;
		length -= (size_t)n;
	}
}

static void run_agent(int fd)
{
	char folder[] = "/tmp/fuzz-agent-XXXXXX";

	signal(SIGPIPE, SIG_IGN); /* process 1 has no such signal */
	if (mkdtemp(folder) == NULL || chmod(folder, 0777) < 0 ||
	    chdir(folder) < 0)
		abort();
	if (getuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
		abort();
	close(0);
	open("/dev/null", O_RDWR);
	system_init();
	agent_serve(fd);
	exit(0);
}

int main(int argc, char **argv)
{
	uint32_t rounds = argc > 1 ? (uint32_t)atoi(argv[1]) : 2000;
	uint32_t missing = 0, whole = 0;
	uint8_t *expected;
	int pair[2], status;
	pid_t pid;

	state = argc > 2 ? strtoull(argv[2], NULL, 0) : 0x2545F4914F6CDD1D;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
		       pair) < 0)
		return 1;
	pid = fork();
	if (pid == 0) {
		close(pair[0]);
		run_agent(pair[1]);
	}
	close(pair[1]);
	/* after the fork, so that what the agent leaks is its own */
	answered = calloc(rounds, 1);
	expected = calloc(rounds, 1);
	op_of = calloc(rounds, 1);

	for (uint32_t id = 0; id < rounds; id++) {
		uint16_t op = (uint16_t)(1 + rnd(20));
		uint8_t header[FRAME_HEADER];
		bool bent = rnd(3) == 0;

		ids = id + 1;
		op_of[id] = (uint8_t)op;
		make_payload(op);
		if (bent)
			bend();
		tame(op);
		/* a bent one is still a good frame, and still answered */
		frame_header(header, id, op, 0, used);
		if (rnd(20) == 0)
			transmit(pair[0], payload, rnd(64)); /* rubbish */
		if (rnd(400) == 0) {
			/* cut off: swallows what follows, until the silence */
			struct timespec wait = { 2, 300000000 };

			transmit(pair[0], header, FRAME_HEADER);
			transmit(pair[0], payload, used / 2);
			if (used > used / 2)
				nanosleep(&wait, NULL);
			else
				expected[id] = 1;
			continue;
		}
		transmit(pair[0], header, FRAME_HEADER);
		transmit(pair[0], payload, used);
		expected[id] = 1;
		whole++;
		receive(pair[0], (int)rnd(3));
	}
	for (int i = 0; i < 100; i++) {
		missing = 0;
		for (uint32_t id = 0; id < rounds; id++)
			missing += expected[id] != answered[id];
		if (missing == 0)
			break;
		receive(pair[0], 100);
	}
	for (uint32_t id = 0; id < rounds; id++)
		if (expected[id] != answered[id])
			printf("request %u (op %u): %u answers instead of %u\n",
			       id, op_of[id], answered[id], expected[id]);
	close(pair[0]);
	waitpid(pid, &status, 0);
	printf("%u requests, %u wrong, agent ended with %d\n", whole, missing,
	       status);
	free(answered);
	free(expected);
	free(op_of);
	return missing != 0 || status != 0;
}
