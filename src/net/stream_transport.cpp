// SPDX-License-Identifier: MIT
#include "net/stream_transport.hpp"

#include "base/debug_text.hpp"
#include "net/flow_limits.hpp"
#include "net/net_events.hpp"
#include "net/sendfile_wait.hpp"
#include "net/server_state.hpp"
#include "net/tls_layer.hpp"

#include <aster/base/log.hpp>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <sys/socket.h>

namespace aster::inline v0::detail {
namespace {

constexpr std::uint32_t quiet_writes_after_loss = 5;  // K-11.

std::optional<Address> known(const Address& address) {
  return address.size() > 0 ? std::optional<Address>(address) : std::nullopt;
}

}  // namespace

const RunnableOps StreamTransport::end_ops{
    [](Runnable& node) {
      // Takes the note's reference over, as finishing may drop all others.
      const StateRef<StreamTransport> link(&static_cast<StreamTransport&>(node));
      link->note_queued_ = false;
      if (link->stage_ == Stage::closing) return link->tls_->drain();
      link->finish();
    },
    [](Runnable& node) noexcept {
      const StateRef<StreamTransport> link(&static_cast<StreamTransport&>(node));
      link->note_queued_ = false;
    }};

StreamTransport::StreamTransport(EventLoop& loop, native_socket fd, Medium medium,
                                 const std::source_location& source, Operation::Complete on_receive)
    : Runnable(&end_ops),
      backend_(&loop.backend()),
      fd_(fd),
      sends_at_once_(medium == Medium::socket),
      receive_(*this, on_receive),
      medium_(medium),
      scheduler_(&loop.scheduler()),
      high_(default_high_water),
      low_(default_high_water / 4),
      source_(source) {
  scheduler_->add_reference();
  receive_.kind = medium == Medium::socket ? Operation::Kind::recv : Operation::Kind::read;
  receive_.fd = fd;
}

StreamTransport::Outgoing::Outgoing(StreamTransport& link) noexcept
    : operation(link, [](Operation& done) noexcept {
        static_cast<LinkOperation&>(done).owner.sent(done);
      }) {
  operation.fd = link.fd_;
}

StreamTransport::Outgoing& StreamTransport::outgoing() {
  if (outgoing_ == nullptr) {
    outgoing_ = std::make_unique<Outgoing>(*this);
    room_asked();
  }
  return *outgoing_;
}

StreamTransport::~StreamTransport() {
  ASTER_ASSERT(stage_ == Stage::lost);
  scheduler_->release_reference();
}

// Facts ---------------------------------------------------------------------------

void StreamTransport::opened(NativeAddress peer) noexcept {
  if (medium_ == Medium::socket) {
    AddressRoom room;
    if (peer.size == 0) {
      peer = {room.bytes.data(), AddressRoom::size};
      if (backend_->peer_address(fd_, room.bytes.data(), peer.size) != 0) peer.size = 0;
    }
    peer_.keep(peer);
    // A connection that was reset already may have lost that address, but not its own.
    if (peer.size != 0 ? peer_.is_ip() : local().is_ip()) {
      static_cast<void>(backend_->set_no_delay(fd_));
    } else {
      static_cast<void>(local());  // A long path needs memory, which the end must not.
    }
  }
  log_event(*scheduler_, [this] {
    return "connection to " + subject() + " made, from " + local().get().str() + ", at " +
           short_place(source_);
  });
}

/// It does not change while the connection lasts, nor by its end; so most servers need never
/// ask.
const KeptAddress& StreamTransport::local() const noexcept {
  if (!is_local_known_ && !is_lost()) {
    is_local_known_ = true;
    AddressRoom room;
    std::uint32_t size = AddressRoom::size;
    if (medium_ == Medium::socket && backend_->local_address(fd_, room.bytes.data(), size) == 0) {
      local_.keep({room.bytes.data(), size});
    }
  }
  return local_;
}

std::optional<Address> StreamTransport::peername() const { return known(peer_.get()); }
std::optional<Address> StreamTransport::sockname() const { return known(local().get()); }

SocketView StreamTransport::socket() const {
  return medium_ == Medium::socket ? SocketView(fd_, backend_) : SocketView();
}

std::optional<native_socket> StreamTransport::pipe() const {
  if (medium_ == Medium::socket || is_lost()) return {};
  return fd_;
}

std::string StreamTransport::subject() const {
  if (medium_ != Medium::socket) return "pipe " + std::to_string(receive_.fd);
  std::string text = peer_.get().str();
  // The client of a unix socket has no name of its own.
  return text.empty() ? local().get().str() : text;
}

std::string StreamTransport::str() const {
  std::string text = "<transport";
  if (is_lost()) {
    text += " closed";
  } else {
    if (is_closing()) text += " closing";
    text += " fd=" + std::to_string(fd_);
    text += receive_.is_pending() ? " read=polling" : " read=idle";
    text += is_sending() ? " write=<polling" : " write=<idle";
    text += ", bufsize=" + std::to_string(buffer_size()) + ">";
  }
  return text + ">";
}

void StreamTransport::warn_unclosed(const char* what) const noexcept {
  if (!scheduler_->is_debug()) [[likely]]
    return;
  try {
    log_warning(std::string("unclosed ") + what + " of a connection to " + subject() +
                "\n  made at: " + full_place(source_));
  } catch (const std::bad_alloc&) {
    log_warning("unclosed connection");
  }
}

// Sending -------------------------------------------------------------------------

bool StreamTransport::ignore_write() noexcept {
  // Once closing nothing is added, or a handler that never stops writing would keep a
  // closed connection, and its server, for ever (asyncio still takes it).
  if (stage_ == Stage::open) return false;
  if (++writes_after_loss_ == quiet_writes_after_loss) {
    log_warning("a stream is written to after its connection was closed or lost");
  }
  return true;
}

void StreamTransport::check_write(const char* call) const {
  const char* why = nullptr;
  if (eof_wanted_) why = ": Cannot call write() after write_eof()";
  if (medium_ == Medium::read_pipe) why = ": this pipe is read from, not written to";
  if (file_ != nullptr) why = ": unable to write; sendfile is in progress";
  if (why != nullptr) throw RuntimeError(std::string(call) + why);
}

void StreamTransport::write(std::string_view data) {
  if (!sends_at_once_ || data.empty()) [[unlikely]]
    return write_slowly(data, 0);
  const std::int64_t result = backend_->send_now(fd_, data.data(), data.size());
  if (result != static_cast<std::int64_t>(data.size())) [[unlikely]]
    write_slowly(data, result);
}

/// `result`: what sending it has given.
void StreamTransport::write_slowly(std::string_view data, std::int64_t result) {
  check_write("write");
  if (data.empty() || ignore_write()) return;
  if (has_tls()) return write_sealed({&data, 1});
  if (result < 0 && result != -EAGAIN && result != -EINTR) {
    fail_call(static_cast<int>(-result), "send");
    return;
  }
  queue_rest({&data, 1}, result > 0 ? static_cast<std::size_t>(result) : 0);
}

void StreamTransport::writelines(std::span<const std::string_view> pieces) {
  check_write("writelines");
  std::size_t total = 0;
  for (const std::string_view piece : pieces) total += piece.size();
  if (total == 0 || ignore_write()) return;
  if (has_tls()) return write_sealed(pieces);
  std::size_t sent = 0;
  if (sends_at_once_) {
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
void StreamTransport::queue_rest(std::span<const std::string_view> pieces, std::size_t sent) {
  try {
    for (const std::string_view piece : pieces) {
      const std::size_t skipped = std::min(sent, piece.size());
      if (skipped < piece.size()) {
        outgoing().out.append(piece.substr(skipped));
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

void StreamTransport::submit_send() noexcept {
  do {
    while (stage_ <= Stage::closing && raw_size() > 0 && !is_sending()) {
      auto& [send, sending, out] = *outgoing_;
      if (sending.empty()) sending.swap(out);
      send.data = sending.data();
      send.size = sending.size();
      if (!backend_->submit(send)) break;
      if (send.result < 0) return send_failed();
      sending.consume(static_cast<std::size_t>(send.result));
    }
  } while (has_tls() && stage_ <= Stage::closing && raw_size() == 0 && tls_->seal_more());
  flushed_some();
}

void StreamTransport::send_failed() noexcept {
  // A goodbye that nobody hears is one all the same.
  if (has_tls() && tls_->said_goodbye()) return end(nullptr);
  fail_call(static_cast<int>(-outgoing_->operation.result), "send");
}

void StreamTransport::sent(Operation& operation) noexcept {
  if (stage_ == Stage::ending) {
    post_end();
    return;
  }
  if (operation.kind == Operation::Kind::poll_out) {  // Sendfile waits for room.
    room_asked();
    if (file_ != nullptr) file_->wake();
    submit_send();  // What was written since, when it no longer waits.
    return;
  }
  if (operation.result < 0) return send_failed();
  outgoing_->sending.consume(static_cast<std::size_t>(operation.result));
  submit_send();
}

/// The operation, with which sendfile may have waited, is for sending.
void StreamTransport::room_asked() noexcept {
  outgoing_->operation.kind =
      medium_ == Medium::socket ? Operation::Kind::send : Operation::Kind::write;
}

void StreamTransport::flushed_some() noexcept {
  if (stage_ > Stage::closing) return;
  sends_at_once_ = buffer_size() == 0 && may_send_at_once();
  if (paused_ && buffer_size() <= low_) {
    paused_ = false;
    flow_changed();
  }
  if (buffer_size() > 0 || raw_size() > 0) return;
  if (file_ != nullptr) file_->wake();
  if (stage_ == Stage::closing && has_tls()) {
    tls_->flushed();
  } else if (stage_ == Stage::closing) {
    end(nullptr);
  } else if (eof_wanted_) {
    end_writing();
  }
}

void StreamTransport::check_high_water() noexcept {
  if (paused_ || stage_ > Stage::closing || buffer_size() <= high_) return;
  paused_ = true;
  flow_changed();
}

void StreamTransport::set_write_buffer_limits(std::optional<std::size_t> high,
                                              std::optional<std::size_t> low) {
  const WriteBufferLimits limits =
      flow_limits(high, low, has_tls() ? TlsLayer::high_water : default_high_water);
  low_ = limits.low;
  high_ = limits.high;
  check_high_water();
}

void StreamTransport::write_eof() {
  if (has_tls()) throw RuntimeError("write_eof: a TLS connection cannot be half closed");
  if (medium_ == Medium::write_pipe) return close();
  if (medium_ == Medium::read_pipe || file_ != nullptr) check_write("write_eof");
  if (eof_wanted_ || is_closing()) return;
  eof_wanted_ = true;
  sends_at_once_ = false;
  if (buffer_size() == 0) end_writing();
}

void StreamTransport::end_writing() noexcept { static_cast<void>(backend_->shutdown_write(fd_)); }

// A pipe's other end ------------------------------------------------------------------

void StreamTransport::watch_reader() noexcept {
  receive_.kind = Operation::Kind::poll_in;
  if (backend_->submit(receive_)) reader_gone();
}

void StreamTransport::reader_gone() noexcept {
  if (stage_ == Stage::ending) post_end();  // The note waited for this.
  if (stage_ > Stage::closing) return;
  if (receive_.result == -ENOMEM) return fail_call(ENOMEM, "poll");  // It would go unnoticed.
  if (receive_.result < 0) return;
  if (buffer_size() > 0) {
    fail_call(EPIPE, "write");
  } else {
    close();
  }
}

// Ending ----------------------------------------------------------------------------

void StreamTransport::leave_open() noexcept {
  sends_at_once_ = false;
  scheduler_->loop().set_transport_fd(fd_, false);  // FD-5.
  stopped();
}

void StreamTransport::close() noexcept {
  if (stage_ != Stage::open) return;
  if (has_tls() && tls_->is_handshaking()) return end(nullptr);
  stage_ = Stage::closing;
  leave_open();
  if (has_tls()) {
    tls_->close();
  } else if (buffer_size() == 0) {
    end(nullptr);
  } else if (receive_.is_pending() && medium_ != Medium::write_pipe) {
    static_cast<void>(backend_->cancel(receive_));  // Reading stops at once (TR-2).
  }
}

void StreamTransport::fail_call(int number, const char* call) noexcept {
  std::exception_ptr error;
  try {
    error = system_error_ptr(number, std::string(call) + " " + subject());
  } catch (...) {
    error = std::current_exception();
  }
  end(std::move(error));
}

void StreamTransport::end(std::exception_ptr error) noexcept {
  if (stage_ >= Stage::ending) return;
  const bool was_open = stage_ == Stage::open;
  stage_ = Stage::ending;
  lost_error_ = std::move(error);
  if (was_open) leave_open();
  if (file_ != nullptr) file_->wake();
  post_end();
}

void StreamTransport::post_end() noexcept {
  if (std::exchange(note_queued_, true)) return;
  add_reference();
  scheduler_->post(*this);
}

template <class Function>
void StreamTransport::for_each_pending(Function function) {
  if (receive_.is_pending()) function(receive_);
  if (is_sending()) function(outgoing_->operation);
}

void StreamTransport::finish() {
  if (stage_ == Stage::lost) return;
  // What the kernel still owns must come back first; its completion queues the
  // note again.
  bool in_flight = false;
  for_each_pending([&](Operation& operation) {
    if (!backend_->cancel(operation)) in_flight = true;
  });
  if (in_flight) return;
  struct Last {  // Whatever `ending` throws.
    StreamTransport& link;
    ~Last() { link.become_lost(); }
  } last{*this};
  if (has_tls()) tls_->report();
  ending();
}

/// The caller holds a reference, besides the loop's.
void StreamTransport::become_lost() noexcept {
  log_event(*scheduler_, [this] {
    const std::string text = "connection to " + subject() + " lost";
    return lost_error_ != nullptr ? text + ": " + v0::describe(lost_error_) : text;
  });
  if (reference_count() > 2) static_cast<void>(local());  // Somebody may ask later.
  const bool was_open = stage_ == Stage::open;
  stage_ = Stage::lost;
  if (was_open) leave_open();
  static_cast<void>(backend_->close_socket(fd_));
  backend_ = nullptr;
  fd_ = static_cast<native_socket>(-1);
  if (outgoing_ != nullptr) {
    outgoing_->sending.clear();
    outgoing_->out.clear();
  }
  paused_ = false;
  if (has_tls()) tls_->lost();
  lost();
  if (file_ != nullptr) file_->wake();
  if (ServerState* server = std::exchange(server_, nullptr)) {
    server->connection_lost(*this);
    server->release_reference();
  }
  if (is_linked()) {
    unlink();
    release_reference();  // The loop's.
  }
}

void StreamTransport::tear_down() noexcept {
  const auto self = StateRef<StreamTransport>::share(*this);
  if (stage_ == Stage::open) warn_unclosed("transport");
  if (has_tls()) tls_->drop_waiter();
  for_each_pending([this](Operation& operation) { backend_->reclaim(operation); });
  become_lost();
}

void StreamTransport::attach(ServerState& server) {
  server.connection_made(*this);  // May throw; it is nobody's then.
  server_ = &server;
  server.add_reference();
}

}  // namespace aster::inline v0::detail
