// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/time.hpp>
#include <aster/coro/driver.hpp>
#include <aster/coro/promise.hpp>
#include <aster/io/address.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/loop/operation.hpp>
#include <aster/task/scheduler.hpp>

#include <coroutine>
#include <cstddef>
#include <deque>
#include <exception>
#include <span>
#include <string>
#include <vector>

namespace aster::inline v0::detail {

/// Brings addresses of several families into the order in which they are to be tried:
/// the first `first_count` of the first family, then one of each family in turn
/// (CON-5). The order within a family stays.
[[nodiscard]] std::vector<Address> interleaved(std::vector<Address> addresses,
                                               std::size_t first_count);

/// Connects to one of several addresses: an attempt is begun when the one before has
/// failed, or after `delay` when that has not ended ("happy eyeballs", RFC 8305; with an
/// infinite delay one after the other). The first that succeeds wins; the others' sockets
/// are closed in that moment.
///
/// Awaiting it gives the connected socket, or -1 when all have failed: see `errors`.
/// Cancelling it, and destroying it, closes all sockets there and then. No task is made,
/// and nothing is allocated once it has begun but by the back end.
class ConnectRace final : Waiter, Timer {
 public:
  using aster_awaiter = void;

  /// `locals`: the addresses to connect from; empty: the system's choice. Else only
  /// targets with a local address of their family are tried. `proto`: of the sockets.
  ConnectRace(EventLoop& loop, std::span<const Address> targets, std::span<const Address> locals,
              Duration delay, int proto = 0);
  ~ConnectRace();

  [[nodiscard]] bool await_ready() noexcept;
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    driver_ = &driver_of(handle);
    driver_->suspend(*this);
  }
  [[nodiscard]] native_socket await_resume();

  /// Of all attempts, in the order of the addresses: "connect 127.0.0.1:80: Connection
  /// refused".
  [[nodiscard]] std::vector<std::exception_ptr> errors() const;

 private:
  static constexpr native_socket none = static_cast<native_socket>(-1);

  struct Attempt final : Operation {
    Attempt(ConnectRace& owner, const Address& where) noexcept;

    ConnectRace& race;
    Address target;
    Address local;               // That could not be bound.
    int error = 0;               // How it failed; 0: it has not.
    const char* step = nullptr;  // What failed.
  };

  static const RunnableOps timer_ops;
  bool cancel(Driver& driver, std::string& message) noexcept override;

  bool begin(Attempt& attempt) noexcept;
  void begin_more() noexcept;
  void ended(Attempt& attempt) noexcept;
  void failed(Attempt& attempt, const char* step, std::int64_t result) noexcept;
  void won(Attempt& attempt) noexcept;
  void arm() noexcept;
  void disarm() noexcept;
  void close(Attempt& attempt) noexcept;
  void close_all() noexcept;
  [[nodiscard]] bool is_over() const noexcept;

  EventLoop& loop_;
  IoBackend& backend_;
  std::vector<Address> locals_;
  Duration delay_;
  int proto_;
  std::deque<Attempt> attempts_;
  std::size_t next_ = 0;         // The first attempt that has not begun.
  std::size_t running_ = 0;      // Attempts under way.
  native_socket winner_ = none;  // Ours until `await_resume`.
  bool timer_queued_ = false;    // The timer is scheduled or in the ready queue.
  Driver* driver_ = nullptr;     // Null until it suspends.
};

}  // namespace aster::inline v0::detail
