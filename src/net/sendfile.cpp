// SPDX-License-Identifier: MIT
// loop.sendfile: behind what was written before, the kernel copies where it can; else a
// thread reads blocks of the file and the transport sends them. Until then nothing is
// written by others (`write` throws) and nothing handed to the protocol.
#include "io/sendfile.hpp"
#include "net/sendfile_wait.hpp"
#include "net/stream_transport.hpp"

#include <aster/io/sock.hpp>
#include <aster/loop/sleep.hpp>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

namespace aster::inline v0 {
namespace detail {
namespace {

constexpr std::size_t block_size = std::size_t{16} * 1024;  // K-6.

/// Reading is paused while this lives, unless it was so before.
class ReadingPause {
 public:
  explicit ReadingPause(StreamTransport& link) noexcept
      : link_(link), was_reading_(link.is_reading()) {
    if (was_reading_) link_.pause_reading();
  }
  ReadingPause(const ReadingPause&) = delete;
  ReadingPause& operator=(const ReadingPause&) = delete;
  ~ReadingPause() {
    if (was_reading_) link_.resume_reading();
  }

 private:
  StreamTransport& link_;
  bool was_reading_;
};

/// False: the kernel cannot do it, and nothing was sent.
Coroutine<bool> send_in_kernel(SendfileWait& wait, SendfileProgress& progress) {
  for (unsigned calls = 1; progress.next(sendfile_call_size_max) != 0; ++calls) {
    if (calls % sendfile_calls_between_turns == 0) co_await yield_now();
    wait.check_open();
    const std::int64_t result =
        wait.send(progress.file(), progress.offset(), progress.next(sendfile_call_size_max));
    if (result == -EAGAIN || result == -EWOULDBLOCK) {
      auto waiting = wait.room();
      co_await std::move(waiting);
      continue;
    }
    if (result == 0) break;  // The end of the file.
    if (result < 0) {
      if (progress.sent() == 0 && means_unavailable(result)) co_return false;
      wait.fail(static_cast<int>(-result));
    }
    progress.add(static_cast<std::size_t>(result));
  }
  co_return true;
}

Coroutine<> send_blocks(EventLoop& loop, SendfileWait& wait, SendfileProgress& progress) {
  const auto file = std::make_shared<const HeldFile>("sendfile", progress.file());
  while (const std::size_t wanted = progress.next(block_size)) {
    auto reading = read_in_thread(loop, file, progress.offset(), wanted);
    const std::string block = co_await std::move(reading);
    if (block.empty()) co_return;  // The end of the file.
    wait.write(block);
    auto draining = wait.drained();
    co_await std::move(draining);
    progress.add(block.size());
  }
}

Coroutine<std::size_t> send_file(EventLoop& loop, TransportRef<WriteTransport> transport,
                                 native_file file, std::int64_t offset,
                                 std::optional<std::size_t> count, bool fallback) {
  auto* const link = dynamic_cast<StreamTransport*>(transport.get());
  if (link == nullptr || !link->can_write()) {
    throw RuntimeError("sendfile is not supported for transport " + transport->str());
  }
  if (link->is_closing()) throw RuntimeError("sendfile: Transport is closing");
  check_sendfile("sendfile", file, offset, count);
  SendfileWait wait(*link);
  const ReadingPause pause(*link);
  auto draining = wait.drained();
  co_await std::move(draining);
  SendfileProgress progress(file, offset, count);
  auto in_kernel = send_in_kernel(wait, progress);
  const bool done = co_await std::move(in_kernel);
  if (!done) {
    if (!fallback) {
      throw SendfileNotAvailableError("sendfile: file " + std::to_string(file) +
                                      " cannot be sent to " + link->subject() + " by the kernel");
    }
    auto by_blocks = send_blocks(loop, wait, progress);
    co_await std::move(by_blocks);
  }
  co_return progress.sent();
}

}  // namespace
}  // namespace detail

Coroutine<std::size_t> EventLoop::sendfile(WriteTransport& transport, native_file file,
                                           std::int64_t offset, std::optional<std::size_t> count) {
  return detail::send_file(*this, transport.ref(), file, offset, count, true);
}

Coroutine<std::size_t> EventLoop::sendfile(WriteTransport& transport, native_file file,
                                           std::int64_t offset, std::optional<std::size_t> count,
                                           const SendfileOptions& options) {
  return detail::send_file(*this, transport.ref(), file, offset, count, options.fallback);
}

}  // namespace aster::inline v0
