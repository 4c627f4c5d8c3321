// SPDX-License-Identifier: MIT
#pragma once

#include "base/sys.hpp"

#include <aster/base/error.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/loop/operation.hpp>
#include <aster/task/future.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

/// What sending a file takes, for sockets and for transports.
namespace aster::inline v0::detail {

// The most one system call is asked for; the kernel's own bound is 2 GiB.
inline constexpr std::size_t sendfile_call_size_max = std::size_t{1} << 30U;

// A peer that reads as fast as this sends must not keep the loop from others.
inline constexpr unsigned sendfile_calls_between_turns = 16;

/// How far it has come. Whatever ends it, the file's position is then behind what was
/// sent (nothing sent: unchanged).
class SendfileProgress {
 public:
  SendfileProgress(native_file file, std::int64_t offset, std::optional<std::size_t> count) noexcept
      : file_(file), offset_(offset), left_(count) {}
  SendfileProgress(const SendfileProgress&) = delete;
  SendfileProgress& operator=(const SendfileProgress&) = delete;
  ~SendfileProgress() {
    if (sent_ > 0) static_cast<void>(sys::lseek(file_, offset(), SEEK_SET));
  }

  [[nodiscard]] native_file file() const noexcept { return file_; }
  [[nodiscard]] std::int64_t offset() const noexcept {
    return offset_ + static_cast<std::int64_t>(sent_);
  }
  [[nodiscard]] std::size_t sent() const noexcept { return sent_; }
  /// How much to ask for next, `most` at most; 0: that was all.
  [[nodiscard]] std::size_t next(std::size_t most) const noexcept {
    return left_ ? std::min(*left_ - sent_, most) : most;
  }
  void add(std::size_t count) noexcept { sent_ += count; }

 private:
  native_file file_;
  std::int64_t offset_;
  std::optional<std::size_t> left_;  // Wanted in all; none: to the end.
  std::size_t sent_ = 0;
};

/// Errors that say "not this pair of file and socket" and nothing about either.
inline bool means_unavailable(std::int64_t error) noexcept {
  return error == -EINVAL || error == -ENOSYS || error == -EOPNOTSUPP || error == -ENOTSUP ||
         error == -ESPIPE || error == -ENODEV || error == -EOVERFLOW;
}

/// The descriptor of an own, so that a read that is under way when the call is
/// cancelled does not meet another file under the same number.
class HeldFile {
 public:
  HeldFile(const char* call, native_file file)
      : call_(call), fd_(sys::fcntl(file, F_DUPFD_CLOEXEC, 0)) {
    if (fd_ < 0) {
      detail::throw_system_error(-fd_, std::string(call) + " of file " + std::to_string(file));
    }
  }
  HeldFile(const HeldFile&) = delete;
  HeldFile& operator=(const HeldFile&) = delete;
  ~HeldFile() { static_cast<void>(sys::close(fd_)); }

  [[nodiscard]] std::string read(std::int64_t offset, std::size_t size) const {
    std::string block(size, '\0');
    const std::int64_t result =
        sys::uninterrupted([&] { return sys::pread(fd_, block.data(), size, offset); });
    if (result < 0) {
      detail::throw_system_error(
          static_cast<int>(-result),
          std::string(call_) + ": reading the file at " + std::to_string(offset));
    }
    block.resize(static_cast<std::size_t>(result));
    return block;
  }

 private:
  const char* call_;
  int fd_;
};

/// A block of the file, read by a thread; "" at its end.
[[nodiscard]] Future<std::string> read_in_thread(EventLoop& loop,
                                                 std::shared_ptr<const HeldFile> file,
                                                 std::int64_t offset, std::size_t size);

/// Checks what is alike for sockets and transports.
inline void check_sendfile(const char* call, native_file file, std::int64_t offset,
                           std::optional<std::size_t> count) {
  const std::string name = call;
  if (offset < 0) {
    throw ValueError(name + ": offset must not be negative, got " + std::to_string(offset));
  }
  if (count == std::size_t{0}) throw ValueError(name + ": count must be positive, got 0");
  struct stat status{};
  const int result = sys::fstat(file, &status);
  if (result < 0) throw_system_error(-result, name + " of file " + std::to_string(file));
}

}  // namespace aster::inline v0::detail
