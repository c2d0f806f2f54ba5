#include "failure.h"

#include <cstring>

namespace cryovm {

const char* ErrnoName(int error) {
  switch (error) {
#define NAME(code) \
  case code:       \
    return #code;
    NAME(EPERM) NAME(ENOENT) NAME(ESRCH) NAME(EINTR) NAME(EIO) NAME(ENXIO) NAME(E2BIG) NAME(EBADF) NAME(EAGAIN)
    NAME(ENOMEM) NAME(EACCES) NAME(EFAULT) NAME(EBUSY) NAME(EEXIST) NAME(EXDEV) NAME(ENODEV) NAME(ENOTDIR)
    NAME(EISDIR) NAME(EINVAL) NAME(ENFILE) NAME(EMFILE) NAME(ENOTTY) NAME(ETXTBSY) NAME(EFBIG) NAME(ENOSPC)
    NAME(ESPIPE) NAME(EROFS) NAME(EPIPE) NAME(EDOM) NAME(ERANGE) NAME(EDEADLK) NAME(ENAMETOOLONG) NAME(ENOSYS)
    NAME(ELOOP) NAME(ENODATA) NAME(ETIME) NAME(EPROTO) NAME(EOVERFLOW) NAME(EILSEQ) NAME(EOPNOTSUPP)
    NAME(ETIMEDOUT) NAME(ECANCELED) NAME(EALREADY) NAME(ESTALE) NAME(EDQUOT) NAME(EHWPOISON)
#undef NAME
    default:
      return "";
  }
}

Failure SystemFailure(const std::string& operation, int error, const std::string& doing) {
  char buffer[128];
  // The GNU strerror_r: thread-safe, and returns a static text where it has one.
  const char* text = strerror_r(error, buffer, sizeof buffer);
  const char* name = ErrnoName(error);
  std::string message = doing + ": " + operation + " failed: " + text;
  message += " (" + (*name != '\0' ? std::string(name) : "errno " + std::to_string(error)) + ")";
  return Failure{operation, error, message};
}

Napi::Error ToJavaScript(Napi::Env env, const Failure& failure) {
  Napi::Error error = Napi::Error::New(env, failure.message);
  Napi::Object object = error.Value();
  object.Set("operation", failure.operation);
  object.Set("errno", failure.error);
  object.Set("errnoName", ErrnoName(failure.error));
  return error;
}

}  // namespace cryovm
