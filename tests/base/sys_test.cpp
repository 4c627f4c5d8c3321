// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>
#include <aster/testing/faults.hpp>

#include <gtest/gtest.h>

#include "base/sys.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace aster {
namespace {

using namespace std::chrono_literals;
using testing::Faults;
using testing::SysCall;
namespace sys = detail::sys;

// Two ends of a local stream.
class SocketPair {
 public:
  SocketPair() { EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds.data()), 0); }
  ~SocketPair() {
    for (const int fd : fds) ::close(fd);
  }
  std::array<int, 2> fds{};
};

class Scripted : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!Faults::is_available()) GTEST_SKIP() << "built without fault injection";
  }
};

TEST(Sys, GivesTheValueOrMinusTheErrorNumber) {
  const SocketPair pair;
  char byte = 'x';

  EXPECT_EQ(sys::recv(pair.fds[0], &byte, 1), -EAGAIN);
  EXPECT_EQ(sys::send(pair.fds[1], &byte, 1), 1);
  EXPECT_EQ(sys::recv(pair.fds[0], &byte, 1), 1);
  EXPECT_EQ(sys::recv(-1, &byte, 1), -EBADF);
}

TEST(Sys, SendToAClosedPeerRaisesNoSignal) {
  const SocketPair pair;
  ::shutdown(pair.fds[1], SHUT_RDWR);

  EXPECT_EQ(sys::send(pair.fds[0], "x", 1), -EPIPE);
}

TEST(Sys, SocketsAreNonBlockingAndCloseOnExec) {
  const int fd = sys::socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_GE(fd, 0);

  EXPECT_NE(sys::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(sys::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(sys::close(fd), 0);
}

TEST(Sys, MillisecondsAreRoundedUp) {
  EXPECT_EQ(sys::to_milliseconds(Duration::max()), -1);
  EXPECT_EQ(sys::to_milliseconds(Duration::min()), 0);
  EXPECT_EQ(sys::to_milliseconds(0ms), 0);
  EXPECT_EQ(sys::to_milliseconds(1ns), 1);
  EXPECT_EQ(sys::to_milliseconds(1ms), 1);
  EXPECT_EQ(sys::to_milliseconds(1000001ns), 2);
  EXPECT_GT(sys::to_milliseconds(Duration::max() - 1ns), 1000000);
}

TEST(Sys, TimespecOfForEverIsNull) {
  EXPECT_EQ(sys::Timespec(Duration::max()).get(), nullptr);
  const sys::Timespec some(1500ms);
  EXPECT_EQ(some.get()->tv_sec, 1);
  EXPECT_EQ(some.get()->tv_nsec, 500000000);
  EXPECT_EQ(sys::Timespec(-1s).get()->tv_sec, 0);
}

TEST(Faults, WithoutFaultInjectionIsARuntimeError) {
  if (Faults::is_available()) GTEST_SKIP() << "built with fault injection";
  EXPECT_THROW(Faults(), RuntimeError);
}

TEST_F(Scripted, CallFailsFromTheNthOnForSomeTimes) {
  const SocketPair pair;
  Faults faults;
  faults.fail(SysCall::send, {.nth = 2, .times = 2, .error = ECONNRESET});

  std::vector<std::int64_t> results;
  for (int i = 0; i < 4; ++i) results.push_back(sys::send(pair.fds[0], "x", 1));

  EXPECT_EQ(results, (std::vector<std::int64_t>{1, -ECONNRESET, -ECONNRESET, 1}));
  EXPECT_EQ(faults.calls(SysCall::send), 4U);
  EXPECT_EQ(faults.injected_count(), 2U);
}

TEST_F(Scripted, DescriptorNarrowsWhatIsCounted) {
  const SocketPair pair;
  Faults faults;
  faults.fail(SysCall::send, {.nth = 2, .error = ENOBUFS, .fd = pair.fds[1]});

  EXPECT_EQ(sys::send(pair.fds[1], "x", 1), 1);
  EXPECT_EQ(sys::send(pair.fds[0], "x", 1), 1);
  EXPECT_EQ(sys::send(pair.fds[1], "x", 1), -ENOBUFS);
}

TEST_F(Scripted, TransfersAreCut) {
  const SocketPair pair;
  Faults faults;
  faults.shorten(SysCall::send, {.max = 3, .times = 1});
  faults.shorten(SysCall::recv, {.max = 2, .nth = 2});
  std::array<char, 10> buffer{};

  EXPECT_EQ(sys::send(pair.fds[0], "abcdef", 6), 3);
  EXPECT_EQ(sys::send(pair.fds[0], "def", 3), 3);
  EXPECT_EQ(sys::recv(pair.fds[1], buffer.data(), 3), 3);
  EXPECT_EQ(sys::recv(pair.fds[1], buffer.data(), 10), 2);
}

TEST_F(Scripted, VectoredSendIsCutToItsFirstPiece) {
  const SocketPair pair;
  Faults faults;
  faults.shorten(SysCall::sendmsg, {.max = 3});
  char text[] = "abcdef";
  iovec pieces[] = {{text, 2}, {text + 2, 4}};
  msghdr message{};
  message.msg_iov = pieces;
  message.msg_iovlen = 2;

  EXPECT_EQ(sys::sendmsg(pair.fds[0], &message), 2);
  EXPECT_EQ(message.msg_iovlen, 2U);
}

TEST_F(Scripted, FailureWinsOverACut) {
  const SocketPair pair;
  Faults faults;
  faults.shorten(SysCall::send, {.max = 1});
  faults.fail(SysCall::send, {.error = EPIPE});

  EXPECT_EQ(sys::send(pair.fds[0], "abc", 3), -EPIPE);
  EXPECT_EQ(sys::send(pair.fds[0], "abc", 3), 1);
}

TEST_F(Scripted, FailedCloseHasClosed) {
  const int fd = sys::socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_GE(fd, 0);
  Faults faults;
  faults.fail(SysCall::close, {.error = EIO});

  EXPECT_EQ(sys::close(fd), -EIO);
  EXPECT_EQ(sys::fcntl(fd, F_GETFD), -EBADF);
}

TEST_F(Scripted, ScriptsEndWithTheirObject) {
  const SocketPair pair;
  Faults outer;
  {
    Faults inner;
    inner.fail(SysCall::send, {.times = testing::always, .error = EPIPE});
    EXPECT_EQ(sys::send(pair.fds[0], "x", 1), -EPIPE);
    EXPECT_EQ(outer.calls(SysCall::send), 1U);
  }

  EXPECT_EQ(sys::send(pair.fds[0], "x", 1), 1);
  EXPECT_EQ(outer.calls(SysCall::send), 2U);
}

TEST_F(Scripted, ClearEndsScriptsAndCounts) {
  const SocketPair pair;
  Faults faults;
  faults.fail(SysCall::send, {.times = testing::always});
  EXPECT_EQ(sys::send(pair.fds[0], "x", 1), -EIO);

  faults.clear();

  EXPECT_EQ(faults.calls(SysCall::send), 0U);
  EXPECT_EQ(sys::send(pair.fds[0], "x", 1), 1);
}

TEST_F(Scripted, NameLookUpsFailWithTheirOwnNumbers) {
  Faults faults;
  faults.fail(SysCall::getaddrinfo, {.error = EAI_AGAIN});
  addrinfo* result = nullptr;

  EXPECT_EQ(sys::getaddrinfo("localhost", nullptr, nullptr, &result), EAI_AGAIN);
}

TEST_F(Scripted, ZeroesAreRefused) {
  Faults faults;
  EXPECT_THROW(faults.fail(SysCall::send, {.error = 0}), ValueError);
  EXPECT_THROW(faults.fail(SysCall::send, {.nth = 0}), ValueError);
  EXPECT_THROW(faults.shorten(SysCall::send, {.max = 0}), ValueError);
}

TEST_F(Scripted, ThreadsMayCallAndScriptAtOnce) {
  Faults faults;
  constexpr int calls_each = 2000;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([] {
      for (int call = 0; call < calls_each; ++call) {
        EXPECT_EQ(sys::fcntl(-1, F_GETFD), -EBADF);
        const Faults own;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(faults.calls(SysCall::fcntl), 3U * calls_each);
}

}  // namespace
}  // namespace aster
