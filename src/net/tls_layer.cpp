// SPDX-License-Identifier: MIT
//
// Where records go
//
// A record is sent straight from OpenSSL's buffer when the system takes it; what it does
// not take goes into the transport's queue, and from then on what is written stays as it
// is until that queue is empty. Received bytes go from the back end's buffer into
// OpenSSL, which keeps the beginning of a record that is not whole; all others are
// decrypted at once, so nothing received is ever left in here, but what comes with the end
// of a handshake.
//
// OpenSSL may send at any time: answers, tickets, alerts. So every call of the engine is
// followed by `submit_send`, never made in one: sending on may call the engine again. That
// such a record cannot be sent matters only to those who write: a peer that goes at once
// after its request must not take the request away with its refusal of our ticket.
#include "net/tls_layer.hpp"

#include "net/net_service.hpp"
#include "net/server_state.hpp"
#include "net/stream_transport.hpp"

#include <aster/base/error.hpp>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace aster::inline v0::detail {

const RunnableOps TlsLayer::Deadline::ops{
    [](Runnable& node) { static_cast<Deadline&>(static_cast<Timer&>(node)).owner.expired(); },
    [](Runnable&) noexcept {}};

TlsLayer::TlsLayer(StreamTransport& link, const TlsSetup& setup, std::unique_ptr<TlsTunnel> tunnel)
    : link_(link),
      tunnel_(std::move(tunnel)),
      engine_(std::make_shared<TlsEngine>(
          setup, tunnel_ != nullptr ? static_cast<TlsEngine::Output&>(*tunnel_) : *this)),
      room_(link.scheduler().loop().service<NetService>().shared_room()),
      in_flight_(link.raw_size()),
      handshake_timeout_(setup.handshake_timeout),
      shutdown_timeout_(setup.shutdown_timeout),
      deadline_(*this) {
  if (tunnel_ != nullptr) tunnel_->rebind(*this);
}

TlsLayer::~TlsLayer() {
  if (engine_ != nullptr) engine_->detach();
}

std::unique_ptr<TlsTunnel> TlsLayer::into_tunnel() {
  while (!plain_.empty()) {
    const std::size_t size = std::min(plain_.size(), TlsEngine::record_size);
    if (!seal({plain_.data(), size})) break;
    plain_.consume(size);
  }
  if (error() != nullptr) std::rethrow_exception(error());
  return std::make_unique<TlsTunnel>(std::move(engine_), std::move(tunnel_), chunk_max);
}

TimePoint TlsLayer::tls_now() const noexcept { return link_.scheduler().now(); }

// Sending ---------------------------------------------------------------------------

bool TlsLayer::send_sealed(std::string_view record) noexcept {
  const std::int64_t result = link_.send_raw(record);
  if (result == -ENOMEM) return false;
  if (result < 0) send_error_ = static_cast<int>(-result);
  return true;
}

/// False: the link has ended.
bool TlsLayer::seal(std::string_view data) noexcept {
  if (!engine_->seal(data) || error() != nullptr) {
    link_.end(error());
    return false;
  }
  if (send_error_ != 0) {
    link_.fail_call(send_error_, "send");
    return false;
  }
  if (link_.raw_size() > 0) in_flight_ += data.size();
  return true;
}

void TlsLayer::write(std::span<const std::string_view> pieces) {
  if (pieces.size() == 1) {
    std::string_view data = pieces.front();
    while (phase_ == Phase::open && !data.empty() && backlog() == 0 && link_.raw_size() == 0) {
      if (!seal(data.substr(0, TlsEngine::record_size))) return;
      data.remove_prefix(std::min(data.size(), TlsEngine::record_size));
    }
    if (!data.empty()) plain_.append(data);
    return;
  }
  for (const std::string_view piece : pieces) plain_.append(piece);
}

bool TlsLayer::seal_more() noexcept {
  in_flight_ = 0;
  if (phase_ == Phase::handshake) return false;
  while (!plain_.empty() && link_.raw_size() == 0) {
    const std::size_t size = std::min(plain_.size(), TlsEngine::record_size);
    if (!seal({plain_.data(), size})) return false;
    plain_.consume(size);
  }
  return link_.raw_size() > 0;
}

// Receiving --------------------------------------------------------------------------

/// Lets the engine read received bytes.
void TlsLayer::give(std::string_view received) noexcept {
  engine_->give(tunnel_ != nullptr ? tunnel_->open(received) : received);
}

const std::exception_ptr& TlsLayer::error() const noexcept {
  return tunnel_ != nullptr && tunnel_->error() != nullptr ? tunnel_->error() : engine_->error();
}

/// What it goes through has come to its end.
bool TlsLayer::is_cut_off() const noexcept {
  return tunnel_ != nullptr && tunnel_->has_ended() && !engine_->has_ended();
}

bool TlsLayer::has_heard_goodbye() const noexcept {
  return tunnel_ != nullptr ? tunnel_->is_over() : engine_->has_ended();
}

std::string_view TlsLayer::open(std::string_view received, std::span<char> target) {
  if (!received.empty()) give(received);
  return open_ahead({}, target);
}

std::string_view TlsLayer::open_ahead(std::string_view ahead, std::span<char> target) {
  if (!ahead.empty()) engine_->give(ahead);
  const std::span<char> room = target.empty() ? room_ : target;
  return {room.data(), engine_->read(room)};
}

void TlsLayer::opened() noexcept {
  link_.submit_send();
  if (error() != nullptr) return link_.end(error());
  if (is_cut_off()) truncated();
}

void TlsLayer::truncated() noexcept {
  std::exception_ptr error;
  try {
    error = std::make_exception_ptr(
        SSLEOFError("TLS with " + link_.subject() +
                        ": the connection ended without close_notify; data may be missing",
                    "UNEXPECTED_EOF_WHILE_READING"));
  } catch (...) {
    error = std::current_exception();
  }
  link_.end(std::move(error));
}

std::string TlsLayer::take_ahead() {
  if (ahead_.size() <= chunk_max) return std::exchange(ahead_, {});
  std::string piece = ahead_.substr(0, chunk_max);
  ahead_.erase(0, chunk_max);
  return piece;
}

/// Receives, for as long as the phase wants it, and something comes at once.
void TlsLayer::listen() noexcept {
  if (std::exchange(is_listening_, true)) return;
  Operation& receive = link_.receive_;
  while (owns_reading() && !peer_done_ && link_.stage_ <= StreamTransport::Stage::closing &&
         !receive.is_pending()) {
    receive.kind = Operation::Kind::recv;
    receive.data = nullptr;
    receive.size = chunk_max;
    if (!link_.backend_->submit(receive)) break;
    took(receive.result);
  }
  is_listening_ = false;
}

void TlsLayer::received() noexcept {
  // What it was before `start_tls`: told only that there is something.
  if (link_.receive_.kind == Operation::Kind::recv || link_.receive_.result < 0) {
    took(link_.receive_.result);
  }
  listen();
}

void TlsLayer::took(std::int64_t result) noexcept {
  if (result == -ECANCELED) return;
  if (phase_ == Phase::closing) {
    if (result > 0) return discard(link_.receive_.lent);
    return peer_gone();
  }
  if (result > 0) return shake(link_.receive_.lent);
  link_.fail_call(result == 0 ? ECONNRESET : static_cast<int>(-result), "TLS handshake with");
}

// The handshake -----------------------------------------------------------------------

void TlsLayer::begin(std::string ahead, Future<> done) {
  set_deadline(handshake_timeout_);
  done_ = std::move(done);
  engine_->give(ahead);
  shake_on();
  listen();
}

void TlsLayer::shake(std::string_view received) noexcept {
  give(received);
  shake_on();
}

void TlsLayer::shake_on() noexcept {
  const TlsEngine::Progress progress = engine_->handshake();
  if (progress == TlsEngine::Progress::done) {
    try {
      ahead_ = engine_->rest();
    } catch (...) {
      return link_.end(std::current_exception());
    }
    return established();
  }
  link_.submit_send();
  if (progress == TlsEngine::Progress::failed || error() != nullptr) {
    link_.end(error());
  } else if (is_cut_off()) {
    link_.fail_call(ECONNRESET, "TLS handshake with");
  }
}

void TlsLayer::established() noexcept {
  phase_ = Phase::open;
  link_.scheduler().withdraw(deadline_);
  link_.submit_send();  // Also what was written meanwhile.
  if (link_.stage_ != StreamTransport::Stage::open) return;
  if (done_) {
    Future<> done = std::exchange(done_, {});
    if (!done.done()) done.set_result();
  } else if (link_.server_ != nullptr) {
    link_.server_->secured(link_);
  }
  link_.secured();
}

// The end -----------------------------------------------------------------------------

void TlsLayer::close() noexcept {
  phase_ = Phase::closing;
  peer_done_ = has_heard_goodbye();
  try {
    set_deadline(shutdown_timeout_);
  } catch (...) {  // Without a deadline it might never end.
    return link_.end(std::current_exception());
  }
  link_.submit_send();
  link_.post_end();  // Not here: views of what was received elsewhere are in use.
}

void TlsLayer::drain() noexcept {
  if (phase_ != Phase::closing) return;
  discard({});
  listen();
}

void TlsLayer::flushed() noexcept {
  if (!std::exchange(said_goodbye_, true)) {
    engine_->send_close();
    if (tunnel_ != nullptr) tunnel_->send_close();
    if (send_error_ != 0) peer_done_ = true;
    link_.submit_send();
    return;
  }
  if (peer_done_) link_.end(nullptr);
}

/// What comes while closing, behind what had come before: nobody is to read it, but the goodbye.
void TlsLayer::discard(std::string_view received) noexcept {
  const auto read_all = [this] {
    while (engine_->read(room_) > 0) {
    }
  };
  const std::string ahead = std::exchange(ahead_, {});
  const std::string unread = std::exchange(unread_, {});
  if (!ahead.empty()) engine_->give(ahead);
  read_all();
  for (const std::string_view piece : {std::string_view(unread), received}) {
    if (piece.empty()) continue;
    give(piece);
    read_all();
  }
  link_.submit_send();
  if (has_heard_goodbye() || error() != nullptr) peer_gone();
}

void TlsLayer::peer_gone() noexcept {
  peer_done_ = true;
  link_.flushed_some();
}

void TlsLayer::set_deadline(Duration time) {
  Scheduler& scheduler = link_.scheduler();
  scheduler.call_at(deadline_, add_saturated(scheduler.now(), time));
}

void TlsLayer::expired() noexcept {
  std::exception_ptr error;
  try {
    error = std::make_exception_ptr(TimeoutError(
        phase_ == Phase::closing
            ? std::string("SSL shutdown timed out")
            : "TLS handshake with " + link_.subject() + " is taking longer than " +
                  std::to_string(std::chrono::duration<double>(handshake_timeout_).count()) +
                  " seconds: aborting the connection"));
  } catch (...) {
    error = std::current_exception();
  }
  link_.end(std::move(error));
}

void TlsLayer::report() {
  if (phase_ != Phase::handshake || done_ || link_.server_ == nullptr) return;
  const std::exception_ptr& error = link_.lost_error();
  if (error == nullptr) return;
  if (!link_.scheduler().is_debug() && !engine_->is_callback_error()) return;  // CON-30.
  link_.scheduler().call_exception_handler(
      {"Error on transport creation for incoming connection", error, {}, link_.subject(), {}});
}

void TlsLayer::lost() noexcept {
  link_.scheduler().withdraw(deadline_);
  Future<> done = std::exchange(done_, {});
  phase_ = Phase::over;
  plain_.clear();
  in_flight_ = 0;
  ahead_ = {};
  unread_ = {};
  if (!done || done.done()) return;
  std::exception_ptr error = link_.lost_error();
  try {
    if (error == nullptr) {
      error = system_error_ptr(ECONNABORTED, "TLS handshake with " + link_.subject());
    }
  } catch (...) {
    error = std::current_exception();
  }
  done.set_exception(std::move(error));
}

}  // namespace aster::inline v0::detail
