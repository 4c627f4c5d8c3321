// SPDX-License-Identifier: MIT
#include "net/sendfile_wait.hpp"

#include <aster/base/error.hpp>

#include <cerrno>

namespace aster::inline v0::detail {

SendfileWait::SendfileWait(StreamTransport& link) : link_(link) {
  link_.check_write("sendfile");
  link_.file_ = this;
  link_.sends_at_once_ = false;
}

SendfileWait::~SendfileWait() {
  link_.file_ = nullptr;
  if (link_.is_sending() && link_.backend_ != nullptr) {
    Operation& room = link_.outgoing_->operation;
    if (room.kind == Operation::Kind::poll_out && link_.backend_->cancel(room)) link_.room_asked();
  }
  link_.flushed_some();
}

void SendfileWait::check_open() const {
  if (link_.lost_error() != nullptr) std::rethrow_exception(link_.lost_error());
  if (link_.is_closing()) throw_system_error(ECONNABORTED, "sendfile: Connection closed");
}

void SendfileWait::wake() noexcept {
  if (waiter_ && !waiter_.done()) waiter_.set_result();
}

void SendfileWait::fail(int number) {
  link_.fail_call(number, "sendfile");
  check_open();
  throw_system_error(number, "sendfile");
}

std::int64_t SendfileWait::send(native_file file, std::int64_t offset, std::size_t size) noexcept {
  if (link_.medium_ != Medium::socket || link_.has_tls()) return -EOPNOTSUPP;
  return link_.backend_->send_file_now(link_.fd_, file, offset, size);
}

Coroutine<> SendfileWait::pause() {
  waiter_ = link_.scheduler_->loop().create_future<>();
  Future<> waiting = waiter_;
  co_await std::move(waiting);
  check_open();
}

Coroutine<> SendfileWait::drained() {
  check_open();
  while (link_.buffer_size() > 0) {
    auto waiting = pause();
    co_await std::move(waiting);
  }
}

Coroutine<> SendfileWait::room() {
  Operation& asking = link_.outgoing().operation;
  while (asking.is_pending()) {  // Asked by one that was cancelled.
    auto waiting = pause();
    co_await std::move(waiting);
  }
  asking.kind = Operation::Kind::poll_out;
  if (link_.backend_->submit(asking)) {
    const std::int64_t result = asking.result;
    link_.room_asked();
    if (result < 0) throw_system_error(static_cast<int>(-result), "sendfile " + link_.subject());
    co_return;
  }
  auto waiting = pause();
  co_await std::move(waiting);
}

void SendfileWait::write(std::string_view data) {
  check_open();
  if (link_.has_tls()) {
    link_.write_sealed({&data, 1});
  } else {
    link_.queue_rest({&data, 1}, 0);
  }
}

}  // namespace aster::inline v0::detail
