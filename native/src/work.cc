#include "work.h"

#include <new>

namespace cryovm {

void Work::Run() {
  try {
    Do();
  } catch (const Failure& failure) {
    failure_ = failure;
  } catch (const std::bad_alloc&) {
    failure_ = SystemFailure("malloc", ENOMEM, doing_);
  }
  LetGo();
}

void Work::CheckAborted() const {
  if (aborted_) throw SystemFailure(operation_, ECANCELED, doing_);
}

}  // namespace cryovm
