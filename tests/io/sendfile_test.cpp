// SPDX-License-Identifier: MIT
// sock_sendfile in the kernel and by blocks. SOCK-9
#include "io/sock_fixture.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

namespace aster::sock_tests {
namespace {

/// A file that is gone when this goes.
class File {
 public:
  explicit File(std::string_view bytes) {
    char name[] = "/tmp/aster-sendfile-XXXXXX";
    fd_ = ::mkostemp(name, O_CLOEXEC);
    ::unlink(name);
    if (fd_ < 0 || ::write(fd_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
      std::abort();
    }
    ::lseek(fd_, 3, SEEK_SET);  // Somewhere: the call does not start there.
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { ::close(fd_); }

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] off_t position() const { return ::lseek(fd_, 0, SEEK_CUR); }

 private:
  int fd_;
};

class Sendfile : public SockTest {
 protected:
  Coroutine<std::size_t> send(Socket& socket, const File& file, std::int64_t offset,
                              std::optional<std::size_t> count) {
    auto sending = loop().sock_sendfile(socket, file.fd(), offset, count);
    const std::size_t sent = co_await std::move(sending);
    socket.shutdown(SHUT_WR);
    co_return sent;
  }

  // What arrives of a call; its result goes to `sent`.
  std::string sent_of(const File& file, std::int64_t offset, std::optional<std::size_t> count,
                      std::size_t& sent) {
    Ends ends = connected();
    auto sending = loop().create_task(send(ends.client, file, offset, count));
    std::string all = run(receive(ends.server, std::size_t{1} << 30U));
    sent = run(std::move(sending));
    return all;
  }
};
INSTANTIATE_TEST_SUITE_P(Systems, Sendfile, ::testing::ValuesIn(all_systems()), name_of);

TEST_P(Sendfile, SendsAllOfAFile) {  // SOCK-9
  const std::string text = pattern(net.is_simulated() ? 300'000 : 3'000'000);
  const File file(text);
  std::size_t sent = 0;

  EXPECT_TRUE(sent_of(file, 0, {}, sent) == text);

  EXPECT_EQ(sent, text.size());
  EXPECT_EQ(file.position(), static_cast<off_t>(text.size()));
}

TEST_P(Sendfile, SendsAPieceOfAFile) {  // SOCK-9
  const std::string text = pattern(1000);
  const File file(text);
  std::size_t sent = 0;

  EXPECT_EQ(sent_of(file, 100, 250, sent), text.substr(100, 250));
  EXPECT_EQ(sent, 250U);
  EXPECT_EQ(file.position(), 350);

  EXPECT_EQ(sent_of(file, 900, 250, sent), text.substr(900));  // Ends with the file.
  EXPECT_EQ(sent, 100U);
  EXPECT_EQ(file.position(), 1000);
}

TEST_P(Sendfile, NothingToSendLeavesThePosition) {  // SOCK-9
  const File empty("");
  const File file("text");
  std::size_t sent = 1;

  EXPECT_EQ(sent_of(empty, 0, {}, sent), "");
  EXPECT_EQ(sent, 0U);
  EXPECT_EQ(sent_of(file, 100, {}, sent), "");  // Beyond its end.
  EXPECT_EQ(sent, 0U);
  EXPECT_EQ(file.position(), 3);
}

TEST_P(Sendfile, WrongArgumentsAreNamed) {  // SOCK-9
  Ends ends = connected();
  const File file("text");

  EXPECT_THAT(error(loop().sock_sendfile(ends.client, file.fd(), -1)),
              HasSubstr("ValueError: sock_sendfile: offset must not be negative, got -1"));
  EXPECT_THAT(error(loop().sock_sendfile(ends.client, file.fd(), 0, 0)),
              HasSubstr("ValueError: sock_sendfile: count must be positive, got 0"));
  EXPECT_THAT(error(loop().sock_sendfile(ends.client, -1)),
              HasSubstr("sock_sendfile of file -1: Bad file descriptor"));
  EXPECT_THAT(error(loop().sock_sendfile(ends.client, 987654)), HasSubstr("of file 987654"));
}

TEST_P(Sendfile, IsASendLikeOthers) {  // SOCK-11
  Ends ends = connected();
  const File file(std::string(net.is_simulated() ? 300'000 : 8'000'000, 'x'));
  auto sending = loop().create_task(loop().sock_sendfile(ends.client, file.fd()));
  net.turns(3);
  ASSERT_FALSE(sending.done());

  EXPECT_THAT(error(loop().sock_sendall(ends.client, "x")),
              HasSubstr("is in use by a sock_sendfile that has not ended"));
  sending.cancel();
  EXPECT_THAT(run(error_of(std::move(sending))), HasSubstr("CancelledError"));
  ends.client.close();
  const std::string got = run(receive(ends.server, 8'000'000));
  EXPECT_LT(got.size(), std::size_t{8'000'000});
}

TEST_P(Sendfile, ClosingTheSocketEndsIt) {
  Ends ends = connected();
  const File file(std::string(net.is_simulated() ? 300'000 : 8'000'000, 'x'));
  auto sending = loop().create_task(loop().sock_sendfile(ends.client, file.fd()));
  net.turns(3);

  ends.client.close();

  EXPECT_THAT(run(error_of(std::move(sending))), HasSubstr("Bad file descriptor"));
}

class SendfileSim : public Sendfile {};
INSTANTIATE_TEST_SUITE_P(Systems, SendfileSim, ::testing::ValuesIn(simulated_systems()), name_of);

TEST_P(SendfileSim, WithoutAWayInTheKernelAndWithoutFallbackItIsAnError) {  // SOCK-9
  Ends ends = connected();
  const File file("text");
  SendfileOptions options;
  options.fallback = false;

  EXPECT_THAT(error(loop().sock_sendfile(ends.client, file.fd(), 0, {}, options)),
              HasSubstr("SendfileNotAvailableError: sock_sendfile: file " +
                        std::to_string(file.fd()) + " cannot be sent over socket"));
  EXPECT_EQ(file.position(), 3);
}

class SendfileSystem : public Sendfile {};
INSTANTIATE_TEST_SUITE_P(Systems, SendfileSystem, ::testing::ValuesIn(real_systems()), name_of);

TEST_P(SendfileSystem, OnlyStreamSockets) {  // SOCK-9
  const File file("text");
  Socket udp{AF_INET, SOCK_DGRAM};

  EXPECT_THAT(error(loop().sock_sendfile(udp, file.fd())),
              HasSubstr("ValueError: sock_sendfile: socket " + std::to_string(udp.fileno()) +
                        " is not of type SOCK_STREAM"));
}

TEST_P(SendfileSystem, AKernelThatCannotFallsBack) {  // SOCK-9
  const std::string text = pattern(600'000);          // Three blocks.
  const File file(text);
  for (const int number : {EINVAL, ENOSYS, EOPNOTSUPP}) {
    Faults faults;
    faults.fail(SysCall::sendfile, {.times = testing::always, .error = number});
    std::size_t sent = 0;

    EXPECT_TRUE(sent_of(file, 0, {}, sent) == text);
    EXPECT_EQ(sent, text.size());
    EXPECT_EQ(file.position(), static_cast<off_t>(text.size()));
    EXPECT_EQ(faults.calls(SysCall::pread), 4U);  // K-6: 256 KiB each; the last finds the end.

    Ends ends = connected();
    SendfileOptions options;
    options.fallback = false;
    EXPECT_THAT(error(loop().sock_sendfile(ends.client, file.fd(), 0, {}, options)),
                HasSubstr("SendfileNotAvailableError"));
  }
  run(loop().shutdown_default_executor());
}

TEST_P(SendfileSystem, ShortInterruptedAndBlockedCallsGoOn) {  // SOCK-9
  const std::string text = pattern(5000);
  const File file(text);
  Faults faults;
  faults.shorten(SysCall::sendfile, {.max = 7});
  faults.fail(SysCall::sendfile, {.nth = 3, .times = 2, .error = EINTR});
  faults.fail(SysCall::sendfile, {.nth = 10, .times = 5, .error = EAGAIN});
  std::size_t sent = 0;

  EXPECT_TRUE(sent_of(file, 0, {}, sent) == text);
  EXPECT_EQ(sent, text.size());
}

TEST_P(SendfileSystem, AnErrorOnTheWayLeavesThePositionBehindWhatWasSent) {  // SOCK-9
  const std::string text = pattern(5000);
  const File file(text);
  for (const int number : {ECONNRESET, EPIPE, EIO, ENOBUFS, ETIMEDOUT, EINVAL}) {
    Ends ends = connected();
    Faults faults;
    faults.shorten(SysCall::sendfile, {.max = 100});
    faults.fail(SysCall::sendfile, {.nth = 4, .error = number});

    EXPECT_THAT(error(loop().sock_sendfile(ends.client, file.fd(), 1000)),
                HasSubstr("sock_sendfile on socket " + std::to_string(ends.client.fileno()) + ": " +
                          std::system_category().message(number)));
    EXPECT_EQ(file.position(), 1300);
    EXPECT_EQ(run(receive(ends.server, 300)), text.substr(1000, 300));
  }
}

TEST_P(SendfileSystem, AFileThatCannotBeReadIsAnErrorOfTheFallback) {  // SOCK-9
  Ends ends = connected();
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  Faults faults;
  faults.fail(SysCall::sendfile, {.error = EINVAL});

  EXPECT_THAT(error(loop().sock_sendfile(ends.client, pipe[0])),
              HasSubstr("sock_sendfile: reading the file at 0: Illegal seek"));

  ::close(pipe[0]);
  ::close(pipe[1]);
  run(loop().shutdown_default_executor());
}

TEST_P(SendfileSystem, ACancelledFallbackMayStillBeReadingSafely) {  // SOCK-9, CAN-14
  Ends ends = connected();
  const std::string text = pattern(600'000);
  auto file = std::make_unique<File>(text);
  Faults faults;
  faults.fail(SysCall::sendfile, {.times = testing::always, .error = EINVAL});
  for (int delay = 0; delay < 6; ++delay) {
    auto sending = loop().create_task(loop().sock_sendfile(ends.client, file->fd()));
    net.turns(delay);
    sending.cancel();
    EXPECT_THAT(run(error_of(std::move(sending))), HasSubstr("CancelledError"));
  }
  file.reset();
  run(loop().shutdown_default_executor());
}

}  // namespace
}  // namespace aster::sock_tests
