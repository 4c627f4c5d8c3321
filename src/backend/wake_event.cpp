// SPDX-License-Identifier: MIT
#include "backend/wake_event.hpp"

#include <aster/base/error.hpp>

#include "base/sys.hpp"

namespace aster::inline v0::detail {

WakeEvent::WakeEvent() {
#if __has_include(<sys/eventfd.h>)
  const int fd = sys::eventfd();
  if (fd < 0) throw_system_error(-fd, "wake-up descriptor");
  read_end_ = fd;
  write_end_ = fd;
#else
  int ends[2];
  const int result = sys::pipe(ends);
  if (result < 0) throw_system_error(-result, "wake-up pipe");
  read_end_ = ends[0];
  write_end_ = ends[1];
#endif
}

WakeEvent::~WakeEvent() { abandon(); }

void WakeEvent::wake() noexcept {
  if (signalled_.exchange(true, std::memory_order_acq_rel)) return;
  const int before = errno;  // A signal handler must leave it as it was.
  const std::uint64_t one = 1;
  const int fd = write_end_.load(std::memory_order_relaxed);
  // -EAGAIN means that it is readable already, which is all that is wanted.
  static_cast<void>(sys::uninterrupted([&] { return sys::write(fd, &one, sizeof one); }));
  errno = before;
}

void WakeEvent::drain() noexcept {
  char bytes[64];
  while (sys::uninterrupted([&] { return sys::read(fd(), bytes, sizeof bytes); }) == sizeof bytes) {
  }
  seen();
}

void WakeEvent::abandon() noexcept {
  const int read_end = read_end_.exchange(-1);
  const int write_end = write_end_.exchange(-1);
  if (read_end >= 0) sys::close(read_end);
  if (write_end >= 0 && write_end != read_end) sys::close(write_end);
}

}  // namespace aster::inline v0::detail
