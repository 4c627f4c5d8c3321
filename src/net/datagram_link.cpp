// SPDX-License-Identifier: MIT
#include "net/datagram_link.hpp"

#include "base/debug_text.hpp"
#include "net/flow_limits.hpp"
#include "net/net_events.hpp"

#include <aster/base/error.hpp>
#include <aster/base/log.hpp>
#include <aster/task/exception_context.hpp>

#include <array>
#include <cerrno>
#include <utility>

namespace aster::inline v0::detail {
namespace {

constexpr std::size_t receive_size = std::size_t{256} * 1024;  // As asyncio's max_size.
constexpr std::size_t letter_overhead = 8;                     // TR-24.
constexpr unsigned quiet_sends_after_close = 5;                // K-11.
// In one turn, so that neither a flood nor a long queue starves the loop's other work.
constexpr int receives_per_turn = 16;
constexpr int sends_per_turn = 64;

}  // namespace

const RunnableOps DatagramLink::Note::ops{
    [](Runnable& node) {
      DatagramLink& link = static_cast<Note&>(node).owner;
      link.is_note_queued_ = false;
      struct Release {
        DatagramLink& link;
        ~Release() {
          if (link.has_work()) link.post_note();  // Left by a base error, or for the next turn.
          link.release_reference();
        }
      } release{link};
      link.run_note();
    },
    [](Runnable& node) noexcept {
      DatagramLink& link = static_cast<Note&>(node).owner;
      link.is_note_queued_ = false;
      link.release_reference();
    },
    [](const Runnable& node) { return static_cast<const Note&>(node).owner.str(); }};

DatagramLink::ReadyWatch::ReadyWatch(DatagramLink& link) noexcept
    : Watch([](Watch& self, unsigned events) noexcept {
        DatagramLink& told = static_cast<ReadyWatch&>(self).owner;
        told.ready_ |= events;
        told.post_note();
      }),
      owner(link) {}

DatagramLink::DatagramLink(EventLoop& loop, Socket socket, const Address& target, bool is_connected,
                           std::shared_ptr<DatagramProtocol> protocol,
                           const std::source_location& source)
    : service_(&loop.service<DatagramService>()),
      scheduler_(&loop.scheduler()),
      socket_(std::move(socket)),
      is_connected_(is_connected),
      local_(socket_.getsockname()),
      target_(target),
      protocol_(std::move(protocol)),
      begun_(loop.create_future<>()),
      limits_(flow_limits({}, {})),
      context_(scheduler_->current_context()),
      source_(source) {
  loop.set_transport_fd(socket_.fileno(), true);  // add_reader must keep off (FD-5).
  scheduler_->add_reference();
  service_->links_.push_back(*this);
}

DatagramLink::~DatagramLink() {
  ASTER_ASSERT(stage_ == Stage::lost);
  scheduler_->release_reference();
}

Future<> DatagramLink::begin() {
  post_note();
  return begun_;
}

// Facts -----------------------------------------------------------------------------------

std::optional<Address> DatagramLink::peername() const {
  return is_connected_ ? std::optional(target_) : std::nullopt;
}

SocketView DatagramLink::socket() const {
  return stage_ == Stage::lost ? SocketView() : SocketView(socket_.fileno(), socket_.backend());
}

std::string DatagramLink::str() const {
  if (stage_ == Stage::lost) return "<datagram transport closed>";
  return "<datagram transport fd=" + std::to_string(socket_.fileno()) +
         (stage_ != Stage::open ? " closing" : "") +
         " read=" + ((watched_ & Watch::readable) != 0 ? "polling" : "idle") + " write=<" +
         (letters_.empty() ? "idle" : "polling") + ", bufsize=" + std::to_string(buffered_) + ">>";
}

void DatagramLink::set_protocol(std::shared_ptr<BaseProtocol> protocol) {
  auto fitting = std::dynamic_pointer_cast<DatagramProtocol>(protocol);
  if (fitting == nullptr) {
    throw TypeError("set_protocol: a datagram transport serves a DatagramProtocol only");
  }
  if (stage_ != Stage::lost) protocol_ = std::move(fitting);
}

// Sending ---------------------------------------------------------------------------------

void DatagramLink::sendto(std::string_view data) {
  if (target_.size() == 0) {
    throw ValueError("sendto: the endpoint has no remote address, so each datagram needs one");
  }
  send(data, is_connected_ ? Address() : target_);
}

void DatagramLink::sendto(std::string_view data, const Address& address) {
  if (target_.size() == 0) {
    if (address.size() == 0) throw ValueError("sendto: the address is empty");
    return send(data, address);
  }
  if (address != target_) {
    throw ValueError("sendto: Invalid address: must be none or " + target_.str() + ", not " +
                     address.str());
  }
  send(data, is_connected_ ? Address() : target_);
}

void DatagramLink::send(std::string_view data, const Address& to) {
  if (stage_ != Stage::open) {
    if (++sends_after_close_ == quiet_sends_after_close) {
      log_warning("datagrams are sent to an endpoint that was closed or lost");
    }
    return;
  }
  if (letters_.empty()) {
    const std::int64_t result = send_now(data, to);
    if (result >= 0) return;
    if (result != -EAGAIN && result != -EWOULDBLOCK) return queue_error(result, "sendto", to);
  }
  letters_.push_back({std::string(data), to});
  buffered_ += data.size() + letter_overhead;
  check_marks();
  if (const int error = watch(Watch::readable | Watch::writable); error < 0) {
    end(system_error_ptr(-error, "sendto: the socket cannot be watched"));
  }
}

std::int64_t DatagramLink::send_now(std::string_view data, const Address& to) noexcept {
  return service_->loop_.backend().send_to_now(socket_.fileno(), data,
                                               to.size() != 0 ? to.data() : nullptr, to.size());
}

void DatagramLink::queue_error(std::int64_t result, const char* call, const Address& to) {
  std::string text = call;
  const Address& other = to.size() != 0 ? to : target_;
  if (other.size() != 0) text += ' ' + other.str();
  errors_.push_back(system_error_ptr(static_cast<int>(-result), text));
  post_note();
}

void DatagramLink::set_write_buffer_limits(std::optional<std::size_t> high,
                                           std::optional<std::size_t> low) {
  limits_ = flow_limits(high, low);
  check_marks();
}

void DatagramLink::check_marks() noexcept {
  if (buffered_ > limits_.high) is_over_mark_ = true;
  if (buffered_ <= limits_.low) is_over_mark_ = false;
  if (is_over_mark_ != is_told_to_pause_) post_note();
}

// Ending ----------------------------------------------------------------------------------

void DatagramLink::close() noexcept {
  if (stage_ != Stage::open) return;
  stage_ = Stage::closing;
  if (letters_.empty()) return end(nullptr);
  static_cast<void>(watch(Watch::writable));  // Less than before: cannot fail.
}

void DatagramLink::end(std::exception_ptr error) noexcept {
  if (stage_ >= Stage::ending) return;
  stage_ = Stage::ending;
  lost_error_ = std::move(error);
  if (!letters_.empty()) is_over_mark_ = is_told_to_pause_;  // Dropped: nobody is to go on.
  letters_.clear();
  buffered_ = 0;
  ready_ = 0;
  static_cast<void>(watch(0));
  post_note();
}

void DatagramLink::become_lost() noexcept {
  stage_ = Stage::lost;
  log_event(*scheduler_, [this] { return "datagram endpoint " + local_.str() + " closed"; });
  scheduler_->loop().set_transport_fd(socket_.fileno(), false);
  socket_.close();
  const std::shared_ptr<DatagramProtocol> last = std::move(protocol_);
  errors_.clear();
  unlink();
  release_reference();  // The loop's.
}

void DatagramLink::tear_down() noexcept {
  if (stage_ == Stage::open && scheduler_->is_debug()) {
    try {
      log_warning("unclosed datagram transport at " + local_.str() +
                  "\n  made at: " + full_place(source_));
    } catch (const std::bad_alloc&) {
      log_warning("unclosed datagram transport");
    }
  }
  stage_ = Stage::ending;
  letters_.clear();
  static_cast<void>(watch(0));
  become_lost();
}

// The note --------------------------------------------------------------------------------

void DatagramLink::post_note() noexcept {
  if (stage_ == Stage::lost || std::exchange(is_note_queued_, true)) return;
  add_reference();
  scheduler_->post(note_);
}

int DatagramLink::watch(unsigned events) noexcept {
  if (events == watched_) return 0;
  const int result = service_->loop_.backend().set_watch(socket_.fileno(), events, watch_);
  if (result >= 0) watched_ = events;
  return result;
}

bool DatagramLink::has_work() const noexcept {
  if (stage_ == Stage::lost) return false;
  return stage_ == Stage::ending || !is_made_ || !errors_.empty() || ready_ != 0 ||
         is_over_mark_ != is_told_to_pause_;
}

void DatagramLink::run_note() {
  const ContextEntry context(scheduler_->context_cell(), context_);
  if (!is_made_) make();
  tell_errors();
  if ((std::exchange(ready_, ready_ & ~Watch::writable) & Watch::writable) != 0) flush();
  if ((std::exchange(ready_, ready_ & ~Watch::readable) & Watch::readable) != 0) receive();
  tell_marks();
  if (stage_ == Stage::ending) finish();
}

/// Calls the protocol back. What it throws is told and does not end the endpoint; base
/// errors leave the loop.
template <class Call>
void DatagramLink::call_protocol(const char* name, Call&& call) {
  const std::shared_ptr<DatagramProtocol> called = protocol_;  // It may be replaced meanwhile.
  try {
    call(*called);
  } catch (const BaseError&) {
    throw;
  } catch (...) {
    service_->loop_.call_exception_handler({"protocol." + std::string(name) + "() failed",
                                            std::current_exception(),
                                            {},
                                            str(),
                                            source_});
  }
}

void DatagramLink::make() {
  is_made_ = true;
  struct Begun {
    Future<>& future;
    ~Begun() {
      if (!future.done()) future.set_result();
    }
  } begun{begun_};
  call_protocol("connection_made", [this](DatagramProtocol& to) { to.connection_made(*this); });
  if (stage_ != Stage::open) return;
  const unsigned writable = letters_.empty() ? 0 : Watch::writable;
  if (const int error = watch(Watch::readable | writable); error < 0) {
    end(system_error_ptr(-error, "the socket cannot be watched"));
    if (!begun_.done()) begun_.set_exception(lost_error_);
  }
}

void DatagramLink::tell_errors() {
  // Those of now: what the callback brings about comes in the next turn.
  for (std::size_t left = errors_.size(); left > 0 && !errors_.empty(); --left) {
    const std::exception_ptr error = std::move(errors_.front());
    errors_.erase(errors_.begin());
    call_protocol("error_received", [&](DatagramProtocol& to) { to.error_received(error); });
  }
}

void DatagramLink::flush() {
  for (int left = sends_per_turn; left > 0 && !letters_.empty(); --left) {
    const Letter& first = letters_.front();
    const std::int64_t result = send_now(first.bytes, first.to);
    if (result == -EAGAIN || result == -EWOULDBLOCK) break;
    const Letter sent = std::move(letters_.front());
    letters_.pop_front();
    buffered_ -= sent.bytes.size() + letter_overhead;
    if (result < 0) queue_error(result, "sendto", sent.to);
  }
  check_marks();
  if (!letters_.empty()) return;
  if (stage_ == Stage::closing) return end(nullptr);
  if (stage_ == Stage::open) static_cast<void>(watch(Watch::readable));
}

void DatagramLink::receive() {
  alignas(8) std::array<char, 128> peer;  // Written by the system.
  for (int left = receives_per_turn; left > 0 && stage_ == Stage::open; --left) {
    const std::span<char> buffer = service_->buffer();
    auto peer_size = static_cast<std::uint32_t>(peer.size());
    const std::int64_t result =
        service_->loop_.backend().recv_from_now(socket_.fileno(), buffer, peer.data(), peer_size);
    if (result == -EAGAIN || result == -EWOULDBLOCK) return;
    if (result < 0) return queue_error(result, "recvfrom", Address());
    const Address from = peer_size == 0 ? Address() : Address::from_native(peer.data(), peer_size);
    const std::string_view data(buffer.data(), static_cast<std::size_t>(result));
    call_protocol("datagram_received",
                  [&](DatagramProtocol& to) { to.datagram_received(data, from); });
  }
}

void DatagramLink::tell_marks() {
  if (is_over_mark_ == is_told_to_pause_) return;
  is_told_to_pause_ = is_over_mark_;
  if (is_told_to_pause_) {
    call_protocol("pause_writing", [](DatagramProtocol& to) { to.pause_writing(); });
  } else {
    call_protocol("resume_writing", [](DatagramProtocol& to) { to.resume_writing(); });
  }
}

void DatagramLink::finish() {
  if (!errors_.empty()) return;  // They come first, in the next turn.
  struct Lost {
    DatagramLink& link;
    ~Lost() { link.become_lost(); }
  } lost{*this};
  call_protocol("connection_lost",
                [this](DatagramProtocol& to) { to.connection_lost(lost_error_); });
}

// The service -----------------------------------------------------------------------------

std::span<char> DatagramService::buffer() {
  if (buffer_ == nullptr) buffer_ = std::make_unique_for_overwrite<char[]>(receive_size);
  return {buffer_.get(), receive_size};
}

void DatagramService::close() noexcept {
  while (!links_.empty()) links_.front().tear_down();
}

}  // namespace aster::inline v0::detail
