// SPDX-License-Identifier: MIT
// sock_sendfile: the kernel copies where it can; else a thread reads blocks of the
// file and the loop sends them.
#include <aster/base/error.hpp>
#include <aster/executor/executor.hpp>
#include <aster/io/sock.hpp>
#include <aster/loop/sleep.hpp>

#include "io/sendfile.hpp"
#include "io/socket_use.hpp"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace aster::inline v0 {
namespace {

using detail::HeldFile;
using detail::means_unavailable;
using detail::sendfile_call_size_max;
using detail::sendfile_calls_between_turns;
using detail::SendfileProgress;
using detail::SockAwaiter;
using detail::SockClaim;
using detail::SocketUse;

constexpr std::size_t block_size = std::size_t{256} * 1024;  // K-6.

/// False: the kernel cannot do it, and nothing was sent.
Coroutine<bool> send_in_kernel(SockClaim& claim, SendfileProgress& progress) {
  for (unsigned calls = 1; progress.next(sendfile_call_size_max) != 0; ++calls) {
    if (calls % sendfile_calls_between_turns == 0) co_await yield_now();
    const std::size_t wanted = progress.next(sendfile_call_size_max);
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

Coroutine<> send_blocks(SockClaim& claim, SendfileProgress& progress) {
  const auto file = std::make_shared<const HeldFile>("sock_sendfile", progress.file());
  while (const std::size_t wanted = progress.next(block_size)) {
    const std::int64_t offset = progress.offset();
    auto reading = detail::read_in_thread(claim.loop(), file, offset, wanted);
    const std::string block = co_await std::move(reading);
    if (block.empty()) co_return;  // The end of the file.
    auto sending = detail::send_all(claim, block);
    co_await std::move(sending);
    progress.add(block.size());
  }
}

Coroutine<std::size_t> send_file(EventLoop& loop, Socket& socket, native_file file,
                                 std::int64_t offset, std::optional<std::size_t> count,
                                 bool fallback) {
  SockClaim claim(loop, socket, SocketUse::writing, "sock_sendfile");
  if (socket.getsockopt(SOL_SOCKET, SO_TYPE) != SOCK_STREAM) {
    throw ValueError("sock_sendfile: socket " + std::to_string(socket.fileno()) +
                     " is not of type SOCK_STREAM");
  }
  detail::check_sendfile("sock_sendfile", file, offset, count);
  SendfileProgress progress(file, offset, count);
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

Future<std::string> detail::read_in_thread(EventLoop& loop, std::shared_ptr<const HeldFile> file,
                                           std::int64_t offset, std::size_t size) {
  return loop.run_in_executor(nullptr, [file = std::move(file), offset, size]() mutable {
    // Let go of before the result is there: whoever waits for that may count descriptors.
    const std::shared_ptr<const HeldFile> held = std::move(file);
    return held->read(offset, size);
  });
}

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
