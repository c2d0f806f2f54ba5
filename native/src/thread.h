// Threads that no signal reaches but the one that interrupts KVM_RUN.
#pragma once

#include <functional>
#include <thread>

namespace cryovm {

// The signal that interrupts KVM_RUN. Its handler does nothing; it exists so that the ioctl returns EINTR.
int KickSignal();

// Starts a thread with every signal blocked (Node's belong to its own threads) but, where asked, the kick signal.
// Throws Failure.
std::thread StartThread(const char* name, std::function<void()> body, bool kickable = false);

// Joins it, if it was started.
void JoinThread(std::thread& thread);

}  // namespace cryovm
