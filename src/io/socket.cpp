// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>
#include <aster/io/sock.hpp>
#include <aster/io/socket.hpp>

#include "base/sys.hpp"
#include "io/socket_use.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <memory>

namespace aster::inline v0 {

namespace {

namespace sys = detail::sys;

// The address that `ask`, a call like getsockname, writes.
template <class Ask>
std::int64_t read_address(Address& result, Ask ask) {
  sockaddr_storage native{};
  std::uint32_t size = sizeof native;
  const int error = ask(&native, size);
  if (error < 0) return error;
  result = Address::from_native(&native, size);
  return 0;
}

}  // namespace

void SocketView::fail(std::int64_t result, const char* call) const {
  std::string what = call;
  what += fd_ == closed ? " of a closed socket" : " of socket " + std::to_string(fd_);
  detail::throw_system_error(static_cast<int>(-result), what);
}

Address SocketView::getsockname() const {
  Address address;
  const auto result = read_address(address, [this](sockaddr_storage* to, std::uint32_t& size) {
    if (backend_ != nullptr) return backend_->local_address(fd_, to, size);
    return sys::getsockname(fd_, reinterpret_cast<sockaddr*>(to), &size);
  });
  if (result < 0) fail(result, "getsockname");
  return address;
}

Address SocketView::getpeername() const {
  Address address;
  const auto result = read_address(address, [this](sockaddr_storage* to, std::uint32_t& size) {
    if (backend_ != nullptr) return backend_->peer_address(fd_, to, size);
    return sys::getpeername(fd_, reinterpret_cast<sockaddr*>(to), &size);
  });
  if (result < 0) fail(result, "getpeername");
  return address;
}

int SocketView::getsockopt(int level, int name) const {
  int value = 0;
  std::uint32_t size = sizeof value;
  const int result = backend_ != nullptr ? backend_->get_option(fd_, level, name, &value, size)
                                         : sys::getsockopt(fd_, level, name, &value, &size);
  if (result < 0) fail(result, "getsockopt");
  return value;
}

std::string SocketView::getsockopt(int level, int name, std::size_t size) const {
  std::string value(size, '\0');
  auto native_size = static_cast<std::uint32_t>(size);
  const int result = backend_ != nullptr
                         ? backend_->get_option(fd_, level, name, value.data(), native_size)
                         : sys::getsockopt(fd_, level, name, value.data(), &native_size);
  if (result < 0) fail(result, "getsockopt");
  value.resize(native_size);
  return value;
}

void SocketView::setsockopt(int level, int name, int value) const {
  setsockopt(level, name, {reinterpret_cast<const char*>(&value), sizeof value});
}

void SocketView::setsockopt(int level, int name, std::string_view value) const {
  const auto size = static_cast<std::uint32_t>(value.size());
  const int result = backend_ != nullptr
                         ? backend_->set_option(fd_, level, name, value.data(), size)
                         : sys::setsockopt(fd_, level, name, value.data(), size);
  if (result < 0) fail(result, "setsockopt");
}

Socket::Socket(int family, int type, int protocol) {
  const int fd = sys::socket(family, type, protocol);
  if (fd < 0) detail::throw_system_error(-fd, "socket");
  fd_ = fd;
}

Socket::Socket(IoBackend& backend, int family, int type, int protocol) {
  const std::int64_t fd = backend.open_socket(family, type, protocol);
  if (fd < 0) detail::throw_system_error(static_cast<int>(-fd), "socket");
  fd_ = static_cast<native_socket>(fd);
  backend_ = &backend;
}

Socket Socket::adopt(native_socket fd, IoBackend* backend) {
  if (backend == nullptr) {
    int result = sys::fcntl(fd, F_GETFL);
    if (result >= 0) result = sys::fcntl(fd, F_SETFL, result | O_NONBLOCK);
    if (result >= 0) result = sys::fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (result < 0) detail::throw_system_error(-result, "adopt socket " + std::to_string(fd));
  }
  Socket socket;
  socket.fd_ = fd;
  socket.backend_ = backend;
  return socket;
}

void Socket::bind(const Address& address) {
  const auto* native = static_cast<const sockaddr*>(address.data());
  const int result = backend_ != nullptr ? backend_->bind(fd_, native, address.size())
                                         : sys::bind(fd_, native, address.size());
  if (result < 0) detail::throw_system_error(-result, "bind " + address.str());
}

void Socket::listen(int backlog) {
  const int result =
      backend_ != nullptr ? backend_->listen(fd_, backlog) : sys::listen(fd_, backlog);
  if (result >= 0) return;
  if (fd_ == closed) fail(result, "listen");
  detail::throw_system_error(-result, "listen " + getsockname().str());
}

void Socket::shutdown(int how) {
  int result = -EOPNOTSUPP;
  if (backend_ == nullptr) {
    result = sys::shutdown(fd_, how);
  } else if (how == SHUT_WR) {
    result = backend_->shutdown_write(fd_);
  }
  if (result < 0) fail(result, "shutdown");
}

void Socket::setblocking(bool blocking) {
  int result = blocking ? -EOPNOTSUPP : 0;
  if (backend_ == nullptr) {
    result = sys::fcntl(fd_, F_GETFL);
    if (result >= 0) {
      const int others = result & ~O_NONBLOCK;
      result = sys::fcntl(fd_, F_SETFL, blocking ? others : others | O_NONBLOCK);
    }
  }
  if (result < 0) fail(result, "setblocking");
}

bool Socket::getblocking() const {
  if (backend_ != nullptr) return false;
  const int flags = sys::fcntl(fd_, F_GETFL);
  if (flags < 0) fail(flags, "getblocking");
  return (flags & O_NONBLOCK) == 0;
}

void Socket::require_system(const char* call) const {
  if (backend_ != nullptr) fail(-EOPNOTSUPP, call);
}

Accepted Socket::accept() {
  require_system("accept");
  sockaddr_storage native{};
  socklen_t size = sizeof native;
  const int made = sys::uninterrupted(
      [&] { return sys::accept(fd_, reinterpret_cast<sockaddr*>(&native), &size); });
  if (made < 0) fail(made, "accept");
  Socket connection = detail::SocketUse::socket_of(made, nullptr);
  if (getblocking()) connection.setblocking(true);
  return Accepted(std::move(connection), Address::from_native(&native, size));
}

void Socket::connect(const Address& address) {
  require_system("connect");
  int result = sys::connect(fd_, static_cast<const sockaddr*>(address.data()), address.size());
  if (result == -EINTR && getblocking()) {
    // The kernel goes on connecting: another call would say EALREADY.
    pollfd state{fd_, POLLOUT, 0};
    result = sys::uninterrupted([&] { return sys::poll(&state, 1, Duration::max()); });
    if (result >= 0) result = -getsockopt(SOL_SOCKET, SO_ERROR);
  }
  if (result < 0) detail::throw_system_error(-result, "connect " + address.str());
}

std::string Socket::recv(std::size_t size) {
  require_system("recv");
  const auto buffer = std::make_unique_for_overwrite<char[]>(size);
  const std::int64_t result =
      sys::uninterrupted([&] { return sys::recv(fd_, buffer.get(), size); });
  if (result < 0) fail(result, "recv");
  return {buffer.get(), static_cast<std::size_t>(result)};
}

std::size_t Socket::send(std::string_view data) {
  require_system("send");
  const std::int64_t result =
      sys::uninterrupted([&] { return sys::send(fd_, data.data(), data.size()); });
  if (result < 0) fail(result, "send");
  return static_cast<std::size_t>(result);
}

void Socket::sendall(std::string_view data) {
  while (!data.empty()) data.remove_prefix(send(data));
}

void Socket::end_use() noexcept {
  if (use_ != nullptr) std::exchange(use_, nullptr)->end();
}

void Socket::close() noexcept {
  end_use();
  const SocketView gone = std::exchange(view(), SocketView());
  if (gone.fileno() == closed) return;
  if (gone.backend() != nullptr) {
    static_cast<void>(gone.backend()->close_socket(gone.fileno()));
  } else {
    static_cast<void>(sys::close(gone.fileno()));
  }
}

}  // namespace aster::inline v0
