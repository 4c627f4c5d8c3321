// SPDX-License-Identifier: MIT
#include "net/stream_link.hpp"

#include "net/tls_layer.hpp"

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
  if (stage_ != Stage::open || receive_.is_pending() || has_tls()) [[unlikely]]
    return pull_slowly();
  const std::span<char> target = direct_target();
  receive_.data = target.data();
  receive_.size = target.data() == nullptr ? std::size_t{65536} : target.size();
  if (!backend_->submit(receive_)) return false;
  take_received();
  return true;
}

bool StreamLink::pull_slowly() noexcept {
  if (stage_ == Stage::open) return has_tls() && pull_tls();
  // close() ends reading at once; the note ends the stream for readers.
  if (stage_ == Stage::lost && !has_eof()) feed_eof();
  return stage_ == Stage::lost;
}

void StreamLink::stop_pull() noexcept {
  if (!receive_.is_pending() || medium_ == Medium::write_pipe) return;
  if (has_tls() && tls_->owns_reading()) return;
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
  const bool is_done = stage_ == Stage::open && operation.result > 0 && !has_tls() &&
                       hand_over(operation.lent, operation.lent_lasts);
  if (!is_done) received_slowly();
}

void StreamLink::received_slowly() noexcept {
  if (received_otherwise()) return;
  if (stage_ != Stage::open) return;  // Closing: nobody is to read any more.
  take_received();
  // What came was not enough for the read that waits.
  while (waiting_ != nullptr && pull()) {
  }
}

void StreamLink::take_received() noexcept {
  const std::int64_t result = receive_.result;
  if (result > 0) {
    if (has_tls()) return decrypt(receive_.lent, receive_.lent_lasts);
    if (!hand_over(receive_.lent, receive_.lent_lasts)) feed_or_fail(receive_.lent);
  } else if (result == 0) {
    if (has_tls()) return tls_->truncated();
    feed_eof();
    if (medium_ == Medium::read_pipe) close();  // There is nobody else to do it.
  } else if (result != -ECANCELED) {
    fail_call(static_cast<int>(-result), receive_.kind == Operation::Kind::recv ? "recv" : "read");
  }
}

void StreamLink::feed_or_fail(std::string_view data) noexcept {
  try {
    feed(data);
  } catch (...) {  // No memory for what came: the stream has a hole.
    fail(std::current_exception());
    end(std::current_exception());
  }
}

// TLS -----------------------------------------------------------------------------------

/// As `pull`: with TLS, and open.
bool StreamLink::pull_tls() noexcept {
  if (tls_->is_handshaking()) return false;  // `secured` goes on.
  if (tls_->has_ended()) {                   // Found with the last bytes, which came first.
    feed_eof();
    close();  // TR-21.
    return true;
  }
  if (tls_->has_ahead()) {
    try {
      const std::string ahead = tls_->take_ahead();
      hand_on(tls_->open_ahead(ahead, direct_target()), true);
    } catch (...) {  // No memory: the stream has a hole.
      end(std::current_exception());
    }
    return true;
  }
  if (receive_.is_pending()) return false;
  receive_.data = nullptr;
  receive_.size = TlsLayer::chunk_max;
  if (!backend_->submit(receive_)) return false;
  take_received();
  return true;
}

/// Gives the waiting read what there is to received bytes, and the buffer the rest.
void StreamLink::decrypt(std::string_view data, bool lasts) noexcept {
  hand_on(tls_->open(data, direct_target()), lasts);
}

void StreamLink::hand_on(std::string_view plain, bool lasts) noexcept {
  if (!plain.empty() && hand_over(plain, lasts)) plain = tls_->open({});
  for (; !plain.empty() && stage_ == Stage::open; plain = tls_->open({})) feed_or_fail(plain);
  if (stage_ == Stage::open) tls_->opened();
}

std::string StreamLink::take_ahead() {
  if (is_being_read()) throw RuntimeError("start_tls: a read is waiting for plain bytes");
  return take_all();
}

void StreamLink::secured() noexcept {
  while (waiting_ != nullptr && pull()) {
  }
}

}  // namespace aster::inline v0::detail
