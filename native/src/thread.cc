#include "thread.h"

#include <pthread.h>
#include <signal.h>

#include <string>
#include <system_error>

#include "counters.h"
#include "failure.h"

namespace cryovm {
namespace {

int InstallKickHandler() {
  // The first real-time signal that nobody else in this process uses.
  for (int signal = SIGRTMIN + 3; signal <= SIGRTMAX; signal++) {
    struct sigaction current;
    if (sigaction(signal, nullptr, &current) != 0) continue;
    if ((current.sa_flags & SA_SIGINFO) != 0 || current.sa_handler != SIG_DFL) continue;
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    sigemptyset(&action.sa_mask);
    action.sa_flags = 0;  // without SA_RESTART: KVM_RUN has to return
    if (sigaction(signal, &action, nullptr) == 0) return signal;
  }
  throw Refusal("sigaction", "no real-time signal is free for interrupting vCPUs");
}

}  // namespace

int KickSignal() {
  static const int signal = InstallKickHandler();
  return signal;
}

std::thread StartThread(const char* name, std::function<void()> body, bool kickable) {
  sigset_t blocked;
  sigset_t before;
  sigfillset(&blocked);
  if (kickable) sigdelset(&blocked, KickSignal());
  // A thread inherits the mask, so that there is no moment at which it could take a signal of Node's.
  pthread_sigmask(SIG_SETMASK, &blocked, &before);
  std::thread thread;
  int error = 0;
  try {
    thread = std::thread(std::move(body));
    counters.threads++;
  } catch (const std::system_error& failed) {
    error = failed.code().value();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) throw SystemFailure("pthread_create", error, std::string("starting the thread \"") + name + "\"");
  pthread_setname_np(thread.native_handle(), name);
  return thread;
}

void JoinThread(std::thread& thread) {
  if (!thread.joinable()) return;
  thread.join();
  counters.threads--;
}

}  // namespace cryovm
