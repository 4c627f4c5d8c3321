// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/coro/coroutine.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// What Python's os module does with names of files, in a thread of the running loop's default
/// executor. Errors are `std::system_error` "call path: reason"; ValueError for a path with a
/// NUL. Paths are copied at the call. Cancelled, a call that has begun is still carried out.
namespace aster::inline v0 {

/// What `stat` gives.
struct FileStatus {
  std::int64_t size = 0;    ///< In bytes.
  std::uint32_t mode = 0;   ///< Type and permissions, as the system's st_mode.
  std::uint64_t inode = 0;  ///< With `device` the identity of the file.
  std::uint64_t device = 0;
  std::uint64_t link_count = 0;
  std::uint32_t owner = 0;
  std::uint32_t group = 0;
  std::chrono::system_clock::time_point accessed;
  std::chrono::system_clock::time_point modified;
  std::chrono::system_clock::time_point changed;  ///< This status itself.

  /// A regular file.
  [[nodiscard]] ASTER_API bool is_file() const noexcept;
  /// A directory.
  [[nodiscard]] ASTER_API bool is_dir() const noexcept;
  /// A symbolic link; only without `.follow_symlinks`.
  [[nodiscard]] ASTER_API bool is_symlink() const noexcept;
};

/// Options of `stat`.
struct StatOptions {
  /// Of what a symbolic link points to; else of the link.
  bool follow_symlinks = true;
};

/// The status of a file: Python's `os.stat`.
///
///     FileStatus status = co_await stat("data.txt");
[[nodiscard]] ASTER_API Coroutine<FileStatus> stat(std::string_view path, StatOptions options = {});
/// Deletes a file, not a directory: Python's `os.remove`.
ASTER_API Coroutine<> remove(std::string_view path);
/// Renames a file or directory, replacing a file there at one stroke: Python's `os.rename`.
ASTER_API Coroutine<> rename(std::string_view from, std::string_view to);
/// Makes a directory with `permissions` less the process's umask: Python's `os.mkdir`.
ASTER_API Coroutine<> mkdir(std::string_view path, unsigned permissions = 0777);
/// Deletes an empty directory: Python's `os.rmdir`.
ASTER_API Coroutine<> rmdir(std::string_view path);
/// The names in a directory, without "." and "..", in no order: Python's `os.listdir`.
[[nodiscard]] ASTER_API Coroutine<std::vector<std::string>> listdir(std::string_view path = ".");

}  // namespace aster::inline v0
