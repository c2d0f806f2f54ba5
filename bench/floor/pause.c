/* Stopping a vCPU that runs: immediate_exit and a signal, then waiting until its thread has parked. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <time.h>

#include "floor.h"

enum { ROUNDS = 20 };

static struct vm *stopped_vm;
static sem_t parked, go_on;
static atomic_bool is_over, is_asked;

static void on_kick(int number) { (void)number; }

/* The guest writes to a port once, which is nobody's business here, and then loops. */
static void *run_vcpu(void *unused) {
  (void)unused;
  while (!is_over) {
    const int result = ioctl(stopped_vm->vcpu, KVM_RUN, 0);
    if (result < 0 && errno != EINTR) fail("KVM_RUN");
    if (!is_asked) continue;
    sem_post(&parked);
    while (sem_wait(&go_on) != 0) continue;
  }
  return NULL;
}

static void ask(pthread_t thread) {
  is_asked = true;
  __atomic_store_n(&stopped_vm->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
  pthread_kill(thread, SIGUSR1);
  while (sem_wait(&parked) != 0) continue;
}

static void release(void) {
  is_asked = false;
  __atomic_store_n(&stopped_vm->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
  sem_post(&go_on);
}

void measure_pause(struct vm *vm) {
  const struct sigaction action = {.sa_handler = on_kick};
  const struct timespec running = {.tv_nsec = 2000000};
  pthread_t thread;
  uint64_t sum = 0;
  stopped_vm = vm;
  is_over = is_asked = false;
  sem_init(&parked, 0, 0);
  sem_init(&go_on, 0, 0);
  sigaction(SIGUSR1, &action, NULL);
  if (pthread_create(&thread, NULL, run_vcpu, NULL) != 0) fail("pthread_create");
  for (int i = 0; i < ROUNDS; i++) {
    nanosleep(&running, NULL);
    const uint64_t start = now();
    ask(thread);
    sum += now() - start;
    if (i == ROUNDS - 1) is_over = true;
    release();
  }
  pthread_join(thread, NULL);
  report("pause", sum / ROUNDS);
}
