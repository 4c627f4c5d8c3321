// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/file/file.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace aster::inline v0::detail {

/// What a mode says.
struct FileMode {
  /// ValueError for what is no mode.
  explicit FileMode(std::string_view text);
  bool reads = false;
  bool writes = false;
  bool appends = false;
  int flags = 0;  // Of the system's open.
};

/// "call path: reason", thrown as `std::system_error`.
[[noreturn]] void throw_file_error(const char* call, const std::string& path,
                                   std::int64_t negative_error);
/// `result`, or that error when it is negative.
std::int64_t check_file_call(const char* call, const std::string& path, std::int64_t result);
/// ValueError for a path with a NUL.
void check_path(const char* call, std::string_view path);

/// What was read on this thread, a loop's, without a turn for others, in bytes.
[[nodiscard]] std::size_t& work_since_turn() noexcept;

/// A file with its buffers, for one user at a time: the loop's thread, which makes `try_` calls
/// that give nothing when they would have to wait, or another thread, which makes the others.
class FileCore {
 public:
  FileCore(int fd, std::string path, FileMode mode, std::size_t buffering);
  FileCore(const FileCore&) = delete;
  FileCore& operator=(const FileCore&) = delete;
  /// Closes; an error of that can only be logged.
  ~FileCore();

  /// Opens a file; `std::system_error`.
  [[nodiscard]] static std::shared_ptr<FileCore> open(const std::string& path, FileMode mode,
                                                      const OpenOptions& options);

  /// The same for reading only, if nothing of it may take time; else null, errors included.
  [[nodiscard]] static std::shared_ptr<FileCore> try_open(const std::string& path, FileMode mode,
                                                          const OpenOptions& options);

  [[nodiscard]] std::optional<std::string> try_read(std::optional<std::size_t> size);
  [[nodiscard]] std::optional<std::optional<std::string>> try_readline();
  [[nodiscard]] std::optional<std::size_t> try_readinto(std::span<char> buffer);
  [[nodiscard]] bool try_write(std::string_view data);
  [[nodiscard]] std::optional<std::int64_t> try_seek(std::int64_t offset, int whence);
  [[nodiscard]] std::int64_t tell() const;
  [[nodiscard]] bool needs_flush() const noexcept { return !pending_.empty(); }

  /// Reads until the next `try_read` of that size, or of a line, has what it needs.
  void load(std::optional<std::size_t> size);
  void load_line();
  void write(std::string_view data);
  std::int64_t seek(std::int64_t offset, int whence);
  std::int64_t truncate(std::optional<std::int64_t> size);
  void flush();
  void sync();
  /// Also deletes the file when `delete_on_close` says so.
  void close();

  [[nodiscard]] int fd() const noexcept { return fd_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] const FileMode& mode() const noexcept { return mode_; }
  void delete_on_close() noexcept { is_deleted_ = true; }

  /// What the last call in a thread threw, and what closing threw, until it is told to somebody.
  std::exception_ptr error;
  std::exception_ptr close_error;

 private:
  [[nodiscard]] static std::shared_ptr<FileCore> adopt(int fd, const std::string& path,
                                                       FileMode mode, const OpenOptions& options);
  enum class Fill : std::uint8_t { more, end, would_wait };
  [[nodiscard]] std::size_t left() const noexcept { return end_ - at_; }
  [[nodiscard]] std::size_t useful(std::size_t room) const noexcept;
  [[nodiscard]] std::size_t wanted_now(std::optional<std::size_t> size) const noexcept;
  [[nodiscard]] char* make_room(std::size_t room);
  [[nodiscard]] std::string take(std::size_t size);
  [[nodiscard]] std::optional<std::size_t> find_newline() noexcept;
  [[nodiscard]] Fill fill_now(char* data, std::size_t room, std::size_t& got);
  [[nodiscard]] bool fill_now(std::size_t room);
  void fill(std::size_t room);
  void write_all(std::string_view data, std::size_t& done);
  void before_write();
  void forget_read() noexcept;
  [[noreturn]] void fail(const char* call, std::int64_t error_number) const {
    throw_file_error(call, path_, error_number);
  }

  int fd_;
  std::string path_;
  FileMode mode_;
  std::size_t buffering_;
  bool is_deleted_ = false;
  bool reads_at_once_;          // Whether the system can tell what it has without waiting.
  std::int64_t size_hint_ = 0;  // When it was opened.
  std::int64_t position_ = -1;  // The system's, behind what is in the buffer; -1: cannot seek.

  // What was read and not yet taken is [at_, end_) of `buffer_`.
  std::string buffer_;
  std::size_t at_ = 0;
  std::size_t end_ = 0;
  std::size_t scanned_ = 0;  // Bytes from `at_` on that hold no newline.
  bool at_end_ = false;      // The last read found the end; until somebody is told.

  std::string pending_;  // What is to be written; then nothing is in `buffer_`.
};

}  // namespace aster::inline v0::detail
