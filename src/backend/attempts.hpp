// SPDX-License-Identifier: MIT
#pragma once

#include "backend/system_io.hpp"
#include "base/sys.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace aster::inline v0::detail {

/// Tries operations, and notes what that tells about their descriptors: all of a back end
/// that learns of readiness, but for the learning.
///
/// attempts.cpp begins with what is remembered.
class Attempts : public SystemIo {
 protected:
  /// What is remembered of a descriptor.
  struct Known {
    std::uint16_t flags = maybe_readable | maybe_writable;

    static constexpr std::uint16_t maybe_readable = 1;  // Else only tried after an event.
    static constexpr std::uint16_t maybe_writable = 2;
    static constexpr std::uint16_t short_read_proves_nothing = 4;  // "Short reads" in attempts.cpp.
    static constexpr std::uint16_t is_kind_known = 8;              // The next two say the truth.
    static constexpr std::uint16_t is_tcp = 16;
    static constexpr std::uint16_t is_unix_stream = 32;
    static constexpr std::uint16_t is_connecting = 64;  // A connect is under way.
    static constexpr std::uint16_t first_other = 128;   // From here on the derived class's.

    [[nodiscard]] bool has(std::uint16_t flag) const noexcept { return (flags & flag) != 0; }
    void set(std::uint16_t flag) noexcept { flags = static_cast<std::uint16_t>(flags | flag); }
    void clear(std::uint16_t flag) noexcept { flags = static_cast<std::uint16_t>(flags & ~flag); }
  };

  /// `edge_triggered`: readiness is told of once, when it comes.
  explicit Attempts(bool edge_triggered) : edge_triggered_(edge_triggered) {}

  /// Tries an operation; true: it is over.
  bool attempt(Known& known, Operation& operation) noexcept;
  /// The same for a recv, the most frequent one.
  bool attempt_recv(Known& known, Operation& operation) noexcept;
  /// Notes what the result of a send of `size` bytes tells.
  static void note_sent(Known& known, std::int64_t result, std::size_t size) noexcept;
  /// Notes that it is TCP, or a stream like it (multipath TCP): it need not be asked.
  static void note_tcp(Known& known) noexcept { known.set(Known::is_kind_known | Known::is_tcp); }

  [[nodiscard]] bool is_edge_triggered() const noexcept { return edge_triggered_; }
  /// Lent bytes are good until what they wake has had its step (`Operation::lent_lasts`).
  void lend_lastingly() noexcept { lent_lasts_ = true; }

 private:
  // The lent buffer: stays in the second-level cache, and a larger one made no echo
  // faster.
  static constexpr std::size_t lent_size = std::size_t{64} * 1024;

  static bool attempt_accept(Known& known, Operation& operation) noexcept;
  static bool attempt_connect(Known& known, Operation& operation) noexcept;
  static bool finish_connect(Known& known, Operation& operation) noexcept;
  /// `attempt_recv` by a call that tells whether it stopped at passed descriptors.
  bool attempt_recv_telling(Known& known, Operation& operation) noexcept;
  bool attempt_read(Known& known, Operation& operation) noexcept;
  static bool attempt_send(Known& known, Operation& operation) noexcept;
  static bool attempt_write(Known& known, Operation& operation) noexcept;
  static bool take_sent(Known& known, Operation& operation, std::int64_t result) noexcept;
  static bool attempt_poll(Known& known, Operation& operation) noexcept;
  bool attempt_recv_from(Known& known, Operation& operation) noexcept;
  bool attempt_send_to(Known& known, Operation& operation) noexcept;

  [[nodiscard]] std::span<char> target_of(Operation& operation) const noexcept;
  bool note_received(Known& known, Operation& operation, std::span<char> target,
                     std::int64_t result, bool has_stopped) const noexcept;
  [[nodiscard]] bool is_drained_by_short_read(int fd, Known& known) const noexcept;
  [[nodiscard]] bool may_be_drained(int fd, Known& known) const noexcept;

  static bool would_block(std::int64_t result) noexcept {
    return result == -EAGAIN || result == -EWOULDBLOCK;
  }

  const bool edge_triggered_;
  bool lent_lasts_ = false;
  // One for all descriptors, so it stays in cache.
  const std::unique_ptr<char[]> lent_ = std::make_unique_for_overwrite<char[]>(lent_size);
};

// Implementation ------------------------------------------------------------------------

[[gnu::always_inline]] inline bool Attempts::is_drained_by_short_read(int fd,
                                                                      Known& known) const noexcept {
  const bool is_known_to_be =
      (known.flags & (Known::short_read_proves_nothing | Known::is_tcp)) == Known::is_tcp;
  return (is_known_to_be || may_be_drained(fd, known)) && !sys::was_cut();
}

// Where the bytes of a receive go.
[[gnu::always_inline]] inline std::span<char> Attempts::target_of(
    Operation& operation) const noexcept {
  if (operation.data != nullptr) return {operation.data, operation.size};
  operation.lent_lasts = lent_lasts_;
  return {lent_.get(), std::min(operation.size, lent_size)};
}

// Notes the outcome of a receive, and what it tells about the descriptor.
[[gnu::always_inline]] inline bool Attempts::note_received(Known& known, Operation& operation,
                                                           std::span<char> target,
                                                           std::int64_t result,
                                                           bool has_stopped) const noexcept {
  operation.result = result;
  if (result > 0) [[likely]] {
    const auto length = static_cast<std::size_t>(result);
    operation.lent = {target.data(), length};
    if (length < target.size() && !has_stopped && is_drained_by_short_read(operation.fd, known)) {
      known.clear(Known::maybe_readable);
    } else {
      known.set(Known::maybe_readable);
    }
    return true;
  }
  if (would_block(result)) {
    known.clear(Known::maybe_readable | Known::short_read_proves_nothing);
    return false;
  }
  operation.lent = {};
  return true;
}

[[gnu::always_inline]] inline bool Attempts::attempt_recv(Known& known,
                                                          Operation& operation) noexcept {
  if (known.has(Known::is_unix_stream)) [[unlikely]]
    return attempt_recv_telling(known, operation);
  const std::span<char> target = target_of(operation);
  const std::int64_t result =
      sys::uninterrupted([&] { return sys::recv(operation.fd, target.data(), target.size()); });
  return note_received(known, operation, target, result, false);
}

}  // namespace aster::inline v0::detail
