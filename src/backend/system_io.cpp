// SPDX-License-Identifier: MIT
#include "backend/system_io.hpp"

#include "base/sys.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>

namespace aster::inline v0::detail {

namespace {

// The most pieces of one vectored send; more leave with the caller's next call.
// Bounds what is put on the stack, and stays below every system's IOV_MAX.
constexpr std::size_t pieces_max = 256;

}  // namespace

TimePoint SystemIo::now() noexcept { return sys::now(); }

std::int64_t SystemIo::open_socket(int family, int type, int protocol) noexcept {
  const int fd = sys::socket(family, type, protocol);
#if defined(SO_NOSIGPIPE)
  if (fd >= 0) {
    const int on = 1;
    static_cast<void>(sys::setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on));
  }
#endif
  return fd;
}

int SystemIo::bind(native_socket fd, const void* address, std::uint32_t size) noexcept {
  return sys::bind(fd, static_cast<const sockaddr*>(address), size);
}

int SystemIo::listen(native_socket fd, int backlog) noexcept { return sys::listen(fd, backlog); }

int SystemIo::local_address(native_socket fd, void* address, std::uint32_t& size) noexcept {
  socklen_t length = size;
  const int result = sys::getsockname(fd, static_cast<sockaddr*>(address), &length);
  size = length;
  return result;
}

int SystemIo::peer_address(native_socket fd, void* address, std::uint32_t& size) noexcept {
  socklen_t length = size;
  const int result = sys::getpeername(fd, static_cast<sockaddr*>(address), &length);
  size = length;
  return result;
}

int SystemIo::set_option(native_socket fd, int level, int name, const void* value,
                         std::uint32_t size) noexcept {
  return sys::setsockopt(fd, level, name, value, size);
}

int SystemIo::set_no_delay(native_socket fd) noexcept {
  const int on = 1;
  return sys::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int SystemIo::get_option(native_socket fd, int level, int name, void* value,
                         std::uint32_t& size) noexcept {
  socklen_t length = size;
  const int result = sys::getsockopt(fd, level, name, value, &length);
  size = length;
  return result;
}

std::int64_t SystemIo::send_now(native_socket fd, const char* data, std::size_t size) noexcept {
  return sys::uninterrupted([&] { return sys::send(fd, data, size); });
}

std::int64_t SystemIo::send_now(native_socket fd,
                                std::span<const std::string_view> pieces) noexcept {
  std::array<iovec, pieces_max> vectors;  // Not zeroed: only what is used is written.
  const std::size_t count = std::min(pieces.size(), vectors.size());
  for (std::size_t i = 0; i < count; ++i) {
    // The kernel only reads from it; iovec serves both directions.
    vectors[i] = {const_cast<char*>(pieces[i].data()), pieces[i].size()};
  }
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = static_cast<decltype(message.msg_iovlen)>(count);
  return sys::uninterrupted([&] { return sys::sendmsg(fd, &message); });
}

std::int64_t SystemIo::send_to_now(native_socket fd, std::string_view data, const void* address,
                                   std::uint32_t address_size) noexcept {
  return sys::uninterrupted([&] {
    return sys::sendto(fd, data.data(), data.size(), static_cast<const sockaddr*>(address),
                       address_size);
  });
}

std::int64_t SystemIo::recv_from_now(native_socket fd, std::span<char> buffer, void* peer,
                                     std::uint32_t& peer_size) noexcept {
  socklen_t length = peer_size;
  const std::int64_t result = sys::uninterrupted([&] {
    return sys::recvfrom(fd, buffer.data(), buffer.size(), static_cast<sockaddr*>(peer),
                         peer != nullptr ? &length : nullptr);
  });
  if (result >= 0) peer_size = peer != nullptr ? length : 0;
  return result;
}

std::int64_t SystemIo::send_file_now(native_socket fd, native_file file, std::int64_t offset,
                                     std::size_t size) noexcept {
  return sys::uninterrupted([&] { return sys::sendfile(fd, file, offset, size); });
}

int SystemIo::shutdown_write(native_socket fd) noexcept { return sys::shutdown(fd, SHUT_WR); }

// Whether SIGPIPE kills is the program's own business, so the signal is blocked in this
// thread for the time of the call, and what the call has raised is taken back.
std::int64_t SystemIo::write_quietly(native_socket fd, const char* data,
                                     std::size_t size) noexcept {
  sigset_t only_pipe;
  sigset_t before;
  sigemptyset(&only_pipe);
  sigaddset(&only_pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &only_pipe, &before);
  const bool was_blocked = sigismember(&before, SIGPIPE) == 1;
  const auto is_pending = [] {
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
  };
  const bool was_pending = was_blocked && is_pending();  // The program's, to be kept.
  const std::int64_t result = sys::uninterrupted([&] { return sys::write(fd, data, size); });
  if (result == -EPIPE && !was_pending && is_pending()) {
    int taken = 0;
    sigwait(&only_pipe, &taken);
  }
  if (!was_blocked) pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return result;
}

int SystemIo::close_now(native_socket fd) noexcept {
  const int result = sys::close(fd);
  return result == -EINTR || result == -EINPROGRESS ? 0 : result;
}

}  // namespace aster::inline v0::detail
