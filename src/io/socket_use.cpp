// SPDX-License-Identifier: MIT
#include "io/socket_use.hpp"

#include <aster/base/error.hpp>
#include <aster/base/log.hpp>
#include <aster/task/exception_context.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

namespace aster::inline v0::detail {

namespace {

std::string lost_connection_text(const Address& from, native_socket listener) {
  return "sock_accept: a connection from " + from.str() +
         " that a cancelled call had accepted was closed with its listener, socket " +
         std::to_string(listener);
}

}  // namespace

// The loop's side ----------------------------------------------------------------------

void SockService::close() noexcept {
  while (!uses_.empty()) {
    SocketUse& use = uses_.front();
    use.leave_loop();
    if (!use.has_connection()) continue;
    use.connection_.close();
    try {
      loop_.call_exception_handler({use.lost_text(), nullptr, {}, use.from_.str(), {}});
    } catch (...) {
      log_error("sock_accept: a connection that a cancelled call had accepted was closed");
    }
  }
}

SocketUse& SocketUse::of(EventLoop& loop, Socket& socket, const char* call) {
  SocketUse* const use = socket.use_;
  if (use != nullptr && use->service_ != nullptr) [[likely]] {
    if (&use->service_->loop_ == &loop) return *use;
    throw RuntimeError(std::string(call) + ": socket " + std::to_string(socket.fileno()) +
                       " is used by another loop");
  }
  auto& service = loop.service<SockService>();
  if (use != nullptr) {  // Its loop has been closed.
    use->service_ = &service;
    service.uses_.push_back(*use);
    return *use;
  }
  auto* const made = new SocketUse(service, socket.fileno(), socket.backend());
  socket.use_ = made;
  service.uses_.push_back(*made);
  return *made;
}

Socket SocketUse::socket_of(native_socket fd, IoBackend* backend) noexcept {
  Socket socket;
  socket.fd_ = fd;
  socket.backend_ = backend;
  return socket;
}

void SocketUse::leave_loop() noexcept {
  unlink();
  for (SockClaim* claim : claims_) {
    if (claim != nullptr) claim->socket_closed();
  }
  claims_ = {};
  if (service_ != nullptr) std::exchange(service_, nullptr)->loop_.backend().forget(fd_);
}

void SocketUse::end() noexcept {
  SockService* const service = service_;
  leave_loop();
  if (service != nullptr && has_connection()) {
    connection_.close();
    service->loop_.scheduler().report(*this);
  } else {
    delete this;
  }
}

std::string SocketUse::lost_text() const { return lost_connection_text(from_, fd_); }

void SocketUse::tell(Scheduler& scheduler) {
  struct Deleter {
    void operator()(SocketUse* use) const noexcept { delete use; }
  };
  const std::unique_ptr<SocketUse, Deleter> self(this);
  scheduler.call_exception_handler({lost_text(), nullptr, {}, from_.str(), {}});
}

// What cancelled operations leave ---------------------------------------------------------

void SocketUse::keep_connection(native_socket fd, const Address& from) noexcept {
  connection_ = socket_of(fd, own_backend_);
  from_ = from;
}

Socket SocketUse::take_connection(Address& from) noexcept {
  from = from_;
  return std::move(connection_);
}

void SocketUse::keep_bytes(std::span<const char> bytes, const Address& from, bool is_datagram,
                           int error) noexcept {
  try {
    bytes_.assign(bytes.data(), bytes.size());
    error_ = error;
  } catch (...) {
    error_ = ENOMEM;  // A stream with a hole must not be read on without a word.
  }
  from_ = from;
  is_datagram_ = is_datagram;
  has_bytes_ = true;
}

std::int64_t SocketUse::take_bytes(std::span<char> into, Address& from) noexcept {
  from = from_;
  if (error_ != 0) {
    has_bytes_ = false;
    return -std::exchange(error_, 0);
  }
  const std::size_t count = std::min(into.size(), bytes_.size());
  std::copy_n(bytes_.data(), count, into.data());
  bytes_.erase(0, is_datagram_ ? bytes_.size() : count);
  has_bytes_ = !bytes_.empty();
  return static_cast<std::int64_t>(count);
}

// Claims -----------------------------------------------------------------------------------

SockClaim::SockClaim(EventLoop& loop, Socket& socket, SocketUse::Direction direction,
                     const char* call)
    : loop_(loop),
      backend_(loop.backend()),
      own_backend_(socket.backend()),
      fd_(socket.fileno()),
      direction_(direction),
      call_(call) {
  loop.scheduler().require_open(call);
  if (running_scheduler() != &loop.scheduler()) {
    throw RuntimeError(std::string(call) + ": awaited in a task of another loop");
  }
  if (socket.is_closed()) throw_system_error(EBADF, std::string(call) + " on a closed socket");
  loop.check_descriptor(fd_, call);
  if (own_backend_ != nullptr && own_backend_ != &backend_) {
    throw ValueError(std::string(call) + ": socket " + std::to_string(fd_) +
                     " belongs to another back end");
  }
  if (loop.get_debug() && socket.getblocking()) {
    throw ValueError(std::string(call) + ": the socket must be non-blocking: socket " +
                     std::to_string(fd_));
  }
  SocketUse& use = SocketUse::of(loop, socket, call);
  SockClaim*& slot = use.claims_.at(direction);
  if (slot != nullptr) {
    throw RuntimeError(std::string(call) + ": socket " + std::to_string(fd_) + " is in use by a " +
                       slot->call_ + " that has not ended");
  }
  slot = this;
  use_ = &use;
}

SockClaim::~SockClaim() {
  if (use_ != nullptr) use_->claims_.at(direction_) = nullptr;
}

// The socket is closed under the call: what waits ends.
void SockClaim::socket_closed() noexcept {
  use_ = nullptr;
  if (waiting_ == nullptr || !waiting_->is_pending()) return;
  backend_.reclaim(*waiting_);
  waiting_->result = -EBADF;
  waiting_->driver_->wake();
}

void SockClaim::fail(std::int64_t result) const {
  throw_system_error(static_cast<int>(-result),
                     std::string(call_) + " on socket " + std::to_string(fd_));
}

void SockClaim::fail(std::int64_t result, const Address& address) const {
  throw_system_error(static_cast<int>(-result), std::string(call_) + ' ' + address.str());
}

// Awaiting ----------------------------------------------------------------------------------

SockAwaiter::SockAwaiter(SockClaim& claim, Kind what) noexcept
    : Operation([](Operation& operation) noexcept {
        static_cast<SockAwaiter&>(operation).driver_->wake();
      }),
      claim_(claim) {
  kind = what;
  fd = claim.fd();
}

SockAwaiter::SockAwaiter(SockClaim& claim, Kind what, const char* bytes, std::size_t count) noexcept
    : SockAwaiter(claim, what) {
  data = const_cast<char*>(bytes);  // Sends only read them.
  size = count;
}

AddressedAwaiter::AddressedAwaiter(SockClaim& claim, Kind what, std::span<char> buffer) noexcept
    : SockAwaiter(claim, what, buffer.data(), buffer.size()) {
  peer = room_.data();
  address_size = static_cast<std::uint32_t>(room_.size());
}

AddressedAwaiter::AddressedAwaiter(SockClaim& claim, Kind what, std::string_view bytes,
                                   const Address& target) noexcept
    : SockAwaiter(claim, what, bytes.data(), bytes.size()) {
  std::memcpy(room_.data(), target.data(), target.size());
  address = room_.data();
  address_size = target.size();
}

SockAwaiter::~SockAwaiter() {
  if (claim_.waiting_ == this) claim_.waiting_ = nullptr;
  if (is_pending()) {
    claim_.backend().reclaim(*this);
  } else if (driver_ != nullptr && !taken_) {
    close_accepted();  // Its task is destroyed.
  }
}

bool SockAwaiter::await_ready() noexcept {
  if (claim_.use() == nullptr) {
    result = -EBADF;
    return true;
  }
  return claim_.backend().submit(*this);
}

bool SockAwaiter::cancel(Driver& driver, std::string& message) noexcept {
  // False: over, or about to be: the completion wakes the driver, which throws.
  if (!is_pending() || !claim_.backend().cancel(*this)) return false;
  taken_ = true;
  driver.wake_cancelled(message);
  return true;
}

std::int64_t SockAwaiter::await_resume() {
  if (driver_ != nullptr && driver_->has_pending()) {
    if (!std::exchange(taken_, true) && !keep_what_came()) report_lost_connection();
    driver_->throw_pending();
  }
  taken_ = true;
  return result;
}

// False: there was a connection, and nobody to take it.
bool SockAwaiter::keep_what_came() noexcept {
  SocketUse* const use = claim_.use();
  if (kind == Kind::accept && result >= 0) {
    if (use == nullptr) return false;  // Its listener is closed.
    use->keep_connection(static_cast<native_socket>(result), from());
    return true;
  }
  if (use == nullptr || (kind != Kind::recv && kind != Kind::recv_from)) return true;
  if (result == -ECANCELED) return true;  // The cancellation itself.
  if (result < 0) {
    use->keep_bytes({}, Address(), false, static_cast<int>(-result));
    return true;
  }
  int type = SOCK_STREAM;
  std::uint32_t type_size = sizeof type;
  static_cast<void>(
      claim_.backend().get_option(claim_.fd(), SOL_SOCKET, SO_TYPE, &type, type_size));
  const bool is_stream = type == SOCK_STREAM;
  if (result > 0 || !is_stream) {  // The end of a stream stays where it is.
    use->keep_bytes({data, static_cast<std::size_t>(result)}, from(), !is_stream, 0);
  }
  return true;
}

void SockAwaiter::report_lost_connection() {
  close_accepted();
  claim_.loop().call_exception_handler(
      {lost_connection_text(from(), claim_.fd()), nullptr, {}, from().str(), {}});
}

void SockAwaiter::close_accepted() noexcept {
  if (kind != Kind::accept || result < 0) return;
  SocketUse::socket_of(static_cast<native_socket>(result), claim_.own_backend()).close();
}

Address SockAwaiter::from() const {
  return peer == nullptr || address_size == 0 ? Address()
                                              : Address::from_native(peer, address_size);
}

}  // namespace aster::inline v0::detail
