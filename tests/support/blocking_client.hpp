// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/time.hpp>
#include <aster/io/address.hpp>

#include <chrono>

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/// Clients that know no loop, for tests of servers, and what serving them costs.
namespace aster::support {

/// A blocking socket connected to `address`, or -1.
inline int connect_blocking(const Address& address) {
  const int fd = ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (::connect(fd, static_cast<const sockaddr*>(address.data()), address.size()) == 0) return fd;
  ::close(fd);
  return -1;
}

/// The peer gets a reset.
inline void close_with_reset(int fd) {
  const linger now{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  ::close(fd);
}

/// The processor's time that this process has had.
inline Duration cpu_time() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& time) {
    return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

}  // namespace aster::support
