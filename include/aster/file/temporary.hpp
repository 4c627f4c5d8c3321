// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/file/file.hpp>

#include <exception>
#include <source_location>
#include <string>
#include <string_view>

/// Temporary files and directories: what Python's tempfile module has, under its names.
namespace aster::inline v0 {

/// Options of temporary files and directories.
struct TemporaryOptions {
  /// What its name ends with.
  std::string_view suffix = {};
  /// What its name begins with.
  std::string_view prefix = "tmp";
  /// Where it is made; empty: $TMPDIR, or /tmp.
  std::string_view dir = {};
  /// The mode of a file.
  std::string_view mode = "w+";
  /// Where it was made, for reports.
  std::source_location source = std::source_location::current();
};

/// A new file that only its owner may read and write, without a name where the system can; gone
/// when it is closed or dropped, or this process ends.
///
///     File scratch = co_await TemporaryFile();
[[nodiscard]] ASTER_API Coroutine<File> TemporaryFile(TemporaryOptions options = {});

/// The same with a name, `file.name()`, that others can open; deleted when it is closed or
/// dropped.
[[nodiscard]] ASTER_API Coroutine<File> NamedTemporaryFile(TemporaryOptions options = {});

/// Makes a directory that only its owner may use, and gives its path. Nobody deletes it.
[[nodiscard]] ASTER_API Coroutine<std::string> mkdtemp(TemporaryOptions options = {});

/// A directory for the body of a `with`, deleted afterwards with all that is in it.
///
///     co_await with(TemporaryDirectory(), [](const std::string& path) -> Coroutine<> {
///       File f = co_await open(path + "/notes", "w");
///     });
class ASTER_API TemporaryDirectory {
 public:
  /// Nothing is made before `enter`; `options` are copied.
  explicit TemporaryDirectory(TemporaryOptions options = {});
  TemporaryDirectory(TemporaryDirectory&&) noexcept = default;
  TemporaryDirectory& operator=(TemporaryDirectory&&) = delete;
  ~TemporaryDirectory() = default;

  /// Makes the directory; gives its path.
  Coroutine<const std::string&> enter();
  /// Deletes it. `std::system_error` when something cannot be deleted.
  Coroutine<bool> exit(std::exception_ptr error);
  /// Its path; empty before `enter`.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

 private:
  std::string suffix_, prefix_, dir_;
  std::string name_;
};

}  // namespace aster::inline v0
