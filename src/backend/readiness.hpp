// SPDX-License-Identifier: MIT
#pragma once

#include "backend/attempts.hpp"
#include "backend/wake_event.hpp"

#include <aster/base/forks.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

namespace aster::inline v0::detail {

/// Turns readiness ("a recv would not block now") into completion ("these bytes
/// have arrived"): all of a back end but the attempts and the waiting itself. A facility derives
/// from it and says how to wait, see "What a facility supplies".
///
/// readiness.cpp begins with how it works.
class Readiness : public Attempts {
 public:
  ~Readiness() override;

  void poll(Duration timeout) noexcept override;
  void deliver_in_turn(ReadyQueue& ready, ReadyQueue& batch,
                       const bool& is_timed) noexcept override {
    delivery_.ready = &ready;
    delivery_.batch = &batch;
    delivery_.is_timed = &is_timed;
    lend_lastingly();
  }
  [[nodiscard]] bool is_watching() const noexcept override {
    return pending_count_ + watch_count_ != 0;
  }
  [[nodiscard]] bool is_poll_due() const noexcept override { return !deferred_.empty(); }
  [[nodiscard]] std::shared_ptr<Waker> waker() const noexcept override { return wake_event_; }

  bool submit(Operation& operation) noexcept override;
  bool cancel(Operation& operation) noexcept override;
  void reclaim(Operation& operation) noexcept override;
  int set_watch(native_socket fd, unsigned events, Watch& watch) noexcept override;

  int set_no_delay(native_socket fd) noexcept override;
  void forget(native_socket fd) noexcept override;
  int close_socket(native_socket fd) noexcept override;
  using Attempts::send_now;
  std::int64_t send_now(native_socket fd, const char* data, std::size_t size) noexcept override;

  void abandon_after_fork() noexcept override;

 protected:
  /// All about a descriptor. Two fit in a cache line.
  struct Entry : Known {
    std::uint8_t watch_mask = 0;
    std::uint8_t armed = 0;        // The facility's own: what it waits for; 0 for nothing.
    std::uint32_t generation = 0;  // Raised whenever the number may mean another file.
    Operation* reader = nullptr;   // The pending accept, recv or poll_in.
    Operation* writer = nullptr;   // The pending connect, send or poll_out.
    Watch* watch = nullptr;        // Null exactly when watch_mask is 0.

    // In `flags`:
    static constexpr std::uint16_t is_read_deferred = first_other;  // The next poll tries reader.
    static constexpr std::uint16_t is_write_deferred = first_other << 1;

    /// The facility knows all it must, whatever operations come and go.
    [[nodiscard]] bool is_settled(std::uint8_t settled) const noexcept {
      return armed == settled && watch == nullptr;
    }
  };

  /// What a facility found a descriptor to be; a mask. The values are epoll's own.
  enum Found : unsigned {
    found_readable = 0x1,
    found_urgent = 0x2,  // Out-of-band data.
    found_writable = 0x4,
    found_failed = 0x8 | 0x10,  // Error or hang-up: nothing blocks any more.
    found_end = 0x2000,         // The peer has ended its writing half.
    found_closed = 0x10000,     // No such descriptor; alone.
  };

  /// No value of `Entry::armed`.
  static constexpr std::uint8_t never_settled = 0xff;

  /// `edge_triggered`: the facility tells of changes once, with or without an
  /// operation waiting. `settled`: the value of `Entry::armed` with which operations
  /// come and go without `update`. `fd_limit`: descriptors from there on are refused.
  explicit Readiness(bool edge_triggered, std::uint8_t settled = never_settled,
                     int fd_limit = std::numeric_limits<int>::max());

  // What a facility supplies ---------------------------------------------------

  /// Waits, once; calls `note` for each descriptor found ready, and
  /// `wake_event().seen()` or `drain()` when it was woken.
  virtual void wait(Duration timeout) noexcept = 0;

  /// Makes what is waited for on `fd` match `interest(entry)` and the watch.
  /// When that is nothing, a facility may stay registered for operations to
  /// come. 0 or minus errno; cannot fail when it has less to wait for.
  virtual int update(int fd, Entry& entry) noexcept = 0;

  /// Ends all waiting on `fd`; only called when `entry.armed` is not 0.
  virtual void remove(int fd, Entry& entry) noexcept = 0;

  /// In a forked child: lets go of what is shared with the parent. Neither
  /// `update`, `remove` nor `wait` is called afterwards.
  virtual void abandon() noexcept = 0;

  // What a facility uses ---------------------------------------------------------

  /// The directions (Watch's mask) wanted by operations and the watch together.
  [[nodiscard]] static unsigned interest(const Entry& entry) noexcept {
    return (entry.reader != nullptr ? Watch::readable : 0U) |
           (entry.writer != nullptr ? Watch::writable : 0U) | entry.watch_mask;
  }

  /// Notes what was found, a mask of Found. Nothing comes of it when the entry has
  /// another generation by the time it is delivered.
  void note(int fd, std::uint32_t generation, unsigned found) noexcept {
    notes_[note_count_++] = {fd, generation, found};
  }
  /// Makes room for what one `wait` may note, from now on. `std::bad_alloc`.
  void reserve_notes(std::size_t count) {
    if (count > notes_.size()) notes_.resize(std::max(count, 2 * notes_.size()));
  }

  /// The generation of a descriptor that is armed.
  [[nodiscard]] std::uint32_t generation(int fd) const noexcept { return find(fd)->generation; }

  [[nodiscard]] WakeEvent& wake_event() const noexcept { return *wake_event_; }

 private:
  static constexpr unsigned page_bits = 7;
  using Page = std::array<Entry, 1U << page_bits>;

  struct Note {
    int fd;
    std::uint32_t generation;
    unsigned found;
  };

  // An operation to be tried by the next poll. Void once the entry's flag or
  // generation says so.
  struct Deferred {
    int fd;
    std::uint32_t generation;
    bool is_read;
  };

  // The node that delivers what the last poll found, one event at a time; see
  // "Turns" in readiness.cpp.
  struct Delivery final : Runnable {
    explicit Delivery(Readiness& readiness) noexcept : Runnable(&ops), owner(readiness) {}
    static const RunnableOps ops;
    Readiness& owner;
    ReadyQueue* ready = nullptr;  // Null: `poll` delivers all.
    ReadyQueue* batch = nullptr;
    const bool* is_timed = nullptr;
  };

  [[nodiscard]] Entry* find(int fd) const noexcept;
  int make(int fd, Entry*& entry) noexcept;
  bool defer(Entry& entry, const Operation& operation) noexcept;
  void run_deferred(const Deferred& item) noexcept;
  /// The descriptor is closed: its operations end with -EBADF, its watch is
  /// told, once, and dropped.
  void deliver_closed(int fd, Entry& entry) noexcept;
  [[nodiscard]] bool has_undelivered() const noexcept { return next_ != found_count_; }
  void deliver_next() noexcept;
  void deliver_in_turn();
  void proceed(Entry& entry, Operation& operation) noexcept;
  void detach(Entry& entry, Operation& operation) noexcept;
  void complete(Entry& entry, Operation& operation) noexcept;
  void serve(Entry& entry, Operation& operation) noexcept;
  void deliver(const Note& note) noexcept;
  std::int64_t note_short_send(int fd, std::int64_t sent, std::size_t size) noexcept;
  void deliver_slowly(const Note& note, Entry& entry) noexcept;
  bool submit_slowly(Entry* entry, Operation& operation) noexcept;
  /// Brings the facility up to date.
  int refresh(int fd, Entry& entry) noexcept {
    if (entry.is_settled(settled_)) [[likely]]
      return 0;
    return is_abandoned() ? 0 : update(fd, entry);
  }
  /// Whether what the system keeps is the parent's: known from the fork on, as a child may
  /// close its sockets before it closes the loop, or never close that.
  [[nodiscard]] bool is_abandoned() const noexcept {
    return forks_ != fork_count.load(std::memory_order_relaxed);
  }

  const std::uint8_t settled_;
  const int fd_limit_;
  static constexpr std::uint32_t no_forks = 0;  // No value of the count.
  std::uint32_t forks_ = fork_count.load(std::memory_order_relaxed);
  unsigned attempts_left_;         // Inline completions until submit defers.
  std::size_t pending_count_ = 0;  // Operations in entries.
  std::size_t watch_count_ = 0;    // Watches in entries.
  // Indexed by descriptor. In pages, so that entries stay where they are while a
  // completion brings in new descriptors.
  std::vector<std::unique_ptr<Page>> pages_;
  std::size_t page_count_ = 0;
  std::vector<Deferred> deferred_;
  std::vector<Deferred> running_;  // The last poll's deferred_, while it is worked off.
  // What the last poll found: `note_count_` of `notes_`, then `running_`. All before
  // `next_` have been delivered.
  std::vector<Note> notes_;
  std::size_t next_ = 0;
  std::size_t note_count_ = 0;
  std::size_t found_count_ = 0;
  Delivery delivery_{*this};
  const std::shared_ptr<WakeEvent> wake_event_;
};

}  // namespace aster::inline v0::detail
