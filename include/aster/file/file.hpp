// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/loop/operation.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace aster::inline v0 {

/// Options of `open`.
struct OpenOptions {
  /// How many bytes a file's buffer holds; 0: every read and write goes to the system.
  std::size_t buffering = 65536;
  /// The permissions of a file that is made, less the process's umask.
  unsigned permissions = 0666;
  /// Where the file was opened, for reports.
  std::source_location source = std::source_location::current();
};

namespace detail {
class FileState;
}  // namespace detail

/// An open file, for a coroutine that must not block: what aiofiles is for Python. Bytes in
/// and out, the modes and the names of Python's file objects.
///
///     File f = co_await open("data.txt", "r");
///     while (auto line = co_await f.readline()) use(*line);
///     co_await f.close();
///
/// What has to wait for a disk is done by a thread of the loop's default executor; what the
/// buffer or the system's cache holds is not, so a line costs no thread.
///
/// Operations happen one after the other, in the order of their awaits. One that is cancelled
/// while a thread is at it leaves its buffers to that thread, and the next operation waits for
/// it: a cancelled read loses no bytes, a cancelled write is written or not begun, and an error
/// that it meets is thrown by the next operation.
///
/// Errors: `std::system_error` "call path: reason"; ValueError for a file that is closed or not
/// open for that. Loop's thread only. Dropped unclosed it is flushed and closed, which may
/// block for a moment, with a warning in debug mode; an error of that goes to the loop's
/// exception handler. Movable; must live until its operations have ended.
class ASTER_API File {
 public:
  /// No file; any use is a precondition violation (checked).
  File() noexcept = default;
  File(File&& other) noexcept = default;
  /// Drops the file that this was.
  File& operator=(File&& other) noexcept;
  ~File();

  /// At most `size` bytes, fewer only at the end of the file; without, all that is left.
  Coroutine<std::string> read(std::optional<std::size_t> size = {});
  /// The next line with its newline (the last one may lack it); nothing at the end.
  Coroutine<std::optional<std::string>> readline();
  /// The lines that are left.
  Coroutine<std::vector<std::string>> readlines();
  /// Fills `buffer`, which must outlive the await; how much of it, less only at the end.
  Coroutine<std::size_t> readinto(std::span<char> buffer);
  /// Appends `data`, which is copied now, to what is to be written; its size. What it throws
  /// was not accepted, but of data larger than the buffer a part may be in the file.
  Coroutine<std::size_t> write(std::string_view data);
  /// Writes each of `lines`, as they are.
  Coroutine<> writelines(std::vector<std::string> lines);
  /// Moves to `offset` from the begin (0, SEEK_SET), the present place (1, SEEK_CUR) or the
  /// end (2, SEEK_END); the new place. ValueError for another `whence`.
  Coroutine<std::int64_t> seek(std::int64_t offset, int whence = 0);
  /// The present place.
  Coroutine<std::int64_t> tell();
  /// Cuts or extends the file to `size`, by default to the present place, which stays; gives
  /// the new size.
  Coroutine<std::int64_t> truncate(std::optional<std::int64_t> size = {});
  /// Hands what is to be written to the system.
  Coroutine<> flush();
  /// The same, and waits until it is on the disk.
  Coroutine<> fsync();
  /// Flushes and closes. The file is closed even if this throws. May be called again.
  Coroutine<> close();

  /// `readline`, for `for_each` and `collect`.
  Coroutine<std::optional<std::string>> next() { return readline(); }
  /// For `with(file, body)`: gives the file.
  Coroutine<File&> enter();
  /// For `with(file, body)`: closes.
  Coroutine<bool> exit(std::exception_ptr error);

  /// Whether it was closed.
  [[nodiscard]] bool closed() const noexcept;
  /// The system's descriptor; ValueError when closed. What `write` has accepted may not have
  /// reached it: `flush` first.
  [[nodiscard]] native_file fileno() const;
  /// The same, for `sendfile` and whatever else takes a descriptor.
  // NOLINTNEXTLINE(google-explicit-constructor): a file stands for its descriptor.
  operator native_file() const { return fileno(); }
  /// The path it was opened by; empty for a TemporaryFile.
  [[nodiscard]] const std::string& name() const noexcept;
  /// The mode it was opened in.
  [[nodiscard]] const std::string& mode() const noexcept;

  /// For the library: a file of the running loop.
  explicit File(std::shared_ptr<detail::FileState> state) noexcept : state_(std::move(state)) {}

 private:
  void drop() noexcept;
  [[nodiscard]] const std::shared_ptr<detail::FileState>& state() const noexcept;

  std::shared_ptr<detail::FileState> state_;
};

/// Opens a file, as Python's `open`. `mode` is one of "r" (read), "w" (write, emptied or made),
/// "a" (append), "x" (write, made, an error if it exists), with "+" to read and write, and "b" or
/// "t", which change nothing. ValueError for others, `std::system_error` when the system
/// refuses.
///
///     File f = co_await open("log.txt", "a");
///     co_await f.write("done\n");
[[nodiscard]] ASTER_API Coroutine<File> open(std::string_view path, std::string_view mode = "r",
                                             OpenOptions options = {});

}  // namespace aster::inline v0
