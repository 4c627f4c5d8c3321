// SPDX-License-Identifier: MIT
// sock_sendfile: the kernel copies where it can; else a thread reads blocks of the
// file and the loop sends them.
#include <aster/base/error.hpp>
#include <aster/executor/executor.hpp>
#include <aster/io/sock.hpp>
#include <aster/loop/sleep.hpp>

#include "base/sys.hpp"
#include "io/socket_use.hpp"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace aster::inline v0 {
namespace {

using detail::SockAwaiter;
using detail::SockClaim;
using detail::SocketUse;
namespace sys = detail::sys;

constexpr std::size_t block_size = std::size_t{256} * 1024;  // K-6.
// The most one system call is asked for; the kernel's own bound is 2 GiB.
constexpr std::size_t call_size_max = std::size_t{1} << 30U;

constexpr unsigned calls_between_turns = 16;

/// How far it has come. Whatever ends it, the file's position is then behind what was
/// sent (nothing sent: unchanged).
class Progress {
 public:
  Progress(native_file file, std::int64_t offset, std::optional<std::size_t> count) noexcept
      : file_(file), offset_(offset), left_(count) {}
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() {
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
bool means_unavailable(std::int64_t error) noexcept {
  return error == -EINVAL || error == -ENOSYS || error == -EOPNOTSUPP || error == -ENOTSUP ||
         error == -ESPIPE || error == -ENODEV || error == -EOVERFLOW;
}

/// False: the kernel cannot do it, and nothing was sent.
Coroutine<bool> send_in_kernel(SockClaim& claim, Progress& progress) {
  for (unsigned calls = 1; progress.next(call_size_max) != 0; ++calls) {
    // A peer that reads as fast as this sends must not keep the loop from others.
    if (calls % calls_between_turns == 0) co_await yield_now();
    const std::size_t wanted = progress.next(call_size_max);
    if (claim.use() == nullptr) claim.fail(-EBADF);
    const std::int64_t result =
        claim.backend().send_file_now(claim.fd(), progress.file(), progress.offset(), wanted);
    if (result == -EAGAIN || result == -EWOULDBLOCK) {
      SockAwaiter room(claim, Operation::Kind::poll_out);
      const std::int64_t waited = co_await room;
      if (waited < 0) claim.fail(waited);
      continue;
    }
    if (result == 0) break;  // The end of the file.
    if (result < 0) {
      if (progress.sent() == 0 && means_unavailable(result)) co_return false;
      claim.fail(result);
    }
    progress.add(static_cast<std::size_t>(result));
  }
  co_return true;
}

/// The descriptor of an own, so that a read that is under way when the call is
/// cancelled does not meet another file under the same number.
class HeldFile {
 public:
  explicit HeldFile(native_file file) : fd_(sys::fcntl(file, F_DUPFD_CLOEXEC, 0)) {
    if (fd_ < 0) {
      detail::throw_system_error(-fd_, "sock_sendfile of file " + std::to_string(file));
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
      detail::throw_system_error(static_cast<int>(-result),
                                 "sock_sendfile: reading the file at " + std::to_string(offset));
    }
    block.resize(static_cast<std::size_t>(result));
    return block;
  }

 private:
  int fd_;
};

Coroutine<> send_blocks(SockClaim& claim, Progress& progress) {
  const auto file = std::make_shared<const HeldFile>(progress.file());
  while (const std::size_t wanted = progress.next(block_size)) {
    const std::int64_t offset = progress.offset();
    auto reading = claim.loop().run_in_executor(
        nullptr, [file, offset, wanted] { return file->read(offset, wanted); });
    const std::string block = co_await std::move(reading);
    if (block.empty()) co_return;  // The end of the file.
    auto sending = detail::send_all(claim, block);
    co_await std::move(sending);
    progress.add(block.size());
  }
}

void check_file(native_file file) {
  struct stat status{};
  const int result = sys::fstat(file, &status);
  if (result < 0) {
    detail::throw_system_error(-result, "sock_sendfile of file " + std::to_string(file));
  }
}

Coroutine<std::size_t> send_file(EventLoop& loop, Socket& socket, native_file file,
                                 std::int64_t offset, std::optional<std::size_t> count,
                                 bool fallback) {
  SockClaim claim(loop, socket, SocketUse::writing, "sock_sendfile");
  if (offset < 0) {
    throw ValueError("sock_sendfile: offset must not be negative, got " + std::to_string(offset));
  }
  if (count == std::size_t{0}) throw ValueError("sock_sendfile: count must be positive, got 0");
  if (socket.getsockopt(SOL_SOCKET, SO_TYPE) != SOCK_STREAM) {
    throw ValueError("sock_sendfile: socket " + std::to_string(socket.fileno()) +
                     " is not of type SOCK_STREAM");
  }
  check_file(file);
  Progress progress(file, offset, count);
  auto in_kernel = send_in_kernel(claim, progress);
  const bool done = co_await std::move(in_kernel);
  if (!done) {
    if (!fallback) {
      throw SendfileNotAvailableError("sock_sendfile: file " + std::to_string(file) +
                                      " cannot be sent over socket " + std::to_string(claim.fd()) +
                                      " by the kernel");
    }
    auto by_blocks = send_blocks(claim, progress);
    co_await std::move(by_blocks);
  }
  co_return progress.sent();
}

}  // namespace

Coroutine<std::size_t> EventLoop::sock_sendfile(Socket& socket, native_file file,
                                                std::int64_t offset,
                                                std::optional<std::size_t> count) {
  return send_file(*this, socket, file, offset, count, true);
}

Coroutine<std::size_t> EventLoop::sock_sendfile(Socket& socket, native_file file,
                                                std::int64_t offset,
                                                std::optional<std::size_t> count,
                                                const SendfileOptions& options) {
  return send_file(*this, socket, file, offset, count, options.fallback);
}

}  // namespace aster::inline v0
