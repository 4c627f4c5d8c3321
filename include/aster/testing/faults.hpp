// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/sys_call.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>

namespace aster::inline v0::testing {

using detail::SysCall;

/// "For ever", where a number of times is asked for.
inline constexpr std::uint64_t always = std::numeric_limits<std::uint64_t>::max();

/// Which calls fail, and how.
struct FailOptions {
  std::uint64_t nth = 1;    ///< The first call to fail, counted from now; 1 is the next.
  std::uint64_t times = 1;  ///< How many in a row; `always` for all from there on.
  int error = EIO;          ///< The error number (for the name look-ups, an EAI_* number).
  int fd = -1;              ///< Count calls on this descriptor only; -1: on any.
};

/// Which calls transfer less than was asked for.
struct ShortenOptions {
  std::size_t max = 1;           ///< The most bytes a call moves.
  std::uint64_t nth = 1;         ///< The first call to cut, counted from now; 1 is the next.
  std::uint64_t times = always;  ///< How many in a row.
  int fd = -1;                   ///< Count calls on this descriptor only; -1: on any.
};

/// Scripts what the operating system answers to the library, for tests of what
/// happens when it says no.
///
///     testing::Faults faults;
///     faults.fail(testing::SysCall::accept, {.times = 100, .error = ECONNABORTED});
///     faults.shorten(testing::SysCall::send, {.max = 1});
///
/// A failed call is not made at all (`close` excepted: it closes, and then says
/// it failed). When several scripts concern one call, a failure wins over a cut,
/// and the shortest cut over longer ones. Only the library's own calls are
/// scripted.
///
/// Needs a library built with `ASTER_FAULT_INJECTION`: RuntimeError otherwise.
/// The scripts hold for the whole process, from any thread, until the object
/// ends. Several objects may live at a time.
class ASTER_API Faults {
 public:
  /// False when this library was built without fault injection.
  [[nodiscard]] static bool is_available() noexcept;

  /// No scripts yet.
  Faults();
  ~Faults();
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;

  /// Makes calls fail.
  void fail(SysCall call, FailOptions options = {});

  /// Makes calls transfer less: `recv`, `recvfrom`, `recvmsg`, `send`, `sendmsg`,
  /// `sendto`, `read`, `write`, `getrandom`.
  void shorten(SysCall call, ShortenOptions options = {});

  /// How often the library has asked for `call` since this object was made.
  [[nodiscard]] std::uint64_t calls(SysCall call) const;

  /// How many calls this object's scripts have failed or shortened.
  [[nodiscard]] std::uint64_t injected_count() const;

  /// Ends this object's scripts and starts its counts anew.
  void clear();

  /// The scripts and counts; private to the implementation.
  class State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace aster::inline v0::testing
