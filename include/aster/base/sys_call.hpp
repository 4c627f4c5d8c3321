// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <cstdint>

namespace aster::inline v0::detail {

/// The system calls that the library makes, as `testing::Faults` names them.
/// Variants share a name: `accept4` is `accept`, `ppoll` is `poll`.
enum class SysCall : std::uint8_t {
  accept,
  bind,
  chmod,
  clone,
  close,
  connect,
  epoll_create,
  epoll_ctl,
  epoll_wait,
  eventfd,
  fcntl,
  fstat,
  fsync,
  ftruncate,
  getaddrinfo,
  getnameinfo,
  getpeername,
  getrandom,
  getsockname,
  getsockopt,
  kevent,
  kqueue,
  listen,
  lseek,
  lstat,
  mkdir,
  open,
  pidfd_open,
  pidfd_send_signal,
  pipe,
  poll,
  pread,
  read,
  recv,
  recvfrom,
  recvmsg,
  rename,
  rmdir,
  select,
  send,
  sendfile,
  sendmsg,
  sendto,
  setsockopt,
  shutdown,
  socket,
  socketpair,
  spawn,
  stat,
  unlink,
  waitid,
  waitpid,
  write,
  count,  ///< How many there are; not a call.
};

}  // namespace aster::inline v0::detail
