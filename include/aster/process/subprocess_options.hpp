// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/loop/operation.hpp>
#include <aster/net/stream_reader.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace aster::inline v0 {

/// What a child's standard stream may be, besides a descriptor; the counterparts of
/// asyncio.subprocess.PIPE and its kin.
enum class StandardStream : int {
  PIPE = -1,     ///< A pipe whose other end is ours.
  STDOUT = -2,   ///< For standard error only: where standard output goes.
  DEVNULL = -3,  ///< /dev/null.
};
/// As in asyncio, without the enumeration's name.
inline constexpr StandardStream PIPE = StandardStream::PIPE;
/// As in asyncio, without the enumeration's name.
inline constexpr StandardStream STDOUT = StandardStream::STDOUT;
/// As in asyncio, without the enumeration's name.
inline constexpr StandardStream DEVNULL = StandardStream::DEVNULL;

/// Where one of a child's standard streams goes: `PIPE`, `DEVNULL`, `STDOUT`, a
/// descriptor of ours (which stays ours), or with `std::nullopt` what the parent has.
///
///     SubprocessOptions options{.stdout_ = PIPE, .stderr_ = STDOUT};
///     options.stdin_ = file_descriptor;
class Redirection {
 public:
  /// What the call has as its default.
  constexpr Redirection() noexcept = default;
  // NOLINTBEGIN(google-explicit-constructor): options are written without a type.
  /// The parent's own.
  constexpr Redirection(std::nullopt_t) noexcept : value_(inherited) {}
  constexpr Redirection(StandardStream kind) noexcept : value_(static_cast<int>(kind)) {}
  /// This descriptor. Below 0 it is asyncio's number of one of the constants; any other
  /// is a ValueError of the call.
  constexpr Redirection(native_file fd) noexcept : value_(fd) {}
  /// The descriptor of a socket or the like.
  template <has_fileno T>
  Redirection(const T& object) : value_(object.fileno()) {}
  // NOLINTEND(google-explicit-constructor)

  /// A descriptor, or minus 1 to 3 for the constants, or one of the two below.
  [[nodiscard]] constexpr int value() const noexcept { return value_; }
  /// The value of `std::nullopt`.
  static constexpr int inherited = -4;
  /// The value when nothing is given.
  static constexpr int unset = -5;

 private:
  int value_ = unset;
};

/// A limit on what a child may use, as of setrlimit(2).
///
///     std::array limits{ResourceLimit{RLIMIT_NOFILE, 64, 64}};
struct ResourceLimit {
  /// RLIMIT_NOFILE and its kin, of <sys/resource.h>.
  int resource;
  /// What holds, and up to where the child may raise it.
  std::uint64_t soft;
  std::uint64_t hard;
};

/// Options of `create_subprocess_exec` and its kin. What views and spans name is copied
/// before the call returns. Name arrays before the call: g++ 12 destroys temporaries in
/// braces twice.
///
///     std::pair<std::string_view, std::string_view> env[]{{"PATH", "/bin"}};
///     Process p = co_await create_subprocess_exec({.stdout_ = PIPE, .env = env}, "env");
struct SubprocessOptions {
  /// The child's standard streams. Not given: what the parent has; for
  /// `EventLoop::subprocess_exec` and `subprocess_shell`, pipes.
  Redirection stdin_ = {};
  Redirection stdout_ = {};
  Redirection stderr_ = {};
  /// What is run instead of the program that is named; that stays the child's argv[0].
  std::string_view executable = {};
  /// The folder in which the child starts; empty: the parent's.
  std::string_view cwd = {};
  /// The child's whole environment; not given: the parent's. Where it has a PATH the
  /// program is looked for there.
  std::optional<std::span<const std::pair<std::string_view, std::string_view>>> env = {};
  /// These descriptors stay open in the child under the same numbers.
  std::span<const int> pass_fds = {};
  /// False: all descriptors that are not close-on-exec stay open in the child.
  bool close_fds = true;
  /// SIGPIPE and SIGXFSZ have their default action in the child, even when the parent
  /// ignores them.
  bool restore_signals = true;
  /// The child leads a new session, and with it a new process group: setsid(2).
  bool start_new_session = false;
  /// The child's process group; 0: one of its own.
  std::optional<int> process_group = {};
  /// Who the child is, by number. Groups are set before the user.
  std::optional<unsigned> user = {};
  std::optional<unsigned> group = {};
  /// Its supplementary groups; an empty list: none.
  std::optional<std::span<const unsigned>> extra_groups = {};
  /// The child's file mode creation mask.
  std::optional<unsigned> umask = {};
  /// Limits that hold for the child alone; set before it becomes `user`.
  std::span<const ResourceLimit> limits = {};
  /// Streams: the readers' limit, in bytes; see StreamReader.
  std::size_t limit = StreamReader::default_limit;
  std::source_location source = std::source_location::current();
};
static_assert(std::is_trivially_destructible_v<SubprocessOptions>);

namespace detail {

/// An argv of its parts.
template <std::convertible_to<std::string_view>... Arguments>
[[nodiscard]] std::vector<std::string> argument_list(std::string_view program,
                                                     const Arguments&... arguments) {
  std::vector<std::string> argv;
  argv.reserve(1 + sizeof...(arguments));
  argv.emplace_back(program);
  (argv.emplace_back(std::string_view(arguments)), ...);
  return argv;
}

}  // namespace detail
}  // namespace aster::inline v0
