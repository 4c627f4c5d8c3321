// SPDX-License-Identifier: MIT
#pragma once

#include <aster/process/subprocess_options.hpp>

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace aster::inline v0::detail {

/// What a child is to be: a checked copy of the options, which owns all it names.
struct SpawnPlan {
  /// ValueError, which begins with `caller`, for what cannot be. `standard` is what a
  /// stream is that the options say nothing about.
  SpawnPlan(const char* caller, std::vector<std::string> arguments,
            const SubprocessOptions& options, Redirection standard);

  /// The files to try, in this order (PATH).
  [[nodiscard]] std::vector<std::string> candidates() const;
  [[nodiscard]] const std::string& program() const noexcept {
    return executable.empty() ? argv.front() : executable;
  }

  const char* call;
  std::vector<std::string> argv;
  std::string executable;
  std::array<int, 3> streams;  // Descriptors, or values of `Redirection`; never `unset`.
  std::string cwd;
  std::optional<std::vector<std::string>> environment;  // "NAME=value".
  std::vector<int> pass_fds;
  bool close_fds;
  bool restore_signals;
  bool start_new_session;
  std::optional<int> process_group;
  std::optional<unsigned> user;
  std::optional<unsigned> group;
  std::optional<std::vector<unsigned>> extra_groups;
  std::optional<unsigned> umask;
  std::vector<ResourceLimit> limits;
};

}  // namespace aster::inline v0::detail
