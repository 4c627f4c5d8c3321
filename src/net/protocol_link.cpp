// SPDX-License-Identifier: MIT
//
// How a protocol is called
//
// Callbacks are never made where something happens (in a completion, or in a call of
// the user's), but by one queued note, which does what is due: connection_made, flow
// control, then received bytes. connection_lost is the business of the other note, the
// last one, which the base class queues behind this one.
//
// A Protocol's bytes come into the buffer that the back end lends: a completion whose
// bytes last runs the note at once, so nothing is copied. Bytes that must wait (the
// reading is paused, or the back end's buffer does not last) are copied into `held_`,
// so an idle connection owns no buffer. A BufferedProtocol is asked for its buffer only
// when the descriptor is readable.
//
// One receive a turn: after a full one the next is made by the note in the next turn; a
// short one has emptied the socket, so the operation is submitted at once and waits.
// What it nevertheless gives at once is held until the next turn.
#include "net/protocol_link.hpp"

#include "net/tls_layer.hpp"

#include <aster/base/error.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

namespace aster::inline v0::detail {
namespace {

// What one receive asks for; back ends lend no more.
constexpr std::size_t receive_size = 65536;

/// Hands over bytes that are not in the protocol's buffer, while `goes_on()`; the rest.
template <class GoesOn>
std::string_view copy_into(BufferedProtocol& protocol, std::string_view data, GoesOn goes_on) {
  while (!data.empty() && goes_on()) {
    const std::span<char> room = protocol.get_buffer(data.size());
    if (room.empty()) throw RuntimeError("get_buffer() returned an empty buffer");
    const std::size_t size = std::min(room.size(), data.size());
    std::memcpy(room.data(), data.data(), size);
    data.remove_prefix(size);
    protocol.buffer_updated(size);
  }
  return data;
}

}  // namespace

const RunnableOps ProtocolLink::EventNote::ops{
    [](Runnable& node) {
      const StateRef<ProtocolLink> link(&static_cast<EventNote&>(node).owner);
      link->events_queued_ = false;
      try {
        link->run_events();
      } catch (...) {  // A base error leaves the loop; what is left is done later.
        link->keep_lent();
        link->queue_events();
        throw;
      }
    },
    [](Runnable& node) noexcept {
      const StateRef<ProtocolLink> link(&static_cast<EventNote&>(node).owner);
      link->events_queued_ = false;
    },
    [](const Runnable& node) { return static_cast<const EventNote&>(node).owner.str(); }};

ProtocolLink::ProtocolLink(EventLoop& loop, native_socket fd, Medium medium,
                           const std::source_location& source, bool has_reader)
    : StreamTransport(loop, fd, medium, source,
                      [](Operation& operation) noexcept {
                        StreamTransport& owner = static_cast<LinkOperation&>(operation).owner;
                        static_cast<ProtocolLink&>(owner).received();
                      }),
      has_reader_(has_reader),
      events_(*this) {}

ProtocolLink::~ProtocolLink() = default;

void ProtocolLink::start(HeldProtocol protocol, Future<> started) {
  if (is_closing()) throw_system_error(ECONNABORTED, "connection to " + subject());
  protocol_ = std::move(protocol);
  started_ = std::move(started);
  context_.emplace(scheduler_->current_context());
  queue_events();
}

void ProtocolLink::set_protocol(std::shared_ptr<BaseProtocol> protocol) {
  HeldProtocol held(std::move(protocol));  // TypeError for what cannot be served.
  if (is_lost()) return;
  if (in_buffer_ && receive_.is_pending()) {  // In the buffer of the former one.
    backend_->reclaim(receive_);
    in_buffer_ = false;
    input_ = Input::next;
    if (!reading_paused_) queue_events();
  } else if (in_buffer_ && input_ == Input::data) {
    keep(view_);
  }
  protocol_ = std::move(held);
}

// The note --------------------------------------------------------------------------

void ProtocolLink::queue_events() noexcept {
  if (std::exchange(events_queued_, true)) return;
  ++references_;
  scheduler_->post(events_);
}

void ProtocolLink::run_events() {
  if (stage_ == Stage::lost) return;
  const ContextEntry context(scheduler_->context_cell(), *context_);
  if (!made_ || started_) {
    const bool has_caller = static_cast<bool>(started_);
    begin();
    if (has_caller) return queue_events();  // It goes on before bytes are handed over (CON-2).
  }
  if (pause_due_ || told_paused_) tell_flow();
  take_input();
}

/// Calls a callback whose error ends the connection; false when it has thrown.
template <class Callback>
bool ProtocolLink::call(const char* name, Callback&& callback) {
  try {
    callback();
    return true;
  } catch (const BaseError&) {
    throw;
  } catch (...) {
    const std::exception_ptr error = std::current_exception();
    end(error);
    report((std::string("Fatal error: protocol.") + name + "() call failed.").c_str(), error);
    return false;
  }
}

void ProtocolLink::report(const char* message, const std::exception_ptr& error) {
  scheduler_->call_exception_handler({message, error, {}, subject(), source_});
}

void ProtocolLink::begin() {
  if (!std::exchange(made_, true)) {
    input_ = Input::next;
    const HeldProtocol protocol = protocol_;
    call("connection_made", [&] {
      if (protocol.plain != nullptr) {
        protocol.plain->connection_made(*this);
      } else {
        protocol.buffered->connection_made(*this);
      }
    });
  }
  if (Future<> started = std::exchange(started_, {}); started && !started.done()) {
    started.set_result();
  }
  if (medium_ != Medium::write_pipe) return;
  input_ = Input::none;
  if (std::exchange(has_reader_, false) && stage_ == Stage::open) watch_reader();
}

void ProtocolLink::tell_flow() {
  if (stage_ > Stage::closing) return;
  const auto tell = [this](const char* failed, void (BaseProtocol::*callback)()) {
    const std::shared_ptr<BaseProtocol> protocol = protocol_.owner;
    try {
      (protocol.get()->*callback)();
    } catch (const BaseError&) {
      throw;
    } catch (...) {
      report(failed, std::current_exception());
    }
  };
  if (std::exchange(pause_due_, false) && !std::exchange(told_paused_, true)) {
    tell("protocol.pause_writing() failed", &BaseProtocol::pause_writing);
  }
  if (told_paused_ && !is_paused()) {
    told_paused_ = false;
    tell("protocol.resume_writing() failed", &BaseProtocol::resume_writing);
  }
}

void ProtocolLink::flow_changed() noexcept {
  if (is_paused()) pause_due_ = true;
  if (protocol_.owner != nullptr) queue_events();
}

// Receiving --------------------------------------------------------------------------

void ProtocolLink::received() noexcept {
  if (!received_otherwise()) note_result();
}

/// `receive_` is over, outside of the note: what the note is to do about it.
void ProtocolLink::note_result() noexcept {
  const std::int64_t result = receive_.result;
  if (result > 0) {
    input_ = Input::data;
    if (in_buffer_ || (receive_.lent_lasts && !events_queued_ && !reading_paused_)) {
      view_ = receive_.lent;
    } else {
      keep(receive_.lent);
      if (stage_ != Stage::open) return;
    }
  } else if (result == 0) {
    in_buffer_ = false;
    input_ = receive_.kind == Operation::Kind::poll_in ? Input::ready : Input::end;
  } else if (result == -ECANCELED) {
    in_buffer_ = false;
    input_ = Input::next;
  } else {
    took(result);
    return;
  }
  if (!reading_paused_) queue_events();
}

/// Copies bytes that have to wait.
void ProtocolLink::keep(std::string_view data) noexcept {
  in_buffer_ = false;
  try {
    held_.assign(data);
    view_ = held_;
  } catch (...) {  // No memory: the stream has a hole.
    is_reported_ = true;
    end(std::current_exception());
  }
}

/// The same for bytes of which the note has not come to: what is lent does not last.
void ProtocolLink::keep_lent() noexcept {
  if (input_ == Input::data && held_.empty() && !in_buffer_) keep(view_);
}

void ProtocolLink::take_input() {
  if (stage_ != Stage::open || reading_paused_) return;
  if (has_tls() && tls_->owns_reading()) return;
  switch (std::exchange(input_, Input::none)) {
    case Input::none:
      break;
    case Input::next:
      if (has_tls() && tls_->has_ended()) {
        at_end();
      } else if (has_tls() && tls_->has_ahead()) {
        const std::string ahead = tls_->take_ahead();
        input_ = Input::next;
        hand_on(tls_->open_ahead(ahead));
        if (stage_ == Stage::open && !reading_paused_ && input_ == Input::next) go_on(true);
      } else if (protocol_.plain != nullptr || has_tls()) {
        receive();
      } else {
        listen();
      }
      break;
    case Input::ready:
      fill_buffer();
      break;
    case Input::data: {
      const std::string held = std::exchange(held_, {});
      hand_over(held.empty() ? std::exchange(view_, {}) : std::string_view(held));
      break;
    }
    case Input::end:
      at_end();
      break;
  }
}

/// Receives, and hands over at once what comes at once.
void ProtocolLink::receive() {
  receive_.kind = medium_ == Medium::socket ? Operation::Kind::recv : Operation::Kind::read;
  receive_.data = nullptr;
  receive_.size = receive_size;
  if (backend_->submit(receive_)) took(receive_.result);
}

/// Receives into the protocol's own buffer.
void ProtocolLink::fill_buffer() {
  if (protocol_.buffered == nullptr || has_tls()) return receive();
  input_ = Input::ready;
  const HeldProtocol protocol = protocol_;
  std::span<char> room;
  const bool has_room = call("get_buffer", [&] {
    room = protocol.buffered->get_buffer(BufferedProtocol::any_size);
    if (room.empty()) throw RuntimeError("get_buffer() returned an empty buffer");
  });
  if (!has_room || stage_ != Stage::open || reading_paused_) return;
  if (protocol_.owner != protocol.owner) return queue_events();
  input_ = Input::none;
  receive_.kind = medium_ == Medium::socket ? Operation::Kind::recv : Operation::Kind::read;
  receive_.data = room.data();
  receive_.size = room.size();
  in_buffer_ = true;
  if (backend_->submit(receive_)) took(receive_.result);
}

/// A receive has given `result` at once; from the note, but for errors.
void ProtocolLink::took(std::int64_t result) {
  if (result > 0) return hand_over(receive_.lent);
  in_buffer_ = false;
  if (result == 0) return at_end();
  const int number = static_cast<int>(-result);
  is_reported_ = medium_ != Medium::socket && number != EIO;  // TR-26.
  fail_call(number, medium_ == Medium::socket ? "recv" : "read");
}

void ProtocolLink::hand_over(std::string_view data) {
  const bool may_be_more = data.size() == receive_.size;
  input_ = Input::next;
  if (has_tls() && !std::exchange(held_plain_, false)) {
    decrypt(data);
  } else {
    deliver(data);
  }
  if (stage_ == Stage::open && !reading_paused_ && input_ == Input::next) go_on(may_be_more);
}

void ProtocolLink::deliver(std::string_view data) {
  const HeldProtocol protocol = protocol_;
  if (std::exchange(in_buffer_, false)) {
    call("buffer_updated", [&] { protocol.buffered->buffer_updated(data.size()); });
  } else if (protocol.plain != nullptr) {
    call("data_received", [&] { protocol.plain->data_received(data); });
  } else {
    const auto goes_on = [&] {
      return stage_ == Stage::open && !reading_paused_ && protocol_.owner == protocol.owner;
    };
    call("buffer_updated", [&] { data = copy_into(*protocol.buffered, data, goes_on); });
    if (data.empty() || stage_ != Stage::open) return;
    held_plain_ = has_tls();
    keep(data);
    input_ = Input::data;
    if (!reading_paused_) queue_events();  // For another protocol.
  }
}

/// At most what one receive gives.
void ProtocolLink::decrypt(std::string_view data) { hand_on(tls_->open(data)); }

void ProtocolLink::hand_on(std::string_view plain) {
  if (!plain.empty()) deliver(plain);
  if (stage_ == Stage::open) tls_->opened();
}

void ProtocolLink::go_on(bool may_be_more) {
  if (may_be_more || events_queued_ || (has_tls() && tls_->has_more())) return queue_events();
  input_ = Input::none;
  listen();
}

/// Waits for more; what is there already waits for the note.
void ProtocolLink::listen() noexcept {
  const bool is_plain = protocol_.plain != nullptr || has_tls();
  receive_.kind = !is_plain                   ? Operation::Kind::poll_in
                  : medium_ == Medium::socket ? Operation::Kind::recv
                                              : Operation::Kind::read;
  receive_.is_exact = false;
  receive_.data = nullptr;
  receive_.size = receive_size;
  if (!backend_->submit(receive_)) return;
  receive_.lent_lasts = false;  // Not until the next turn.
  note_result();
}

void ProtocolLink::at_end() {
  if (has_tls() && !tls_->has_ended()) return tls_->truncated();
  ended_ = true;
  const HeldProtocol protocol = protocol_;
  bool stays_open = false;
  struct Close {  // Also when a base error leaves.
    ProtocolLink& link;
    const bool& stays_open;
    ~Close() {
      const bool must_close = link.medium_ == Medium::read_pipe || link.has_tls();  // TR-21.
      if (!stays_open || must_close) link.close();
    }
  } close_unless{*this, stays_open};
  call("eof_received", [&] {
    stays_open = protocol.plain != nullptr ? protocol.plain->eof_received()
                                           : protocol.buffered->eof_received();
  });
}

void ProtocolLink::pause_reading() noexcept {
  if (stage_ != Stage::open || std::exchange(reading_paused_, true)) return;
  keep_lent();  // By a callback that the note makes before it comes to the bytes.
  if (!receive_.is_pending() || medium_ == Medium::write_pipe) return;
  if (has_tls() && tls_->owns_reading()) return;
  // When the back end cannot take it back, its completion says what is to be done.
  if (backend_->cancel(receive_)) {
    in_buffer_ = false;
    input_ = Input::next;
  }
}

void ProtocolLink::resume_reading() noexcept {
  if (stage_ != Stage::open || !std::exchange(reading_paused_, false)) return;
  if (made_ && input_ != Input::none) queue_events();
}

// TLS -----------------------------------------------------------------------------------

std::string ProtocolLink::take_ahead() {
  const bool is_plain = std::exchange(held_plain_, false) || !has_tls();
  std::string ahead;
  if (input_ == Input::data) ahead = is_plain ? view_ : tls_->open(view_);
  if (in_buffer_ && receive_.is_pending()) backend_->reclaim(receive_);
  in_buffer_ = false;
  view_ = {};
  held_ = {};
  input_ = Input::none;
  return ahead;
}

void ProtocolLink::secured() noexcept {
  if (!made_) return;  // `begin` goes on.
  input_ = Input::next;
  if (!reading_paused_) queue_events();
}

// Ending ------------------------------------------------------------------------------

void ProtocolLink::stopped() noexcept {
  const bool is_unread = input_ == Input::data && has_tls() && !held_plain_;
  if (stage_ == Stage::closing && is_unread) {
    try {
      tls_->keep_unread(held_.empty() ? std::string(view_) : std::move(held_));
    } catch (...) {
      end(std::current_exception());
    }
  }
  input_ = Input::none;
  view_ = {};
  held_ = std::string();
}

void ProtocolLink::ending() {
  if (!made_) return;
  const ContextEntry context(scheduler_->context_cell(), *context_);
  if (is_reported_) {
    report(medium_ == Medium::socket ? "Fatal read error on socket transport"
                                     : "Fatal read error on pipe transport",
           lost_error());
  }
  try {
    protocol_.owner->connection_lost(lost_error());
  } catch (const BaseError&) {
    throw;
  } catch (...) {
    report("Exception in callback protocol.connection_lost()", std::current_exception());
  }
}

void ProtocolLink::lost() noexcept {
  started_ = {};
  protocol_ = {};
}

}  // namespace aster::inline v0::detail
