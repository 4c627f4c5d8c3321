// SPDX-License-Identifier: MIT
#include "net/pipe_file.hpp"

#include "base/sys.hpp"

#include <aster/base/error.hpp>

#include <string>

namespace aster::inline v0::detail {

bool check_pipe(const char* call, EventLoop& loop, native_file fd) {
  loop.check_descriptor(fd, call);
  if (!loop.backend().is_system()) return true;
  const auto check = [&](int result) {
    if (result >= 0) return;
    throw_system_error(-result, std::string(call) + " of descriptor " + std::to_string(fd));
  };
  struct stat status{};
  check(sys::fstat(fd, &status));
  const bool is_device = S_ISCHR(status.st_mode);
  if (!S_ISFIFO(status.st_mode) && !S_ISSOCK(status.st_mode) && !is_device) {
    throw ValueError(std::string(call) + ": descriptor " + std::to_string(fd) +
                     " is no pipe, socket or character device");
  }
  const int flags = sys::fcntl(fd, F_GETFL);
  check(flags);
  check(sys::fcntl(fd, F_SETFL, flags | O_NONBLOCK));
  return !is_device;
}

}  // namespace aster::inline v0::detail
