#pragma once

#include "fd.h"

namespace cryovm {

// Opens the file of `fd` once more, for reading: looking for holes moves a position, which must not be the caller's.
// `doing` is for the message. Throws Failure.
Fd Reopen(int fd, const char* doing);

}  // namespace cryovm
