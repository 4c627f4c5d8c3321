// SPDX-License-Identifier: MIT
#include "net/stream_link.hpp"

#include <aster/base/error.hpp>

#include <cerrno>

namespace aster::inline v0::detail {

StreamLink::StreamLink(EventLoop& loop, native_socket fd, Medium medium, std::size_t limit,
                       const std::source_location& source)
    : ReaderState(limit),
      StreamTransport(loop, fd, medium, source, [](Operation& operation) noexcept {
        StreamTransport& owner = static_cast<LinkOperation&>(operation).owner;
        static_cast<StreamLink&>(owner).received(operation);
      }) {
  if (medium == Medium::read_pipe) calm_ = false;
}

StreamLink::~StreamLink() = default;

void StreamLink::set_protocol(std::shared_ptr<BaseProtocol> /*protocol*/) {
  throw RuntimeError("set_protocol: this transport serves a StreamReader and a StreamWriter");
}

void StreamLink::flow_changed() noexcept {
  calm_ = !is_paused() && stage_ == Stage::open && error() == nullptr;
  if (is_paused()) return;
  while (!drain_waiters_.empty()) drain_waiters_.pop_front().wake();
}

void StreamLink::lost() noexcept {
  if (lost_error() != nullptr) {
    fail(lost_error());
  } else {
    feed_eof();
  }
  while (!drain_waiters_.empty()) drain_waiters_.pop_front().wake();
  while (!close_waiters_.empty()) close_waiters_.pop_front().wake();
}

bool StreamLink::pull() noexcept {
  if (stage_ != Stage::open || receive_.is_pending()) [[unlikely]]
    return pull_slowly();
  const std::span<char> target = direct_target();
  receive_.data = target.data();
  receive_.size = target.data() == nullptr ? std::size_t{65536} : target.size();
  if (!backend_->submit(receive_)) return false;
  take_received();
  return true;
}

bool StreamLink::pull_slowly() noexcept {
  // close() ends reading at once; the note ends the stream for readers.
  if (stage_ == Stage::lost && !has_eof()) feed_eof();
  return stage_ == Stage::lost;
}

void StreamLink::stop_pull() noexcept {
  if (!receive_.is_pending() || medium_ == Medium::write_pipe) return;
  // A back end that cannot take it back delivers to the buffer instead; bytes
  // bound for a target of the caller's must not be in flight any longer.
  bool over = true;
  if (receive_.data != nullptr) {
    backend_->reclaim(receive_);
  } else {
    over = backend_->cancel(receive_);
  }
  // The end may have waited for it, and no completion will come now.
  if (over && stage_ == Stage::ending) post_end();
}

void StreamLink::received(Operation& operation) noexcept {
  const bool is_done = stage_ == Stage::open && operation.result > 0 &&
                       hand_over(operation.lent, operation.lent_lasts);
  if (!is_done) received_slowly();
}

void StreamLink::received_slowly() noexcept {
  if (medium_ == Medium::write_pipe) return reader_gone();
  if (stage_ == Stage::ending) post_end();  // The note waited for this.
  if (stage_ != Stage::open) return;        // Closing: nobody is to read any more.
  take_received();
  // What came was not enough for the read that waits.
  while (waiting_ != nullptr && pull()) {
  }
}

void StreamLink::take_received() noexcept {
  const std::int64_t result = receive_.result;
  if (result > 0) {
    if (hand_over(receive_.lent, receive_.lent_lasts)) return;
    try {
      feed(receive_.lent);
    } catch (...) {  // No memory for what came: the stream has a hole.
      fail(std::current_exception());
      end(std::current_exception());
    }
  } else if (result == 0) {
    feed_eof();
    if (medium_ == Medium::read_pipe) close();  // There is nobody else to do it.
  } else if (result != -ECANCELED) {
    fail_call(static_cast<int>(-result), receive_.kind == Operation::Kind::recv ? "recv" : "read");
  }
}

}  // namespace aster::inline v0::detail
