// SPDX-License-Identifier: MIT
#pragma once

#include "net/tls_engine.hpp"
#include "net/tls_tunnel.hpp"

#include <aster/base/buffer.hpp>
#include <aster/task/future.hpp>
#include <aster/task/timer_queue.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace aster::inline v0::detail {

class StreamTransport;

/// What a StreamTransport with TLS has more: handshake, records, goodbye. Of a link, and
/// as thread-bound.
///
/// Its life: handshake, in which it receives by itself; open, when the link receives and
/// has it decrypt; closing, when it receives by itself again until the peer has said
/// goodbye too. Each of the outer two has a deadline.
///
/// What is written waits as it was written while the system takes no more records, so
/// marks and sizes mean the user's bytes; at most one record is sealed ahead.
class TlsLayer final : TlsEngine::Output {
 public:
  /// K-3: the high-water mark of links with TLS.
  static constexpr std::size_t high_water = std::size_t{512} * 1024;

  /// `tunnel` is what it goes through; null: straight to the system.
  TlsLayer(StreamTransport& link, const TlsSetup& setup, std::unique_ptr<TlsTunnel> tunnel);
  TlsLayer(const TlsLayer&) = delete;
  TlsLayer& operator=(const TlsLayer&) = delete;
  ~TlsLayer();

  /// Begins the handshake, with `ahead` as the first bytes received. `done` (which may be
  /// null; then the link's server is told) gets its outcome; a failure is the link's end.
  void begin(std::string ahead, Future<> done);
  [[nodiscard]] bool is_handshaking() const noexcept { return phase_ == Phase::handshake; }
  /// `receive_` is the layer's, which is to be told when it is over.
  [[nodiscard]] bool owns_reading() const noexcept { return phase_ != Phase::open; }
  void received() noexcept;

  /// Adds to what is to be sent, and sends what goes; the caller then submits what does
  /// not. Throws `std::bad_alloc`.
  void write(std::span<const std::string_view> pieces);
  /// All records are sent: seals more; true when they are to be sent.
  [[nodiscard]] bool seal_more() noexcept;
  /// How many of the user's bytes are not with the system.
  [[nodiscard]] std::size_t backlog() const noexcept { return plain_.size() + in_flight_; }

  /// Decrypts received bytes, at most `chunk_max`: into `target` unless that is empty,
  /// else (and what does not fit when called again, with nothing received) into memory
  /// that the loop's connections share. "" when that was all.
  [[nodiscard]] std::string_view open(std::string_view received, std::span<char> target = {});
  /// The same for what `take_ahead` has given.
  [[nodiscard]] std::string_view open_ahead(std::string_view ahead, std::span<char> target = {});
  static constexpr std::size_t chunk_max = 65536;
  /// After the last `open`: sends what the protocol answers; ends a link that has failed.
  void opened() noexcept;
  [[nodiscard]] bool has_ended() const noexcept { return engine_->has_ended(); }
  /// The peer is gone without a goodbye.
  void truncated() noexcept;

  /// Bytes that came with the end of the handshake: the next `chunk_max` of them.
  [[nodiscard]] std::string take_ahead();
  [[nodiscard]] bool has_ahead() const noexcept { return !ahead_.empty(); }
  /// Whether there is something to do before more is received.
  [[nodiscard]] bool has_more() const noexcept { return has_ahead() || has_ended(); }

  /// For TLS inside of this: seals all that is written, and gives everything away. Nothing
  /// but the destructor may follow.
  [[nodiscard]] std::unique_ptr<TlsTunnel> into_tunnel();

  /// The link closes: says goodbye behind what was written, and waits for the peer's.
  void close() noexcept;
  /// In the note that `close` has queued: reads what has come, and what comes.
  void drain() noexcept;
  /// Before `close`: what was received and not yet given to `open`.
  void keep_unread(std::string received) noexcept { unread_ = std::move(received); }
  /// Whether nothing is to be sent any more but the goodbye.
  [[nodiscard]] bool said_goodbye() const noexcept { return said_goodbye_; }
  /// All that was written is with the system, while closing.
  void flushed() noexcept;
  /// It is over.
  void lost() noexcept;
  /// The loop closes: nobody waits any more.
  void drop_waiter() noexcept { done_ = {}; }
  /// In the link's last note: tells of a server's failed handshake.
  void report();

  [[nodiscard]] SSLObject object() const { return engine_->object(); }

 private:
  enum class Phase : std::uint8_t { handshake, open, closing, over };
  struct Deadline final : Timer {
    explicit Deadline(TlsLayer& layer) noexcept : Timer(&ops), owner(layer) {}
    static const RunnableOps ops;
    TlsLayer& owner;
  };

  bool send_sealed(std::string_view record) noexcept override;
  [[nodiscard]] TimePoint tls_now() const noexcept override;
  bool seal(std::string_view data) noexcept;
  void give(std::string_view received) noexcept;
  [[nodiscard]] const std::exception_ptr& error() const noexcept;
  [[nodiscard]] bool is_cut_off() const noexcept;
  [[nodiscard]] bool has_heard_goodbye() const noexcept;
  void listen() noexcept;
  void took(std::int64_t result) noexcept;
  void shake(std::string_view received) noexcept;
  void shake_on() noexcept;
  void established() noexcept;
  void discard(std::string_view received) noexcept;
  void peer_gone() noexcept;
  void set_deadline(Duration time);
  void expired() noexcept;

  StreamTransport& link_;
  std::unique_ptr<TlsTunnel> tunnel_;
  std::shared_ptr<TlsEngine> engine_;
  std::span<char> room_;  // The loop's, for decrypted bytes.
  Phase phase_ = Phase::handshake;
  bool is_listening_ = false;  // `listen` runs.
  bool said_goodbye_ = false;
  bool peer_done_ = false;     // Nothing more will come from it, while closing.
  int send_error_ = 0;         // Of a record that could not be sent.
  std::size_t in_flight_ = 0;  // Of the user's bytes, in records that are not sent.
  Buffer plain_;               // Written, not sealed.
  std::string ahead_;          // Received before its time.
  std::string unread_;         // Received behind that, when closing began.
  Duration handshake_timeout_;
  Duration shutdown_timeout_;
  Deadline deadline_;
  Future<> done_;
};

}  // namespace aster::inline v0::detail
