// SPDX-License-Identifier: MIT
#include "net/stream_link.hpp"

#include "base/debug_text.hpp"
#include "net/flow_limits.hpp"
#include "net/net_events.hpp"
#include "net/server_state.hpp"

#include <aster/base/log.hpp>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace aster::inline v0::detail {
namespace {

constexpr std::uint32_t quiet_writes_after_loss = 5;  // K-11.

}  // namespace

const RunnableOps StreamLink::EndNote::ops{
    [](Runnable& node) {
      // Takes the note's reference over, as finishing may drop all others.
      const StateRef<StreamLink> link(&static_cast<EndNote&>(node).owner);
      link->note_queued_ = false;
      link->finish();
    },
    [](Runnable& node) noexcept {
      const StateRef<StreamLink> link(&static_cast<EndNote&>(node).owner);
      link->note_queued_ = false;
    }};

StreamLink::StreamLink(EventLoop& loop, native_socket fd, std::size_t limit,
                       const std::source_location& source)
    : ReaderState(limit),
      backend_(&loop.backend()),
      fd_(fd),
      receive_(*this,
               [](Operation& operation) noexcept {
                 static_cast<LinkOperation&>(operation).owner.received(operation);
               }),
      scheduler_(&loop.scheduler()),
      high_(default_high_water),
      low_(default_high_water / 4),
      send_(*this,
            [](Operation& operation) noexcept {
              static_cast<LinkOperation&>(operation).owner.sent(operation);
            }),
      note_(*this),
      source_(source) {
  scheduler_->add_reference();
  receive_.kind = Operation::Kind::recv;
  receive_.fd = fd;
  send_.kind = Operation::Kind::send;
  send_.fd = fd;
}

StreamLink::~StreamLink() {
  ASTER_ASSERT(stage_ == Stage::lost);
  scheduler_->release_reference();
}

// Receiving ----------------------------------------------------------------------

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
  if (!receive_.is_pending()) return;
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
  } else if (result != -ECANCELED) {
    fail_call(static_cast<int>(-result), "recv");
  }
}

// Sending -------------------------------------------------------------------------

bool StreamLink::ignore_write() noexcept {
  // Once closing nothing is added, or a handler that never stops writing would keep a
  // closed connection, and its server, for ever (asyncio still takes it).
  if (stage_ == Stage::open) return false;
  if (++writes_after_loss_ == quiet_writes_after_loss) {
    log_warning("a stream is written to after its connection was closed or lost");
  }
  return true;
}

void StreamLink::write(std::string_view data) {
  if (!sends_at_once_ || data.empty()) [[unlikely]]
    return write_slowly(data, 0);
  const std::int64_t result = backend_->send_now(fd_, data.data(), data.size());
  if (result != static_cast<std::int64_t>(data.size())) [[unlikely]]
    write_slowly(data, result);
}

/// `result`: what sending it has given.
void StreamLink::write_slowly(std::string_view data, std::int64_t result) {
  if (eof_wanted_) throw RuntimeError("write: Cannot call write() after write_eof()");
  if (data.empty() || ignore_write()) return;
  if (result < 0 && result != -EAGAIN && result != -EINTR) {
    fail_call(static_cast<int>(-result), "send");
    return;
  }
  queue_rest({&data, 1}, result > 0 ? static_cast<std::size_t>(result) : 0);
}

void StreamLink::writelines(std::span<const std::string_view> pieces) {
  if (eof_wanted_) throw RuntimeError("writelines: Cannot call write() after write_eof()");
  std::size_t total = 0;
  for (const std::string_view piece : pieces) total += piece.size();
  if (total == 0 || ignore_write()) return;
  std::size_t sent = 0;
  if (buffer_size() == 0) {
    const std::int64_t result = backend_->send_now(fd_, pieces);
    if (result < 0 && result != -EAGAIN && result != -EINTR) {
      fail_call(static_cast<int>(-result), "send");
      return;
    }
    if (result > 0) sent = static_cast<std::size_t>(result);
    if (sent == total) return;
  }
  queue_rest(pieces, sent);
}

/// Buffers what follows the first `sent` bytes of `pieces`.
void StreamLink::queue_rest(std::span<const std::string_view> pieces, std::size_t sent) {
  try {
    for (const std::string_view piece : pieces) {
      const std::size_t skipped = std::min(sent, piece.size());
      if (skipped < piece.size()) {
        out_.append(piece.substr(skipped));
        sends_at_once_ = false;
      }
      sent -= skipped;
    }
  } catch (...) {  // No memory: what the peer got so far must not be taken for all.
    end(std::current_exception());
    throw;
  }
  submit_send();
  check_high_water();
}

void StreamLink::submit_send() noexcept {
  while (stage_ <= Stage::closing && !send_.is_pending() && buffer_size() > 0) {
    if (sending_.empty()) sending_.swap(out_);
    send_.data = sending_.data();
    send_.size = sending_.size();
    if (!backend_->submit(send_)) break;
    if (send_.result < 0) {
      fail_call(static_cast<int>(-send_.result), "send");
      return;
    }
    sending_.consume(static_cast<std::size_t>(send_.result));
  }
  flushed_some();
}

void StreamLink::sent(Operation& operation) noexcept {
  if (stage_ == Stage::ending) {
    post_end();
    return;
  }
  if (operation.result < 0) {
    fail_call(static_cast<int>(-operation.result), "send");
    return;
  }
  sending_.consume(static_cast<std::size_t>(operation.result));
  submit_send();
}

void StreamLink::flushed_some() noexcept {
  if (stage_ > Stage::closing) return;
  sends_at_once_ = buffer_size() == 0 && stage_ == Stage::open && !eof_wanted_;
  if (paused_ && buffer_size() <= low_) {
    paused_ = false;
    update_calm();
    while (!drain_waiters_.empty()) drain_waiters_.pop_front().wake();
  }
  if (buffer_size() > 0) return;
  if (stage_ == Stage::closing) {
    end(nullptr);
  } else if (eof_wanted_) {
    static_cast<void>(backend_->shutdown_write(fd_));
  }
}

void StreamLink::check_high_water() noexcept {
  if (buffer_size() <= high_) return;
  paused_ = true;
  calm_ = false;
}

void StreamLink::set_limits(std::size_t low, std::size_t high) {
  low_ = low;
  high_ = high;
  check_high_water();
}

void StreamLink::write_eof() {
  if (eof_wanted_ || is_closing()) return;
  eof_wanted_ = true;
  sends_at_once_ = false;
  if (buffer_size() == 0) static_cast<void>(backend_->shutdown_write(fd_));
}

// Ending ----------------------------------------------------------------------------

void StreamLink::close() noexcept {
  if (stage_ != Stage::open) return;
  stage_ = Stage::closing;
  calm_ = sends_at_once_ = false;
  if (buffer_size() == 0) {
    end(nullptr);
  } else if (receive_.is_pending()) {  // Reading stops at once (TR-2).
    static_cast<void>(backend_->cancel(receive_));
  }
}

void StreamLink::fail_call(int number, const char* call) noexcept {
  std::exception_ptr error;
  try {
    error = system_error_ptr(number, std::string(call) + " " + peer_.str());
  } catch (...) {
    error = std::current_exception();
  }
  end(std::move(error));
}

void StreamLink::end(std::exception_ptr error) noexcept {
  if (stage_ >= Stage::ending) return;
  stage_ = Stage::ending;
  calm_ = sends_at_once_ = false;
  lost_error_ = std::move(error);
  post_end();
}

void StreamLink::post_end() noexcept {
  if (std::exchange(note_queued_, true)) return;
  add_reference();
  scheduler_->post(note_);
}

void StreamLink::finish() noexcept {
  if (stage_ == Stage::lost) return;
  // What the kernel still owns must come back first; its completion queues the
  // note again.
  bool in_flight = false;
  for (LinkOperation* operation : {&receive_, &send_}) {
    if (operation->is_pending() && !backend_->cancel(*operation)) in_flight = true;
  }
  if (in_flight) return;
  become_lost();
}

void StreamLink::become_lost() noexcept {
  log_event(*scheduler_, [this] {
    const std::string text = "connection to " + peer_.str() + " lost";
    return lost_error_ != nullptr ? text + ": " + describe(lost_error_) : text;
  });
  stage_ = Stage::lost;
  calm_ = sends_at_once_ = false;
  const auto self = StateRef<StreamLink>::share(*this);
  scheduler_->loop().set_transport_fd(fd_, false);
  static_cast<void>(backend_->close_socket(fd_));
  backend_ = nullptr;
  fd_ = static_cast<native_socket>(-1);
  sending_.clear();
  out_.clear();
  paused_ = false;
  if (lost_error_ != nullptr) {
    fail(lost_error_);
  } else {
    feed_eof();
  }
  while (!drain_waiters_.empty()) drain_waiters_.pop_front().wake();
  while (!close_waiters_.empty()) close_waiters_.pop_front().wake();
  if (ServerState* server = std::exchange(server_, nullptr)) {
    server->connection_lost(*this);
    server->release_reference();
  }
  if (is_linked()) {
    unlink();
    release_reference();  // The loop's.
  }
}

void StreamLink::warn_unclosed(const char* what) const noexcept {
  if (!scheduler_->is_debug()) [[likely]]
    return;
  try {
    log_warning(std::string("unclosed ") + what + " of a connection to " + peer_.str() +
                "\n  made at: " + full_place(source_));
  } catch (const std::bad_alloc&) {
    log_warning("unclosed connection");
  }
}

void StreamLink::tear_down() noexcept {
  if (stage_ == Stage::open) warn_unclosed("transport");
  for (LinkOperation* operation : {&receive_, &send_}) {
    if (operation->is_pending()) backend_->reclaim(*operation);
  }
  become_lost();
}

void StreamLink::attach(ServerState& server) {
  server.connection_made(*this);  // May throw; it is nobody's then.
  server_ = &server;
  server.add_reference();
}

StateRef<StreamLink> NetService::adopt(EventLoop& loop, native_socket fd, std::size_t limit,
                                       const std::source_location& source) {
  IoBackend& backend = loop.backend();
  StreamLink* made = nullptr;
  try {
    auto& service = loop.service<NetService>();
    loop.set_transport_fd(fd, true);  // add_reader must keep off (FD-5).
    made = new StreamLink(loop, fd, limit, source);
    service.links_.push_back(*made);
  } catch (...) {
    loop.set_transport_fd(fd, false);
    static_cast<void>(backend.close_socket(fd));
    throw;
  }
  made->add_reference();  // The loop's, besides the one given out.
  const int on = 1;
  static_cast<void>(backend.set_option(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
  made->read_addresses();
  log_event(loop.scheduler(), [made, &source] {
    return "connection to " + made->peer().str() + " made, from " + made->local().str() + ", at " +
           short_place(source);
  });
  return StateRef<StreamLink>(made);
}

void StreamLink::read_addresses() noexcept {
  alignas(16) unsigned char bytes[128];
  std::uint32_t size = sizeof bytes;
  try {
    if (backend_->peer_address(fd_, bytes, size) == 0) peer_ = Address::from_native(bytes, size);
    size = sizeof bytes;
    if (backend_->local_address(fd_, bytes, size) == 0) local_ = Address::from_native(bytes, size);
  } catch (...) {  // An address that cannot be kept is as good as unknown.
  }
}

void NetService::close() noexcept {
  while (!servers_.empty()) servers_.front().tear_down();
  while (!links_.empty()) links_.front().tear_down();
}

}  // namespace aster::inline v0::detail
